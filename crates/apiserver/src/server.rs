//! Everything that a request needs: store, resources, tokens, allocators. Shared by both front doors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use proto::meta::v1::Time;

use crate::allocate::ServiceAllocator;
use crate::authenticate::token::Tokens;
use crate::registry::{Registry, Resource};
use crate::relay::Kubelets;
use crate::status::Result;
use crate::storage::Store;
use crate::watch_cache::CacheError;

/// How long a request waits for a cache to reach a revision before it asks the store itself.
const FRESH_TIMEOUT: Duration = Duration::from_secs(3);

/// The apiserver as its verbs see it.
#[derive(Debug)]
pub struct Server {
    /// The store.
    pub store: Arc<Store>,
    /// Every resource.
    pub registry: Registry,
    /// Service account tokens, where a signing key is configured.
    pub tokens: Tokens,
    /// Cluster addresses and node ports.
    pub services: ServiceAllocator,
    /// The way to the nodes.
    pub kubelets: Kubelets,
    /// Whether the store's progress notifications can be trusted.
    pub ordered_progress: AtomicBool,
}

impl Server {
    /// The clock, in whole seconds.
    pub fn now(&self) -> Time {
        Time::from_system(SystemTime::now())
    }

    /// Waits until the cache holds everything that was in the store when this began. False: it could not be told, and
    /// the caller reads the store itself.
    pub async fn make_fresh(&self, resource: &Resource) -> Result<bool> {
        if !self.ordered_progress.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let revision = self.store.revision(&resource.prefix).await?;
        match resource.cache.wait_for(revision, FRESH_TIMEOUT).await {
            Ok(()) => Ok(true),
            Err(CacheError::TooNew { .. } | CacheError::NotReady) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
