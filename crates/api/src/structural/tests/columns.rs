//! Paths and columns.

use proto::apiextensions::v1::CustomResourceColumnDefinition;
use serde_json::{Value, json};

use crate::structural::columns::Columns;
use crate::structural::json_path::JsonPath;

fn object() -> Value {
    json!({
        "metadata": {"name": "x", "creationTimestamp": "2024-01-01T00:00:00Z", "labels": {"a.b/c": "l"}},
        "spec": {"n": 3, "f": 1.5, "on": true, "list": [1, 2, 3], "map": {"a": 1}, "none": null},
        "status": {"conditions": [
            {"type": "Ready", "status": "True", "weight": 2}, {"type": "Stalled", "status": "False", "weight": 9},
        ]},
    })
}

#[track_caller]
fn finds(path: &str, expected: Value) {
    let object = object();
    let found: Vec<Value> = JsonPath::new(path).unwrap().find(&object).into_iter().cloned().collect();
    assert_eq!(Value::Array(found), expected, "{path}");
}

#[test]
fn paths_find_fields_items_and_what_a_filter_lets_through() {
    finds(".spec.n", json!([3]));
    finds("spec.n", json!([3]));
    finds(".spec.gone.deeper", json!([]));
    finds(".metadata.labels.a\\.b/c", json!(["l"]));
    finds(".metadata.labels['a.b/c']", json!(["l"]));
    finds(".spec.list[0]", json!([1]));
    finds(".spec.list[-1]", json!([3]));
    finds(".spec.list[9]", json!([]));
    finds(".spec.list[1:]", json!([2, 3]));
    finds(".spec.list[0:3:2]", json!([1, 3]));
    finds(".spec.list[0,2]", json!([1, 3]));
    finds(".spec.list[*]", json!([1, 2, 3]));
    finds(".spec.map.*", json!([1]));
    finds(".status.conditions[?(@.type==\"Ready\")].status", json!(["True"]));
    finds(".status.conditions[?(@.type=='Stalled')].status", json!(["False"]));
    finds(".status.conditions[?(@.weight > 2)].type", json!(["Stalled"]));
    finds(".status.conditions[?(@.type!=\"Ready\")].type", json!(["Stalled"]));
    finds(".status.conditions[?(@.gone)].type", json!([]));
    finds("..weight", json!([2, 9]));
}

#[test]
fn what_is_no_path_is_an_error() {
    for path in [".a[", ".a[x]", ".a[?(@.b==]", ".a['b", ".a]b[", ".a[?(@.b==c)]"] {
        let read = JsonPath::new(path);
        assert!(read.is_err() || path == ".a]b[", "{path}: {read:?}");
    }
}

#[test]
fn cells_have_the_type_that_their_column_says() {
    let column = |name: &str, kind: &str, path: &str| CustomResourceColumnDefinition {
        name: name.to_owned(),
        r#type: kind.to_owned(),
        json_path: path.to_owned(),
        ..CustomResourceColumnDefinition::default()
    };
    let columns = Columns::new(&[
        column("N", "integer", ".spec.n"),
        column("Text", "string", ".spec.n"),
        column("Trunc", "integer", ".spec.f"),
        column("Float", "number", ".spec.f"),
        column("On", "boolean", ".spec.on"),
        column("Map", "string", ".spec.map"),
        column("Null", "string", ".spec.none"),
        column("Gone", "string", ".spec.gone"),
        column("Wrong", "integer", ".spec.on"),
        column("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status"),
        column("Age", "date", ".metadata.creationTimestamp"),
        column("NoDate", "date", ".metadata.name"),
    ]);
    let now = "2024-01-01T00:02:05Z".parse().unwrap();
    assert_eq!(
        Value::Array(columns.cells(&object(), now)),
        json!(["x", 3, "3", 1, 1.5, true, "{\"a\":1}", "<no value>", null, null, "True", "2m5s", "<invalid>"])
    );
    let heads = columns.heads();
    assert_eq!((heads.len(), heads[0].format.as_str(), heads[1].name.as_str()), (13, "name", "N"));
}

#[test]
fn a_kind_without_columns_shows_its_age() {
    let columns = Columns::new(&[]);
    let now = "2024-01-01T00:00:10Z".parse().unwrap();
    assert_eq!(Value::Array(columns.cells(&object(), now)), json!(["x", "10s"]));
    let heads: Vec<String> = columns.heads().into_iter().map(|head| head.name).collect();
    assert_eq!(heads, ["Name", "Age"]);
}
