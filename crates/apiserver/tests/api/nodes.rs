//! What a node may read follows from its pods, and what it may write is its own.

use client::{DeleteParams, ListParams, Patch};
use proto::authentication::v1::{BoundObjectReference, TokenRequest};
use proto::coordination::v1::Lease;
use proto::core::v1::{EnvFromSource, Node, Pod, Secret, SecretEnvSource, ServiceAccount};
use serde_json::json;

use crate::harness::{Cluster, Engine, config_map, pod, service_account, until};
use crate::on_each_store;

on_each_store! {
    a_node_reads_the_secrets_of_its_pods
    a_node_writes_only_what_is_its_own
}

fn secret(name: &str) -> Secret {
    let mut secret = Secret::default();
    secret.metadata.namespace = "default".into();
    secret.metadata.name = name.into();
    secret
}

/// A pod on the node that takes its environment from a Secret.
fn pod_with(secret: &str, node: &str, name: &str) -> Pod {
    let mut pod = pod("default", name);
    let mut source = SecretEnvSource::default();
    source.local_object_reference.name = secret.into();
    pod.spec.containers[0].env_from = vec![EnvFromSource { secret_ref: Some(source), ..Default::default() }];
    pod.spec.node_name = node.into();
    pod
}

async fn a_node_reads_the_secrets_of_its_pods(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let (admin, node) = (cluster.client(&server, "admin"), cluster.client(&server, "node"));
    admin.api::<ServiceAccount>().create(&service_account("default", "default")).await.expect("created");
    for name in ["mine", "yours"] {
        admin.api::<Secret>().create(&secret(name)).await.expect("created");
    }
    let secrets = node.api::<Secret>();
    let refused = secrets.get("default", "mine").await.expect_err("no pod names it").to_string();
    let why = "secrets \"mine\" is forbidden: User \"system:node:n1\" cannot get resource \"secrets\" in API group \"\" in \
               the namespace \"default\": no relationship found between node 'n1' and this object";
    assert!(refused.contains(why), "{refused}");
    admin.api::<Pod>().create(&pod_with("mine", "n1", "p")).await.expect("created");
    admin.api::<Pod>().create(&pod_with("yours", "n2", "q")).await.expect("created");
    until("the pod's secret", || async { secrets.get("default", "mine").await.ok() }).await;
    let by_name = ListParams::in_namespace("default").fields("metadata.name=mine");
    assert_eq!(secrets.list(&by_name).await.expect("a list of that one").items.len(), 1);
    assert!(secrets.list(&ListParams::in_namespace("default")).await.expect_err("all").is_forbidden());
    assert!(secrets.get("default", "yours").await.expect_err("another node's").is_forbidden());
    let pods = node.api::<Pod>();
    assert_eq!(pods.list(&ListParams::default().fields("spec.nodeName=n1")).await.expect("its own").items.len(), 1);
    assert!(pods.list(&ListParams::default()).await.expect_err("everybody's").is_forbidden());
    pods.get("default", "p").await.expect("its own");
    assert!(pods.get("default", "q").await.expect_err("another node's").is_forbidden());
    let gone = DeleteParams { grace_period_s: Some(0), ..DeleteParams::default() };
    assert!(pods.delete("default", "q", &gone).await.expect_err("another node's").is_forbidden());
    pods.delete("default", "p", &gone).await.expect("its own");
    until("the end of the pod", || async { secrets.get("default", "mine").await.err() }).await;
    server.stop().await;
}

async fn a_node_writes_only_what_is_its_own(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let (admin, node) = (cluster.client(&server, "admin"), cluster.client(&server, "node"));
    let mut own = Node::default();
    own.metadata.name = "n1".into();
    let nodes = node.api::<Node>();
    nodes.create(&own).await.expect("its own");
    let label = |key: &str| Patch::merge(&json!({"metadata": {"labels": {key: "x"}}}));
    nodes.patch("", "n1", label("disk")).await.expect("a label of nobody's");
    let refused = nodes.patch("", "n1", label("node-restriction.kubernetes.io/tier")).await.expect_err("restricted");
    let why = "nodes \"n1\" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/tier";
    assert!(refused.to_string().contains(why), "{refused}");
    own.metadata.name = "n2".into();
    admin.api::<Node>().create(&own).await.expect("created");
    assert!(nodes.patch_status("", "n2", label("disk")).await.expect_err("another node").is_forbidden());
    let mut lease = Lease::default();
    lease.metadata.namespace = "kube-node-lease".into();
    lease.metadata.name = "n1".into();
    node.api::<Lease>().create(&lease).await.expect("its own");
    lease.metadata.name = "n2".into();
    assert!(node.api::<Lease>().create(&lease).await.expect_err("another node's").is_forbidden());
    assert!(node.api::<proto::core::v1::ConfigMap>().create(&config_map("default", "a", &[])).await.is_err());
    admin.api::<ServiceAccount>().create(&service_account("default", "default")).await.expect("created");
    let mut unbound = pod("default", "p");
    unbound.spec.node_name = "n1".into();
    assert!(node.api::<Pod>().create(&unbound).await.expect_err("no mirror pod").to_string().contains("mirror pods"));
    let made = admin.api::<Pod>().create(&unbound).await.expect("created");
    let accounts = node.api::<ServiceAccount>();
    let mut request = TokenRequest::default();
    until("the right to ask", || async {
        let refused = accounts.create_subresource("default", "default", "token", &request).await.expect_err("unbound");
        refused.to_string().contains("node requested token not bound to a pod").then_some(())
    })
    .await;
    request.spec.bound_object_ref = Some(BoundObjectReference {
        kind: "Pod".into(),
        api_version: "v1".into(),
        name: "p".into(),
        u_id: made.metadata.uid.clone(),
    });
    accounts.create_subresource("default", "default", "token", &request).await.expect("for a pod on it");
    let mut other = made.clone();
    other.status.message = "seen".into();
    node.api::<Pod>().update_status(&other).await.expect("a pod on it");
    let elsewhere = admin.api::<Pod>().create(&pod_with("none", "n2", "q")).await.expect("created");
    assert!(node.api::<Pod>().update_status(&elsewhere).await.expect_err("another node's").is_forbidden());
    server.stop().await;
}
