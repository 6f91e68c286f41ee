//! A look at one member of the store.

use std::time::Duration;

use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::{RangeRequest, StatusRequest};
use tonic::transport::Channel;

/// Whoever serves answers small questions within this.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It serves linearizable reads.
    Serves,
    /// It is there, but has no quorum behind it.
    Alone,
    /// It does not answer.
    Silent,
}

/// What a look showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How it is.
    pub look: Look,
    /// Its version, where it tells it.
    pub version: Option<String>,
}

/// Looks once.
pub async fn look(server: &str, channel: Channel) -> Seen {
    let mut maintenance = MaintenanceClient::new(channel.clone());
    let mut kv = KvClient::new(channel);
    let read = RangeRequest { key: "health".into(), limit: 1, keys_only: true, ..Default::default() };
    let (status, served) = tokio::join!(
        tokio::time::timeout(TIMEOUT, maintenance.status(StatusRequest::default())),
        tokio::time::timeout(TIMEOUT, kv.range(read)),
    );
    let version = match status {
        Ok(Ok(answer)) => Some(answer.into_inner().version),
        Ok(Err(status)) => {
            tracing::debug!(server, %status, "a member of the store does not tell how it is");
            None
        }
        Err(_) => None,
    };
    let look = match served {
        Ok(Ok(_)) => Look::Serves,
        _ if version.is_some() => Look::Alone,
        _ => Look::Silent,
    };
    Seen { look, version }
}
