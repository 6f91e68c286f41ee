//! The scheduler explains, to administrators only.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use client::connect::Connector;
use proto::coordination::v1::Lease;
use proto::keelson::scheduler::v1::explain_client::ExplainClient;
use proto::keelson::scheduler::v1::{ExplainPodRequest, ExplainPodResponse};
use test_control::{Cluster, eventually, free_port};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use crate::objects::*;

async fn ask(cluster: &Cluster, who: Option<&str>, at: SocketAddr, name: &str) -> Result<ExplainPodResponse, Status> {
    let connector = Connector::new(Arc::new(cluster.config(who, at))).unwrap();
    let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector);
    let request = ExplainPodRequest { namespace: NS.into(), name: name.into() };
    ExplainClient::new(channel).explain_pod(request).await.map(|answer| answer.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_are_told_every_nodes_reason_and_nobody_else_is() {
    let cluster = Cluster::start().await;
    let admin = cluster.client("admin");
    let manager = cluster.controller_manager(&["--controllers=serviceaccount-controller"]);
    let port = free_port();
    let scheduler = cluster.scheduler(port, &[]);
    add_node(&admin, "small").await;
    let mut giant = pod("giant");
    let cpu = proto::Quantity { string: "100".into() };
    giant.spec.containers[0].resources.requests.insert("cpu".into(), cpu);
    eventually("there is an account", async || admin.api().create(&giant).await.ok()).await;

    let address = eventually("the leader says where it explains", async || {
        let lease = admin.api::<Lease>().get_opt("kube-system", "kube-scheduler").await.unwrap()?;
        lease.metadata.annotations.get("keelson.io/explain-address")?.parse::<SocketAddr>().ok()
    })
    .await;
    assert_eq!(address, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let told = eventually("the pod is refused", async || {
        let answer = ask(&cluster, Some("admin"), address, "giant").await.ok()?;
        (answer.queue == "unschedulable").then_some(answer)
    })
    .await;
    assert_eq!(told.nodes.len(), 1);
    assert_eq!(
        (told.nodes[0].node.as_str(), &told.nodes[0].reasons[..]),
        ("small", &["Insufficient cpu".to_owned()][..])
    );
    assert_eq!(told.nearest_miss, "small: cpu: needs 100000m, 4000m of 4000m are free");

    let nobody = ask(&cluster, Some("admin"), address, "none").await.unwrap_err();
    assert_eq!(nobody.code(), Code::NotFound, "{nobody}");
    for who in [Some("stranger"), Some("scheduler"), None] {
        let refused = ask(&cluster, who, address, "giant").await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{who:?}: {refused}");
    }
    scheduler.stop().await;
    manager.stop().await;
}
