//! Apply and owners of custom resources, by their schema.

use std::sync::Arc;

use proto::CustomObject;
use proto::apiextensions::v1::JsonSchemaProps;
use serde_json::{Value, json};

use super::*;
use crate::structural::Schema;

const VERSION: &str = "apply.example.com/v1";

fn schemas() -> Vec<(String, Arc<Schema>)> {
    let item = json!({"type": "object", "required": ["k"], "properties": {
        "k": {"type": "string"}, "p": {"type": "string", "default": "dp"}, "v": {"type": "string"}}});
    let props = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "n": {"type": "integer"},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "p"], "items": item},
            "list": {"type": "array", "items": {"type": "string"}},
            "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "either": {"x-kubernetes-int-or-string": true},
        }},
        "status": {"type": "object", "properties": {"x": {"type": "integer"}}},
    }});
    let schema = Schema::new(&proto::json::from_value::<JsonSchemaProps>(props).expect("a schema"));
    ["v1", "v2"].map(|version| (format!("apply.example.com/{version}"), Arc::new(schema.clone()))).into()
}

struct World {
    schemas: Vec<(String, Arc<Schema>)>,
    live: Option<Box<dyn DynObject>>,
}

impl World {
    fn new() -> Self {
        Self { schemas: schemas(), live: None }
    }

    fn writer<'a>(&'a self, manager: &'a str, api_version: &'a str) -> Writer<'a> {
        Writer { schemas: &self.schemas, ..writer(manager, api_version, 1) }
    }

    fn applied(&self, manager: &str, spec: Value, force: bool) -> Result<Box<dyn DynObject>, Error> {
        let json = json!({"apiVersion": VERSION, "kind": "Thing", "metadata": {"name": "g"}, "spec": spec});
        let kind = proto::custom::kind("apply.example.com", "v1", "Thing");
        applied(self.live.as_deref(), Config { kind, json: &json, force }, &self.writer(manager, VERSION))
    }

    #[track_caller]
    fn apply(&mut self, manager: &str, spec: Value) {
        self.live = Some(self.applied(manager, spec, false).expect("applied"));
    }

    fn update(&mut self, manager: &str, version: &str, spec: Value) {
        let kind = proto::custom::kind("apply.example.com", version, "Thing");
        let mut new = CustomObject::new(kind);
        new.set_tree(json!({"spec": spec}));
        let api_version = format!("apply.example.com/{version}");
        let live = self.live.as_deref().and_then(|live| self.writer("", "").convert(live, &api_version));
        updated(live.as_deref(), &mut new, &self.writer(manager, &api_version));
        self.live = Some(Box::new(new));
    }

    fn spec(&self) -> Value {
        let live = self.live.as_ref().expect("an object");
        proto::json::dyn_to_value(live.as_reflect())["spec"].clone()
    }

    #[track_caller]
    fn owns(&self, expected: &[&str]) {
        assert_eq!(entries(self.live.as_ref().expect("an object").as_ref()), expected);
    }

    #[track_caller]
    fn refuses(&self, spec: Value, expected: &str) {
        let found = match self.applied("z", spec, false) {
            Err(Error::Conflicts(conflicts)) => Conflict::refusal(conflicts).message,
            Err(error) => error.to_string(),
            Ok(_) => "nothing".to_owned(),
        };
        assert!(found.ends_with(expected), "{found}");
    }
}

#[test]
fn a_field_that_is_no_longer_applied_goes() {
    let mut world = World::new();
    world.apply("a", json!({"n": 1, "map": {"x": "1", "y": "2"}}));
    world.owns(&[r#"a Apply {"f:spec":{"f:map":{"f:x":{},"f:y":{}},"f:n":{}}}"#]);
    world.apply("a", json!({"n": 1}));
    assert_eq!(world.spec(), json!({"n": 1}));
    world.owns(&[r#"a Apply {"f:spec":{"f:n":{}}}"#]);
}

#[test]
fn lists_have_owners_as_their_type_says() {
    let mut world = World::new();
    world.apply("a", json!({"set": ["x"], "keyed": [{"k": "1", "v": "a"}], "list": ["l"]}));
    world.owns(&[
        r#"a Apply {"f:spec":{"f:keyed":{"k:{\"k\":\"1\",\"p\":\"dp\"}":{".":{},"f:k":{},"f:v":{}}},"f:list":{},"f:set":{"v:\"x\"":{}}}}"#,
    ]);
    world.apply("b", json!({"set": ["y"], "keyed": [{"k": "2"}]}));
    assert_eq!(world.spec(), json!({"set": ["x", "y"], "keyed": [{"k": "1", "v": "a"}, {"k": "2"}], "list": ["l"]}));
    world.refuses(json!({"list": ["other"]}), "conflict with \"a\": .spec.list");
    world.refuses(json!({"keyed": [{"k": "1", "v": "b"}]}), "conflict with \"a\": .spec.keyed[k=\"1\",p=\"dp\"].v");
    world.apply("b", json!({}));
    assert_eq!(world.spec(), json!({"set": ["x"], "keyed": [{"k": "1", "v": "a"}], "list": ["l"]}));
}

#[test]
fn a_map_that_is_one_value_has_one_owner() {
    let mut world = World::new();
    world.apply("a", json!({"whole": {"x": "1"}}));
    world.owns(&[r#"a Apply {"f:spec":{"f:whole":{}}}"#]);
    world.refuses(json!({"whole": {"y": "1"}}), "conflict with \"a\": .spec.whole");
}

#[test]
fn what_the_schema_does_not_know_is_refused_or_deduced() {
    let mut world = World::new();
    world.refuses(json!({"nope": 1}), ".spec.nope: field not declared in schema");
    world.refuses(json!({"n": "x"}), ".spec.n: expected numeric (int or float), got &{x}");
    world.refuses(json!({"map": {"a": 1}}), ".spec.map.a: expected string, got &{1}");
    world.refuses(json!({"set": ["a", "a"]}), ".spec.set: duplicate entries for key [=\"a\"]");
    world.apply("a", json!({"free": {"any": {"deep": 1}, "list": [{"x": 1}]}, "either": "50%"}));
    world.owns(&[r#"a Apply {"f:spec":{"f:either":{},"f:free":{"f:any":{".":{},"f:deep":{}},"f:list":{}}}}"#]);
}

#[test]
fn an_update_owns_what_it_changed_in_the_version_it_spoke() {
    let mut world = World::new();
    world.update("u", "v1", json!({"n": 1, "set": ["a"]}));
    world.owns(&[r#"u Update {"f:spec":{".":{},"f:n":{},"f:set":{".":{},"v:\"a\"":{}}}}"#]);
    world.apply("a", json!({"map": {"x": "1"}}));
    world.update("w", "v2", json!({"n": 2, "set": ["a"], "map": {"x": "1"}}));
    world.owns(&[
        r#"a Apply {"f:spec":{"f:map":{"f:x":{}}}}"#,
        r#"u Update {"f:spec":{".":{},"f:set":{".":{},"v:\"a\"":{}}}}"#,
        r#"w Update {"f:spec":{"f:n":{}}}"#,
    ]);
}
