//! What nodes are given, and what becomes of the pods of a node that is deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use client::{Client, DeleteParams};
use proto::core::v1::{Event, Node, Pod};
use test_control::{Cluster, eventually, eventually_within};

use crate::objects::*;

/// A node may be missing for 40 s before its pods go, and is looked for every 20 s.
const COLLECTED_WITHIN: Duration = Duration::from_secs(120);

/// A pod that is on a node already, and in this phase.
async fn pod_on(admin: &Client, node: &str, name: &str, phase: &str) -> Pod {
    let mut wanted = pod(name);
    wanted.spec.node_name = node.into();
    let mut made = eventually("the pod is let in", async || admin.api::<Pod>().create(&wanted).await.ok()).await;
    made.status.phase = phase.into();
    admin.api::<Pod>().update_status(&made).await.unwrap()
}

async fn uid_of(admin: &Client, pod: &Pod) -> Option<String> {
    admin.api::<Pod>().get_opt(NS, &pod.metadata.name).await.unwrap().map(|pod| pod.metadata.uid)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_of_a_deleted_node_go_and_no_others() {
    let cluster = Cluster::start().await;
    let (admin, manager) = (cluster.client("admin"), cluster.controller_manager(&[]));
    for name in ["gone", "here"] {
        add_node(&admin, name).await;
    }
    let lost = pod_on(&admin, "gone", "lost", "Running").await;
    let ended = pod_on(&admin, "gone", "ended", "Succeeded").await;
    let kept = pod_on(&admin, "here", "kept", "Running").await;
    admin.api::<Node>().delete("", "gone", &DeleteParams::default()).await.unwrap();
    for pod in [&lost, &ended] {
        let what = format!("pod {} is gone", pod.metadata.name);
        eventually_within(COLLECTED_WITHIN, &what, async || uid_of(&admin, pod).await.map_or(Ok(()), Err)).await;
    }
    let left = admin.api::<Pod>().get(NS, "kept").await.unwrap();
    assert_eq!((left.metadata.uid, left.metadata.deletion_timestamp), (kept.metadata.uid, None));
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_pods_beyond_the_threshold_go_the_oldest_first() {
    let cluster = Cluster::start().await;
    let (admin, manager) = (cluster.client("admin"), cluster.controller_manager(&["--terminated-pod-gc-threshold=1"]));
    add_node(&admin, "n").await;
    let runs = pod_on(&admin, "n", "runs", "Running").await;
    let old = pod_on(&admin, "n", "old", "Failed").await;
    // Objects are as old as the second says in which they were made.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let new = pod_on(&admin, "n", "new", "Succeeded").await;
    eventually("the oldest ended pod is gone", async || uid_of(&admin, &old).await.is_none().then_some(())).await;
    for pod in [&runs, &new] {
        assert_eq!(uid_of(&admin, pod).await.as_ref(), Some(&pod.metadata.uid), "{}", pod.metadata.name);
    }
    manager.stop().await;
}

/// A node as it registers; its status is nobody's here.
async fn register(admin: &Client, name: &str) {
    let mut node = Node::default();
    node.metadata.name = name.into();
    admin.api().create(&node).await.unwrap();
}

/// The part of the range that a node is given.
async fn part_of(admin: &Client, name: &str) -> String {
    let spec = eventually(&format!("{name} has a part of the range"), async || {
        let spec = admin.api::<Node>().get("", name).await.unwrap().spec;
        (!spec.pod_cidr.is_empty()).then_some(spec)
    })
    .await;
    assert_eq!(spec.pod_cidrs, std::slice::from_ref(&spec.pod_cidr));
    spec.pod_cidr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_has_a_part_of_the_range_until_it_is_deleted() {
    let cluster = Cluster::start().await;
    let admin = cluster.client("admin");
    let flags = [
        "--allocate-node-cidrs",
        "--cluster-cidr=10.200.0.0/22",
        "--node-cidr-mask-size=24",
        // The first of four parts belongs to Services.
        "--service-cluster-ip-range=10.200.0.0/25",
    ];
    let manager = cluster.controller_manager(&flags);
    let mut parts = BTreeSet::new();
    for name in ["a", "b", "c"] {
        register(&admin, name).await;
        parts.insert(part_of(&admin, name).await);
    }
    let all = ["10.200.1.0/24", "10.200.2.0/24", "10.200.3.0/24"].map(str::to_owned);
    assert_eq!(parts, BTreeSet::from(all));
    // Those who start again know what they gave.
    manager.stop().await;
    let manager = cluster.controller_manager(&flags);
    register(&admin, "d").await;
    eventually("that nothing is left is told", async || {
        let events = admin.api::<Event>().list(&client::ListParams::default()).await.unwrap().items;
        let about = |event: &Event| event.reason == "CIDRNotAvailable" && event.involved_object.name == "d";
        events.iter().any(about).then_some(())
    })
    .await;
    assert_eq!(admin.api::<Node>().get("", "d").await.unwrap().spec.pod_cidr, "");
    let free = part_of(&admin, "b").await;
    admin.api::<Node>().delete("", "b", &DeleteParams::default()).await.unwrap();
    register(&admin, "e").await;
    let given = eventually("what is free again is given", async || {
        let nodes = admin.api::<Node>().list(&client::ListParams::default()).await.unwrap().items;
        nodes.into_iter().find(|node| ["d", "e"].contains(&&*node.metadata.name) && node.spec.pod_cidr == free)
    })
    .await;
    assert_eq!(given.spec.pod_cidrs, [free]);
    manager.stop().await;
}
