//! Rules are implemented, never cases: no name of a golden occurs in our sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use test_goldens::{cases, json, read};

/// Names in the goldens that are words of ours or of everybody's, each with what it is: they tell no case apart.
const WORDS: &[(&str, &str)] = &[
    ("besteffort", "a QoS class's cgroup"),
    ("big", "English; sizes in tests"),
    ("burstable", "a QoS class's cgroup"),
    ("completed", "English, and a container's reason"),
    ("crt", "the ending of certificate files"),
    ("dst", "a word of routes and of flows"),
    ("empty", "English"),
    ("error", "English, and a keyword of logs"),
    ("evicted", "English, and a pod's reason"),
    ("ext", "the ending of a file"),
    ("facts", "English; what we call the goldens themselves"),
    ("fine", "English"),
    ("full", "English; a disk's state"),
    ("gates", "English; scheduling gates"),
    ("guaranteed", "a QoS class"),
    ("held", "English; what a queue or a lock holds"),
    ("high", "English; a priority in tests"),
    ("late", "English"),
    ("low", "English; a priority in tests"),
    ("node-1", "the first node of anybody's tests and examples"),
    ("none", "English, and Rust's"),
    ("publish", "a key of Cargo.toml, and English"),
    ("run", "English; `runc run`, `fn run`"),
    ("running", "English, and a container's state"),
    ("sat", "a weekday of cron schedules"),
    ("sec", "a unit of durations"),
    ("sidecar", "Kubernetes' word for such a container"),
    ("terminating", "a namespace's and an endpoint's state"),
    ("tolerates", "what a pod does with a taint"),
];
/// Names of one or two letters are everybody's.
const NAME_LEN_MIN: usize = 3;

/// Files that hold text; others (images, archives) are none of ours.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            sources(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push((path, text));
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

/// Every word of every source, hyphens and underscores being letters.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_ascii() && is_word(letter as u8)))
}

#[test]
fn no_golden_is_named_in_our_sources() {
    let (mut files, mut objects) = (BTreeSet::new(), BTreeSet::new());
    for (folder, ending) in [
        ("validation", ".json"),
        ("patch", ".json"),
        ("defaulting", ".in.json"),
        ("watch-list", ".json"),
        ("tables", ".json"),
        ("behaviour", ".json"),
    ] {
        for name in cases(folder, ending) {
            // Bodies of requests, of what had to be there before, and whole objects: whatever has metadata.
            names(&json(&format!("{folder}/{name}{ending}")), &mut objects);
            files.insert(name);
        }
    }
    for line in read("storage/objects.jsonl").lines() {
        names(&serde_json::from_str(line).expect("a row"), &mut objects);
    }
    assert!(files.len() > 500 && objects.len() > 300, "only {} and {}: the facts moved", files.len(), objects.len());
    // Kinds' singular and short names are words of the API itself.
    let known = ["well-known.tsv", "bootstrap-objects.json", "bootstrap-rbac.json", "resources.tsv"].map(read).concat();
    let known: BTreeSet<&str> = words(&known).collect();
    let golden: BTreeSet<String> = files
        .union(&objects)
        .filter(|name| name.len() >= NAME_LEN_MIN)
        .filter(|name| !known.contains(name.as_str()) && !WORDS.iter().any(|(word, _)| word == name))
        .cloned()
        .collect();

    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates"), &mut found);
    assert!(found.len() > 50, "only {} source files found", found.len());
    let used: BTreeSet<&str> = found.iter().flat_map(|(_, text)| words(text)).collect();
    let unused: Vec<_> = WORDS.iter().filter(|(word, why)| !used.contains(word) || why.is_empty()).collect();
    assert!(unused.is_empty(), "these need no row in WORDS any more, or a reason: {unused:?}");
    let mut failures = BTreeSet::new();
    for (file, text) in &found {
        let named = words(text).filter(|word| golden.contains(*word));
        failures.extend(named.map(|name| format!("{}: {name}", file.display())));
    }
    let list: Vec<String> = failures.into_iter().collect();
    assert!(list.is_empty(), "goldens named in sources:\n{}", list.join("\n"));
}
