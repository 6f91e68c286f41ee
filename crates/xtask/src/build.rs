//! Builds the daemons and the command line.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::workspace;
use anyhow::{Context, Result, bail, ensure};

/// The folder of a profile's programs.
pub fn programs(profile: &str) -> Result<PathBuf> {
    // cargo's dev profile builds into a folder called debug.
    Ok(workspace::target()?.join(if profile == "dev" { "debug" } else { profile }))
}

/// Builds every program as `profile`; cargo's own progress is shown.
///
/// Always the whole workspace: cargo chooses the features of libraries by the packages that it is asked for, and would build
/// them anew for another choice (decision 0005).
pub fn build(profile: &str) -> Result<PathBuf> {
    let mut cargo = workspace::cargo();
    cargo.current_dir(workspace::root()?).args(["build", "--workspace", "--bins", "--locked", "--profile", profile]);
    cargo.stdin(Stdio::null());
    let status = cargo.status().context("running cargo build")?;
    if !status.success() {
        bail!("cargo build: {status}");
    }
    programs(profile)
}

/// Builds a program of `tests/` as the daemons are built for a user, and tells where it lies. This crate does not depend on
/// them, since building them needs tools that `cargo xtask up` installs.
pub fn tool(package: &str, program: &str) -> Result<PathBuf> {
    let mut cargo = workspace::cargo();
    cargo.current_dir(workspace::root()?).args(["build", "--locked", "--quiet", "--release", "--package", package]);
    workspace::run_shown(&mut cargo)?;
    Ok(programs("release")?.join(program))
}

/// Runs a program of `tests/` and gives its standard output.
pub fn output_of(program: &mut Command) -> Result<String> {
    let output = program.stderr(Stdio::inherit()).output().with_context(|| format!("running {program:?}"))?;
    ensure!(output.status.success(), "{program:?}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
