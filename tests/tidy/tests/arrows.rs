//! Dependencies point one way: proto <- cel <- api <- client <- daemons; daemon <- daemons. docs/ARCHITECTURE.md draws it.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What each crate may use of ours. A crate that is not named here is refused: a new one is a decision.
const ALLOWED: &[(&str, &[&str])] = &[
    ("codegen", &[]),
    ("bbolt", &[]),
    ("proto", &["codegen"]),
    ("cel", &["proto"]),
    ("api", &["cel", "proto"]),
    ("client", &["api", "proto"]),
    ("daemon", &["proto", "api"]),
    ("sys", &[]),
    // openraft's, under its own name: docs/decisions/0009.
    ("base2histogram", &[]),
    ("store", &["bbolt", "daemon", "proto"]),
    ("apiserver", &["api", "cel", "client", "daemon", "proto"]),
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
const PURE: &[&str] = &["api", "bbolt", "cel", "proto"];
/// What a pure crate may not use. (tonic, in `proto`, is behind the feature `rpc`; what it brings is not ours to call.)
const IMPURE: &[&str] = &["tokio", "hyper", "hyper-util", "reqwest", "rand", "nix", "rustix", "libc", "uuid"];

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
    for name in ["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls"] {
        assert!(!lock.contains(&format!("name = \"{name}\"")), "{name} came with a dependency: cargo tree -i {name}");
    }
    assert!(lock.contains("name = \"ring\""), "this reads the wrong file");
}

/// Every library of a build, as `name version features`; a library that is built twice has two rows.
fn libraries(edges: &str) -> BTreeSet<String> {
    let format = ["--prefix", "none", "--format", "{p} {f}"];
    let tree = cargo(&[&["tree", "--offline", "--locked", "--workspace", "--edges", edges][..], &format].concat());
    tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).filter(|line| !line.is_empty()).collect()
}

/// Built once more for its own tests, with its fakes in it; nothing stands on it.
const WITH_FAKES: &str = "proxy";

/// Decision 0005. A library whose features the tests add to is compiled twice, and so is all that stands on it: put the feature
/// into the workspace's line.
#[test]
fn programs_and_tests_are_built_with_the_same_features() {
    let programs = libraries("normal,build");
    let name = |row: &str| row.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let known: BTreeSet<String> = programs.iter().map(|row| name(row)).collect();
    assert!(known.len() > 200, "cargo tree said little: {programs:#?}");
    let tests = libraries("normal,build,dev");
    let different = tests.difference(&programs).filter(|row| known.contains(&name(row)));
    let different: Vec<_> = different.filter(|row| row.split(' ').next() != Some(WITH_FAKES)).collect();
    assert!(different.is_empty(), "the tests build these once more: {different:#?}");
}

/// The same for what builds and starts everything: it is chosen by its target, not by its package.
#[test]
fn xtask_is_built_with_the_workspaces_features() {
    let config = std::fs::read_to_string(root().join(".cargo/config.toml")).unwrap();
    assert!(config.contains("--bin xtask") && !config.contains("--package"), "{config}");
}

#[test]
fn up_needs_nothing_that_runs_protoc() {
    let tree = cargo(&["tree", "--offline", "--package", "xtask", "--edges", "normal,build", "--prefix", "none"]);
    for name in ["containerd-client ", "tonic-build ", "protobuf-build "] {
        assert!(!tree.contains(name), "xtask depends on {name}, which runs protoc; `xtask up` is what installs it");
    }
}
