//! What is refused, in which words.

use serde_json::{Value, json};

use super::schema;

/// The errors of a new value of the field `v`, without the mention of rules.
#[track_caller]
fn check(wanted: Value, value: Value, expected: &[&str]) {
    let schema = schema(json!({"type": "object", "properties": {"v": wanted}}));
    let found: Vec<String> = schema.errors(&json!({"v": value}), None).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_value_has_its_type() {
    let wrong = |wanted: &str, found: &str| {
        format!("v: Invalid value: {found:?}: v in body must be of type {wanted}: {found:?}")
    };
    check(json!({"type": "integer"}), json!("x"), &[&wrong("integer", "string")]);
    check(json!({"type": "integer"}), json!(1.5), &[&wrong("integer", "number")]);
    check(json!({"type": "integer"}), json!(2.0), &[]);
    check(json!({"type": "number"}), json!(2), &[]);
    check(json!({"type": "string"}), json!(null), &[&wrong("string", "null")]);
    check(json!({"type": "string", "nullable": true}), json!(null), &[]);
    check(json!({"type": "boolean"}), json!([]), &[&wrong("boolean", "array")]);
    check(json!({"type": "object"}), json!("x"), &[&wrong("object", "string")]);
    check(json!({"x-kubernetes-int-or-string": true}), json!(true), &[&wrong("integer,string", "boolean")]);
    check(json!({"x-kubernetes-int-or-string": true}), json!("50%"), &[]);
    check(json!({"x-kubernetes-preserve-unknown-fields": true}), json!({"a": [1]}), &[]);
}

#[test]
fn texts_keep_length_pattern_and_format() {
    check(json!({"type": "string", "maxLength": 2}), json!("abd"), &["v: Too long: may not be more than 2 bytes"]);
    check(json!({"type": "string", "maxLength": 2}), json!("\u{e4}\u{f6}"), &[]);
    check(
        json!({"type": "string", "minLength": 2}),
        json!("a"),
        &["v: Invalid value: \"a\": v in body should be at least 2 chars long"],
    );
    check(
        json!({"type": "string", "pattern": "^[a-z]+$"}),
        json!("AB"),
        &["v: Invalid value: \"AB\": v in body should match '^[a-z]+$'"],
    );
    check(
        json!({"type": "string", "format": "date-time"}),
        json!("x"),
        &["v: Invalid value: \"x\": v in body must be of type date-time: \"x\""],
    );
    check(json!({"type": "string", "format": "colour"}), json!("x"), &[]);
    check(
        json!({"type": "string", "enum": ["A", "B"]}),
        json!("C"),
        &["v: Unsupported value: \"C\": supported values: \"A\", \"B\""],
    );
}

#[test]
fn numbers_keep_their_bounds() {
    let wanted = json!({"type": "integer", "minimum": 1, "maximum": 9});
    check(wanted.clone(), json!(0), &["v: Invalid value: 0: v in body should be greater than or equal to 1"]);
    check(wanted, json!(10), &["v: Invalid value: 10: v in body should be less than or equal to 9"]);
    let strict =
        json!({"type": "number", "minimum": 0.5, "exclusiveMinimum": true, "maximum": 2, "exclusiveMaximum": true});
    check(strict.clone(), json!(0.5), &["v: Invalid value: 0.5: v in body should be greater than 0.5"]);
    check(strict, json!(2), &["v: Invalid value: 2: v in body should be less than 2"]);
    check(
        json!({"type": "integer", "multipleOf": 3}),
        json!(4),
        &["v: Invalid value: 4: v in body should be a multiple of 3"],
    );
    check(json!({"type": "number", "multipleOf": 0.1}), json!(0.5), &[]);
    check(json!({"type": "integer", "enum": [1, 2]}), json!(2.0), &[]);
    check(
        json!({"type": "integer", "format": "int32"}),
        json!(3_000_000_000_u64),
        &["<nil>: Invalid value: \"\": Checked value must be of type integer with format int32 in v"],
    );
}

#[test]
fn lists_keep_their_sizes_and_say_what_occurs_twice() {
    let list = |more: Value| {
        let mut wanted = json!({"type": "array", "items": {"type": "string"}});
        wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        wanted
    };
    check(list(json!({"maxItems": 1})), json!(["a", "b"]), &["v: Too many: 2: must have at most 1 items"]);
    check(list(json!({"minItems": 1})), json!([]), &["v: Invalid value: 0: v in body should have at least 1 items"]);
    check(
        list(json!({})),
        json!(["a", 1]),
        &["v[1]: Invalid value: \"integer\": v[1] in body must be of type string: \"integer\""],
    );
    let set = list(json!({"x-kubernetes-list-type": "set"}));
    check(set, json!(["a", "b", "a", "a"]), &["v[2]: Duplicate value: \"a\""]);
    let keyed = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "p"],
        "items": {"type": "object", "properties": {"k": {"type": "string"}, "p": {"type": "integer"}, "v": {"type": "string"}}}});
    check(
        keyed,
        json!([{"k": "x", "p": 1, "v": "1"}, {"k": "x", "p": 1, "v": "2"}, {"k": "x"}]),
        &["v[1]: Duplicate value: {\"k\":\"x\",\"p\":1}"],
    );
}

#[test]
fn objects_keep_their_sizes_and_what_they_require() {
    let map = json!({"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}});
    check(map.clone(), json!({"a": "1", "b": "2"}), &["v: Too many: 2: must have at most 1 items"]);
    check(map, json!({"a": 1}), &["v.a: Invalid value: \"integer\": v.a in body must be of type string: \"integer\""]);
    check(
        json!({"type": "object", "minProperties": 1}),
        json!({}),
        &["v: Invalid value: 0: v in body should have at least 1 properties"],
    );
    check(
        json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}),
        json!({}),
        &["v.n: Required value"],
    );
    let whole = schema(json!({"type": "object", "required": ["spec"], "properties": {"spec": {"type": "object"}}}));
    let found: Vec<String> = whole.errors(&json!({}), None).iter().map(ToString::to_string).collect();
    assert_eq!(found, ["spec: Required value"]);
}

#[test]
fn objects_within_have_a_type_and_good_metadata() {
    let wanted =
        json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true});
    check(wanted.clone(), json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}), &[]);
    check(
        wanted.clone(),
        json!({"kind": "x_y"}),
        &[
            "v.apiVersion: Required value: must not be empty",
            "v.kind: Invalid value: \"x_y\": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ],
    );
    check(
        wanted,
        json!({"apiVersion": "a/b/c", "kind": "Pod"}),
        &["v.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c"],
    );
}

#[test]
fn what_blocks_rules_says_that_they_were_not_evaluated() {
    let ruled = schema(json!({"type": "object", "properties": {"v": {"type": "integer", "minimum": 1,
        "x-kubernetes-validations": [{"rule": "self > -1"}]}}}));
    let count = |value: Value| ruled.errors(&json!({"v": value}), None).len();
    assert_eq!((count(json!("x")), count(json!(0)), count(json!(1))), (2, 1, 0));
    let last = ruled.validate(&json!({"v": "x"}), None).pop().unwrap();
    assert_eq!((last.field.as_str(), last.reason.as_str()), ("<nil>", "FieldValueInvalid"));
}
