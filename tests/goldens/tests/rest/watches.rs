//! Sequences of lists and watches.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::{CompactionRequest, RangeRequest};
use serde_json::Value;
use test_goldens::{cases, json};

use crate::Tally;
use crate::compare::difference;
use crate::door::{Answer, Door};
use crate::harness::{Apiserver, Cluster, Engine};

/// Fewer would mean that something that worked does not.
const SEQUENCES_MIN: usize = 14;

/// What the placeholders of a file stand for here: `<rv1>`, `<continue1>`.
type Names = BTreeMap<String, String>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_watches_go_as_recorded() {
    let mut scene = Some(Scene::start().await);
    let mut tally = Tally::default();
    let mut names = cases("watch-list", ".json");
    // These look at what the one before left in their namespace.
    let later = ["watch-bookmarks", "watch-send-initial-events", "watch-formats"];
    names.sort_by_key(|name| later.iter().position(|later| later == name));
    for name in names {
        let case = json(&format!("watch-list/{name}.json"));
        if !case["steps"].is_null() {
            tally.add(&name, run(&mut scene, &case).await);
        }
    }
    if let Some(scene) = scene {
        scene.server.stop().await;
    }
    tally.report("watch-list", SEQUENCES_MIN);
}

/// A store and an apiserver that may be started anew.
struct Scene {
    cluster: Cluster,
    server: Apiserver,
    door: Door,
}

impl Scene {
    async fn start() -> Self {
        let cluster = Cluster::start(Engine::Keelson);
        let server = cluster.apiserver().await;
        let door = Door::new(&cluster, &server);
        Self { cluster, server, door }
    }

    /// Cuts the store's history off at its end, and starts an apiserver that has seen none of it.
    async fn forget(self) -> Self {
        let Self { cluster, server, .. } = self;
        server.stop().await;
        let mut store = KvClient::connect(cluster.store_url.clone()).await.expect("the store listens");
        let now =
            store.range(RangeRequest { key: b"/".to_vec().into(), ..RangeRequest::default() }).await.expect("a read");
        let revision = now.into_inner().header.expect("a header").revision;
        store.compact(CompactionRequest { revision, physical: true }).await.expect("a compaction");
        let server = cluster.apiserver().await;
        let door = Door::new(&cluster, &server);
        Self { cluster, server, door }
    }
}

/// Defines the kinds of objects that a case creates and no server has; what was recorded shows nothing of them but their
/// objects.
async fn define(door: &Door, case: &Value) {
    for step in case["steps"].as_array().into_iter().flatten().filter(|step| step["request"]["method"] == "POST") {
        let body = &step["request"]["body"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (text(&body["apiVersion"]), text(&body["kind"]));
        let Some((group, version)) = api_version.split_once('/') else { continue };
        if api::resource::all().iter().any(|row| row.group == group) {
            continue;
        }
        let path = text(&step["request"]["path"]);
        let plural = path.rsplit('/').next().unwrap_or_default();
        let schema = serde_json::json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let definition = serde_json::json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
                "versions": [{"name": version, "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": schema}}]}});
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let answer = door.send(&serde_json::json!({"method": "POST", "path": path, "body": definition})).await;
        assert_eq!(answer.code, 201, "{}", answer.text());
        door.established(&definition).await;
    }
}

async fn run(scene: &mut Option<Scene>, case: &Value) -> Option<String> {
    define(&scene.as_ref()?.door, case).await;
    let mut names = Names::new();
    for (index, step) in case["steps"].as_array().into_iter().flatten().enumerate() {
        if step["note"].as_str().is_some_and(|note| note.contains("compacted")) {
            *scene = match scene.take() {
                Some(before) => Some(before.forget().await),
                None => None,
            };
        }
        let door = &scene.as_ref()?.door;
        assume(&step["request"], &mut names);
        let request = named(&step["request"], &names);
        let path = request["path"].as_str().unwrap_or_default();
        if let Some(space) = path.split("/namespaces/").nth(1).and_then(|rest| rest.split(['/', '?']).next()) {
            door.namespace(space).await;
        }
        let writes = step["writes_during_watch"].as_array().cloned().unwrap_or_default();
        let answer = match step.get("writes_during_watch") {
            None => door.send(&request).await,
            Some(_) => {
                let watching = door.send(&request);
                let writing = async {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    for write in &writes {
                        let known = names.clone();
                        let answer = door.send(&named(&write["request"], &known)).await;
                        learn(&write["response"]["body"], &answer.json(), &mut names);
                    }
                };
                tokio::join!(watching, writing).0
            }
        };
        if let Some(found) = compared(&step["response"], &answer, &mut names) {
            return Some(format!("step {index}: {path}: {found}"));
        }
    }
    None
}

fn compared(expected: &Value, answer: &Answer, names: &mut Names) -> Option<String> {
    if expected["code"].as_i64() != Some(answer.code) {
        return Some(format!("expected {}, found {} {}", expected["code"], answer.code, answer.text()));
    }
    let Some(events) = expected["events"].as_array() else {
        let found = answer.json();
        learn(&expected["body"], &found, names);
        return difference("", &known(&expected["body"], names), &without_fields(found));
    };
    let lines: Option<Vec<&str>> = events.iter().map(|event| event["raw"].as_str()).collect();
    if let Some(lines) = lines.filter(|lines| !lines.is_empty()) {
        return refused_in_yaml(&lines.concat(), &expected["headers"], answer);
    }
    let found: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect();
    let (mut wanted, mut found) = (Value::from(events.clone()), without_fields(Value::from(found)));
    learn(&wanted, &found, names);
    if let Some(late) = bookmarks_behind(&found) {
        return Some(late);
    }
    // The server writes objects of its own between those of the case, and bookmarks tell of those, too.
    without_revisions_of_bookmarks(&mut wanted);
    without_revisions_of_bookmarks(&mut found);
    difference("events", &known(&wanted, names), &found)
}

/// A refusal in YAML, whose lines may be folded elsewhere.
fn refused_in_yaml(expected: &str, headers: &Value, answer: &Answer) -> Option<String> {
    let wanted: Value = serde_yaml::from_str(expected).expect("YAML was recorded");
    let Ok(found) = serde_yaml::from_str(&answer.text()) else { return Some(format!("no YAML: {}", answer.text())) };
    let kind = answer.header("Content-Type");
    let same = kind.first().map(String::as_str) == headers["Content-Type"].as_str();
    difference("", &wanted, &found).or_else(|| (!same).then(|| format!("Content-Type is {kind:?}")))
}

/// Bookmarks whose revision is older than an event before.
fn bookmarks_behind(events: &Value) -> Option<String> {
    let mut newest = 0_i64;
    for event in events.as_array().into_iter().flatten() {
        let text = event["object"]["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let revision = text.parse().unwrap_or(0);
        if event["type"] == "BOOKMARK" && revision < newest {
            return Some(format!("a bookmark at {revision} after an event at {newest}"));
        }
        newest = newest.max(revision);
    }
    None
}

fn without_revisions_of_bookmarks(events: &mut Value) {
    for event in events.as_array_mut().into_iter().flatten().filter(|event| event["type"] == "BOOKMARK") {
        walk(event, &mut |map| drop(map.remove("resourceVersion")));
    }
}

/// Versions that no answer has told are of before the case: they are small numbers.
fn assume(request: &Value, names: &mut Names) {
    let text = request.to_string();
    for part in text.split("<rv").skip(1) {
        if let Some((number, _)) = part.split_once('>').filter(|(number, _)| !number.is_empty()) {
            names.entry(format!("<rv{number}>")).or_insert_with(|| number.to_owned());
        }
    }
}

/// A request with what is known written in.
fn named(request: &Value, names: &Names) -> Value {
    let text = names.iter().fold(request.to_string(), |text, (name, value)| text.replace(name, value));
    serde_json::from_str(&text).expect("replaced within strings")
}

/// What is expected, with what is known written in; ages differ.
fn known(expected: &Value, names: &Names) -> Value {
    let mut value = named(expected, names);
    walk(&mut value, &mut |map| {
        map.remove("description");
        if let Some(cells) = map.get_mut("cells").and_then(Value::as_array_mut) {
            for cell in cells.iter_mut().filter(|cell| is_age(cell)) {
                *cell = Value::from("<age>");
            }
        }
    });
    value
}

fn is_age(cell: &Value) -> bool {
    cell.as_str()
        .is_some_and(|text| text.len() < 8 && text.ends_with('s') && text.starts_with(|at: char| at.is_ascii_digit()))
}

fn without_fields(mut value: Value) -> Value {
    walk(&mut value, &mut |map| {
        map.remove("managedFields");
        map.remove("description");
    });
    value
}

fn walk(value: &mut Value, change: &mut impl FnMut(&mut serde_json::Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            change(map);
            map.values_mut().for_each(|value| walk(value, change));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| walk(value, change)),
        _ => {}
    }
}

/// Learns what placeholders stand for where they are seen first.
fn learn(expected: &Value, found: &Value, names: &mut Names) {
    match (expected, found) {
        (Value::String(name), Value::String(value)) if name.starts_with("<rv") || name.starts_with("<continue") => {
            names.entry(name.clone()).or_insert_with(|| value.clone());
        }
        (Value::Object(expected), Value::Object(found)) => {
            for (key, value) in expected {
                learn(value, found.get(key).unwrap_or(&Value::Null), names);
            }
        }
        (Value::Array(expected), Value::Array(found)) => {
            expected.iter().zip(found).for_each(|(expected, found)| learn(expected, found, names));
        }
        _ => {}
    }
}
