//! Everything that a request needs: store, resources, tokens, allocators. Shared by both front doors.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proto::meta::v1::Time;

use crate::admit::others::Others;
use crate::admit::plugins::{Plugin, Plugins};
use crate::aggregate::Aggregator;
use crate::allocate::ServiceAllocator;
use crate::audit::Audit;
use crate::authenticate::front_proxy::Fronts;
use crate::authenticate::token::Tokens;
use crate::authorize::Access;
use crate::bootstrap::extension::Published;
use crate::budget::Budget;
use crate::custom::follow::{self, Progress};
use crate::fairness::Fairness;
use crate::metrics::RequestMetrics;
use crate::outbound::Outbound;
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
    /// Which admission plugins run.
    pub plugins: Plugins,
    /// Webhooks and policies that have a say in what is written.
    pub others: Arc<Others>,
    /// How far the custom ones among them are those of the store.
    pub definitions: Arc<Progress>,
    /// Who may do what.
    pub access: Arc<Access>,
    /// Whether callers without a credential are somebody: `--anonymous-auth`.
    pub anonymous: bool,
    /// Proxies that may say who calls.
    pub fronts: Fronts,
    /// Service account tokens, where a signing key is configured.
    pub tokens: Tokens,
    /// Cluster addresses and node ports.
    pub services: ServiceAllocator,
    /// The way to the nodes.
    pub kubelets: Kubelets,
    /// The way to extension servers, webhooks, and what proxies lead to.
    pub outbound: Outbound,
    /// Who serves other group versions.
    pub aggregator: Arc<Aggregator>,
    /// What extension servers are told about whom to believe.
    pub published: Published,
    /// Largest request: `--max-request-bytes`.
    pub request_bytes_max: usize,
    /// What keeps clients from taking each other's seats.
    pub fairness: Arc<Fairness>,
    /// Bytes of the bodies of requests in flight, and of answers.
    pub requests: Budget,
    pub answers: Budget,
    /// The longest that a request takes: `--request-timeout`.
    pub request_timeout: Duration,
    /// Where it is kept: `--audit-policy-file` and `--audit-log-path`.
    pub audit: Option<Arc<Audit>>,
    /// What is counted about requests.
    pub metrics: RequestMetrics,
}

impl Server {
    /// Whether an admission plugin runs.
    pub fn runs(&self, plugin: Plugin) -> bool {
        self.plugins.run(plugin)
    }

    /// The clock, in whole seconds.
    pub fn now(&self) -> Time {
        Time::from_system(SystemTime::now())
    }

    /// Looks whether the resource is there after all, where it is not known: another apiserver may have told of a
    /// definition that this one is only about to hear of.
    pub async fn know(&self, (group, version, plural): (&str, &str, &str)) -> Result<()> {
        let known = self.registry.served(group, version, plural).is_ok() || self.registry.is_built_in(group);
        if known { Ok(()) } else { follow::settle(self).await }
    }

    /// Waits until the cache holds everything that was in the store when this began. False: it could not be told, and
    /// the caller reads the store itself.
    pub async fn make_fresh(&self, resource: &Resource) -> Result<bool> {
        if !self.store.has_ordered_progress() {
            return Ok(false);
        }
        let revision = self.store.revision(&resource.prefix).await?;
        match resource.cache.wait_for(revision, FRESH_TIMEOUT).await {
            Ok(()) => Ok(true),
            Err(CacheError::TooNew { .. } | CacheError::NotReady) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the cache has reached `revision`. False: the store has, but cannot tell that the cache has, and the
    /// caller reads the store itself.
    pub async fn reach(&self, resource: &Resource, revision: i64) -> Result<bool> {
        if self.store.has_ordered_progress() || resource.cache.revision() >= revision.max(1) {
            resource.cache.wait_for(revision, FRESH_TIMEOUT).await?;
            return Ok(true);
        }
        resource.cache.wait_for(0, FRESH_TIMEOUT).await?;
        let current = self.store.revision(&resource.prefix).await?;
        match current >= revision {
            true => Ok(resource.cache.revision() >= revision),
            false => Err(CacheError::TooNew { requested: revision, current }.into()),
        }
    }

    /// As [`Self::make_fresh`], for those who read nothing but the cache: where the store cannot tell how far the cache
    /// is, at least every object that is there now is in it as it is.
    pub async fn catch_up(&self, resource: &Resource) -> Result<()> {
        if !self.make_fresh(resource).await? {
            let newest = self.store.newest_below(&resource.prefix).await?;
            resource.cache.wait_for(newest, FRESH_TIMEOUT).await?;
        }
        Ok(())
    }
}
