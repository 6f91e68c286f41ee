//! Alternatives, and what is let be since it was there before.

use serde_json::{Value, json};

use super::schema;

#[track_caller]
fn check(wanted: Value, old: Option<Value>, new: Value, expected: &[&str]) {
    let found = schema(json!({"type": "object", "properties": {"v": wanted}}));
    let wrap = |value: Value| json!({"v": value});
    let errors = found.errors(&wrap(new), old.map(wrap).as_ref());
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts, expected);
}

#[test]
fn alternatives_say_how_many_hold_and_what_is_nearest() {
    let one_of = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    check(one_of.clone(), None, json!({"a": "1"}), &[]);
    check(
        one_of.clone(),
        None,
        json!({}),
        &[
            "<nil>: Invalid value: \"\": \"v\" must validate one and only one schema (oneOf). Found none valid",
            "v.a: Required value",
        ],
    );
    check(
        one_of,
        None,
        json!({"a": "1", "b": "2"}),
        &[
            "<nil>: Invalid value: \"\": \"v\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ],
    );
    let any_of = json!({"type": "integer", "anyOf": [{"minimum": 10}, {"maximum": 2}]});
    check(any_of.clone(), None, json!(1), &[]);
    check(
        any_of,
        None,
        json!(5),
        &[
            "<nil>: Invalid value: \"\": \"v\" must validate at least one schema (anyOf)",
            "v: Invalid value: 5: v in body should be greater than or equal to 10",
        ],
    );
    check(
        json!({"type": "integer", "allOf": [{"minimum": 10}, {"maximum": 20}]}),
        None,
        json!(5),
        &[
            "v: Invalid value: 5: v in body should be greater than or equal to 10",
            "<nil>: Invalid value: \"\": \"v\" must validate all the schemas (allOf)",
        ],
    );
    check(
        json!({"type": "integer", "not": {"minimum": 10}}),
        None,
        json!(11),
        &["<nil>: Invalid value: \"\": \"v\" must not validate the schema (not)"],
    );
}

#[test]
fn what_was_wrong_before_is_let_be_until_it_changes() {
    let short = json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 1}, "b": {"type": "string", "maxLength": 1}}});
    let old = json!({"a": "long", "b": "x"});
    check(short.clone(), Some(old.clone()), json!({"a": "long", "b": "y"}), &[]);
    check(
        short.clone(),
        Some(old.clone()),
        json!({"a": "other", "b": "x"}),
        &["v.a: Too long: may not be more than 1 bytes"],
    );
    check(short, Some(old), json!({"a": "long", "b": "yy"}), &["v.b: Too long: may not be more than 1 bytes"]);
}

#[test]
fn items_are_found_again_by_their_keys_only() {
    let item =
        json!({"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string", "maxLength": 1}}});
    let plain = json!({"type": "array", "items": item});
    let keyed =
        json!({"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]});
    let old = json!([{"k": "a", "v": "long"}]);
    let new = json!([{"k": "b", "v": "x"}, {"k": "a", "v": "long"}]);
    check(keyed, Some(old.clone()), new.clone(), &[]);
    check(plain.clone(), Some(old.clone()), new, &["v[1].v: Too long: may not be more than 1 bytes"]);
    check(plain, Some(old.clone()), old, &[]);
}

#[test]
fn duplicates_are_let_be_where_there_were_some() {
    let set = json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"});
    check(set.clone(), Some(json!(["a", "a"])), json!(["a", "a", "b"]), &[]);
    check(set, Some(json!(["a"])), json!(["a", "a"]), &["v[1]: Duplicate value: \"a\""]);
}
