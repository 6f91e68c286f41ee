//! Recorded objects, made and brought into their state as the recorder did it, and the tables that are served of them.

use serde_json::{Value, json as value};
use test_goldens::{cases, json};

use crate::Tally;
use crate::cases::path_of;
use crate::door::{Answer, Door};
use crate::harness::{Cluster, Engine};
use crate::tables::AS_TABLE;

/// Fewer would mean that something that worked does not. The one of 137 is a FlowSchema: its recorder read it before a
/// condition was written, which is here by then, most of the time.
const CELLS_MIN: usize = 136;

/// What the server chooses or writes itself.
const SERVERS: [&str; 7] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_shown_as_recorded() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver_with(&["--service-cluster-ip-range=10.96.0.0/16"]).await;
    let door = Door::new(&cluster, &server);
    let mut tally = Tally::default();
    for name in cases("tables", ".json") {
        let case = json(&format!("tables/{name}.json"));
        if case["object"].is_object() {
            tally.add(&name, shown(&door, &case).await);
        } else if case["columns"].is_array() {
            tally.add(&name, plain_columns(&door, &case).await);
        }
    }
    server.stop().await;
    tally.report("tables", CELLS_MIN);
}

/// The columns of a kind that names none.
async fn plain_columns(door: &Door, case: &Value) -> Option<String> {
    let definition = value!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "plains.tables.example.com"},
        "spec": {"group": "tables.example.com", "scope": "Namespaced", "names": {"plural": "plains", "kind": "Plain"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
    });
    let path = match define(door, &definition).await {
        Ok(path) => path.unwrap_or_default(),
        Err(why) => return Some(why),
    };
    let list =
        value!({"method": "GET", "path": collection_of(&definition, "default"), "headers": {"Accept": AS_TABLE}});
    let table = door.send(&list).await.json();
    door.send(&value!({"method": "DELETE", "path": path})).await;
    let of = |column: &Value| {
        let field = |name: &str| column[name].clone();
        value!({"name": field("name"), "type": field("type"), "format": field("format"), "priority": field("priority")})
    };
    let found: Vec<Value> = table["columnDefinitions"].as_array().into_iter().flatten().map(of).collect();
    (case["columns"] != value!(found)).then(|| format!("{}", value!(found)))
}

/// An object of a recorded case on a server; where it is served.
pub struct Made {
    pub one: String,
    definition: Option<String>,
}

impl Made {
    /// Makes the object, then its status, then begins its deletion, where it had those.
    pub async fn make(door: &Door, case: &Value) -> Result<Self, String> {
        let object = &case["object"];
        let definition = define(door, &case["crd"]).await?;
        let space = object["metadata"]["namespace"].as_str().unwrap_or_default();
        if !space.is_empty() {
            door.namespace(space).await;
        }
        let path = collection(object, &case["crd"]).ok_or("no resource is of this kind")?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let made = Self { one: format!("{path}/{name}"), definition };
        let first = door.send(&value!({"method": "POST", "path": path, "body": as_sent(object)})).await;
        if !matches!(first.code, 201 | 409) {
            made.remove(door).await;
            return Err(format!("is not made: {} {}", first.code, first.text()));
        }
        if object["status"].is_object() {
            made.tell_status(door, object).await;
        }
        if object["metadata"]["deletionTimestamp"].is_string() {
            // Grace as recorded; a finalizer or the node keeps the object.
            let query = match object["metadata"]["deletionGracePeriodSeconds"].as_i64() {
                Some(seconds) => format!("?gracePeriodSeconds={seconds}"),
                None => String::new(),
            };
            door.send(&value!({"method": "DELETE", "path": format!("{}{query}", made.one)})).await;
        }
        Ok(made)
    }

    /// Some kinds have no status that can be written; the comparison tells whether it mattered.
    async fn tell_status(&self, door: &Door, object: &Value) {
        let mut now = door.get(&self.one).await.json();
        now["status"] = without_placeholders(object["status"].clone());
        let answer = door.send(&value!({"method": "PUT", "path": format!("{}/status", self.one), "body": now})).await;
        if answer.code != 200 && answer.code != 404 {
            println!("{}: the status is refused: {}", self.one, answer.text());
        }
    }

    /// Takes the object away, whatever keeps it.
    pub async fn remove(&self, door: &Door) {
        let delete = value!({"method": "DELETE", "path": format!("{}?gracePeriodSeconds=0", self.one)});
        if door.send(&delete).await.json()["metadata"]["finalizers"].is_array() {
            let patch = value!({"method": "PATCH", "path": self.one, "body": {"metadata": {"finalizers": null}},
                "headers": {"Content-Type": "application/merge-patch+json"}});
            door.send(&patch).await;
        }
        if let Some(definition) = &self.definition {
            door.send(&value!({"method": "DELETE", "path": definition})).await;
        }
    }
}

async fn shown(door: &Door, case: &Value) -> Option<String> {
    let made = match Made::make(door, case).await {
        Ok(made) => made,
        Err(why) => return Some(why),
    };
    let headers = value!({"Accept": AS_TABLE});
    let one = door.send(&value!({"method": "GET", "path": made.one, "headers": headers})).await;
    let (path, name) = made.one.rsplit_once('/').unwrap_or_default();
    let selected = format!("{path}?fieldSelector=metadata.name%3D{name}");
    let listed = door.send(&value!({"method": "GET", "path": selected, "headers": headers})).await;
    made.remove(door).await;
    compared(case, &one).or_else(|| compared(case, &listed).map(|why| format!("listed: {why}")))
}

fn compared(case: &Value, answer: &Answer) -> Option<String> {
    let table = answer.json();
    let names: Vec<&Value> =
        table["columnDefinitions"].as_array().into_iter().flatten().map(|column| &column["name"]).collect();
    if value!(names) != case["columns"] {
        return Some(format!("columns {names:?}; {} {}", answer.code, answer.text()));
    }
    let rows = table["rows"].as_array().cloned().unwrap_or_default();
    let [row] = &rows[..] else { return Some(format!("{} rows", rows.len())) };
    let (wanted, found) = (case["cells"].as_array().cloned().unwrap_or_default(), row["cells"].as_array().cloned());
    let found = found.unwrap_or_default();
    if wanted.len() != found.len() || !wanted.iter().zip(&found).all(|(wanted, found)| same(wanted, found)) {
        return Some(format!("cells {}, expected {}", value!(found), value!(wanted)));
    }
    let conditions: Vec<Value> = row["conditions"].as_array().into_iter().flatten().map(without_message).collect();
    let expected = case["conditions"].as_array().cloned().unwrap_or_default();
    (conditions != expected).then(|| format!("conditions {}, expected {}", value!(conditions), value!(expected)))
}

fn without_message(condition: &Value) -> Value {
    let mut condition = condition.clone();
    if let Some(map) = condition.as_object_mut() {
        map.remove("message");
    }
    condition
}

/// Equal, but for what a placeholder stands for, and for spans of years that have grown since.
fn same(wanted: &Value, found: &Value) -> bool {
    let years = |cell: &Value| cell.as_str().is_some_and(|text| text.contains('y') && text.ends_with('d'));
    crate::compare::difference("", wanted, found).is_none() || (years(wanted) && years(found))
}

/// The object as a client would have sent it.
fn as_sent(object: &Value) -> Value {
    let mut object = without_placeholders(object.clone());
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        SERVERS.iter().for_each(|field| drop(metadata.remove(*field)));
    }
    object
}

/// Fields and items whose value the server chose are left to it; times are made some time.
fn without_placeholders(value: Value) -> Value {
    let chosen = |value: &Value| match value {
        Value::String(text) => text.contains('<') && text.contains('>'),
        Value::Object(map) => map.values().any(|value| value.as_str().is_some_and(|text| text.contains("<suffix>"))),
        _ => false,
    };
    match value {
        Value::String(text) if text == "<time>" => "2026-01-01T00:00:00Z".into(),
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, value)| *value == "<time>" || !chosen(value))
            .map(|(key, value)| (key, without_placeholders(value)))
            .collect(),
        Value::Array(items) => items.into_iter().filter(|item| !chosen(item)).map(without_placeholders).collect(),
        other => other,
    }
}

/// Serves a kind of its own, where the case has one. The case before may have had the same: it ends first.
async fn define(door: &Door, definition: &Value) -> Result<Option<String>, String> {
    if definition.is_null() {
        return Ok(None);
    }
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for _ in 0..100 {
        let made = door.send(&value!({"method": "POST", "path": path, "body": definition})).await;
        if made.code == 201 {
            door.established(definition).await;
            let name = definition["metadata"]["name"].as_str().unwrap_or_default();
            return Ok(Some(format!("{path}/{name}")));
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Err("its kind is not defined".to_owned())
}

fn collection(object: &Value, definition: &Value) -> Option<String> {
    let space = object["metadata"]["namespace"].as_str().unwrap_or_default();
    match definition {
        Value::Null => path_of(object, space),
        definition => Some(collection_of(definition, space)),
    }
}

fn collection_of(definition: &Value, space: &str) -> String {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let begin = format!("/apis/{}/{}", text(&spec["group"]), text(&spec["versions"][0]["name"]));
    let place = if spec["scope"] == "Namespaced" { format!("/namespaces/{space}") } else { String::new() };
    format!("{begin}{place}/{}", text(&spec["names"]["plural"]))
}
