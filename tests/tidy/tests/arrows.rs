//! Dependencies point one way: proto <- api <- client <- daemons; daemon <- daemons. docs/ARCHITECTURE.md draws it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What each crate may use of ours. A crate that is not named here is refused: a new one is a decision.
const ALLOWED: &[(&str, &[&str])] = &[
    ("codegen", &[]),
    ("proto", &["codegen"]),
    ("api", &["proto"]),
    ("client", &["api", "proto"]),
    ("daemon", &["proto", "api"]),
    ("sys", &[]),
    ("store", &["daemon", "proto"]),
    ("apiserver", &["api", "client", "daemon", "proto"]),
    ("scheduler", &["api", "client", "daemon", "proto"]),
    ("controller-manager", &["api", "client", "daemon", "proto"]),
    ("kubelet", &["api", "client", "daemon", "proto", "sys"]),
    ("proxy", &["api", "client", "daemon", "proto", "sys"]),
    ("dns", &["api", "client", "daemon", "proto"]),
    ("keelctl", &["api", "client", "proto"]),
    ("testkit", &["sys"]),
    ("xtask", &["testkit"]),
];

/// Crates whose code touches nothing outside itself: nothing of the runtime below them.
const PURE: &[&str] = &["api"];
/// What a pure crate may not use.
const IMPURE: &[&str] = &["tokio", "hyper", "reqwest", "rand", "nix"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(args).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Our packages, each with what it depends on outside its tests.
fn packages() -> BTreeMap<String, (PathBuf, Vec<String>)> {
    let text = cargo(&["metadata", "--format-version=1", "--no-deps", "--offline"]);
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap();
            let names = dependencies
                .iter()
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| dependency["name"].as_str().unwrap().to_owned());
            let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
            (package["name"].as_str().unwrap().to_owned(), (manifest, names.collect()))
        })
        .collect()
}

#[test]
fn crates_use_only_what_lies_below_them() {
    let packages = packages();
    let mut wrong = Vec::new();
    for (name, (manifest, dependencies)) in &packages {
        if manifest.starts_with(root().join("tests")) {
            continue;
        }
        let Some((_, allowed)) = ALLOWED.iter().find(|(crate_name, _)| crate_name == name) else {
            wrong.push(format!("{name} has no row in ALLOWED"));
            continue;
        };
        for dependency in dependencies.iter().filter(|dependency| packages.contains_key(*dependency)) {
            if !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{name} -> {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows the other way: {wrong:#?}");
}

#[test]
fn pure_crates_use_no_runtime() {
    let packages = packages();
    for name in PURE {
        let (_, dependencies) = &packages[*name];
        let impure: Vec<_> = dependencies.iter().filter(|dependency| IMPURE.contains(&dependency.as_str())).collect();
        assert!(impure.is_empty(), "{name} uses {impure:?}");
    }
}

#[test]
fn nothing_brings_a_second_crypto_library() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    // The lock file also lists what features leave out, so cargo is asked only when the name occurs.
    if lock.contains("name = \"aws-lc-rs\"") {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--workspace", "--edges", "all", "--invert", "aws-lc-rs"])
            .current_dir(root())
            .output()
            .unwrap();
        let tree = String::from_utf8_lossy(&output.stdout);
        assert!(tree.trim().is_empty(), "aws-lc-rs is used:\n{tree}");
    }
}

#[test]
fn up_needs_nothing_that_runs_protoc() {
    let tree = cargo(&["tree", "--offline", "--package", "xtask", "--edges", "normal,build", "--prefix", "none"]);
    for name in ["containerd-client ", "tonic-build ", "protobuf-build "] {
        assert!(!tree.contains(name), "xtask depends on {name}, which runs protoc; `xtask up` is what installs it");
    }
}
