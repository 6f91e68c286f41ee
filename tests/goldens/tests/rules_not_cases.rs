//! Rules are implemented, never cases: no name of a golden occurs in our sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use test_goldens::{cases, json, read};

/// Names shorter than this are everyday words.
const NAME_LEN_MIN: usize = 8;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "tsv") {
            found.push(path);
        }
    }
}

/// Names of the objects in a request.
fn names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(name) = map.get("metadata").and_then(|meta| meta["name"].as_str()) {
                found.insert(name.to_owned());
            }
            map.values().for_each(|value| names(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| names(value, found)),
        _ => {}
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn occurs(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = at.checked_sub(1).map(|at| text.as_bytes()[at]);
        let after = text.as_bytes().get(at + name.len()).copied();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[test]
fn no_golden_is_named_in_our_sources() {
    let mut golden = BTreeSet::new();
    for (folder, ending) in [
        ("validation", ".json"),
        ("patch", ".json"),
        ("defaulting", ".in.json"),
        ("watch-list", ".json"),
        ("tables", ".json"),
    ] {
        for name in cases(folder, ending) {
            if folder == "validation" || folder == "patch" || folder == "defaulting" {
                let value = json(&format!("{folder}/{name}{ending}"));
                names(value.get("request").map_or(&value, |request| &request["body"]), &mut golden);
            }
            golden.insert(name);
        }
    }
    let known = read("well-known.tsv") + &read("bootstrap-objects.json") + &read("bootstrap-rbac.json");
    golden.retain(|name| name.len() >= NAME_LEN_MIN && name.contains('-') && !occurs(&known, name));
    assert!(golden.len() > 300, "only {} golden names: the facts moved", golden.len());

    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates"), &mut files);
    assert!(files.len() > 50, "only {} source files found", files.len());
    let mut failures = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).unwrap_or_default();
        let found = golden.iter().filter(|name| occurs(&text, name));
        failures.extend(found.map(|name| format!("{}: {name}", file.display())));
    }
    assert!(failures.is_empty(), "goldens named in sources:\n{}", failures.join("\n"));
}
