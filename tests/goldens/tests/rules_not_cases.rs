//! Rules are implemented, never cases: no name of a golden occurs in our sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use test_goldens::{cases, json, read};

/// Names in the goldens that are words or data of ours or of Kubernetes: they tell no case apart.
const WORDS: &[&str] = &[
    "a_b",
    "aa",
    "abc",
    "apiservice",
    "besteffort",
    "big",
    "burstable",
    "clusterrole",
    "clusterrolebinding",
    "completed",
    "controllerrevision",
    "crd",
    "crt",
    "csidriver",
    "csinode",
    "csistoragecapacity",
    "csr",
    "daemonset",
    "dst",
    "empty",
    "error",
    "evicted",
    "ext",
    "facts",
    "fine",
    "flowschema",
    "foo",
    "full",
    "gates",
    "guaranteed",
    "held",
    "high",
    "Job",
    "late",
    "lease",
    "limitrange",
    "low",
    "mutatingadmissionpolicy",
    "mutatingadmissionpolicybinding",
    "networkpolicy",
    "node-1",
    "none",
    "podtemplate",
    "priorityclass",
    "publish",
    "pvc",
    "replicaset",
    "replicationcontroller",
    "resourceclaimtemplate",
    "resourcequota",
    "resourceslice",
    "rolebinding",
    "run",
    "running",
    "runtimeclass",
    "selfsubjectaccessreview",
    "serviceaccount",
    "servicecidr",
    "sidecar",
    "svc",
    "terminating",
    "tokenreview",
    "tolerates",
    "vac",
    "volumeattachment",
    "volumeattributesclass",
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
    let known = read("well-known.tsv") + &read("bootstrap-objects.json") + &read("bootstrap-rbac.json");
    let known: BTreeSet<&str> = words(&known).collect();
    let golden: BTreeSet<String> = files
        .union(&objects)
        .filter(|name| name.len() >= NAME_LEN_MIN)
        .filter(|name| !known.contains(name.as_str()) && !WORDS.contains(&name.as_str()))
        .cloned()
        .collect();

    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates"), &mut found);
    assert!(found.len() > 50, "only {} source files found", found.len());
    let mut failures = BTreeSet::new();
    for (file, text) in &found {
        let named = words(text).filter(|word| golden.contains(*word));
        failures.extend(named.map(|name| format!("{}: {name}", file.display())));
    }
    let list: Vec<String> = failures.into_iter().collect();
    assert!(list.is_empty(), "goldens named in sources:\n{}", list.join("\n"));
}
