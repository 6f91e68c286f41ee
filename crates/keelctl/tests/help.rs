//! Every command explains itself, mistakes are refused with a hint, completion scripts come out.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

use std::process::{Command, Output};

fn keelctl(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keelctl")).args(args).env("KUBECONFIG", "/nonexistent").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn commands(command: &clap::Command, path: &[String], found: &mut Vec<Vec<String>>) {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let path = [path, &[sub.get_name().to_owned()]].concat();
        found.push(path.clone());
        commands(sub, &path, found);
    }
}

#[test]
fn every_command_has_help() {
    let mut found = Vec::new();
    let root = <keelctl::cli::Cli as clap::CommandFactory>::command();
    root.clone().debug_assert();
    commands(&root, &[], &mut found);
    assert!(found.len() > 40, "{}", found.len());
    for path in found {
        let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
        args.push("--help");
        let output = keelctl(&args);
        assert!(output.status.success(), "{path:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains("Usage: keelctl"), "{path:?}");
    }
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    for args in
        [&["version", "--client"][..], &["config", "view"], &["completion", "bash"], &["get", "--help"], &["bogus"]]
    {
        let (reader, closed) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_keelctl"));
        command.args(args).env("KUBECONFIG", "/nonexistent").stdout(closed.try_clone().unwrap()).stderr(closed);
        let code = command.status().unwrap().code();
        // 101 is a panic's.
        assert_eq!(code, Some(if args == ["bogus"] { 1 } else { 0 }), "{args:?}");
    }
}

#[test]
fn a_wrong_command_or_flag_is_refused_with_the_nearest() {
    let output = keelctl(&["aply"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("apply"), "{}", text(&output.stderr));
    let output = keelctl(&["get", "pods", "--selectr=x"]);
    assert!(text(&output.stderr).contains("--selector"), "{}", text(&output.stderr));
}

#[test]
fn completion_is_written_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = keelctl(&["completion", shell]);
        assert!(output.status.success() && text(&output.stdout).contains("keelctl"), "{shell}");
    }
}

#[test]
fn without_a_server_the_error_says_what_to_do() {
    let output = keelctl(&["get", "pods"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("no server is configured") && error.contains("KUBECONFIG"), "{error}");
}

#[test]
fn top_says_that_metrics_come_later() {
    let output = keelctl(&["top", "pods"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("Metrics API not available"));
}

#[test]
fn a_bad_manifest_is_refused_before_the_server_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.yaml");
    std::fs::write(
        &path,
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  contianers: []\n  hostNetwork: \"yes\"\n",
    )
    .unwrap();
    let output = keelctl(&["apply", "-f", path.to_str().unwrap()]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("bad.yaml:6:3: unknown field \"spec.contianers\"; did you mean \"containers\"?"), "{error}");
    assert!(error.contains("bad.yaml:7:16: spec.hostNetwork must be a boolean"), "{error}");
}
