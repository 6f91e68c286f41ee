//! Answers of a real API server, through protobuf and back.

use proto::dynamic::kind_by_api_version;
use serde_json::Value;
use test_goldens::{cases, difference, json};

#[test]
fn defaulted_objects_go_through_both_forms_unchanged() {
    let names = cases("defaulting", ".out.json");
    assert_eq!(names.len(), 141, "the facts changed: every case must be looked at");
    let mut failures = Vec::new();
    for name in &names {
        let value = json(&format!("defaulting/{name}.out.json"));
        // Where a number was replaced by a placeholder, put a number again.
        let value: Value =
            serde_json::from_str(&value.to_string().replace("\"<nodePort>\"", "30001")).expect("valid JSON");
        let kind = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let Some(info) = kind_by_api_version(&kind("apiVersion"), &kind("kind")) else {
            failures.push(format!("{name}: unknown kind {}", kind("kind")));
            continue;
        };
        let text = value.to_string().replace("\"<time>\"", "\"2026-11-23T17:07:00Z\"");
        let value: Value = serde_json::from_str(&text).expect("valid JSON");
        let found = info
            .from_json(text.as_bytes())
            .map_err(|error| error.to_string())
            .and_then(|object| info.decode(&object.encode_to_vec()).map_err(|error| error.to_string()))
            .map(|object| serde_json::from_slice::<Value>(&object.to_json()).expect("we write valid JSON"));
        match found {
            Err(error) => failures.push(format!("{name}: {error}")),
            Ok(found) => failures.extend(difference("", &found, &value).map(|found| format!("{name}: {found}"))),
        }
    }
    println!("defaulted objects: {} of {}", names.len() - failures.len(), names.len());
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), names.len(), failures.join("\n"));
}
