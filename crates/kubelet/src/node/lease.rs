//! The node's heartbeat: a Lease in kube-node-lease, renewed a few times per its duration.

use std::time::Duration;

use client::Client;
use proto::coordination::v1::{Lease, LeaseSpec};
use proto::meta::v1::OwnerReference;

use crate::time;

const NAMESPACE: &str = "kube-node-lease";
/// A failed renewal is tried again soon.
const RETRY: Duration = Duration::from_millis(500);

/// Renews until cancelled.
pub async fn run(client: Client, node_name: String, duration_seconds: u64, uid: tokio::sync::watch::Receiver<String>) {
    let period = Duration::from_secs_f64((duration_seconds as f64 / 4.0).max(0.5));
    let mut held: Option<Lease> = None;
    loop {
        let pause = match renew(&client, &node_name, duration_seconds, &uid, held.take()).await {
            Ok(lease) => {
                held = Some(lease);
                period
            }
            Err(error) => {
                tracing::warn!(%error, "the node's lease cannot be renewed");
                RETRY.min(period)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn renew(
    client: &Client,
    name: &str,
    duration_seconds: u64,
    uid: &tokio::sync::watch::Receiver<String>,
    held: Option<Lease>,
) -> Result<Lease, client::Error> {
    let api = client.api::<Lease>();
    let found = match held {
        Some(lease) => Some(lease),
        None => api.get_opt(NAMESPACE, name).await?,
    };
    let is_new = found.is_none();
    let mut lease = found.unwrap_or_default();
    lease.metadata.name = name.into();
    lease.metadata.namespace = NAMESPACE.into();
    let uid = uid.borrow().clone();
    if lease.metadata.owner_references.is_empty() && !uid.is_empty() {
        lease.metadata.owner_references = vec![OwnerReference {
            api_version: "v1".into(),
            kind: "Node".into(),
            name: name.into(),
            uid,
            ..OwnerReference::default()
        }];
    }
    lease.spec = LeaseSpec {
        holder_identity: Some(name.into()),
        lease_duration_seconds: Some(duration_seconds as i32),
        renew_time: Some(time::to_micro(time::now())),
        ..lease.spec
    };
    if is_new { api.create(&lease).await } else { api.update(&lease).await }
}
