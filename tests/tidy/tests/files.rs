//! How files are named and what they may hold.

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
    let found: Vec<_> = sources("crates").into_iter().filter(|path| path.ends_with("mod.rs")).collect();
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

#[test]
fn unsafe_code_is_in_sys_alone() {
    let unsafe_word = concat!("unsafe", " {");
    let found: Vec<_> = sources("crates")
        .into_iter()
        .filter(|path| !path.starts_with(root().join("crates/sys")))
        .filter(|path| fs::read_to_string(path).unwrap().contains(unsafe_word))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
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
