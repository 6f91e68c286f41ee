//! The real kernel, through the installed `nft` (JSON in, JSON out).
//!
//! One process for each transaction. When `nft` refuses or crashes, the first command that it does not take is searched
//! for by checking (`nft -c`) shorter and shorter beginnings of the transaction, and named in the error.

use std::process::{Output, Stdio};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::diff::Found;
use crate::kernel::{Kernel, KernelError};
use crate::listing;
use crate::render::{NodePortAddresses, Renderer};
use crate::table::{Family, TABLE, Transaction};

/// How much of what `nft` printed goes into an error.
const MESSAGE_CHARS_MAX: usize = 400;

/// See [`Kernel`].
#[derive(Clone, Debug)]
pub struct Nft {
    /// The program and arguments that come before ours; tests enter a network namespace here.
    pub program: Vec<String>,
    pub renderer: Renderer,
}

#[async_trait]
impl Kernel for Nft {
    async fn apply(&self, steps: &Transaction) -> Result<(), KernelError> {
        let commands = self.renderer.commands(steps);
        if commands.is_empty() {
            return Ok(());
        }
        let all: Vec<&Value> = commands.iter().map(|(_, command)| command).collect();
        let output = self.run(&["-j", "-f", "-"], Some(document(&all))).await?;
        if output.status.success() {
            return Ok(());
        }
        let command = self.offender(&commands).await;
        Err(self.refused(&output, command))
    }

    async fn read(&self) -> Result<Found, KernelError> {
        let mut found = Found::default();
        for family in Family::ALL {
            let output = self.run(&["-j", "list", "table", family.as_str(), TABLE], None).await?;
            if output.status.success() {
                listing::read(family, &output.stdout, &mut found)
                    .map_err(|detail| KernelError::Listing { program: self.program.join(" "), detail })?;
            } else if !String::from_utf8_lossy(&output.stderr).contains("No such file or directory") {
                return Err(self.refused(&output, format!("list table {} {TABLE}", family.as_str())));
            }
        }
        Ok(found)
    }

    fn set_node_ports(&mut self, addresses: NodePortAddresses) -> bool {
        std::mem::replace(&mut self.renderer.node_ports, addresses) != self.renderer.node_ports
    }
}

impl Nft {
    /// With the `nft` found in the search path.
    pub fn new(renderer: Renderer) -> Self {
        Self { program: vec!["nft".to_owned()], renderer }
    }

    /// The first command that `nft` does not take after those before it.
    async fn offender(&self, commands: &[(String, Value)]) -> String {
        let (mut good, mut bad) = (0, commands.len());
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            let some: Vec<&Value> = commands[..middle].iter().map(|(_, command)| command).collect();
            match self.run(&["-c", "-j", "-f", "-"], Some(document(&some))).await {
                Ok(output) if output.status.success() => good = middle,
                Ok(_) => bad = middle,
                Err(_) => break,
            }
        }
        commands.get(bad - 1).map(|(step, command)| format!("{step}` = `{command}")).unwrap_or_default()
    }

    async fn run(&self, args: &[&str], input: Option<Vec<u8>>) -> Result<Output, KernelError> {
        let (program, before) = self.program.split_first().expect("the program is never empty");
        let name = || self.program.join(" ");
        let mut child = Command::new(program)
            .args(before)
            .args(args)
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| KernelError::Start { program: name(), source })?;
        let stdin = child.stdin.take();
        let write = async move {
            if let (Some(mut stdin), Some(input)) = (stdin, input) {
                // A process that ends early closes the pipe; its status says why.
                let _ = stdin.write_all(&input).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), write);
        output.map_err(|source| KernelError::Talk { program: name(), source })
    }

    fn refused(&self, output: &Output, command: String) -> KernelError {
        let said = String::from_utf8_lossy(&output.stderr);
        let message = said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MESSAGE_CHARS_MAX).collect();
        KernelError::Refused { program: self.program.join(" "), status: output.status.to_string(), command, message }
    }
}

fn document(commands: &[&Value]) -> Vec<u8> {
    json!({ "nftables": commands }).to_string().into_bytes()
}
