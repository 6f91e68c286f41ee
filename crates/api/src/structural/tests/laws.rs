//! Laws that hold for any schema and any object.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proto::apiextensions::v1::JsonSchemaProps;
use serde_json::{Map, Value, json};

use crate::structural::Schema;
use crate::structural::json_path::JsonPath;
use crate::structural::{openapi, pattern};

const NAME: &str = "[a-d]";

/// A schema that mentions much of what there is.
fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string", "maxLength": 2, "default": "x"})),
        Just(json!({"type": "string", "nullable": true, "pattern": "^[a-z]*$", "format": "date"})),
        Just(json!({"type": "integer", "minimum": 1, "maximum": 3, "multipleOf": 2})),
        Just(json!({"type": "number", "enum": [1, 2.5], "exclusiveMinimum": true, "minimum": 0})),
        Just(json!({"type": "boolean", "default": true})),
        Just(json!({"x-kubernetes-int-or-string": true})),
        Just(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
        Just(
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true})
        ),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            (btree_map(NAME, inner.clone(), 0..4), vec(NAME, 0..2), any::<bool>()).prop_map(
                |(properties, required, filled)| {
                    let mut schema = json!({"type": "object", "properties": properties, "required": required,
                    "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
                    if filled {
                        schema["default"] = json!({"a": "x", "odd": 1});
                    }
                    schema
                }
            ),
            inner.clone().prop_map(
                |items| json!({"type": "array", "items": items, "maxItems": 2, "x-kubernetes-list-type": "set"})
            ),
            inner.clone().prop_map(|items| json!({"type": "array", "items": items, "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["a"]})),
            inner.prop_map(|values| json!({"type": "object", "additionalProperties": values})),
        ]
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..5_i64).prop_map(Value::from),
        prop_oneof![Just(1.5), Just(2.0), Just(1e300)].prop_map(Value::from),
        "[a-zA-Z.]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let name =
            prop_oneof![Just("apiVersion".to_owned()), Just("kind".to_owned()), Just("metadata".to_owned()), NAME];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(name, inner, 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn read(schema: Value) -> Schema {
    Schema::new(&props(schema))
}

fn props(schema: Value) -> JsonSchemaProps {
    proto::json::from_value(json!({"type": "object", "properties": {"spec": schema}})).expect("a schema")
}

proptest! {
    #[test]
    fn what_is_pruned_and_filled_stays_so(schema in schema(), value in value()) {
        let schema = read(schema);
        let mut object = json!({"spec": value});
        schema.prune(&mut object);
        schema.default(&mut object);
        let mut again = object.clone();
        prop_assert_eq!(schema.prune(&mut again), Vec::<String>::new());
        schema.default(&mut again);
        prop_assert_eq!(again, object);
    }

    #[test]
    fn what_did_not_change_is_not_refused(schema in schema(), value in value()) {
        let schema = read(schema);
        let object = json!({"spec": value});
        let told = |errors: Vec<proto::meta::v1::StatusCause>| errors.into_iter().map(|cause| cause.field).collect::<Vec<_>>();
        // Objects within are judged each time.
        let mut errors = told(schema.validate(&object, Some(&object)));
        errors.retain(|field| !["apiVersion", "kind", "metadata"].iter().any(|name| field.contains(name)));
        prop_assert_eq!(errors, Vec::<String>::new());
    }

    #[test]
    fn any_schema_is_told_to_clients(schema in schema(), default in value()) {
        let mut schema = schema;
        schema["default"] = default;
        let props = props(schema.clone());
        let told = openapi::schema(&props, openapi::Version::V3, &Map::new());
        let defaults = |value: &Value| value.get("default").cloned().filter(|default| !default.is_null());
        prop_assert_eq!(defaults(&told["properties"]["spec"]), defaults(&schema));
        openapi::schema(&props, openapi::Version::V2, &Map::new());
    }

    #[test]
    fn any_text_is_a_path_and_a_pattern_or_neither(text in "\\PC{0,24}", value in value()) {
        if let Ok(path) = JsonPath::new(&text) {
            let _ = path.find(&value);
        }
        if let Err(error) = pattern::compile(&text) {
            prop_assert!(!pattern::complaint(&text, &error).is_empty());
        }
    }

    #[test]
    fn texts_made_of_signs_are_a_path_and_a_pattern_or_neither(text in r#"[\[\]\\(){}*+?.,:'"@=<>!|^$a0-]{0,16}"#) {
        let _ = JsonPath::new(&text);
        if let Err(error) = pattern::compile(&text) {
            prop_assert!(!pattern::complaint(&text, &error).is_empty());
        }
    }
}
