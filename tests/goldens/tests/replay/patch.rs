//! Patches and what they made of objects.

use serde_json::Value;
use test_goldens::request::{Target, header};
use test_goldens::{cases, json};

use crate::compare::{difference, refusal};
use crate::harness::{Cluster, Engine};
use crate::validation::{filled, setup};
use crate::{Tally, on_each_store, report, send};

/// Fewer would mean that cases, or kinds, went missing.
const REPLAYED_MIN: usize = 78;
/// Why cases are not replayed, and how many.
const LEFT_OUT: &[(&str, usize)] = &[("a kind of a later part", 9)];

on_each_store! { patches_do_what_was_recorded }

async fn patches_do_what_was_recorded(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver_with(&["--service-cluster-ip-range=10.96.0.0/16"]).await;
    let client = cluster.client(&server, "admin");
    let mut tally = Tally::default();
    for name in cases("patch", ".json") {
        let case = json(&format!("patch/{name}.json"));
        match replay(&client, &case).await {
            Ok((kind, difference)) => tally.add(&kind, &name, difference),
            Err(reason) => tally.leave_out(reason),
        }
    }
    server.stop().await;
    report("patch", &tally, REPLAYED_MIN, LEFT_OUT);
}

async fn replay(client: &client::Client, case: &Value) -> Result<(String, Option<String>), &'static str> {
    let request = &case["request"];
    let path = request["path"].as_str().ok_or("a request without a path")?;
    let target = Target::parse(path).ok_or("a path that names no resource")?;
    if !target.is_served() {
        return Err("a kind of a later part");
    }
    if !target.namespace.is_empty() {
        send::namespace(client, &target.namespace).await;
    }
    let answers = setup(client, case).await?;
    let answer = send::send(client, &filled(request, &answers)?).await?;
    let code = case["response"]["code"].as_i64().unwrap_or_default();
    if !(200..300).contains(&code) {
        let found = if (200..300).contains(&answer.code) {
            Some(format!("expected {code}, found success"))
        } else {
            refusal(&case["response"]["body"], code, &answer.body).or_else(|| message(case, &answer.body))
        };
        return Ok((target.plural, found));
    }
    if !(200..300).contains(&answer.code) {
        return Ok((target.plural, Some(format!("refused: {}", answer.body["message"]))));
    }
    let answered = difference("answer", &case["response"]["body"], &answer.body);
    if case["after"].is_null() || answered.is_some() {
        return Ok((target.plural, answered));
    }
    let plain = path.split('?').next().unwrap_or(path).trim_end_matches("/status");
    let get = serde_json::json!({"method": "GET", "path": plain, "body": Value::Null});
    let after = send::send(client, &get).await?.body;
    let found = difference("", &case["after"], &after);
    Ok((target.plural, found))
}

/// Who applies reads in the message whose fields stand in the way, and what does not fit the schema.
fn message(case: &Value, found: &Value) -> Option<String> {
    let applies = header(&case["request"], "content-type").starts_with("application/apply-patch");
    let expected = &case["response"]["body"];
    if applies { difference("message", &expected["message"], &found["message"]) } else { None }
}
