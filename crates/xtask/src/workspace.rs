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

/// The cargo that runs us, without what it told us about ourselves.
///
/// `cargo run` sets variables that name our own package. Build scripts of libraries (ring's) ask to be run anew when some of
/// them change, so a cargo that inherits them compiles again what is built already, and all that stands on it.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_of_the_package) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Whether `cargo run` or `cargo test` sets the variable for the package that it runs. What a user sets for cargo itself
/// (`CARGO_HOME`, `CARGO_TARGET_DIR`, `CARGO_INCREMENTAL`, ...) is none of them.
fn is_of_the_package(name: &str) -> bool {
    const NAMES: [&str; 6] = [
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_MANIFEST_LINKS",
        "CARGO_CRATE_NAME",
        "CARGO_PRIMARY_PACKAGE",
        "OUT_DIR",
    ];
    const PREFIXES: [&str; 3] = ["CARGO_PKG_", "CARGO_BIN_", "CARGO_CFG_"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_cargo_does_not_inherit_what_cargo_says_of_this_package() {
        // `cargo test` sets these for us as `cargo run` does.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION_MAJOR"] {
            assert!(std::env::var_os(name).is_some(), "cargo sets no {name}");
            let removed = cargo().get_envs().any(|(changed, value)| changed == name && value.is_none());
            assert!(removed, "{name} is inherited");
        }
    }

    #[test]
    fn what_a_user_sets_for_cargo_stays() {
        let users = [
            "CARGO",
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_INCREMENTAL",
            "CARGO_BUILD_JOBS",
            "CARGO_NET_OFFLINE",
            "CARGO_LOG",
        ];
        for name in users {
            assert!(!is_of_the_package(name), "{name} is lost");
        }
        for name in ["OUT_DIR", "CARGO_BIN_NAME", "CARGO_BIN_EXE_xtask", "CARGO_CRATE_NAME"] {
            assert!(is_of_the_package(name), "{name} is inherited");
        }
    }
}
