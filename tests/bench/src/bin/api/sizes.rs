//! How large the pod of the loads is as it is served and stored.

use anyhow::{Result, ensure};

use crate::bodies::{self, NAMESPACE};
use crate::connection::Connection;
use crate::servers::Cluster;
use crate::wire;

/// Bytes of one pod.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub sent: usize,
    pub json: usize,
    /// In protobuf, with its envelope.
    pub stored: usize,
}

/// Creates one and reads it in both forms.
pub async fn of_a_pod(cluster: &Cluster) -> Result<Sizes> {
    let mut connection = Connection::open(&cluster.target).await?;
    let body = bodies::pod("web-7d4b9c6f5d-sized");
    connection.create(&bodies::path(NAMESPACE, "pods"), body.as_bytes()).await?;
    let mut lens = [0; 2];
    for (len, accept) in lens.iter_mut().zip(["application/json", "application/vnd.kubernetes.protobuf"]) {
        let mut request = Vec::new();
        let path = format!("{}/web-7d4b9c6f5d-sized", bodies::path(NAMESPACE, "pods"));
        wire::request(&mut request, "GET", &path, "", accept, b"");
        let status = connection.call(&request).await?.status;
        ensure!(status == 200, "a pod in {accept}: {status}: {}", connection.told());
        *len = connection.body.len();
    }
    Ok(Sizes { sent: body.len(), json: lens[0], stored: lens[1] })
}
