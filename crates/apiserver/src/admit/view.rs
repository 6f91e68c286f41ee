//! What plugins may know of the cluster: the watch caches, or a fake.

use proto::core::v1::{Namespace, Node, ServiceAccount};
use proto::scheduling::v1::PriorityClass;

use super::plugins::{Plugin, Plugins};
use crate::server::Server;
use crate::watch_cache::Filter;

/// What plugins may know of the cluster.
pub trait View {
    /// Whether the plugin runs.
    fn runs(&self, plugin: Plugin) -> bool {
        Plugins::default().run(plugin)
    }
    /// The namespace of that name.
    fn namespace(&self, name: &str) -> Option<Namespace>;
    /// The service account of that name.
    fn service_account(&self, namespace: &str, name: &str) -> Option<ServiceAccount>;
    /// The node of that name.
    fn node(&self, name: &str) -> Option<Node>;
    /// The priority class of that name.
    fn priority_class(&self, name: &str) -> Option<PriorityClass>;
    /// Every priority class.
    fn priority_classes(&self) -> Vec<PriorityClass>;
    /// The object of that kind and name.
    fn named<T: proto::Object>(&self, namespace: &str, name: &str) -> Option<T>;
    /// Every object of that kind in a namespace; of a cluster-scoped kind, every one.
    fn all<T: proto::Object>(&self, namespace: &str) -> Vec<T>;
}

impl Server {
    fn cached<T: proto::Object>(&self, plural: &str, namespace: &str, name: &str) -> Option<T> {
        let resource = self.registry.find(T::GROUP, T::VERSION, plural).ok()?;
        let entry = resource.cache.get(&resource.key(namespace, name))?;
        T::decode(entry.bytes.clone()).ok()
    }
}

impl View for Server {
    fn runs(&self, plugin: Plugin) -> bool {
        Self::runs(self, plugin)
    }

    fn namespace(&self, name: &str) -> Option<Namespace> {
        self.cached("namespaces", "", name)
    }

    fn service_account(&self, namespace: &str, name: &str) -> Option<ServiceAccount> {
        self.cached("serviceaccounts", namespace, name)
    }

    fn node(&self, name: &str) -> Option<Node> {
        self.cached("nodes", "", name)
    }

    fn priority_class(&self, name: &str) -> Option<PriorityClass> {
        self.cached("priorityclasses", "", name)
    }

    fn priority_classes(&self) -> Vec<PriorityClass> {
        let Ok(resource) = self.registry.find("scheduling.k8s.io", "v1", "priorityclasses") else { return Vec::new() };
        let (entries, _) = resource.cache.list(&Filter::default());
        entries.iter().filter_map(|entry| prost::Message::decode(entry.bytes.clone()).ok()).collect()
    }

    fn named<T: proto::Object>(&self, namespace: &str, name: &str) -> Option<T> {
        let row = api::resource::by_kind(T::GROUP, T::VERSION, T::KIND)?;
        self.cached(row.plural, namespace, name)
    }

    fn all<T: proto::Object>(&self, namespace: &str) -> Vec<T> {
        let row = api::resource::by_kind(T::GROUP, T::VERSION, T::KIND);
        let Some(resource) = row.and_then(|row| self.registry.find(row.group, row.version, row.plural).ok()) else {
            return Vec::new();
        };
        let (entries, _) = resource.cache.list(&Filter { namespace: namespace.to_owned(), ..Default::default() });
        entries.iter().filter_map(|entry| T::decode(entry.bytes.clone()).ok()).collect()
    }
}
