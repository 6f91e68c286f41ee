//! Where the workspace and its build results lie.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The workspace's root: two folders above this crate.
pub fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = here.parent().and_then(Path::parent).context("this crate lies two folders below the root")?;
    if built.join("Cargo.toml").exists() {
        return Ok(built.to_owned());
    }
    // Built elsewhere and moved: the folder we stand in, or one above it, is the workspace.
    let current = std::env::current_dir()?;
    match current.ancestors().find(|folder| folder.join("crates/xtask/Cargo.toml").exists()) {
        Some(root) => Ok(root.to_owned()),
        None => bail!("run this inside the Keelson workspace"),
    }
}

/// Where cargo puts what it builds.
pub fn target() -> Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => Ok(std::path::absolute(PathBuf::from(folder))?),
        None => Ok(root()?.join("target")),
    }
}

/// Where a cluster lies unless `--dir` says otherwise; made absolute, since processes get it.
pub fn state(dir: Option<&Path>) -> Result<PathBuf> {
    let dir = match dir {
        Some(dir) => std::path::absolute(dir)?,
        None => root()?.join(".keelson"),
    };
    // Mounts and processes show the real path.
    Ok(dir.canonicalize().unwrap_or(dir))
}

/// The cargo that runs us.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Runs a command to its end with our own streams; failure is an error that names it.
pub fn run_shown(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| format!("running {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}
