//! Who owns the fields of objects that a real API server created and defaulted.

use proto::meta::v1::Time;
use serde_json::Value;
use test_goldens::{cases, difference, json};

/// Cases that are owned as recorded. Fewer would mean that cases, or kinds, went missing.
const PASSED_MIN: usize = 111;

/// The record of owners that a creation by the recorder leaves, times aside.
fn created(input: &Value, subresources: &[&[&str]]) -> Option<Value> {
    let text = |name: &str| input[name].as_str().unwrap_or_default().to_owned();
    let info = proto::dynamic::kind_by_api_version(&text("apiVersion"), &text("kind"))?;
    let mut object = info.from_json(input.to_string().as_bytes()).ok()?;
    api::default::apply(object.as_mut());
    let writer = api::apply::Writer {
        manager: "api-facts",
        api_version: info.api_version,
        subresource: "",
        now: Time::from_unix(1),
        reset: subresources,
        schemas: &[],
    };
    api::apply::updated(None, object.as_mut(), &writer);
    let mut json = proto::json::dyn_to_value(object.as_reflect());
    let entries = json["metadata"]["managedFields"].take();
    Some(without_times(entries))
}

fn without_times(mut entries: Value) -> Value {
    for entry in entries.as_array_mut().into_iter().flatten() {
        entry.as_object_mut().map(|entry| entry.remove("time"));
    }
    entries
}

#[test]
fn creations_are_owned_as_recorded() {
    let (mut passed, mut later) = (0, Vec::new());
    for name in cases("defaulting", ".in.json") {
        let (input, output) =
            (json(&format!("defaulting/{name}.in.json")), json(&format!("defaulting/{name}.out.json")));
        let expected = without_times(output["metadata"]["managedFields"].clone());
        if expected.is_null() {
            continue;
        }
        let text = |name: &str| input[name].as_str().unwrap_or_default();
        let Some(row) = api::resource::by_api_version(text("apiVersion"), text("kind")) else { continue };
        let reset: &[&[&str]] = if row.subresource("status").is_some() { &[&["status"]] } else { &[] };
        let Some(found) = created(&input, reset) else { continue };
        match difference("", &expected, &found) {
            None => passed += 1,
            // The owner of a default is missing where the default is.
            Some(difference) => later.push(format!("{name}: {difference}")),
        }
    }
    println!(
        "managed fields: {passed} as recorded; {} are not, where defaults come from more than the object:",
        later.len()
    );
    println!("{}", later.join("\n"));
    assert!(passed >= PASSED_MIN, "only {passed} cases are as recorded, there were {PASSED_MIN}");
}
