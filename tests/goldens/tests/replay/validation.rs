//! Requests that a real API server refused, or let pass against expectation.

use serde_json::Value;
use test_goldens::request::{Target, causes, header};
use test_goldens::{cases, json};

use crate::compare::refusal;
use crate::harness::{Cluster, Engine};
use crate::{Tally, on_each_store, report, send};

/// Fewer would mean that cases, or kinds, went missing.
const REPLAYED_MIN: usize = 410;
/// Why cases are not replayed, and how many.
const LEFT_OUT: &[(&str, usize)] = &[
    ("HTTP routing and content negotiation", 15),
    ("a content type", 1),
    ("a kind of a later part", 23),
    ("a path that names no resource", 2),
    ("a query parameter that gRPC does not have, or has as a number", 10),
    ("a stream to the kubelet", 7),
    ("another user than the administrator", 5),
    ("server-side apply (part 3)", 10),
];

on_each_store! { refusals_are_answered_as_recorded }

async fn refusals_are_answered_as_recorded(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver_with(&["--service-cluster-ip-range=10.96.0.0/16"]).await;
    let client = cluster.client(&server, "admin");
    let mut tally = Tally::default();
    for name in cases("validation", ".json") {
        let case = json(&format!("validation/{name}.json"));
        match replay(&client, &case).await {
            Ok((kind, difference)) => tally.add(&kind, &name, difference),
            Err(reason) => tally.leave_out(reason),
        }
    }
    server.stop().await;
    report("validation", &tally, REPLAYED_MIN, LEFT_OUT);
}

async fn replay(client: &client::Client, case: &Value) -> Result<(String, Option<String>), &'static str> {
    let request = &case["request"];
    let path = request["path"].as_str().ok_or("a request without a path")?;
    let target = Target::parse(path).ok_or("a path that names no resource")?;
    if !target.is_served() {
        return Err("a kind of a later part");
    }
    let code = case["response"]["code"].as_i64().unwrap_or_default();
    if matches!(code, 405 | 406) || !header(request, "accept").is_empty() {
        return Err("HTTP routing and content negotiation");
    }
    // A setup may make the namespace with labels of its own.
    let answers = setup(client, case).await?;
    if !target.namespace.is_empty() {
        send::namespace(client, &target.namespace).await;
    }
    let answer = send::send(client, &filled(request, &answers)?).await?;
    let expected = &case["response"]["body"];
    let difference = if (200..300).contains(&code) {
        (!(200..300).contains(&answer.code)).then(|| format!("expected success, found {}", answer.body))
    } else if (200..300).contains(&answer.code) {
        let causes = causes(expected);
        Some(format!("expected {code} {} {causes:?}, found success", expected["message"]))
    } else {
        refusal(expected, code, &answer.body)
    };
    Ok((target.plural, difference))
}

/// A request with the fields of earlier answers written in.
pub fn filled(request: &Value, answers: &[Value]) -> Result<Value, &'static str> {
    let mut text = request.to_string();
    for (index, answer) in answers.iter().enumerate() {
        for field in ["metadata.uid", "metadata.resourceVersion"] {
            let value = field.split('.').fold(answer, |value, step| &value[step]);
            text = text.replace(&format!("${{{index}.{field}}}"), value.as_str().unwrap_or_default());
        }
    }
    serde_json::from_str(&text).map_err(|_| "a request that cannot be filled in")
}

/// Sends what had to be there; a cluster-scoped object of a case before may be there already.
pub async fn setup(client: &client::Client, case: &Value) -> Result<Vec<Value>, &'static str> {
    let mut answers: Vec<Value> = Vec::new();
    for request in case["setup"].as_array().into_iter().flatten() {
        let request = filled(request, &answers)?;
        let path = request["path"].as_str().unwrap_or_default();
        let target = Target::parse(path).ok_or("a setup at a path that names no resource")?;
        if !target.is_served() {
            return Err("a setup with a kind of a later part");
        }
        if !target.namespace.is_empty() {
            send::namespace(client, &target.namespace).await;
        }
        let answer = send::send(client, &request).await?;
        // What is there already (a namespace that every case gets) is read instead.
        let body = match (answer.code, request["body"]["metadata"]["name"].as_str()) {
            (409, Some(name)) => {
                let path = format!("{path}/{name}");
                send::send(client, &serde_json::json!({"method": "GET", "path": path, "body": Value::Null})).await?.body
            }
            _ => answer.body,
        };
        answers.push(body);
        if matches!(target.plural.as_str(), "limitranges" | "resourcequotas") {
            // They act a moment after they are made, say the facts.
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
    Ok(answers)
}
