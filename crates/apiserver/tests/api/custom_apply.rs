//! Custom resources are applied, owned, defaulted and refused as their schema says.

use client::dynamic::json_body;
use client::{Api, Client, DynApi, DynObject, Patch, WriteParams};
use proto::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use crate::harness::{Cluster, Engine, until};
use crate::on_each_store;

on_each_store! {
    a_custom_object_is_applied_and_its_status_apart
    the_scale_of_a_custom_object_is_owned_at_its_own_path
    what_was_wrong_before_a_schema_was_tightened_is_let_be
}

const GROUP: &str = "apply.example.com";

/// A definition whose objects have `size` replicas and tags that occur once.
fn definition() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("clusters.{GROUP}")},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": {"plural": "clusters", "kind": "Cluster"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "subresources": {"status": {},
                    "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {
                        "size": {"type": "integer", "default": 1, "maximum": 9},
                        "color": {"type": "string"},
                        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}}},
                    "status": {"type": "object", "properties": {"size": {"type": "integer"}}}}}}}]}})
}

async fn define(client: &Client) -> CustomResourceDefinition {
    let definitions: Api<CustomResourceDefinition> = client.api();
    let made: CustomResourceDefinition = proto::json::from_value(definition()).expect("a definition");
    definitions.create(&made).await.expect("created");
    until("the established definition", || async {
        let found = definitions.get("", &made.metadata.name).await.expect("it is there");
        let established = found.status.conditions.iter().any(|it| it.r#type == "Established" && it.status == "True");
        established.then_some(found)
    })
    .await
}

fn by(manager: &str) -> WriteParams {
    WriteParams { field_manager: manager.into(), ..Default::default() }
}

async fn apply(api: &DynApi, manager: &str, subresource: &str, part: Value) -> Result<DynObject, client::Error> {
    let mut body = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Cluster", "metadata": {"name": "a"}});
    if let (Value::Object(body), Value::Object(part)) = (&mut body, part) {
        body.extend(part);
    }
    let body = body.to_string().into_bytes();
    api.patch("default", "a", subresource, Patch::Apply { body, force: false }, &by(manager)).await
}

fn tree(object: &DynObject) -> Value {
    object.to_json().expect("JSON")
}

/// Manager, operation, subresource and fields of each entry.
fn entries(object: &DynObject) -> Vec<String> {
    let json = tree(object);
    let all = json["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    all.iter()
        .map(|entry| {
            let (manager, operation) = (text(entry, "manager"), text(entry, "operation"));
            format!("{manager} {operation} {} {}", text(entry, "subresource"), entry["fieldsV1"])
        })
        .collect()
}

async fn a_custom_object_is_applied_and_its_status_apart(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    define(&client).await;
    let clusters = client.dynamic(GROUP, "v1", "clusters");
    let made = apply(&clusters, "a", "", json!({"spec": {"tags": ["x"]}})).await.expect("created");
    assert_eq!(tree(&made)["spec"], json!({"size": 1, "tags": ["x"]}));
    assert_eq!(entries(&made), [r#"a Apply  {"f:spec":{"f:tags":{"v:\"x\"":{}}}}"#]);

    let joined = apply(&clusters, "b", "", json!({"spec": {"tags": ["y"], "color": "red"}})).await.expect("joined");
    assert_eq!(tree(&joined)["spec"]["tags"], json!(["x", "y"]));
    let refused = apply(&clusters, "a", "", json!({"spec": {"tags": ["x"], "color": "blue"}})).await;
    let refused = refused.expect_err("another's").to_string();
    assert!(refused.contains("conflict with \"b\": .spec.color"), "{refused}");
    let unknown = apply(&clusters, "a", "", json!({"spec": {"colour": "blue"}})).await.expect_err("unknown");
    assert!(unknown.to_string().contains(".spec.colour: field not declared in schema"), "{unknown}");

    let told = apply(&clusters, "s", "status", json!({"status": {"size": 1}})).await.expect("its status");
    assert_eq!(tree(&told)["status"], json!({"size": 1}));
    assert!(
        entries(&told).contains(&r#"s Apply status {"f:status":{"f:size":{}}}"#.to_owned()),
        "{:?}",
        entries(&told)
    );
    let again = apply(&clusters, "s", "status", json!({"status": {"size": 1}})).await.expect("no change");
    assert_eq!(tree(&again)["metadata"]["resourceVersion"], tree(&told)["metadata"]["resourceVersion"]);

    let left = apply(&clusters, "b", "", json!({"spec": {"color": "red"}})).await.expect("left");
    assert_eq!(tree(&left)["spec"]["tags"], json!(["x"]));
    let wrong = apply(&clusters, "b", "", json!({"spec": {"size": 10}})).await.expect_err("too many");
    assert_eq!(wrong.reason(), "Invalid", "{wrong}");
    server.stop().await;
}

async fn the_scale_of_a_custom_object_is_owned_at_its_own_path(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    define(&client).await;
    let clusters = client.dynamic(GROUP, "v1", "clusters");
    apply(&clusters, "a", "", json!({"spec": {"size": 2}})).await.expect("created");
    let scale =
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": {"replicas": 5}});
    let body = scale.to_string().into_bytes();
    let params = by("scaler");
    let refused =
        clusters.patch("default", "a", "scale", Patch::Apply { body: body.clone(), force: false }, &params).await;
    assert!(refused.expect_err("another's").to_string().contains("conflict with \"a\""));
    clusters.patch("default", "a", "scale", Patch::Apply { body, force: true }, &params).await.expect("forced");
    let scaled = clusters.get("default", "a", "").await.expect("it is there");
    assert_eq!(tree(&scaled)["spec"]["size"], 5);
    assert_eq!(entries(&scaled), [r#"scaler Apply scale {"f:spec":{"f:size":{}}}"#]);
    server.stop().await;
}

async fn what_was_wrong_before_a_schema_was_tightened_is_let_be(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    let mut definition = define(&client).await;
    let clusters = client.dynamic(GROUP, "v1", "clusters");
    apply(&clusters, "a", "", json!({"spec": {"color": "crimson", "size": 2}})).await.expect("created");

    let schema = definition.spec.versions[0].schema.as_mut().and_then(|schema| schema.open_apiv3_schema.as_mut());
    let spec = schema.and_then(|schema| schema.properties.get_mut("spec")).expect("a schema");
    spec.properties.get_mut("color").expect("a color").max_length = Some(3);
    client.api::<CustomResourceDefinition>().update(&definition).await.expect("tightened");
    let long = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Cluster", "metadata": {"name": "b"}, "spec": {"color": "crimson"}});
    let dry = WriteParams { dry_run: true, ..WriteParams::default() };
    until("the tightened schema", || async {
        clusters.create("default", "", "", json_body(long.to_string()), &dry).await.err()
    })
    .await;
    let other = Patch::merge(&json!({"spec": {"size": 3}}));
    let kept = clusters.patch("default", "a", "", other, &by("u")).await.expect("the color is as it was");
    assert_eq!(tree(&kept)["spec"], json!({"color": "crimson", "size": 3}));
    let changed = Patch::merge(&json!({"spec": {"color": "scarlet"}}));
    let refused = clusters.patch("default", "a", "", changed, &by("u")).await.expect_err("too long");
    assert!(refused.to_string().contains("spec.color: Too long"), "{refused}");
    server.stop().await;
}
