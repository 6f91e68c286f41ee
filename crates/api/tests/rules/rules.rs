//! A case: the object's type and the rest of its JSON; it is defaulted and prepared as the server does.

#![allow(dead_code, reason = "each suite uses some of it")]

use proto::dynamic::{DynObject, kind_by_api_version};
use serde_json::{Value, json};

fn object(api_version: &str, kind: &str, rest: &Value) -> Box<dyn DynObject> {
    let info = kind_by_api_version(api_version, kind).expect("a kind of the API");
    let mut tree = rest.clone();
    let meta = &mut tree["metadata"];
    if meta["name"].is_null() {
        meta["name"] = json!("x");
    }
    let row = api::resource::by_kind(info.group, info.version, kind).expect("a resource");
    if row.namespaced {
        meta["namespace"] = json!("here");
    }
    let mut object = info.from_json(tree.to_string().as_bytes()).expect("JSON of that kind");
    api::default::apply(object.as_mut());
    object
}

fn told(errors: &[api::validate::FieldError]) -> Vec<String> {
    errors
        .iter()
        .map(|error| format!("{} {}", error.reason.word().trim_start_matches("FieldValue"), error.field))
        .collect()
}

#[track_caller]
pub fn check(api_version: &str, kind: &str, rest: Value, expect: &[&str]) {
    let mut new = object(api_version, kind, &rest);
    api::prepare::create(new.as_mut());
    assert_eq!(told(&api::validate::create(new.as_ref())), expect, "{rest}");
}

#[track_caller]
pub fn check_update(api_version: &str, kind: &str, old: Value, new: Value, expect: &[&str]) {
    let mut old = object(api_version, kind, &old);
    api::prepare::create(old.as_mut());
    let mut new = object(api_version, kind, &new);
    api::prepare::update(new.as_mut(), old.as_ref());
    assert_eq!(told(&api::validate::update(new.as_ref(), old.as_ref())), expect);
}

#[track_caller]
pub fn check_status(api_version: &str, kind: &str, old: Value, new: Value, expect: &[&str]) {
    let (old, new) = (object(api_version, kind, &old), object(api_version, kind, &new));
    assert_eq!(told(&api::validate::update_status(new.as_ref(), old.as_ref())), expect);
}
