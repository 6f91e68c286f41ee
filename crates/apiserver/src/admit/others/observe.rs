//! Keeps [`Others`] as the watch caches are.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prost::Message;
use proto::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};

use super::Others;
use super::hook::{self, Hook};
use crate::registry::Registry;
use crate::watch_cache::{Change, Entry, Observer};

const GROUP: &str = "admissionregistration.k8s.io";

impl Others {
    /// Follows the caches of configurations.
    pub fn follow(self: &Arc<Self>, registry: &Registry) {
        for (plural, sort) in
            [("mutatingwebhookconfigurations", Sort::Mutating), ("validatingwebhookconfigurations", Sort::Validating)]
        {
            if let Ok(resource) = registry.find(GROUP, "v1", plural) {
                let follower = Follower { others: Arc::clone(self), sort, known: Mutex::default() };
                resource.cache.observe(Box::new(follower));
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Sort {
    Mutating,
    Validating,
}

/// Follows one cache.
#[derive(Debug)]
struct Follower {
    others: Arc<Others>,
    sort: Sort,
    /// By the configuration's name: the order in which webhooks are asked.
    known: Mutex<BTreeMap<String, Vec<Arc<Hook>>>>,
}

impl Observer for Follower {
    fn replaced(&self, entries: &mut dyn Iterator<Item = &Arc<Entry>>) {
        let mut known = self.known.lock();
        *known = entries.map(|entry| (entry.name().to_owned(), self.read(entry))).collect();
        self.publish(&known);
    }

    fn changed(&self, change: &Change) {
        let mut known = self.known.lock();
        match (&change.old, &change.new) {
            (_, Some(new)) => _ = known.insert(new.name().to_owned(), self.read(new)),
            (Some(old), None) => _ = known.remove(old.name()),
            (None, None) => {}
        }
        self.publish(&known);
    }
}

impl Follower {
    /// The cache holds what could be decoded; what cannot has no webhooks.
    fn read(&self, entry: &Entry) -> Vec<Arc<Hook>> {
        let bytes = entry.bytes.clone();
        let hooks = match self.sort {
            Sort::Mutating => MutatingWebhookConfiguration::decode(bytes).map(|it| hook::mutating(&it)),
            Sort::Validating => ValidatingWebhookConfiguration::decode(bytes).map(|it| hook::validating(&it)),
        };
        hooks.unwrap_or_default().into_iter().map(Arc::new).collect()
    }

    fn publish(&self, known: &BTreeMap<String, Vec<Arc<Hook>>>) {
        let all = known.values().flatten().cloned().collect();
        let place = match self.sort {
            Sort::Mutating => &self.others.mutating,
            Sort::Validating => &self.others.validating,
        };
        place.store(Arc::new(all));
    }
}
