//! What the kubelet asks of the API server. A trait, so that tests run without one.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use proto::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service};

use crate::time::Nanos;

/// Why the API server did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Other(String),
}

/// A token for a pod's service account.
#[derive(Clone, Debug)]
pub struct Token {
    pub token: String,
    pub expires_at: Nanos,
}

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFor {
    pub audience: String,
    pub expiration_seconds: i64,
}

/// An event about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub warning: bool,
    pub reason: &'static str,
    pub message: String,
    /// Which container it is about; empty: the pod.
    pub field_path: String,
}

#[async_trait]
pub trait Cluster: Send + Sync {
    async fn config_map(&self, namespace: &str, name: &str) -> Result<ConfigMap, Error>;
    async fn secret(&self, namespace: &str, name: &str) -> Result<Secret, Error>;
    async fn claim(&self, namespace: &str, name: &str) -> Result<PersistentVolumeClaim, Error>;
    async fn volume(&self, name: &str) -> Result<PersistentVolume, Error>;
    /// The labels that a node has now.
    async fn node_labels(&self, name: &str) -> Result<BTreeMap<String, String>, Error>;
    async fn token(&self, pod: &Pod, wanted: &TokenFor) -> Result<Token, Error>;
    /// The services whose variables a pod of the namespace gets, the API server's own included.
    async fn services(&self, namespace: &str) -> Vec<Arc<Service>>;
    async fn get_pod(&self, namespace: &str, name: &str) -> Result<Pod, Error>;
    /// Writes the status; the object carries the version that it was decided from.
    async fn update_status(&self, pod: &Pod) -> Result<Pod, Error>;
    /// Removes the object at once, if it has this uid.
    async fn delete_pod(&self, pod: &Pod) -> Result<(), Error>;
    /// Told, not awaited: events may be lost.
    fn event(&self, pod: &Pod, event: Event);
}
