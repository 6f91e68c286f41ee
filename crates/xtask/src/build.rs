//! Builds the daemons and the command line.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use testkit::settings::Daemon;

use crate::workspace;

/// The folder of a profile's programs.
pub fn programs(profile: &str) -> Result<PathBuf> {
    // cargo's dev profile builds into a folder called debug.
    Ok(workspace::target()?.join(if profile == "dev" { "debug" } else { profile }))
}

/// Builds the programs of these daemons, and keelctl, as `profile`; cargo's own progress is shown.
pub fn build(daemons: &[Daemon], profile: &str) -> Result<PathBuf> {
    let mut cargo = workspace::cargo();
    cargo.current_dir(workspace::root()?).args(["build", "--locked", "--profile", profile]);
    for daemon in daemons {
        cargo.args(["--package", daemon.name()]);
    }
    cargo.args(["--package", "keelctl", "--bins"]).stdin(Stdio::null());
    let status = cargo.status().context("running cargo build")?;
    if !status.success() {
        bail!("cargo build: {status}");
    }
    programs(profile)
}
