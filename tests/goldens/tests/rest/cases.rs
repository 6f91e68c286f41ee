//! Refusals, patches and defaulted objects.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use test_goldens::request::Target;
use test_goldens::{cases, facts, json};

use crate::Tally;
use crate::compare::{difference, refusal};
use crate::door::{Answer, Door};
use crate::harness::{Cluster, Engine};

/// Fewer would mean that something that worked does not.
const REFUSED_MIN: usize = 483;
const PATCHED_MIN: usize = 87;
const DEFAULTED_MIN: usize = 141;

const ONE_STACK: &str = "--service-cluster-ip-range=10.96.0.0/16";
const TWO_STACKS: &str = "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112";

/// Kinds that act a moment after they are made, say the facts.
const SLOW: &[&str] = &["ResourceQuota", "LimitRange", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_judged_as_recorded() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver_with(&[ONE_STACK]).await;
    let door = Door::new(&cluster, &server);
    let mut tally = Tally::default();
    for name in cases("validation", ".json") {
        let case = json(&format!("validation/{name}.json"));
        let (request, _) = set_up(&door, &case).await;
        let answer = door.send(&request).await;
        tally.add(&name, judged(&case["response"], &answer));
    }
    server.stop().await;
    tally.report("validation", REFUSED_MIN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_do_what_was_recorded() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver_with(&[ONE_STACK]).await;
    let door = Door::new(&cluster, &server);
    let mut tally = Tally::default();
    for name in cases("patch", ".json") {
        let case = json(&format!("patch/{name}.json"));
        let (request, _) = set_up(&door, &case).await;
        let answer = door.send(&request).await;
        let mut found = judged(&case["response"], &answer);
        if found.is_none() && !case["after"].is_null() {
            let path = request["path"].as_str().unwrap_or_default().split('?').next().unwrap_or_default();
            let path = ["/status", "/scale", "/resize", "/ephemeralcontainers"]
                .iter()
                .fold(path, |path, end| path.strip_suffix(end).unwrap_or(path));
            let after = door.get(path).await.json();
            found = difference("", &case["after"], &after);
        }
        tally.add(&name, found);
    }
    server.stop().await;
    tally.report("patch", PATCHED_MIN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_defaulted_as_recorded() {
    let mut tally = Tally::default();
    for (flag, dual) in [(ONE_STACK, false), (TWO_STACKS, true)] {
        let cluster = Cluster::start(Engine::Keelson);
        let server = cluster.apiserver_with(&[flag]).await;
        let door = Door::new(&cluster, &server);
        for name in cases("defaulting", ".in.json") {
            if name.starts_with("dualstack-") == dual {
                tally.add(&name, defaulted(&door, &name).await);
            }
        }
        server.stop().await;
    }
    tally.report("defaulting", DEFAULTED_MIN);
}

async fn defaulted(door: &Door, name: &str) -> Option<String> {
    let (input, output) = (json(&format!("defaulting/{name}.in.json")), json(&format!("defaulting/{name}.out.json")));
    let space = output["metadata"]["namespace"].as_str().unwrap_or_default();
    let Some(path) = path_of(&input, space) else { return Some("no resource is of this kind".to_owned()) };
    if !space.is_empty() {
        door.namespace(space).await;
    }
    let (mut before, mut warnings) = (Vec::new(), Value::Null);
    if facts().join(format!("defaulting/{name}.meta.json")).is_file() {
        let meta = json(&format!("defaulting/{name}.meta.json"));
        warnings = meta["warnings"].clone();
        for entry in meta["preexisting"].as_array().into_iter().flatten() {
            let object = &entry["object"];
            let place = entry["namespace"].as_str().unwrap_or(space);
            let Some(path) = path_of(object, place) else { return Some(format!("needs {}", object["kind"])) };
            let one = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
            let made = door.send(&serde_json::json!({"method": "POST", "path": path, "body": object})).await;
            if made.code == 409 {
                // A ServiceAccount that every namespace has: say what this one says.
                door.send(&serde_json::json!({"method": "PUT", "path": one, "body": object})).await;
            }
            before.push(one);
        }
        if !before.is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    let answer = door.send(&serde_json::json!({"method": "POST", "path": path, "body": input})).await;
    let found = match answer.code {
        201 => difference("", &output, &answer.json()),
        code => Some(format!("refused: {code} {}", answer.text())),
    };
    let found = found.or_else(|| warned(&warnings, &answer));
    let mut made = vec![format!("{path}/{}", answer.json()["metadata"]["name"].as_str().unwrap_or_default())];
    made.extend(before);
    for path in made {
        door.send(&serde_json::json!({"method": "DELETE", "path": format!("{path}?gracePeriodSeconds=0")})).await;
    }
    found
}

fn warned(expected: &Value, answer: &Answer) -> Option<String> {
    // Fields of a body are sent in the order of their names here, so unknown ones are found in another order.
    let expected: BTreeSet<&str> = expected.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let found = answer.header("warning");
    (expected != found.iter().map(String::as_str).collect())
        .then(|| format!("warnings expected: {expected:?}, found {found:?}"))
}

/// The collection in which an object of a known kind lives.
pub fn path_of(object: &Value, space: &str) -> Option<String> {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    let row = api::resource::by_api_version(text("apiVersion"), text("kind"))?;
    let begin = if row.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}", text("apiVersion")) };
    Some(if row.namespaced {
        format!("{begin}/namespaces/{space}/{}", row.plural)
    } else {
        format!("{begin}/{}", row.plural)
    })
}

/// Makes what had to be there; the request, filled in with what came back.
pub async fn set_up(door: &Door, case: &Value) -> (Value, Vec<Value>) {
    let mut answers: Vec<Value> = Vec::new();
    let mut is_slow = false;
    // A namespace that the case makes itself has labels of its own.
    let own = case["setup"].as_array().into_iter().flatten().any(|step| step["body"]["kind"] == "Namespace");
    if !own {
        namespace_of(door, &case["request"]).await;
    }
    for request in case["setup"].as_array().into_iter().flatten() {
        let request = filled(request, &answers);
        namespace_of(door, &request).await;
        let answer = door.send(&request).await;
        if request["body"]["kind"] == "Namespace" {
            namespace_of(door, &case["request"]).await;
        }
        let path = request["path"].as_str().unwrap_or_default();
        // What is there already (a namespace that every case gets) is read instead.
        let body = match (answer.code, request["body"]["metadata"]["name"].as_str()) {
            (409, Some(name)) => door.get(&format!("{path}/{name}")).await.json(),
            _ => answer.json(),
        };
        if answer.code == 201 && request["body"]["kind"] == "CustomResourceDefinition" {
            door.established(&body).await;
        }
        is_slow |= SLOW.contains(&request["body"]["kind"].as_str().unwrap_or_default());
        answers.push(body);
    }
    if is_slow {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    (filled(&case["request"], &answers), answers)
}

async fn namespace_of(door: &Door, request: &Value) {
    let target = request["path"].as_str().and_then(Target::parse).unwrap_or_default();
    if !target.namespace.is_empty() {
        door.namespace(&target.namespace).await;
    }
}

/// A request with the fields of earlier answers written in.
fn filled(request: &Value, answers: &[Value]) -> Value {
    let mut text = request.to_string();
    for (index, answer) in answers.iter().enumerate() {
        for field in ["metadata.uid", "metadata.resourceVersion"] {
            let value = field.split('.').fold(answer, |value, step| &value[step]);
            text = text.replace(&format!("${{{index}.{field}}}"), value.as_str().unwrap_or_default());
        }
    }
    serde_json::from_str(&text).expect("replaced within strings")
}

/// Compares code, headers and body.
fn judged(expected: &Value, answer: &Answer) -> Option<String> {
    let code = expected["code"].as_i64().unwrap_or_default();
    if answer.code != code {
        let text: String = answer.text().chars().take(300).collect();
        let wanted: String = expected["body"]["message"].to_string().chars().take(300).collect();
        return Some(format!("expected {code} {wanted}, found {} {text}", answer.code));
    }
    let headers = expected["headers"].as_object();
    for (name, wanted) in headers.into_iter().flatten() {
        let found = answer.header(name);
        let same = match wanted {
            // Only warnings are several.
            Value::Array(_) => warned(wanted, answer).is_none(),
            Value::String(wanted) => found.first() == Some(wanted),
            _ => true,
        };
        if !same {
            return Some(format!("header {name}: expected {wanted}, found {found:?}"));
        }
    }
    match &expected["body"] {
        Value::Object(body) if body.get("status").and_then(Value::as_str) == Some("Failure") => {
            refusal(&expected["body"], code, &answer.json())
        }
        Value::Object(_) => difference("", &expected["body"], &answer.json()),
        Value::String(text) if text.is_empty() || text.starts_with("404") => {
            (answer.text() != *text).then(|| format!("expected {text:?}, found {:?}", answer.text()))
        }
        _ => None,
    }
}
