//! Objects that several tests make, and what they look at.

use std::collections::BTreeMap;

use client::{Client, DeleteParams, Patch};
use proto::Object;
use proto::apps::v1::{Deployment, ReplicaSet};
use proto::core::v1::{ConfigMap, Container, Namespace, Node, NodeCondition, Pod};
use proto::meta::v1::LabelSelector;
use serde_json::{Value, json};
use test_control::{eventually, eventually_or};

pub const NS: &str = "default";

pub fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("app".to_owned(), "x".to_owned())])
}

/// A Deployment of pods labelled app=x.
pub fn deployment(name: &str, replicas: i32) -> Deployment {
    let mut deployment = Deployment::default();
    deployment.metadata.namespace = NS.into();
    deployment.metadata.name = name.into();
    deployment.spec.replicas = Some(replicas);
    deployment.spec.selector = Some(LabelSelector { match_labels: labels(), ..Default::default() });
    deployment.spec.template.metadata.labels = labels();
    deployment.spec.template.spec.containers = pod("").spec.containers;
    deployment
}

pub fn pod(name: &str) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.namespace = NS.into();
    pod.metadata.name = name.into();
    pod.metadata.labels = labels();
    pod.spec.containers = vec![Container { name: "c".into(), image: "busybox".into(), ..Default::default() }];
    pod
}

pub fn config_map(namespace: &str, name: &str) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.namespace = namespace.into();
    map.metadata.name = name.into();
    map
}

pub fn namespace(name: &str) -> Namespace {
    let mut namespace = Namespace::default();
    namespace.metadata.name = name.into();
    namespace
}

/// Makes a Node that is ready and has room.
pub async fn add_node(admin: &Client, name: &str) {
    let mut node = Node::default();
    node.metadata.name = name.into();
    let mut made = admin.api::<Node>().create(&node).await.unwrap();
    let amounts = [("cpu", "4"), ("memory", "8Gi"), ("pods", "110")];
    made.status.allocatable =
        amounts.map(|(what, much)| (what.to_owned(), proto::Quantity { string: much.into() })).into();
    made.status.capacity = made.status.allocatable.clone();
    made.status.conditions =
        vec![NodeCondition { r#type: "Ready".into(), status: "True".into(), ..NodeCondition::default() }];
    admin.api::<Node>().update_status(&made).await.unwrap();
    // A controller-manager may be writing taints at the same time.
    eventually("the node has no taint", async || {
        let patch = Patch::merge(&json!({ "spec": { "taints": null } }));
        let patched = admin.api::<Node>().patch("", name, patch).await.ok()?;
        patched.spec.taints.is_empty().then_some(())
    })
    .await;
}

pub async fn list<T: Object>(admin: &Client) -> Vec<T> {
    admin.api::<T>().list(&client::ListParams::in_namespace(NS)).await.unwrap().items
}

/// Waits for this many objects, and gives them.
pub async fn count<T: Object>(admin: &Client, wanted: usize) -> Vec<T> {
    eventually_or(&format!("there are {wanted} {}s", T::KIND), async || {
        let all = list::<T>(admin).await;
        let names = |all: &[T]| all.iter().map(|object| object.metadata().name.clone()).collect::<Vec<_>>();
        if all.len() == wanted { Ok(all) } else { Err(names(&all)) }
    })
    .await
}

/// The pods and the one replica set of a Deployment that has come to be.
pub async fn rolled_out(admin: &Client, replicas: usize) -> (ReplicaSet, Vec<Pod>) {
    let pods = count::<Pod>(admin, replicas).await;
    (count::<ReplicaSet>(admin, 1).await.remove(0), pods)
}

pub async fn is_gone<T: Object>(admin: &Client, namespace: &str, name: &str) {
    let what = format!("{} {name} is gone", T::KIND);
    eventually(&what, async || admin.api::<T>().get_opt(namespace, name).await.unwrap().is_none().then_some(())).await;
}

pub async fn delete<T: Object>(admin: &Client, name: &str, propagation: &str) {
    let params = DeleteParams { propagation: propagation.to_owned(), ..DeleteParams::default() };
    admin.api::<T>().delete(NS, name, &params).await.unwrap();
}

pub async fn set_finalizers<T: Object>(admin: &Client, object: &T, finalizers: &[&str]) {
    let meta = object.metadata();
    let patch: Value = json!({ "metadata": { "finalizers": finalizers } });
    admin.api::<T>().patch(&meta.namespace, &meta.name, Patch::merge(&patch)).await.unwrap();
}
