//! Requests that a real API server refused, or let pass against expectation.

use std::time::{Duration, Instant};

use client::Client;
use client::config::{Credentials, Data};
use serde_json::Value;
use test_goldens::request::{Target, causes, header};
use test_goldens::{cases, json};

use crate::compare::refusal;
use crate::harness::{Apiserver, Cluster, Engine};
use crate::{Tally, on_each_store, report, send};

/// Fewer would mean that cases, or kinds, went missing.
const REPLAYED_MIN: usize = 410;
/// Why cases are not replayed, and how many.
const LEFT_OUT: &[(&str, usize)] = &[
    ("HTTP routing and content negotiation", 15),
    ("a content type", 1),
    ("a kind of a later part", 20),
    ("a path that names no resource", 2),
    ("a query parameter that gRPC does not have, or has as a number", 10),
    ("a stream to the kubelet", 6),
];

/// How long a binding may take to count.
const BOUND_MAX: Duration = Duration::from_secs(5);
const REVIEWS: [&str; 2] = ["/apis/authentication.k8s.io/", "/apis/authorization.k8s.io/"];

on_each_store! { refusals_are_answered_as_recorded }

async fn refusals_are_answered_as_recorded(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver_with(&["--service-cluster-ip-range=10.96.0.0/16"]).await;
    let callers = Callers::new(&cluster, &server);
    let mut tally = Tally::default();
    for name in cases("validation", ".json") {
        let case = json(&format!("validation/{name}.json"));
        match replay(&callers, &case).await {
            Ok((kind, difference)) => tally.add(&kind, &name, difference),
            Err(reason) => tally.leave_out(reason),
        }
    }
    server.stop().await;
    report("validation", &tally, REPLAYED_MIN, LEFT_OUT);
}

/// The users of the facts.
struct Callers {
    admin: Client,
    alice: Client,
    node: Client,
    /// Shows a token that nobody issued, as the one request without a credential of ours does.
    nobody: Client,
}

impl Callers {
    fn new(cluster: &Cluster, server: &Apiserver) -> Self {
        let client = |who: &str| cluster.client(server, who);
        let token = Credentials::Token(Data::Inline(b"nope".to_vec()));
        let nobody = cluster.client_with(server, token);
        Self { admin: client("admin"), alice: client("alice"), node: client("node-1"), nobody }
    }

    fn of(&self, request: &Value) -> &Client {
        match request["user"].as_str() {
            None => &self.admin,
            Some("alice") => &self.alice,
            Some("node") => &self.node,
            Some(_) => &self.nobody,
        }
    }
}

async fn replay(callers: &Callers, case: &Value) -> Result<(String, Option<String>), &'static str> {
    let (client, request) = (&callers.admin, &case["request"]);
    let path = request["path"].as_str().ok_or("a request without a path")?;
    let target = Target::parse(path).ok_or("a path that names no resource")?;
    if !target.is_served() && !is_about_access(case) {
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
    let request = filled(request, &answers)?;
    let begin = Instant::now();
    loop {
        let answer = send::send(callers.of(&request), &request).await?;
        let difference = difference(case, code, &answer);
        // What was bound a moment ago is known a moment later.
        if difference.is_none() || request["user"].is_null() || begin.elapsed() > BOUND_MAX {
            return Ok((target.plural, difference));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether it is about who may do what: then it is replayed whatever kind it uses.
fn is_about_access(case: &Value) -> bool {
    let path = case["request"]["path"].as_str().unwrap_or_default();
    !case["request"]["user"].is_null() || REVIEWS.iter().any(|group| path.starts_with(group))
}

fn difference(case: &Value, code: i64, answer: &send::Answer) -> Option<String> {
    let expected = &case["response"]["body"];
    let found = &answer.body;
    let succeeded = (200..300).contains(&answer.code);
    if (200..300).contains(&code) {
        let review = is_about_access(case) && expected["status"] != found["status"];
        return (!succeeded || review).then(|| format!("expected success, {}, found {found}", expected["status"]));
    }
    if succeeded {
        return Some(format!("expected {code} {} {:?}, found success", expected["message"], causes(expected)));
    }
    let told = case["request"]["user"].is_null() || expected["message"] == found["message"];
    let as_told = (!told).then(|| format!("expected {}, found {}", expected["message"], found["message"]));
    refusal(expected, code, found).or(as_told)
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

/// Sends what had to be there, of the served kinds; a cluster-scoped object of a case before may be there already.
pub async fn setup(client: &Client, case: &Value) -> Result<Vec<Value>, &'static str> {
    let mut answers: Vec<Value> = Vec::new();
    for request in case["setup"].as_array().into_iter().flatten() {
        let request = filled(request, &answers)?;
        let path = request["path"].as_str().unwrap_or_default();
        let target = Target::parse(path).ok_or("a setup at a path that names no resource")?;
        if !target.is_served() && !is_about_access(case) {
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
