//! Objects as a real API server answered them after defaults and admission.

use serde_json::Value;
use test_goldens::request::Target;
use test_goldens::{cases, facts, json};

use crate::compare::difference;
use crate::harness::{Cluster, Engine};
use crate::{Tally, on_each_store, report, send};

/// Fewer would mean that cases, or kinds, went missing.
const REPLAYED_MIN: usize = 139;
/// Why cases are not replayed, and how many.
const LEFT_OUT: &[(&str, usize)] = &[("a kind of a later part", 2)];

on_each_store! { defaulted_objects_are_answered_as_recorded }

async fn defaulted_objects_are_answered_as_recorded(engine: Engine) {
    let cluster = Cluster::start(engine);
    let mut tally = Tally::default();
    let single = cluster.apiserver_with(&["--service-cluster-ip-range=10.96.0.0/16"]).await;
    replay(&cluster, &single, &mut tally, |name| !name.starts_with("dualstack-")).await;
    single.stop().await;

    let cluster = Cluster::start(engine);
    let dual = cluster.apiserver_with(&["--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112"]).await;
    replay(&cluster, &dual, &mut tally, |name| name.starts_with("dualstack-")).await;
    dual.stop().await;
    report("defaulting", &tally, REPLAYED_MIN, LEFT_OUT);
}

async fn replay(
    cluster: &Cluster,
    server: &crate::harness::Apiserver,
    tally: &mut Tally,
    wanted: impl Fn(&str) -> bool,
) {
    let client = cluster.client(server, "admin");
    for name in cases("defaulting", ".in.json").into_iter().filter(|name| wanted(name)) {
        let (input, output) =
            (json(&format!("defaulting/{name}.in.json")), json(&format!("defaulting/{name}.out.json")));
        let space = output["metadata"]["namespace"].as_str().unwrap_or_default();
        let Some(path) = path_of(&input, space) else {
            tally.leave_out("a kind of a later part");
            continue;
        };
        if !space.is_empty() {
            send::namespace(&client, space).await;
        }
        let Some(before) = prepare(&client, &name, space).await else {
            tally.leave_out("needs an object of a later part");
            continue;
        };
        let target = Target::parse(&path).expect("made by path_of");
        let request = serde_json::json!({"method": "POST", "path": path, "body": input});
        let answer = send::send(&client, &request).await.expect("a plain request");
        let found = if answer.code == 201 {
            difference("", &output, &answer.body)
        } else {
            Some(format!("refused: {}", answer.body["message"]))
        };
        tally.add(&target.plural, &name, found);
        send::delete(&client, &format!("{path}/{}", input["metadata"]["name"].as_str().unwrap_or_default())).await;
        for path in before {
            send::delete(&client, &path).await;
        }
    }
}

/// The objects that had to be there; their paths. `None` where one is of a kind not served.
async fn prepare(client: &client::Client, name: &str, space: &str) -> Option<Vec<String>> {
    let mut made = Vec::new();
    if !facts().join(format!("defaulting/{name}.meta.json")).is_file() {
        return Some(made);
    }
    let meta = json(&format!("defaulting/{name}.meta.json"));
    for entry in meta["preexisting"].as_array().into_iter().flatten() {
        let object = &entry["object"];
        let place = entry["namespace"].as_str().unwrap_or(space);
        let path = path_of(object, place)?;
        let path_of_object = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
        let request = serde_json::json!({"method": "POST", "path": path, "body": object});
        let answer = send::send(client, &request).await.ok()?;
        if answer.code == 409 {
            // A ServiceAccount that every namespace has: say what this one says.
            let request = serde_json::json!({"method": "PUT", "path": path_of_object, "body": object});
            send::send(client, &request).await.ok()?;
        }
        made.push(path_of_object);
    }
    if !made.is_empty() {
        // Default classes act a moment after they are made, say the facts.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    Some(made)
}

/// The collection in which an object of a served kind lives.
fn path_of(object: &Value, space: &str) -> Option<String> {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    let row = api::resource::by_api_version(text("apiVersion"), text("kind"))?;
    let begin = if row.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}", text("apiVersion")) };
    let path = if row.namespaced {
        format!("{begin}/namespaces/{space}/{}", row.plural)
    } else {
        format!("{begin}/{}", row.plural)
    };
    Target::parse(&path)?.is_served().then_some(path)
}
