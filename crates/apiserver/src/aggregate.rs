//! API servers beside this one: APIServices whose group versions others serve.
//!
//! [`Aggregator`] follows the APIServices; a request below one of theirs is passed on by [`proxy`], with the caller named in
//! headers ([`identity`]). [`availability`] asks each whether it is there and writes the condition `Available`;
//! [`priority`] says which of our own group versions are told first, and [`register`] makes APIServices for them.

pub mod availability;
pub mod identity;
pub mod openapi;
pub mod priority;
pub mod proxy;
pub mod register;
pub mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prost::Message;
use proto::apiregistration::v1::ApiService;
use proto::meta::v1::ApiResource;
use tokio::sync::Notify;

use crate::outbound::{Destination, Place, Trust};
use crate::registry::Registry;
use crate::watch_cache::{Change, Entry, Observer};

/// Where an APIService does not say.
const PORT: u16 = 443;

/// An API server that serves a group version for us.
#[derive(Debug, Clone, PartialEq)]
pub struct Remote {
    /// The APIService's name.
    pub name: String,
    /// Its group; never the core group.
    pub group: String,
    /// Its version.
    pub version: String,
    /// Who serves it.
    pub to: Destination,
    /// Whether its condition says that it is there.
    pub available: bool,
    /// Groups with more are told first.
    pub group_priority: i32,
    /// Versions with more are told first.
    pub version_priority: i32,
}

impl Remote {
    /// `None`: this server itself serves it.
    fn of(service: &ApiService) -> Option<Self> {
        let spec = &service.spec;
        let reference = spec.service.as_ref().filter(|_| !spec.group.is_empty())?;
        let port = reference.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(PORT);
        Some(Self {
            name: service.metadata.name.clone(),
            group: spec.group.clone(),
            version: spec.version.clone(),
            to: Destination {
                place: Place::Service { namespace: reference.namespace.clone(), name: reference.name.clone(), port },
                trust: Trust::of(&spec.ca_bundle, spec.insecure_skip_tls_verify),
                identify: true,
            },
            available: status::is_available(service),
            group_priority: spec.group_priority_minimum,
            version_priority: spec.version_priority,
        })
    }

    /// `apps/v1`.
    pub fn group_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }
}

/// What a remote server last said that it serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Who.
    pub remote: Remote,
    /// Its resources; empty where it never answered.
    pub resources: Vec<ApiResource>,
    /// Where its document of OpenAPI 3.0 is, as its own index says.
    pub openapi: Option<String>,
}

/// The APIServices, and what stands behind those of others.
#[derive(Debug, Default)]
pub struct Aggregator {
    /// By group version.
    remotes: ArcSwap<BTreeMap<String, Arc<Remote>>>,
    /// What was last heard of them, in no order; a new list for every change.
    told: ArcSwap<Vec<Told>>,
    /// An APIService changed.
    changed: Notify,
}

impl Aggregator {
    /// Follows the APIServices of the registry.
    pub fn follow(self: &Arc<Self>, registry: &Registry) {
        if let Ok(resource) = registry.find("apiregistration.k8s.io", "v1", "apiservices") {
            resource.cache.observe(Box::new(Follower(Arc::clone(self))));
        }
    }

    /// Who else serves a path: `/apis/GROUP/VERSION` and all below it, and its document of OpenAPI 3.0.
    pub fn serving(&self, path: &str) -> Option<Arc<Remote>> {
        let remotes = self.remotes.load();
        if remotes.is_empty() {
            return None;
        }
        let path = path.strip_prefix("/openapi/v3").unwrap_or(path);
        let mut parts = path.strip_prefix("/apis/")?.splitn(3, '/');
        let (group, version) = (parts.next()?, parts.next()?);
        remotes.get(&format!("{group}/{version}")).cloned()
    }

    /// All others.
    pub fn remotes(&self) -> Vec<Arc<Remote>> {
        self.remotes.load().values().cloned().collect()
    }

    /// What is known of what others serve. The same list until something changed.
    pub fn told(&self) -> Arc<Vec<Told>> {
        self.told.load_full()
    }

    fn tell(&self, told: Vec<Told>) {
        if **self.told.load() != told {
            self.told.store(Arc::new(told));
        }
    }

    fn set(&self, key: Option<&Entry>, now: Option<&Entry>) {
        let read =
            |entry: &Entry| ApiService::decode(entry.bytes.clone()).ok().and_then(|service| Remote::of(&service));
        let (before, after) = (key.and_then(read), now.and_then(read));
        if before.is_none() && after.is_none() {
            return;
        }
        self.remotes.rcu(|remotes| {
            let mut remotes = BTreeMap::clone(remotes);
            if let Some(before) = &before {
                remotes.remove(&before.group_version());
            }
            if let Some(after) = &after {
                remotes.insert(after.group_version(), Arc::new(after.clone()));
            }
            remotes
        });
        self.changed.notify_one();
    }
}

#[derive(Debug)]
struct Follower(Arc<Aggregator>);

impl Observer for Follower {
    fn replaced(&self, entries: &mut dyn Iterator<Item = &Arc<Entry>>) {
        self.0.remotes.store(Arc::default());
        for entry in entries {
            self.0.set(None, Some(entry));
        }
        self.0.changed.notify_one();
    }

    fn changed(&self, change: &Change) {
        self.0.set(change.old.as_deref(), change.new.as_deref());
    }
}

#[cfg(test)]
mod tests {
    use proto::apiregistration::v1::ServiceReference;

    use super::*;

    fn entry(group: &str, remote: bool) -> Entry {
        let mut service = ApiService::default();
        service.metadata.name = format!("v1.{group}");
        service.spec.group = group.into();
        service.spec.version = "v1".into();
        service.spec.service = remote.then(|| ServiceReference { namespace: "n".into(), name: "s".into(), port: None });
        Entry::new(&service.metadata.name.clone(), 1, service.encode_to_vec().into(), BTreeMap::new(), Vec::new())
    }

    #[test]
    fn paths_of_others_are_known() {
        let aggregator = Aggregator::default();
        aggregator.set(None, Some(&entry("metrics.example", true)));
        aggregator.set(None, Some(&entry("apps", false)));
        for (path, expect) in [
            ("/apis/metrics.example/v1", true),
            ("/apis/metrics.example/v1/pods", true),
            ("/apis/metrics.example/v1/", true),
            ("/openapi/v3/apis/metrics.example/v1", true),
            ("/openapi/v2", false),
            ("/apis/metrics.example/v12", false),
            ("/apis/metrics.example", false),
            ("/apis/apps/v1/deployments", false),
            ("/api/v1/pods", false),
        ] {
            assert_eq!(aggregator.serving(path).is_some(), expect, "{path}");
        }
        aggregator.set(Some(&entry("metrics.example", true)), Some(&entry("metrics.example", false)));
        assert_eq!(aggregator.serving("/apis/metrics.example/v1"), None, "it is our own now");
    }
}
