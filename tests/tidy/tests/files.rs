//! How files are named and what they may hold.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// All Rust files below a folder of the workspace.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn no_file_is_called_mod() {
    let all = ["crates", "tests"].into_iter().flat_map(sources);
    let found: Vec<_> = all.filter(|path| path.ends_with("mod.rs")).collect();
    assert!(found.is_empty(), "name these after their folder: {found:#?}");
}

#[test]
fn long_files_say_what_they_are() {
    let silent: Vec<_> = sources("crates")
        .into_iter()
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            text.lines().count() > 100 && !text.starts_with("//!") && !path.ends_with("tests.rs")
        })
        .collect();
    assert!(silent.is_empty(), "these begin without //!: {silent:#?}");
}

/// The lines of all sources below a folder that contain one of these, but for comments.
fn lines_with(folder: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in sources(folder) {
        let text = fs::read_to_string(&path).unwrap();
        for (index, line) in text.lines().enumerate() {
            if !line.trim_start().starts_with("//") && words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {}", path.display(), index + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn unsafe_code_is_in_sys_alone() {
    let words = ["{", "fn", "impl", "trait", "extern"].map(|word| format!("{} {word}", "unsafe"));
    let allowed = [format!("allow({}", "unsafe_code"), format!("expect({}", "unsafe_code")];
    let words: Vec<&str> = words.iter().chain(&allowed).map(String::as_str).collect();
    let sys = root().join("crates/sys").display().to_string();
    for folder in ["crates", "tests"] {
        let found: Vec<_> = lines_with(folder, &words).into_iter().filter(|line| !line.starts_with(&sys)).collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn pure_crates_ask_neither_the_system_nor_the_clock() {
    let words = [
        "std::fs",
        "std::process",
        "std::thread",
        "std::env::",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "::now(",
        "use std::{env",
        "use std::{fs",
    ];
    for folder in ["crates/proto/src", "crates/api/src"] {
        let found = lines_with(folder, &words);
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn sources_name_no_place_of_the_machine_they_were_written_on() {
    let place = concat!("/work", "/main");
    let found: Vec<_> = ["crates", "tests"]
        .into_iter()
        .flat_map(sources)
        .filter(|path| fs::read_to_string(path).unwrap().contains(place))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}
