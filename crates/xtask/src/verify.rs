//! `cargo xtask verify`: format, lints, documentation, licences, arrows. It writes nothing.

use anyhow::{Result, bail};
use testkit::packages;

use crate::workspace;

/// Runs every check, the later ones too when one fails, and names those that failed.
pub fn run() -> Result<()> {
    let mut checks: Vec<(&str, Vec<&str>)> = vec![
        ("fmt", vec!["fmt", "--all", "--check"]),
        ("clippy", vec!["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
        // The suites stand outside `cargo test`, and so outside --all-targets.
        ("clippy of suites", vec!["clippy", "--workspace", "--test", "*", "--locked", "--", "-D", "warnings"]),
        ("doc", vec!["doc", "--workspace", "--no-deps", "--locked"]),
        ("tidy", vec!["test", "--workspace", "--locked", "--test", "arrows", "--test", "files", "--test", "deploy"]),
    ];
    if packages::find("cargo-deny").is_some() {
        checks.push(("deny", vec!["deny", "--offline", "check", "licenses", "bans", "sources"]));
    } else {
        testkit::complain!("cargo-deny is not installed (cargo install cargo-deny): licences and bans are not checked");
    }
    let mut failed = Vec::new();
    for (name, args) in checks {
        testkit::complain!("== {name}");
        let mut cargo = workspace::cargo();
        cargo.current_dir(workspace::root()?).args(args).env("RUSTDOCFLAGS", "-D warnings");
        if let Err(error) = workspace::run_shown(&mut cargo) {
            testkit::complain!("{error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}
