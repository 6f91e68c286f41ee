//! Who owns which field, and configurations that are applied.

use client::{Api, Patch, WriteParams};
use proto::apps::v1::Deployment;
use proto::core::v1::{ConfigMap, Namespace, Pod, PodCondition};
use proto::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::harness::{Cluster, Engine, pod, service_account};
use crate::on_each_store;

on_each_store! {
    every_write_has_an_owner
    a_configuration_makes_joins_and_leaves_an_object
    an_applier_says_its_name_and_force_is_for_appliers
    appliers_that_race_all_get_what_they_want
    a_scale_is_applied_and_owned_by_its_manager
}

/// Manager, operation, subresource and fields of each entry.
fn entries(meta: &ObjectMeta) -> Vec<String> {
    let owners = api::apply::Owners::decode(&meta.managed_fields).expect("readable");
    owners.iter().map(|it| format!("{} {:?} {} {}", it.manager, it.operation, it.subresource, it.set())).collect()
}

fn by(manager: &str) -> WriteParams {
    WriteParams { field_manager: manager.into(), ..Default::default() }
}

fn configuration(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

async fn apply(maps: &Api<ConfigMap>, manager: &str, data: &Value, force: bool) -> Result<ConfigMap, client::Error> {
    let body = configuration(data).to_string().into_bytes();
    maps.patch_with("default", "a", "", Patch::Apply { body, force }, &by(manager)).await
}

async fn every_write_has_an_owner(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    client.api().create(&service_account("default", "default")).await.expect("created");
    let pods = client.api::<Pod>();
    let made = pods.create(&pod("default", "p")).await.expect("created");
    // The harness's user agent; the token that admission mounts has no owner.
    let [first] = entries(&made.metadata).try_into().expect("one entry");
    assert!(first.starts_with("test tonic Update  ") && !first.contains(".spec.volumes"), "{first}");
    assert!(made.metadata.managed_fields[0].time.is_some());

    let mut told = made.clone();
    told.status.conditions.push(PodCondition { r#type: "Ready".into(), status: "True".into(), ..Default::default() });
    told.spec.node_name = "left alone".into();
    let told = pods.update_with(&told, "status", &by("kubelet")).await.expect("told");
    let status = entries(&told.metadata).into_iter().find(|entry| entry.starts_with("kubelet")).expect("its entry");
    assert!(status.starts_with("kubelet Update status ") && !status.contains(".spec"), "{status}");
    let again = pods.update_with(&told, "status", &by("kubelet")).await.expect("no change");
    assert_eq!(again.metadata.resource_version, told.metadata.resource_version);

    let labelled = Patch::merge(&json!({"metadata": {"labels": {"a": "b"}}}));
    let labelled = pods.patch_with("default", "p", "", labelled, &by("labeller")).await.expect("patched");
    let all = entries(&labelled.metadata);
    assert!(all.contains(&"labeller Update  .metadata.labels, .metadata.labels.a".to_owned()), "{all:?}");
    // A client that knows nothing of owners does not make them forgotten; one that clears them does.
    let mut plain = labelled.clone();
    plain.metadata.managed_fields.clear();
    plain.metadata.labels.insert("a".into(), "c".into());
    let plain = pods.update(&plain).await.expect("updated");
    let all = entries(&plain.metadata);
    // Its only key was taken, its map was not.
    assert!(all.contains(&"labeller Update  .metadata.labels".to_owned()), "{all:?}");
    let clear = Patch::merge(&json!({"metadata": {"managedFields": []}}));
    let cleared = pods.patch("default", "p", clear).await.expect("cleared");
    assert_eq!(cleared.metadata.managed_fields, []);

    let namespaces = client.api::<Namespace>();
    let mut space = Namespace::default();
    space.metadata.name = "own".into();
    let mut space = namespaces.create(&space).await.expect("created");
    space.spec.finalizers.push("example.com/hold".into());
    let space = namespaces.update_subresource("", "own", "finalize", &space).await.expect("finalized");
    assert!(entries(&space.metadata).iter().any(|entry| entry.contains(" finalize .spec.finalizers")), "{space:?}");
    server.stop().await;
}

async fn a_configuration_makes_joins_and_leaves_an_object(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    let made = apply(&maps, "a", &json!({"k": "1", "j": "1"}), false).await.expect("created");
    let same = apply(&maps, "a", &json!({"k": "1", "j": "1"}), false).await.expect("no change");
    assert_eq!(same.metadata.resource_version, made.metadata.resource_version);
    apply(&maps, "b", &json!({"k": "1", "z": "1"}), false).await.expect("joined");

    let refused = apply(&maps, "b", &json!({"j": "2"}), false).await.expect_err("a conflict");
    let status = refused.status().expect("a Status");
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"a\": .data.j");
    let cause = status.details.as_ref().and_then(|details| details.causes.first()).expect("a cause");
    assert_eq!((cause.reason.as_str(), cause.field.as_str()), ("FieldManagerConflict", ".data.j"));
    let forced = apply(&maps, "b", &json!({"j": "2"}), true).await.expect("forced");
    // k stays, since a wants it; z goes, since nobody does.
    assert_eq!(forced.data.keys().collect::<Vec<_>>(), ["j", "k"]);
    assert_eq!(entries(&forced.metadata), ["a Apply  .data.k", "b Apply  .data.j"]);

    let yaml =
        Patch::Apply { body: b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: text}\n".to_vec(), force: false };
    maps.patch_with("default", "text", "", yaml, &by("a")).await.expect("created");
    let other = Patch::Apply { body: configuration(&json!({})).to_string().into_bytes(), force: false };
    let refused = maps.patch_with("default", "x", "", other, &by("a")).await.expect_err("another name");
    assert_eq!(refused.status().map(|status| status.code), Some(400), "{refused}");
    server.stop().await;
}

async fn an_applier_says_its_name_and_force_is_for_appliers(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    let long = "m".repeat(200);
    for (manager, field) in [("", "fieldManager"), (long.as_str(), "fieldManager"), ("a\u{7}", "fieldManager")] {
        let refused = apply(&maps, manager, &json!({}), false).await.expect_err("refused");
        let status = refused.status().expect("a Status");
        let cause = status.details.as_ref().and_then(|details| details.causes.first()).expect("a cause");
        assert_eq!((status.code, cause.field.as_str()), (422, field), "{status:?}");
    }
    assert!(maps.get("default", "a").await.expect_err("not made").is_not_found());
    server.stop().await;
}

async fn appliers_that_race_all_get_what_they_want(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    let names: Vec<String> = (0..8).map(|index| format!("m{index}")).collect();
    let all = names.iter().map(|name| {
        let maps = maps.clone();
        async move { apply(&maps, name, &json!({name: "1"}), false).await }
    });
    for outcome in futures::future::join_all(all).await {
        outcome.expect("nobody stands in the way");
    }
    let made = maps.get("default", "a").await.expect("read");
    assert_eq!(made.data.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    let mut owners = entries(&made.metadata);
    owners.sort();
    assert_eq!(owners, names.iter().map(|name| format!("{name} Apply  .data.{name}")).collect::<Vec<_>>());
    server.stop().await;
}

async fn a_scale_is_applied_and_owned_by_its_manager(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let deployments = cluster.client(&server, "admin").api::<Deployment>();
    let body = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    }});
    let patch = Patch::Apply { body: body.to_string().into_bytes(), force: false };
    deployments.patch_with("default", "d", "", patch, &by("a")).await.expect("created");
    let scale = |replicas: i32, force| {
        let body = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": replicas}});
        Patch::Apply { body: body.to_string().into_bytes(), force }
    };
    let scales = cluster.client(&server, "admin").dynamic("apps", "v1", "deployments");
    let refused = scales.patch("default", "d", "scale", scale(3, false), &by("s")).await;
    let refused = refused.expect_err("a owns the replicas");
    assert!(refused.is_conflict(), "{refused}");
    let scaled = scales.patch("default", "d", "scale", scale(3, true), &by("s")).await.expect("forced");
    assert_eq!(scaled.to_json().expect("JSON")["spec"]["replicas"], 3);
    let all = entries(&deployments.get("default", "d").await.expect("read").metadata);
    assert!(all.contains(&"s Apply scale .spec.replicas".to_owned()), "{all:?}");
    assert!(all.iter().all(|entry| !entry.starts_with("a ") || !entry.contains("replicas")), "{all:?}");
    server.stop().await;
}
