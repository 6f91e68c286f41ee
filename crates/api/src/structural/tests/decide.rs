//! Pruning and defaults.

use serde_json::{Value, json};

use super::schema;

fn prune(wanted: Value, mut object: Value) -> (Value, Vec<String>) {
    let dropped = schema(wanted).prune(&mut object);
    (object, dropped)
}

fn default(wanted: Value, mut object: Value) -> Value {
    schema(wanted).default(&mut object);
    object
}

fn object(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

#[test]
fn unknown_fields_go_and_are_told_by_path() {
    let wanted = object(json!({"spec": object(json!({
        "n": {"type": "integer"},
        "list": {"type": "array", "items": object(json!({"a": {"type": "string"}}))},
        "map": {"type": "object", "additionalProperties": object(json!({"a": {"type": "string"}}))},
        "any": {"type": "object", "additionalProperties": true},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                 "properties": {"strict": object(json!({"a": {"type": "string"}}))}},
    }))}));
    let given = json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "x", "odd": 1}, "top": 1, "spec": {
        "n": 1, "zzz": 1, "list": [{"a": "1"}, {"a": "2", "b": 1}], "map": {"k": {"a": "1", "c": 1}},
        "any": {"x": 1, "deep": {"y": 1}}, "free": {"what": {"ever": 1}, "strict": {"a": "1", "d": 1}},
    }});
    let (object, dropped) = prune(wanted, given);
    assert_eq!(dropped, ["spec.any.deep.y", "spec.free.strict.d", "spec.list[1].b", "spec.map.k.c", "spec.zzz", "top"]);
    assert_eq!(
        object,
        json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "x", "odd": 1}, "spec": {
            "n": 1, "list": [{"a": "1"}, {"a": "2"}], "map": {"k": {"a": "1"}},
            "any": {"x": 1, "deep": {}}, "free": {"what": {"ever": 1}, "strict": {"a": "1"}},
        }})
    );
}

#[test]
fn objects_within_keep_their_type_and_known_metadata() {
    let wanted = object(json!({"template": {"type": "object", "x-kubernetes-embedded-resource": true,
        "properties": {"spec": object(json!({"a": {"type": "string"}}))}}}));
    let given = json!({"template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "odd": 1},
        "spec": {"a": "1"}, "extra": 1}});
    let (object, dropped) = prune(wanted, given);
    assert_eq!(dropped, ["template.extra", "template.metadata.odd"]);
    assert_eq!(
        object,
        json!({"template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"a": "1"}}})
    );
}

#[test]
fn a_null_stays_where_it_may_or_becomes_the_default() {
    let wanted = object(json!({
        "plain": {"type": "string"},
        "filled": {"type": "string", "default": "d"},
        "may": {"type": "string", "nullable": true, "default": "d"},
    }));
    let given = json!({"plain": null, "filled": null, "may": null});
    let (pruned, dropped) = prune(wanted.clone(), given);
    assert!(dropped.is_empty());
    assert_eq!(pruned, json!({"filled": null, "may": null}));
    assert_eq!(default(wanted, pruned), json!({"filled": "d", "may": null}));
}

#[test]
fn defaults_fill_what_has_an_object_around_it() {
    let wanted = object(json!({
        "spec": object(json!({
            "d": {"type": "integer", "default": 3},
            "list": {"type": "array", "items": object(json!({"p": {"type": "string", "default": "TCP"}}))},
            "map": {"type": "object", "additionalProperties": {"type": "object", "default": {},
                    "properties": {"x": {"type": "integer", "default": 1}}}},
        })),
        "made": {"type": "object", "default": {}, "properties": {"a": {"type": "integer", "default": 7}}},
    }));
    assert_eq!(default(wanted.clone(), json!({})), json!({"made": {"a": 7}}));
    let given = json!({"spec": {"list": [{}, {"p": "UDP"}], "map": {"k": null, "l": {}}}, "made": {"a": 1}});
    assert_eq!(
        default(wanted, given),
        json!({"spec": {"d": 3, "list": [{"p": "TCP"}, {"p": "UDP"}], "map": {"k": {"x": 1}, "l": {"x": 1}}},
               "made": {"a": 1}})
    );
}

#[test]
fn a_default_is_pruned_itself() {
    let wanted = object(json!({"spec": {"type": "object", "default": {"a": 1, "b": 2},
        "properties": {"a": {"type": "integer"}}}}));
    assert_eq!(default(wanted, json!({})), json!({"spec": {"a": 1}}));
}
