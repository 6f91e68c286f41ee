//! Rules as objects meet them.

use proto::apiextensions::v1::JsonSchemaProps;
use serde_json::{Value, json};

use crate::structural::Schema;

fn schema(props: Value) -> Schema {
    let bytes = json!({"type": "object", "properties": {"spec": props}}).to_string();
    Schema::new(&proto::json::from_slice::<JsonSchemaProps>(bytes.as_bytes()).unwrap())
}

/// What is refused of a spec, each as `field: message`.
#[track_caller]
fn refused(props: Value, new: Value, old: Option<Value>, wanted: &[&str]) {
    let schema = schema(props);
    let whole = |spec: Value| json!({"apiVersion": "a/v1", "kind": "K", "metadata": {"name": "n"}, "spec": spec});
    let (new, old) = (whole(new), old.map(whole));
    let found: Vec<String> = schema
        .validate(&new, old.as_ref())
        .into_iter()
        .map(|cause| format!("{} {}: {}", cause.reason, cause.field, cause.message))
        .collect();
    assert_eq!(found, wanted);
}

fn number(rule: Value) -> Value {
    json!({"type": "object", "properties": {"n": {"type": "integer"}}, "x-kubernetes-validations": [rule]})
}

#[test]
fn a_rule_that_does_not_hold_is_told_in_its_words() {
    let plain = number(json!({"rule": "self.n < 5"}));
    refused(plain.clone(), json!({"n": 3}), None, &[]);
    refused(plain, json!({"n": 7}), None, &["FieldValueInvalid spec: Invalid value: failed rule: self.n < 5"]);
    let worded = number(
        json!({"rule": "self.n < 5", "message": "too many", "reason": "FieldValueForbidden", "fieldPath": ".n"}),
    );
    refused(worded, json!({"n": 7}), None, &["FieldValueForbidden spec.n: Forbidden: too many"]);
    let map = json!({"type": "object", "properties": {"m": {"type": "object", "additionalProperties": {"type": "integer"}}},
        "x-kubernetes-validations": [{"rule": "!has(self.m)", "message": "m", "fieldPath": ".m['a.b']"}]});
    refused(map, json!({"m": {}}), None, &["FieldValueInvalid spec.m[a.b]: Invalid value: m"]);
    let made = number(json!({"rule": "self.n < 5", "message": "m", "messageExpression": "'got ' + string(self.n)"}));
    refused(made, json!({"n": 7}), None, &["FieldValueInvalid spec: Invalid value: got 7"]);
    let failing =
        number(json!({"rule": "self.n < 5", "message": "m", "messageExpression": "string(1 / (self.n - 7))"}));
    refused(failing, json!({"n": 7}), None, &["FieldValueInvalid spec: Invalid value: m"]);
    let scalar = json!({"type": "integer", "x-kubernetes-validations": [{"rule": "self < 5", "message": "m"}]});
    refused(scalar, json!(9), None, &["FieldValueInvalid spec: Invalid value: 9: m"]);
}

#[test]
fn a_rule_that_cannot_be_evaluated_refuses() {
    let rule = number(json!({"rule": "10 / self.n > 1"}));
    let why = "FieldValueInvalid spec: Invalid value: division by zero evaluating rule: 10 / self.n > 1";
    refused(rule, json!({"n": 0}), None, &[why]);
    let rule = number(json!({"rule": "self.n > 1", "message": "m"}));
    refused(rule, json!({}), None, &["FieldValueInvalid spec: Invalid value: no such key: n evaluating rule: m"]);
    let either = json!({"x-kubernetes-int-or-string": true, "x-kubernetes-validations": [{"rule": "self > 5"}]});
    let why = "FieldValueInvalid spec: Invalid value: \"a\": 'no such overload': call arguments did not match a supported operator, function or macro signature for rule: self > 5";
    refused(either, json!("a"), None, &[why]);
}

#[test]
fn a_rule_about_changes_waits_for_one() {
    let fixed =
        json!({"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed"}]});
    refused(fixed.clone(), json!("a"), None, &[]);
    refused(fixed.clone(), json!("a"), Some(json!("a")), &[]);
    refused(fixed, json!("b"), Some(json!("a")), &["FieldValueInvalid spec: Invalid value: \"b\": fixed"]);
    let grows = json!({"type": "integer", "x-kubernetes-validations": [
        {"rule": "oldSelf.hasValue() ? self > oldSelf.value() : self == 1", "optionalOldSelf": true, "message": "m"}]});
    refused(grows.clone(), json!(1), None, &[]);
    refused(grows.clone(), json!(2), None, &["FieldValueInvalid spec: Invalid value: 2: m"]);
    refused(grows, json!(2), Some(json!(1)), &[]);
}

#[test]
fn items_are_found_again_by_their_keys() {
    let list = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "less"}]}});
    let old = json!([{"k": "a", "v": 5}, {"k": "b", "v": 1}]);
    refused(list.clone(), json!([{"k": "b", "v": 2}, {"k": "c", "v": 0}, {"k": "a", "v": 5}]), Some(old.clone()), &[]);
    let why = "FieldValueInvalid spec[1]: Invalid value: less";
    refused(list, json!([{"k": "b", "v": 2}, {"k": "a", "v": 4}]), Some(old), &[why]);
}

#[test]
fn what_did_not_change_is_not_refused_again() {
    let props = json!({"type": "object", "properties": {
        "a": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 5", "message": "a"}]},
        "b": {"type": "integer"}}});
    refused(props.clone(), json!({"a": 9, "b": 2}), Some(json!({"a": 9, "b": 1})), &[]);
    // Items that cannot be found again are as they were where their list is.
    let list = json!({"type": "object", "properties": {"b": {"type": "integer"}, "l": {"type": "array",
        "items": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 5", "message": "l"}]}}}});
    refused(list.clone(), json!({"l": [9, 1], "b": 2}), Some(json!({"l": [9, 1], "b": 1})), &[]);
    let again = "FieldValueInvalid spec.l[0]: Invalid value: 9: l";
    refused(list, json!({"l": [9, 2]}), Some(json!({"l": [9, 1]})), &[again]);
    refused(props, json!({"a": 8}), Some(json!({"a": 9})), &["FieldValueInvalid spec.a: Invalid value: 8: a"]);
}

#[test]
fn values_have_the_types_of_their_schema() {
    let props = json!({"type": "object", "properties": {
        "time": {"type": "string", "format": "date-time"}, "for": {"type": "string", "format": "duration"},
        "ratio": {"type": "number"}, "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "a-b": {"type": "string"}, "bytes": {"type": "string", "format": "byte"},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}}},
        "x-kubernetes-validations": [
            {"rule": "self.time + self.__for__ == timestamp('2020-01-01T01:00:00Z')"},
            {"rule": "self.ratio == 2.0 && type(self.ratio) == double"},
            {"rule": "self.set == ['b', 'a'] && (self.set + ['a', 'c']).size() == 3"},
            {"rule": "self.a__dash__b == 'x' && self.bytes == b'hi'"},
            {"rule": "self.map.all(k, self.map[k] > 0) && 'one' in self.map"}]});
    let value = json!({"time": "2020-01-01T00:00:00Z", "for": "1h", "ratio": 2, "set": ["a", "b"], "a-b": "x",
        "bytes": "aGk=", "map": {"one": 1}});
    refused(props, value, None, &[]);
}

#[test]
fn whole_objects_have_their_names() {
    let text = json!({"type": "object", "properties": {"spec": {"type": "object"}},
        "x-kubernetes-validations": [{"rule": "self.metadata.name == 'n' && self.kind == 'K'", "message": "m"}]})
    .to_string();
    let schema = Schema::new(&proto::json::from_slice::<JsonSchemaProps>(text.as_bytes()).unwrap());
    let object = |name: &str| json!({"apiVersion": "a/v1", "kind": "K", "metadata": {"name": name}});
    assert!(schema.validate(&object("n"), None).is_empty());
    let found = schema.validate(&object("x"), None);
    assert_eq!((found[0].field.as_str(), found[0].message.as_str()), ("<nil>", "Invalid value: m"));
}

#[test]
fn rules_share_a_budget() {
    let dear = "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))";
    let rules: Vec<Value> = (0..30).map(|_| json!({"rule": dear, "message": "m"})).collect();
    let list: Vec<i64> = (0..50).collect();
    let props = json!({"type": "array", "items": {"type": "integer"}, "x-kubernetes-validations": rules});
    let schema = schema(props);
    let object = json!({"spec": list});
    let found = schema.validate(&object, None);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].message.contains("running out of cost budget") || found[0].message.contains("call cost exceeds limit")
    );
}
