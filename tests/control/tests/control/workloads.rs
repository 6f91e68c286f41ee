//! Which change wakes which controller: seen from outside, on a real server.

use std::time::Duration;

use client::{DeleteParams, Patch};
use proto::apps::v1::{Deployment, ReplicaSet};
use proto::core::v1::{Event, Node, Pod};
use serde_json::json;
use test_control::{Cluster, eventually};

use crate::objects::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_a_workload_is_answered() {
    let cluster = Cluster::start().await;
    let (admin, manager) = (cluster.client("admin"), cluster.controller_manager(&[]));
    admin.api().create(&deployment("d", 2)).await.unwrap();
    let (set, pods) = rolled_out(&admin, 2).await;
    eventually("the status counts them", async || {
        let status = admin.api::<Deployment>().get(NS, "d").await.unwrap().status;
        (status.replicas == 2 && status.updated_replicas == 2 && status.observed_generation == 1).then_some(())
    })
    .await;

    // A pod goes: another comes. A set goes: so does the next.
    let first = &pods[0].metadata;
    admin.api::<Pod>().delete(NS, &first.name, &DeleteParams::with_uid(&first.uid)).await.unwrap();
    is_gone::<Pod>(&admin, NS, &first.name).await;
    count::<Pod>(&admin, 2).await;
    let uid = set.metadata.uid.clone();
    delete::<ReplicaSet>(&admin, &set.metadata.name, "Background").await;
    let next = eventually("there is a set again", async || {
        list::<ReplicaSet>(&admin).await.into_iter().find(|set| set.metadata.uid != uid)
    })
    .await;
    let pods = eventually("its pods are there and the others gone", async || {
        let pods = list::<Pod>(&admin).await;
        let is_next = |pod: &Pod| pod.metadata.owner_references.iter().all(|owner| owner.uid == next.metadata.uid);
        (pods.len() == 2 && pods.iter().all(is_next)).then_some(pods)
    })
    .await;

    // A pod's label goes: it is left alone, and replaced.
    let lost = &pods[0];
    let unlabelled = Patch::merge(&json!({ "metadata": { "labels": { "app": null } } }));
    admin.api::<Pod>().patch(NS, &lost.metadata.name, unlabelled).await.unwrap();
    count::<Pod>(&admin, 3).await;
    let size = Patch::merge(&json!({ "spec": { "replicas": 0 } }));
    admin.api::<Deployment>().patch(NS, "d", size).await.unwrap();
    let left = count::<Pod>(&admin, 1).await;
    assert_eq!(left[0].metadata.uid, lost.metadata.uid);
    assert!(left[0].metadata.owner_references.is_empty());
    let told = eventually("it is told", async || {
        let events = list::<Event>(&admin).await;
        events.into_iter().find(|event| event.reason == "ScalingReplicaSet" && event.message.ends_with("to 0"))
    })
    .await;
    assert_eq!(
        (told.involved_object.kind.as_str(), told.source.component.as_str()),
        ("Deployment", "deployment-controller")
    );
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_all_silent_keep_their_pods() {
    let cluster = Cluster::start().await;
    let admin = cluster.client("admin");
    for name in ["a", "b"] {
        add_node(&admin, name).await;
    }
    let flags = [
        "--node-monitor-grace-period=2s",
        "--node-monitor-period=200ms",
        "--node-startup-grace-period=2s",
        "--node-eviction-rate=100",
    ];
    let manager = cluster.controller_manager(&flags);
    let node = async |name: &str| admin.api::<Node>().get("", name).await.unwrap();
    let is = |node: &Node, status: &str| {
        node.status.conditions.iter().any(|known| known.r#type == "Ready" && known.status == status)
    };
    let taints = |node: &Node| -> Vec<String> { node.spec.taints.iter().map(|taint| taint.effect.clone()).collect() };
    let mut quiet = 0;
    eventually("both are unknown, and neither is emptied for a while", async || {
        let (a, b) = (node("a").await, node("b").await);
        let both =
            is(&a, "Unknown") && is(&b, "Unknown") && taints(&a) == ["NoSchedule"] && taints(&b) == ["NoSchedule"];
        quiet = if both { quiet + 1 } else { 0 };
        (quiet == 40).then_some(())
    })
    .await;

    // One is heard again and again: then the other is lost.
    let beat = async || {
        let now = proto::time::Time::from_system(std::time::SystemTime::now()).to_string();
        let ready = json!({ "type": "Ready", "status": "True", "lastHeartbeatTime": now });
        let patch = Patch::strategic(&json!({ "status": { "conditions": [ready] } }));
        admin.api::<Node>().patch_status("", "a", patch).await.unwrap();
    };
    eventually("the other one is emptied", async || {
        beat().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        taints(&node("b").await).contains(&"NoExecute".to_owned()).then_some(())
    })
    .await;
    assert!(taints(&node("a").await).iter().all(|effect| effect != "NoExecute"));
    manager.stop().await;
}
