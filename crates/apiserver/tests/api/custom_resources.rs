//! Custom resources: definitions come and go while the server runs, on one apiserver and on several.

use std::sync::Arc;

use client::dynamic::json_body;
use client::{Api, Client, DeleteParams, DynApi, DynObject, ListParams, Patch, WatchParams, WriteParams};
use futures::StreamExt;
use http::Method;
use proto::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use crate::harness::{Cluster, Engine, until};
use crate::on_each_store;
use crate::rest_client::Caller;

on_each_store! {
    a_definition_is_established_and_its_objects_are_served
    watchers_see_custom_objects_change
    a_deleted_definition_takes_its_objects_along
    versions_show_the_same_objects
    what_only_a_webhook_converts_is_refused
    names_belong_to_who_was_first
    two_apiservers_serve_the_same_definitions
    rest_shows_columns_scales_and_selections
    a_changed_schema_is_the_one_that_counts
}

const GROUP: &str = "test.example.com";

/// A definition of namespaced objects with a status.
fn definition(plural: &str, kind: &str) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {"group": GROUP, "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, "shortNames": [format!("{}x", kind.to_lowercase())], "categories": ["all"]},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"n": {"type": "integer"}, "color": {"type": "string"}}},
                    "status": {"type": "object", "properties": {"seen": {"type": "integer"}}}}}}}]}})
}

fn object(kind: &str, name: &str, n: i64) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": {"name": name}, "spec": {"n": n}})
}

async fn define(client: &Client, definition: &Value) -> CustomResourceDefinition {
    let definitions: Api<CustomResourceDefinition> = client.api();
    let name = definition["metadata"]["name"].as_str().expect("a name").to_owned();
    let made: CustomResourceDefinition = proto::json::from_value(definition.clone()).expect("a definition");
    definitions.create(&made).await.expect("created");
    until("the established definition", || async {
        let found = definitions.get("", &name).await.expect("it is there");
        let established = |it: &&proto::apiextensions::v1::CustomResourceDefinitionCondition| {
            it.r#type == "Established" && it.status == "True"
        };
        found.status.conditions.iter().find(established).is_some().then_some(found)
    })
    .await
}

async fn create(api: &DynApi, body: &Value) -> Result<DynObject, client::Error> {
    api.create("default", "", "", json_body(body.to_string()), &WriteParams::default()).await
}

fn tree(object: &DynObject) -> Value {
    object.to_json().expect("JSON")
}

async fn a_definition_is_established_and_its_objects_are_served(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    let made = define(&client, &definition("widgets", "Widget")).await;
    assert_eq!(made.status.accepted_names.singular, "widget");
    assert_eq!(made.status.stored_versions, ["v1"]);
    let told = client.api_resources().await.expect("discovery");
    let row = told.iter().find(|row| row.plural == "widgets").expect("told");
    assert_eq!((row.kind.as_str(), row.short_names.as_slice()), ("Widget", &["widgetx".to_owned()][..]));
    assert_eq!(row.subresources, ["status"]);

    let widgets = client.dynamic(GROUP, "v1", "widgets");
    let first = create(&widgets, &object("Widget", "a", 1)).await.expect("created");
    assert_eq!(tree(&first)["metadata"]["generation"], 1);
    assert_eq!(tree(&first)["spec"], json!({"n": 1}));
    let again = create(&widgets, &object("Widget", "a", 1)).await.expect_err("it is there");
    assert_eq!(again.reason(), "AlreadyExists", "{again}");

    let mut changed = tree(&first);
    changed["spec"]["n"] = json!(2);
    changed["status"] = json!({"seen": 7});
    let params = WriteParams::default();
    let body = json_body(changed.to_string());
    let second = widgets.update("default", "a", "", body, 0, &params).await.expect("updated");
    assert_eq!(tree(&second)["metadata"]["generation"], 2);
    // The status is its subresource's.
    assert_eq!(tree(&second).get("status"), None);
    let mut told = tree(&second);
    told["status"] = json!({"seen": 7});
    told["spec"]["n"] = json!(9);
    told["metadata"]["labels"] = json!({"no": "label"});
    let third = widgets.update("default", "a", "status", json_body(told.to_string()), 0, &params).await;
    let third = tree(&third.expect("its status is written"));
    assert_eq!((&third["spec"]["n"], &third["status"]), (&json!(2), &json!({"seen": 7})));
    assert_eq!((&third["metadata"]["generation"], third["metadata"].get("labels")), (&json!(2), None));
    // Who does not say what was changed is refused.
    let blind = json_body(object("Widget", "a", 3).to_string());
    let blind = widgets.update("default", "a", "", blind, 0, &params).await.expect_err("refused");
    assert_eq!(blind.reason(), "Invalid", "{blind}");

    let patch = Patch::merge(&json!({"spec": {"color": "blue"}}));
    let patched = widgets.patch("default", "a", "", patch, &params).await.expect("patched");
    assert_eq!(tree(&patched)["spec"], json!({"n": 2, "color": "blue"}));
    create(&widgets, &object("Widget", "b", 1)).await.expect("created");
    let list = widgets.list(&ListParams::default()).await.expect("listed");
    assert_eq!(list.items.len(), 2);
    assert!(widgets.delete("default", "a", &DeleteParams::default()).await.expect("deleted"));
    let gone = widgets.get("default", "a", "").await.expect_err("gone");
    assert_eq!(gone.reason(), "NotFound", "{gone}");
    server.stop().await;
}

async fn watchers_see_custom_objects_change(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    define(&client, &definition("gauges", "Gauge")).await;
    let gauges = client.dynamic(GROUP, "v1", "gauges");
    let mut events = Box::pin(gauges.watch(&WatchParams::default()).await.expect("watched"));
    create(&gauges, &object("Gauge", "a", 1)).await.expect("created");
    let patch = Patch::merge(&json!({"spec": {"n": 5}}));
    gauges.patch("default", "a", "", patch, &WriteParams::default()).await.expect("patched");
    gauges.delete("default", "a", &DeleteParams::default()).await.expect("deleted");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let event = events.next().await.expect("an event").expect("no error");
        match event {
            client::Event::Added(object) => seen.push(("added", tree(&object)["spec"]["n"].clone())),
            client::Event::Modified(object) => seen.push(("modified", tree(&object)["spec"]["n"].clone())),
            client::Event::Deleted(object) => seen.push(("deleted", tree(&object)["spec"]["n"].clone())),
            _ => {}
        }
    }
    assert_eq!(seen, [("added", json!(1)), ("modified", json!(5)), ("deleted", json!(5))]);
    drop(events);
    server.stop().await;
}

async fn a_deleted_definition_takes_its_objects_along(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    define(&client, &definition("levers", "Lever")).await;
    let levers = client.dynamic(GROUP, "v1", "levers");
    let mut held = object("Lever", "held", 1);
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    create(&levers, &held).await.expect("created");
    create(&levers, &object("Lever", "free", 1)).await.expect("created");
    let definitions: Api<CustomResourceDefinition> = client.api();
    let name = format!("levers.{GROUP}");
    definitions.delete("", &name, &DeleteParams::default()).await.expect("deleted");
    let terminating = until("the end of what nothing holds", || async {
        let left = levers.list(&ListParams::default()).await.expect("still served").items.len();
        if left == 1 { Some(definitions.get("", &name).await.expect("held by an object")) } else { None }
    })
    .await;
    let told = terminating.status.conditions.iter().find(|it| it.r#type == "Terminating").expect("told");
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("True", "InstanceDeletionInProgress"));
    let late = create(&levers, &object("Lever", "late", 1)).await.expect_err("no new ones");
    assert_eq!(late.reason(), "MethodNotAllowed", "{late}");
    let release = Patch::merge(&json!({"metadata": {"finalizers": null}}));
    levers.patch("default", "held", "", release, &WriteParams::default()).await.expect("released");
    until("the end of the definition", || async {
        definitions.get_opt("", &name).await.expect("read").is_none().then_some(())
    })
    .await;
    until("the end of its resource", || async { levers.list(&ListParams::default()).await.is_err().then_some(()) })
        .await;
    // It can come back, empty.
    define(&client, &definition("levers", "Lever")).await;
    assert!(levers.list(&ListParams::default()).await.expect("served again").items.is_empty());
    server.stop().await;
}

async fn versions_show_the_same_objects(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    let mut two = definition("valves", "Valve");
    let mut second = two["spec"]["versions"][0].clone();
    second["name"] = json!("v2");
    second["storage"] = json!(false);
    two["spec"]["versions"].as_array_mut().expect("a list").push(second);
    define(&client, &two).await;
    let (old, new) = (client.dynamic(GROUP, "v1", "valves"), client.dynamic(GROUP, "v2", "valves"));
    create(&old, &object("Valve", "a", 4)).await.expect("created");
    let seen = tree(&new.get("default", "a", "").await.expect("the same object"));
    assert_eq!((&seen["apiVersion"], &seen["spec"]["n"]), (&json!(format!("{GROUP}/v2")), &json!(4)));
    let patch = Patch::merge(&json!({"spec": {"n": 5}}));
    new.patch("default", "a", "", patch, &WriteParams::default()).await.expect("patched");
    let seen = tree(&old.get("default", "a", "").await.expect("the same object"));
    assert_eq!((&seen["apiVersion"], &seen["spec"]["n"]), (&json!(format!("{GROUP}/v1")), &json!(5)));
    // Storage moves on; what is stored already is read as before.
    let definitions: Api<CustomResourceDefinition> = client.api();
    let name = format!("valves.{GROUP}");
    let mut moved = definitions.get("", &name).await.expect("read");
    moved.spec.versions[0].storage = false;
    moved.spec.versions[0].served = false;
    moved.spec.versions[1].storage = true;
    let moved = definitions.update(&moved).await.expect("updated");
    assert_eq!(moved.status.stored_versions, ["v1", "v2"]);
    until("the end of the old version", || async { old.get("default", "a", "").await.is_err().then_some(()) }).await;
    assert_eq!(tree(&new.get("default", "a", "").await.expect("still there"))["spec"]["n"], 5);
    server.stop().await;
}

async fn what_only_a_webhook_converts_is_refused(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    let mut two = definition("gauges", "Gauge");
    let mut second = two["spec"]["versions"][0].clone();
    second["name"] = json!("v2");
    second["storage"] = json!(false);
    two["spec"]["versions"].as_array_mut().expect("a list").push(second);
    two["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://convert.example/convert"}}});
    define(&client, &two).await;
    let (stored, other) = (client.dynamic(GROUP, "v1", "gauges"), client.dynamic(GROUP, "v2", "gauges"));
    create(&stored, &object("Gauge", "a", 4)).await.expect("created");
    assert_eq!(tree(&stored.get("default", "a", "").await.expect("it is stored so"))["spec"]["n"], 4);
    let refused = other.get("default", "a", "").await.expect_err("nobody converts it").to_string();
    assert!(refused.contains("conversion webhook") && refused.contains(&format!("{GROUP}/v1")), "{refused}");
    assert!(other.list(&ListParams::default()).await.is_err());
    server.stop().await;
}

async fn names_belong_to_who_was_first(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    define(&client, &definition("cranks", "Crank")).await;
    let definitions: Api<CustomResourceDefinition> = client.api();
    let late: CustomResourceDefinition = proto::json::from_value(definition("others", "Crank")).expect("a definition");
    definitions.create(&late).await.expect("created");
    let name = format!("others.{GROUP}");
    let refused = until("the verdict", || async {
        let found = definitions.get("", &name).await.expect("it is there");
        found.status.conditions.iter().any(|it| it.r#type == "NamesAccepted").then_some(found)
    })
    .await;
    let told = refused.status.conditions.iter().find(|it| it.r#type == "NamesAccepted").expect("told");
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("False", "ListKindConflict"));
    assert!(client.dynamic(GROUP, "v1", "others").list(&ListParams::default()).await.is_err());
    // Once the first is gone the other has its turn.
    definitions.delete("", &format!("cranks.{GROUP}"), &DeleteParams::default()).await.expect("deleted");
    until("its turn", || async {
        let found = definitions.get("", &name).await.expect("it is there");
        let established = found.status.conditions.iter().any(|it| it.r#type == "Established" && it.status == "True");
        established.then_some(())
    })
    .await;
    server.stop().await;
}

async fn two_apiservers_serve_the_same_definitions(engine: Engine) {
    let cluster = Arc::new(Cluster::start(engine));
    let (one, two) = (cluster.apiserver().await, cluster.apiserver().await);
    let (first, second) = (cluster.client(&one, "admin"), cluster.client(&two, "admin"));
    for turn in 0..3 {
        let (plural, kind) = (format!("bolts{turn}"), format!("Bolt{turn}"));
        define(&first, &definition(&plural, &kind)).await;
        // Who is told by one is answered by the other.
        let there = second.dynamic(GROUP, "v1", &plural);
        create(&there, &object(&kind, "a", turn)).await.expect("created at the other");
        let here = first.dynamic(GROUP, "v1", &plural).get("default", "a", "").await.expect("read at the first");
        assert_eq!(tree(&here)["spec"]["n"], turn);
    }
    one.stop().await;
    two.stop().await;
}

/// A definition with a scale, a column and a field to select by.
fn scaled() -> Value {
    let mut it = definition("pumps", "Pump");
    let version = &mut it["spec"]["versions"][0];
    version["subresources"]["scale"] = json!({"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.seen"});
    version["additionalPrinterColumns"] = json!([{"name": "Color", "type": "string", "jsonPath": ".spec.color"}]);
    version["selectableFields"] = json!([{"jsonPath": ".spec.color"}]);
    version["deprecated"] = json!(true);
    it
}

async fn rest_shows_columns_scales_and_selections(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    define(&client, &scaled()).await;
    let rest = Caller::new(&cluster.pki, server.address, "admin");
    let path = format!("/apis/{GROUP}/v1/namespaces/default/pumps");
    for (name, color) in [("a", "red"), ("b", "blue")] {
        let mut pump = object("Pump", name, 2);
        pump["spec"]["color"] = json!(color);
        pump["spec"]["unknown"] = json!(1);
        let made = rest.put(Method::POST, &path, &pump).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let told: Vec<_> = made.headers.get_all("warning").iter().collect();
        assert_eq!(told.len(), 2, "deprecated, and an unknown field: {told:?}");
        assert_eq!(made.json()["spec"].get("unknown"), None);
    }
    let mut unknown = object("Pump", "c", 1);
    unknown["spec"]["unknown"] = json!(1);
    let strict = rest.put(Method::POST, &format!("{path}?fieldValidation=Strict"), &unknown).await;
    assert!(strict.status == 400 && strict.text().contains("unknown field \\\"spec.unknown\\\""), "{}", strict.text());

    let red = rest.get(&format!("{path}?fieldSelector=spec.color%3Dred")).await.json();
    assert_eq!(red["items"].as_array().map(Vec::len), Some(1), "{red}");
    assert_eq!(red["kind"], "PumpList");
    assert_eq!(red["items"][0]["kind"], "Pump");
    let table = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let table = rest.send(Method::GET, &path, &[table], "").await.json();
    let heads: Vec<_> = table["columnDefinitions"].as_array().expect("heads").iter().map(|it| &it["name"]).collect();
    assert_eq!(heads, ["Name", "Color"]);
    assert_eq!(table["rows"][0]["cells"], json!(["a", "red"]));

    let protobuf = "application/vnd.kubernetes.protobuf";
    assert_eq!(rest.send(Method::GET, &path, &[("accept", protobuf)], "").await.status, 406);
    let either =
        rest.send(Method::GET, &path, &[("accept", "application/vnd.kubernetes.protobuf,application/json")], "");
    assert_eq!(either.await.header("content-type"), "application/json");
    assert_eq!(rest.send(Method::POST, &path, &[("content-type", protobuf)], "k8s").await.status, 415);
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    assert_eq!(rest.send(Method::PATCH, &format!("{path}/a"), &strategic, "{}").await.status, 415);

    let scale = rest.get(&format!("{path}/a/scale")).await.json();
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(2)));
    let more = rest.put(Method::PATCH, &format!("{path}/a/scale"), &json!({"spec": {"replicas": 5}})).await;
    assert_eq!(more.status, 200, "{}", more.text());
    let seen = rest.get(&format!("{path}/a")).await.json();
    assert_eq!((&seen["spec"]["n"], &seen["metadata"]["generation"]), (&json!(5), &json!(2)));
    let below = rest.put(Method::PATCH, &format!("{path}/a/scale"), &json!({"spec": {"replicas": -1}})).await;
    assert_eq!(below.status, 422, "{}", below.text());

    let served = rest.get(&format!("/apis/{GROUP}/v1")).await.json();
    let names: Vec<_> = served["resources"].as_array().expect("resources").iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["pumps", "pumps/status", "pumps/scale"]);
    let groups = rest.get("/apis").await.json();
    assert!(groups["groups"].as_array().expect("groups").iter().any(|it| it["name"] == GROUP), "{groups}");
    server.stop().await;
}

async fn a_changed_schema_is_the_one_that_counts(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    define(&client, &definition("dials", "Dial")).await;
    let dials = client.dynamic(GROUP, "v1", "dials");
    create(&dials, &object("Dial", "old", 50)).await.expect("created");
    let definitions: Api<CustomResourceDefinition> = client.api();
    let mut stricter = definitions.get("", &format!("dials.{GROUP}")).await.expect("read");
    let schema = stricter.spec.versions[0].schema.as_mut().and_then(|it| it.open_apiv3_schema.as_mut()).expect("one");
    let spec = schema.properties.get_mut("spec").expect("a field");
    spec.properties.get_mut("n").expect("a field").maximum = Some(9.0);
    let red = proto::apiextensions::v1::Json { raw: b"\"red\"".to_vec() };
    spec.properties.get_mut("color").expect("a field").default = Some(red);
    definitions.update(&stricter).await.expect("updated");
    // What is stored already is shown with the new default.
    until("the new default", || async {
        let old = dials.get("default", "old", "").await.expect("read");
        (tree(&old)["spec"]["color"] == "red").then_some(())
    })
    .await;
    let wrong = create(&dials, &object("Dial", "new", 10)).await.expect_err("too large");
    assert_eq!(wrong.reason(), "Invalid", "{wrong}");
    // What was there before and stays is not held against a change.
    let patch = Patch::merge(&json!({"metadata": {"labels": {"a": "b"}}}));
    dials.patch("default", "old", "", patch, &WriteParams::default()).await.expect("patched");
    server.stop().await;
}
