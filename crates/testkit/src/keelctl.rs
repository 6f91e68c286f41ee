//! Runs the command line as a user does.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::namespace;

/// `keelctl` with a kubeconfig, inside the network that the apiserver listens in.
#[derive(Debug, Clone)]
pub struct Keelctl {
    /// The program.
    pub program: PathBuf,
    /// Whose credentials it shows.
    pub kubeconfig: PathBuf,
    /// The named network namespace to run in.
    pub network: Option<String>,
}

impl Keelctl {
    /// The command, ready to be run.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.within();
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(args);
        command
    }

    /// The program inside the network, without arguments: for those that are told of a kubeconfig in another way.
    pub fn within(&self) -> Command {
        match &self.network {
            Some(network) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", namespace::path(network).display())).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        }
    }

    /// Runs a command and gives what it wrote, whatever its exit code.
    pub fn output(&self, args: &[&str]) -> Result<Output> {
        self.command(args).stdin(Stdio::null()).output().with_context(|| format!("running {}", self.program.display()))
    }

    /// Runs a command that must succeed.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        checked(args, &self.output(args)?)
    }

    /// Runs a command with `input` on its standard input.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Result<String> {
        let mut child = self.spawn(args)?;
        child.stdin.take().context("standard input is a pipe")?.write_all(input.as_bytes())?;
        checked(args, &child.wait_with_output()?)
    }

    /// Applies a manifest.
    pub fn apply(&self, manifest: &str) -> Result<String> {
        self.run_with_input(&["apply", "-f", "-"], manifest)
    }

    /// Runs a command and reads its output as JSON (`-o json` is added).
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        let text = self.run(&args)?;
        serde_json::from_str(&text).with_context(|| format!("keelctl {} wrote no JSON: {text}", args.join(" ")))
    }

    /// Starts a command whose streams the caller reads and writes.
    pub fn spawn(&self, args: &[&str]) -> Result<Child> {
        self.command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("running {}", self.program.display()))
    }
}

fn checked(args: &[&str], output: &Output) -> Result<String> {
    if !output.status.success() {
        bail!(
            "keelctl {}: {}: {}{}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim(),
            String::from_utf8_lossy(&output.stdout),
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
