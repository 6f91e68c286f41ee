//! What kubectl printed of recorded objects, and what keelctl prints of them.
//!
//! The recordings hold each object's changes and, apart, the output of commands. The objects are put together again as
//! they were at that time and printed. Compared is the text without what a recording cannot keep: dates and ages (and how
//! often an event came by then), numbers of placeholders, and the widths that those made.
//!
//! Not replayed here: outputs of kinds of later parts (cronjob, job, statefulset); those whose objects were not recorded
//! at that time (describe-node, get-nodes, api-resources, drain); and those that are an answer rather than a text made here
//! (exec, logs, delete, undo, history), which the tests of keelctl and tests/e2e look at.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use keelctl::describe::{self, Beside};
use keelctl::manifest::write::to_yaml;
use keelctl::output::{table, tabs};
use regex::Regex;
use serde_json::{Value, json};
use test_goldens::{json, read};

/// When the first object of a recording was created.
fn begin() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}

fn after(seconds: f64) -> Timestamp {
    begin() + SignedDuration::from_millis((seconds * 1000.0) as i64)
}

/// A recording, played up to a time.
struct Scene {
    objects: Vec<Value>,
    events: Vec<Value>,
    now: Timestamp,
}

impl Scene {
    fn at(name: &str, seconds: f64) -> Self {
        let file = json(&format!("behaviour/{name}.json"));
        let list = |key: &str| file[key].as_array().cloned().unwrap_or_default();
        let key = |kind: &Value, name: &Value| format!("{}/{}", text(kind), text(name));
        let mut found: BTreeMap<String, (usize, Value)> = BTreeMap::new();
        let manifests = list("objects");
        for change in list("sequence").iter().filter(|change| change["at_s"].as_f64().unwrap_or(0.0) <= seconds) {
            let key = key(&change["kind"], &change["name"]);
            if change["type"] == "DELETED" {
                found.remove(&key);
                continue;
            }
            let order = found.len();
            let manifest = || {
                let own = |one: &&Value| one["kind"] == change["kind"] && one["metadata"]["name"] == change["name"];
                let mut object = manifests.iter().find(own).cloned().unwrap_or_else(|| json!({"kind": change["kind"]}));
                let born = change["at_s"].as_f64().unwrap_or(0.0);
                object["metadata"] = json!({"creationTimestamp": after(born.round()).to_string()});
                (order, object)
            };
            let (_, object) = found.entry(key).or_insert_with(manifest);
            let born = object["metadata"]["creationTimestamp"].clone();
            let mut change = change["object"].clone();
            object["metadata"] = change["metadata"].take();
            object["metadata"]["creationTimestamp"] = born;
            object["metadata"]["namespace"] = Value::from(name);
            object["status"] = change["status"].take();
            if let Some(spec) = change.get_mut("spec").map(Value::take) {
                let mut whole = object["spec"].take();
                merge(&mut whole, spec);
                object["spec"] = whole;
            }
        }
        let mut objects: Vec<(usize, Value)> = found.into_values().collect();
        objects.sort_by_key(|(order, _)| *order);
        let objects = objects.into_iter().map(|(_, object)| dated(object)).collect();
        let events = list("events").into_iter().filter(|event| event["first_at_s"].as_f64().unwrap_or(0.0) <= seconds);
        Self { objects, events: events.map(event).collect(), now: after(seconds) }
    }

    fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.objects.iter().filter(|object| object["kind"] == kind).cloned().collect()
    }

    fn describe(&self, kind: &str) -> String {
        let objects = self.of_kind(kind);
        assert!(!objects.is_empty(), "no {kind} was recorded");
        let one = |object: &Value| {
            let owned = |one: &Value| {
                let owners = one["metadata"]["ownerReferences"].as_array();
                owners.is_some_and(|owners| owners.iter().any(|owner| owner["name"] == object["metadata"]["name"]))
            };
            let about = |event: &&Value| {
                event["involvedObject"]["name"] == object["metadata"]["name"] && event["involvedObject"]["kind"] == kind
            };
            let beside = Beside {
                // kubectl describes replica sets in a list without their events.
                events: if kind == "ReplicaSet" {
                    Vec::new()
                } else {
                    self.events.iter().filter(about).cloned().collect()
                },
                pods: self.of_kind("Pod").into_iter().filter(owned).collect(),
                replica_sets: self.of_kind("ReplicaSet"),
                endpoint_slices: self.of_kind("EndpointSlice"),
                lease: None,
            };
            tabs::details(&describe::text(kind, object, &beside, self.now))
        };
        objects.iter().map(one).collect::<Vec<_>>().join("\n\n")
    }

    fn table(&self, group: &str, resource: &str, kind: &str, options: &table::Options) -> String {
        table::Table::new(group, resource, options).render(&self.of_kind(kind), self.now)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// null: removed; in lists of equal length unchanged entries are `{}`.
fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                if value.is_null() {
                    into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(into), Value::Array(change)) if into.len() == change.len() => {
            into.iter_mut().zip(change).for_each(|(into, change)| merge(into, change));
        }
        (into, change) => *into = change,
    }
}

/// `<time+3s>` as a time.
fn dated(object: Value) -> Value {
    let pattern = Regex::new(r"<time\+([0-9]+)s>").expect("a pattern");
    let text = object.to_string();
    let time = |found: &regex::Captures<'_>| after(found[1].parse().unwrap_or_default()).to_string();
    serde_json::from_str(&pattern.replace_all(&text, time)).expect("still JSON")
}

fn event(mut event: Value) -> Value {
    let time = |seconds: &Value| Value::from(after(seconds.as_f64().unwrap_or_default()).to_string());
    let (first, last) = (time(&event["first_at_s"]), time(&event["last_at_s"]));
    event["firstTimestamp"] = first;
    event["lastTimestamp"] = last;
    event
}

/// Without what a recording cannot keep. Cells are told apart by two spaces.
fn plain(text: &str) -> Vec<String> {
    let rules = [
        (r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} \+0000|<date>", "<date>"),
        (r#""[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z"|"<time\+[0-9]+s>""#, "<time>"),
        (r"<([A-Za-z]+)[0-9]+>", "<$1>"),
        (r"(?-u:\b)([0-9]+[smhd])+(?-u:\b)", "<age>"),
        (r"<age> \(x[0-9]+ over <age>\)", "<age>"),
        (r"-{3,}", "---"),
        (r"([^ ]) {2,}", "$1  "),
    ];
    let mut text = text.to_owned();
    for (pattern, with) in rules {
        text = Regex::new(pattern).expect("a pattern").replace_all(&text, with).into_owned();
    }
    text.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// The recorded output, without the command and what was said on standard error.
fn recorded(name: &str) -> String {
    let text = read(&format!("behaviour/kubectl/{name}.txt"));
    let lines = text.lines().filter(|line| !line.starts_with("$ ") && !line.starts_with("Warning: v1 Endpoints"));
    lines.collect::<Vec<_>>().join("\n")
}

/// `differs`: lines that are known to differ, each with its reason beside it.
#[track_caller]
fn check(name: &str, found: &str, differs: &[&str]) {
    let (found, wanted) = (plain(found), plain(&recorded(name)));
    assert!(wanted.len() > 1, "{name} is empty");
    let known = |line: &&String| !differs.iter().any(|known| line.contains(known));
    let ours: Vec<_> = found.iter().filter(known).collect();
    let theirs: Vec<_> = wanted.iter().filter(known).collect();
    let at = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs).unwrap_or(ours.len().min(theirs.len()));
    let part = |lines: &[&String]| {
        lines.iter().skip(at.saturating_sub(2)).take(6).map(|line| format!("    {line}\n")).collect::<String>()
    };
    assert_eq!(ours, theirs, "{name}: first difference\n  ours:\n{}  kubectl:\n{}", part(&ours), part(&theirs));
}

#[test]
fn pods_are_described_as_kubectl_does() {
    check("pod-running-describe", &Scene::at("pod-running", 3.0).describe("Pod"), &[]);
    check("pod-unschedulable-describe", &Scene::at("pod-unschedulable-cpu", 3.0).describe("Pod"), &[]);
    check("pod-crashloop-describe", &Scene::at("pod-crashloop", 17.0).describe("Pod"), &[]);
    check("pod-image-missing-describe", &Scene::at("pod-image-missing", 34.0).describe("Pod"), &[]);
}

#[test]
fn workloads_are_described_as_kubectl_does() {
    check("deployment-failed-describe", &Scene::at("deployment-failed-progress", 12.0).describe("Deployment"), &[]);
    check("deployment-describe", &Scene::at("deployment-rolling-update", 12.0).describe("Deployment"), &[]);
    check("service-describe", &Scene::at("service-endpointslice", 17.0).describe("Service"), &[]);
}

/// Objects whose names a recording does not keep come in any order.
#[track_caller]
fn check_parts(name: &str, found: &str, separator: &str) {
    let sorted = |text: &str| {
        let mut parts: Vec<Vec<String>> = text.split(separator).map(plain).filter(|part| !part.is_empty()).collect();
        parts.sort();
        parts
    };
    let (found, wanted) = (sorted(found), sorted(&recorded(name)));
    assert_eq!(found.len(), wanted.len(), "{name}");
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn replica_sets_are_described_as_kubectl_does() {
    check_parts("replicaset-describe", &Scene::at("deployment-rolling-update", 11.4).describe("ReplicaSet"), "\n\n\n");
}

#[test]
fn several_kinds_are_tables_one_below_the_other() {
    let scene = Scene::at("deployment-rolling-update", 11.4);
    let part = |group: &str, resource: &str, kind: &str, with_kind: &str| {
        let options = table::Options { wide: true, with_kind: Some(with_kind.to_owned()), ..table::Options::default() };
        scene.table(group, resource, kind, &options)
    };
    let found = [
        part("apps", "deployments", "Deployment", "deployment.apps"),
        part("apps", "replicasets", "ReplicaSet", "replicaset.apps"),
        part("", "pods", "Pod", "pod"),
    ];
    check_parts("deployment-get-all-wide", &found.join("\n"), "\n");
}

/// What `rollout status` says of each state that a watch saw, without repetitions.
fn rollout(name: &str, from: f64) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    let file = json(&format!("behaviour/{name}.json"));
    let changes = file["sequence"].as_array().cloned().unwrap_or_default();
    let times = changes.iter().filter(|change| change["kind"] == "Deployment").filter_map(|one| one["at_s"].as_f64());
    for time in times.filter(|time| *time >= from) {
        let object = Scene::at(name, time).of_kind("Deployment").remove(0);
        let text = match keelctl::command::rollout::deployment(&object) {
            Ok((text, _)) => text,
            Err(error) => format!("error: {error}"),
        };
        if said.last() != Some(&text) {
            said.push(text);
        }
    }
    said
}

#[track_caller]
fn check_rollout(name: &str, found: &[String]) {
    let mut wanted: Vec<String> = recorded(name).lines().map(str::to_owned).collect();
    wanted.dedup();
    let said = found.windows(wanted.len()).any(|part| part == wanted);
    assert!(said, "{name}:\n  ours {found:#?}\n  kubectl {wanted:#?}");
}

#[test]
fn rollouts_are_told_as_kubectl_tells_them() {
    check_rollout("deployment-rollout-status", &rollout("deployment-rolling-update", 3.3));
    check_rollout("deployment-failed-rollout-status", &rollout("deployment-failed-progress", 2.5));
}

#[test]
fn tables_are_those_of_kubectl() {
    let wide = table::Options { wide: true, ..table::Options::default() };
    let scene = Scene::at("pod-running", 3.0);
    check("pod-running-get-wide", &scene.table("", "pods", "Pod", &wide), &[]);
    let plain = table::Options::default();
    check("pod-crashloop-get", &Scene::at("pod-crashloop", 17.0).table("", "pods", "Pod", &plain), &[]);
}

#[test]
fn an_object_is_the_yaml_that_kubectl_prints() {
    let scene = Scene::at("kubectl-outputs", 3.0);
    let mut pod = scene.of_kind("Pod").remove(0);
    pod["metadata"]["namespace"] = json!("kubectl-outputs-2");
    pod["metadata"]["uid"] = json!("<uid1>");
    pod["metadata"]["resourceVersion"] = json!("123");
    check("get-pod-yaml", &to_yaml(&pod).replace("\"123\"", "\"<rv>\""), &[]);
}
