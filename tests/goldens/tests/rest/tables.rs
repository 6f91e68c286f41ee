//! Columns of tables, and what their rows carry.

use serde_json::{Value, json as value};
use test_goldens::{cases, json};

use crate::Tally;
use crate::door::Door;
use crate::harness::{Cluster, Engine};

/// Fewer would mean that something that worked does not.
const COLUMNS_MIN: usize = 60;
const INCLUDED_MIN: usize = 8;

pub const AS_TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// The row of an object says what the include option asks for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_carry_what_is_asked_for() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver().await;
    let door = Door::new(&cluster, &server);
    door.namespace("tables").await;
    let object = value!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "cmt", "namespace": "tables"},
        "data": {"a": "1", "b": "2"}, "binaryData": {"c": "AA=="}});
    let path = "/api/v1/namespaces/tables/configmaps";
    assert_eq!(door.send(&value!({"method": "POST", "path": path, "body": object})).await.code, 201);
    let mut tally = Tally::default();
    for name in cases("tables", ".json").into_iter().filter(|name| name.starts_with("include-object-")) {
        let case = json(&format!("tables/{name}.json"));
        let option = case["includeObject"].as_str().map_or_else(String::new, |word| format!("?includeObject={word}"));
        for path in [format!("{path}/cmt{option}"), format!("{path}{option}")] {
            let table =
                door.send(&value!({"method": "GET", "path": path, "headers": {"Accept": AS_TABLE}})).await.json();
            let mut row = table["rows"][0]["object"].clone();
            if let Some(meta) = row.get_mut("metadata").and_then(Value::as_object_mut) {
                meta.remove("managedFields");
            }
            let found = crate::compare::difference("", &case["row_object"], &row);
            let found = found.or_else(|| (table["kind"] != case["kind"]).then(|| format!("a {}", table["kind"])));
            let found = found.or_else(|| {
                let columns = table["columnDefinitions"].as_array().map_or(0, Vec::len);
                (columns != 3 || table["rows"][0]["cells"] != value!(["cmt", 3, "0s"])).then(|| format!("{table}"))
            });
            // The age of an object that is a second old.
            let found = found.filter(|text| !text.contains("\"1s\""));
            tally.add(&path, found);
        }
    }
    server.stop().await;
    tally.report("include-object", INCLUDED_MIN);
}

/// Columns of every resource that can be listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_the_recorded_ones() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver().await;
    let door = Door::new(&cluster, &server);
    let mut columns: std::collections::BTreeMap<(String, String, String), Vec<Value>> = Default::default();
    for line in test_goldens::read("printer-columns.tsv").lines().skip(1) {
        let field: Vec<&str> = line.split('\t').collect();
        let key = (field[0].to_owned(), field[1].to_owned(), field[2].to_owned());
        let priority: i64 = field[7].parse().expect("a number");
        columns.entry(key).or_default().push(value!([field[4], field[5], field[6], priority]));
    }
    let mut tally = Tally::default();
    for ((group, version, plural), wanted) in &columns {
        let path = match group.as_str() {
            "" => format!("/api/{version}/{plural}"),
            group => format!("/apis/{group}/{version}/{plural}"),
        };
        let answer = door.send(&value!({"method": "GET", "path": path, "headers": {"Accept": AS_TABLE}})).await;
        let found: Vec<Value> = answer.json()["columnDefinitions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|column| value!([column["name"], column["type"], column["format"], column["priority"]]))
            .collect();
        tally.add(&path, (*wanted != found).then(|| format!("{} {found:?}", answer.code)));
    }
    server.stop().await;
    tally.report("columns", COLUMNS_MIN);
}
