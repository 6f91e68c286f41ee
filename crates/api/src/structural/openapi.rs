//! Schemas of custom resources as OpenAPI tells them to clients: `kubectl explain`, and what checks objects before they are sent.

use proto::apiextensions::v1::{ExternalDocumentation, Json, JsonSchemaProps, ValidationRule};
use serde_json::{Map, Value, json};

use super::node::DEPTH_MAX;

/// Which OpenAPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 2.0: no alternatives, nothing that may be null, no defaults.
    V2,
    /// 3.0: everything.
    V3,
}

/// The schema that a definition gives. `object`: the properties that every whole object has (apiVersion, kind, metadata),
/// which objects within an object get as well.
pub fn schema(props: &JsonSchemaProps, version: Version, object: &Map<String, Value>) -> Map<String, Value> {
    Writer { version, object }.one(props, 0)
}

struct Writer<'a> {
    version: Version,
    object: &'a Map<String, Value>,
}

/// What is written of a schema, in order.
struct Out(Map<String, Value>);

impl Out {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.put(name, text);
        }
    }

    fn flag(&mut self, name: &str, flag: bool) {
        if flag {
            self.put(name, true);
        }
    }

    fn given<T: Into<Value>>(&mut self, name: &str, value: Option<T>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }
}

impl Writer<'_> {
    fn one(&self, props: &JsonSchemaProps, depth: usize) -> Map<String, Value> {
        let mut out = Out(Map::new());
        if depth > DEPTH_MAX {
            return out.0;
        }
        let v3 = self.version == Version::V3;
        out.text("description", &props.description);
        out.text("title", &props.title);
        if v3 {
            out.flag("nullable", props.nullable);
            out.given("default", props.default.as_ref().and_then(read));
        }
        // 2.0 cannot say that a value may be null: of such a value it says nothing.
        if v3 || !props.nullable {
            if !props.x_kubernetes_int_or_string {
                out.text("type", &props.r#type);
            }
            out.text("format", &props.format);
            self.inner(props, depth, &mut out);
        }
        conditions(props, &mut out);
        if v3 {
            self.logic(props, depth, &mut out);
        }
        extensions(props, &mut out, v3);
        out.given("externalDocs", props.external_docs.as_ref().map(external));
        out.given("example", props.example.as_ref().and_then(read));
        out.0
    }

    /// The schemas of the places below.
    fn inner(&self, props: &JsonSchemaProps, depth: usize, out: &mut Out) {
        let mut properties: Map<String, Value> = props
            .properties
            .iter()
            .map(|(name, property)| (name.clone(), Value::Object(self.one(property, depth + 1))))
            .collect();
        if props.x_kubernetes_embedded_resource {
            for (name, value) in self.object {
                properties.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        if !properties.is_empty() {
            out.put("properties", properties);
        }
        if let Some(items) = props.items.as_ref().and_then(|items| items.schema.as_ref()) {
            out.put("items", self.one(items, depth + 1));
        }
        if let Some(additional) = &props.additional_properties {
            match &additional.schema {
                Some(inner) => out.put("additionalProperties", self.one(inner, depth + 1)),
                None => out.put("additionalProperties", additional.allows),
            }
        }
    }

    fn logic(&self, props: &JsonSchemaProps, depth: usize, out: &mut Out) {
        for (name, list) in [("allOf", &props.all_of), ("anyOf", &props.any_of), ("oneOf", &props.one_of)] {
            if !list.is_empty() {
                let all: Vec<Value> = list.iter().map(|one| Value::Object(self.one(one, depth + 1))).collect();
                out.put(name, all);
            }
        }
        if let Some(inner) = &props.not {
            out.put("not", self.one(inner, depth + 1));
        }
    }
}

fn read(json: &Json) -> Option<Value> {
    serde_json::from_slice(&json.raw).ok()
}

fn external(docs: &ExternalDocumentation) -> Value {
    let mut out = Out(Map::new());
    out.text("description", &docs.description);
    out.text("url", &docs.url);
    Value::Object(out.0)
}

fn conditions(props: &JsonSchemaProps, out: &mut Out) {
    if !props.r#enum.is_empty() {
        out.put("enum", props.r#enum.iter().filter_map(read).collect::<Vec<_>>());
    }
    if !props.required.is_empty() {
        out.put("required", props.required.clone());
    }
    out.text("pattern", &props.pattern);
    out.given("maximum", props.maximum);
    out.flag("exclusiveMaximum", props.exclusive_maximum);
    out.given("minimum", props.minimum);
    out.flag("exclusiveMinimum", props.exclusive_minimum);
    out.given("multipleOf", props.multiple_of);
    out.given("maxLength", props.max_length);
    out.given("minLength", props.min_length);
    out.given("maxItems", props.max_items);
    out.given("minItems", props.min_items);
    out.given("maxProperties", props.max_properties);
    out.given("minProperties", props.min_properties);
    out.flag("uniqueItems", props.unique_items);
}

fn extensions(props: &JsonSchemaProps, out: &mut Out, v3: bool) {
    out.given("x-kubernetes-preserve-unknown-fields", props.x_kubernetes_preserve_unknown_fields);
    out.flag("x-kubernetes-embedded-resource", props.x_kubernetes_embedded_resource);
    out.flag("x-kubernetes-int-or-string", props.x_kubernetes_int_or_string);
    if !props.x_kubernetes_list_map_keys.is_empty() {
        out.put("x-kubernetes-list-map-keys", props.x_kubernetes_list_map_keys.clone());
    }
    out.given("x-kubernetes-list-type", props.x_kubernetes_list_type.clone());
    out.given("x-kubernetes-map-type", props.x_kubernetes_map_type.clone());
    if v3 && !props.x_kubernetes_validations.is_empty() {
        out.put("x-kubernetes-validations", props.x_kubernetes_validations.iter().map(rule).collect::<Vec<_>>());
    }
}

fn rule(rule: &ValidationRule) -> Value {
    let mut out = Out(Map::from_iter([("rule".to_owned(), json!(rule.rule))]));
    out.text("message", &rule.message);
    out.text("messageExpression", &rule.message_expression);
    out.given("reason", rule.reason.clone());
    out.text("fieldPath", &rule.field_path);
    out.given("optionalOldSelf", rule.optional_old_self);
    Value::Object(out.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(props: Value, version: Version) -> Value {
        let props = proto::json::from_value(props).expect("a schema");
        let object = Map::from_iter([("kind".to_owned(), json!({"type": "string"}))]);
        Value::Object(schema(&props, version, &object))
    }

    #[test]
    fn in_3_0_a_schema_is_told_as_it_is() {
        let props = json!({
            "type": "object", "description": "All of it.", "required": ["n"],
            "properties": {
                "n": {"type": "integer", "format": "int32", "minimum": 1.0, "default": 3, "nullable": true},
                "e": {"type": "string", "enum": ["A", "B"], "x-kubernetes-validations": [{"rule": "true"}]},
                "l": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                "m": {"type": "object", "additionalProperties": {"type": "string"}},
                "any": {"type": "object", "additionalProperties": true},
                "one": {"type": "object", "oneOf": [{"required": ["a"]}, {"not": {"required": ["b"]}}]},
            },
        });
        assert_eq!(written(props.clone(), Version::V3), props);
    }

    #[test]
    fn in_2_0_what_it_cannot_say_is_left_out() {
        let props = json!({"type": "object", "properties": {
            "n": {"type": "integer", "default": 3, "minimum": 1.0},
            "may": {"type": "string", "nullable": true, "description": "Perhaps."},
            "one": {"type": "object", "oneOf": [{"required": ["a"]}]},
            "either": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        }});
        assert_eq!(
            written(props, Version::V2),
            json!({"type": "object", "properties": {
                "n": {"type": "integer", "minimum": 1.0}, "may": {"description": "Perhaps."}, "one": {"type": "object"},
                "either": {"x-kubernetes-int-or-string": true},
            }})
        );
    }

    #[test]
    fn an_object_within_has_what_every_object_has() {
        let props = json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true});
        assert_eq!(written(props, Version::V3)["properties"], json!({"kind": {"type": "string"}}));
    }
}
