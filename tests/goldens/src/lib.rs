//! Finds and reads the recorded facts of the Kubernetes API, which lie beside the checkout.

pub mod decode;
pub mod request;
pub mod wire;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of facts. Panics with what is missing, since a golden test without goldens proves nothing.
pub fn facts() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/kubernetes-api");
    assert!(
        path.join("README.md").is_file(),
        "the facts of the Kubernetes API are missing: expected the folder shared/kubernetes-api beside the checkout ({})",
        path.display()
    );
    path
}

/// Text of a file of facts.
pub fn read(name: &str) -> String {
    let path = facts().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

/// A JSON file of facts.
pub fn json(name: &str) -> Value {
    serde_json::from_str(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Names of the files in a folder of facts that end as given, sorted, without that ending.
pub fn cases(folder: &str, ending: &str) -> Vec<String> {
    let path = facts().join(folder);
    let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(ending).map(str::to_owned))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "{} has no files ending in {ending}", path.display());
    names
}

/// The first place where two trees differ, for a message a person can use.
pub fn difference(path: &str, left: &Value, right: &Value) -> Option<String> {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            for (key, value) in left {
                let here = format!("{path}.{key}");
                match right.get(key) {
                    None => return Some(format!("{here}: {value} is only left")),
                    Some(other) => {
                        if let Some(found) = difference(&here, value, other) {
                            return Some(found);
                        }
                    }
                }
            }
            let extra = right.iter().find(|(key, _)| !left.contains_key(*key));
            extra.map(|(key, value)| format!("{path}.{key}: {value} is only right"))
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => left
            .iter()
            .zip(right)
            .enumerate()
            .find_map(|(index, (left, right))| difference(&format!("{path}[{index}]"), left, right)),
        (left, right) if left == right => None,
        (left, right) => Some(format!("{path}: {left} left, {right} right")),
    }
}
