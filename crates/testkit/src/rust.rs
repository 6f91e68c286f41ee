//! Programs of workspaces beside this one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Builds the package in `folder`, keeping what was built in `target`; gives the program of that name.
pub fn program(folder: &Path, target: &Path, name: &str) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo told the test about the test's own package is not for this one.
    for (variable, _) in std::env::vars_os() {
        if variable.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(variable);
        }
    }
    cargo.current_dir(folder).args(["build", "--locked", "--quiet", "--target-dir"]).arg(target);
    let done = cargo.status().context("running cargo")?;
    ensure!(done.success(), "cargo build in {}: {done}", folder.display());
    Ok(target.join("debug").join(name))
}
