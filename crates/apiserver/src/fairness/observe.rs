//! Keeps [`Fairness`] as the watch caches of its objects are.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};

use super::Fairness;
use super::config::Objects;
use crate::registry::Registry;
use crate::watch_cache::{Change, Entry, Observer};

pub const GROUP: &str = "flowcontrol.apiserver.k8s.io";
pub const SCHEMAS: &str = "flowschemas";
pub const LEVELS: &str = "prioritylevelconfigurations";

impl Fairness {
    /// Follows the caches of both resources.
    pub fn follow(self: &Arc<Self>, registry: &Registry) {
        if let Ok(resource) = registry.find(GROUP, "v1", SCHEMAS) {
            let of: fn(&mut Objects) -> &mut BTreeMap<String, FlowSchema> = |objects| &mut objects.schemas;
            resource.cache.observe(Box::new(Follower { fairness: Arc::clone(self), of }));
        }
        if let Ok(resource) = registry.find(GROUP, "v1", LEVELS) {
            let of: fn(&mut Objects) -> &mut BTreeMap<String, PriorityLevelConfiguration> =
                |objects| &mut objects.levels;
            resource.cache.observe(Box::new(Follower { fairness: Arc::clone(self), of }));
        }
    }
}

struct Follower<T> {
    fairness: Arc<Fairness>,
    of: fn(&mut Objects) -> &mut BTreeMap<String, T>,
}

impl<T> std::fmt::Debug for Follower<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}

impl<T: proto::Object + Default + Clone> Observer for Follower<T> {
    fn replaced(&self, entries: &mut dyn Iterator<Item = &Arc<Entry>>) {
        let all: BTreeMap<String, T> = entries.filter_map(|entry| read(entry)).collect();
        // An empty store is a new cluster: its first objects are made now.
        if !all.is_empty() {
            self.fairness.with_objects(|objects| *(self.of)(objects) = all);
        }
    }

    fn changed(&self, change: &Change) {
        let same_spec = match (change.old.as_deref().and_then(read::<T>), change.new.as_deref().and_then(read::<T>)) {
            (Some((_, old)), Some((_, new))) => old.metadata().generation == new.metadata().generation,
            _ => false,
        };
        self.fairness.with_objects_if(!same_spec, |objects| {
            let all = (self.of)(objects);
            match (&change.old, &change.new) {
                (_, Some(new)) => all.extend(read(new)),
                (Some(old), None) => {
                    all.remove(old.name());
                }
                (None, None) => {}
            }
        });
    }
}

/// The cache holds what could be decoded; what cannot is left out.
fn read<T: proto::Object + Default>(entry: &Entry) -> Option<(String, T)> {
    Some((entry.name().to_owned(), T::decode(entry.bytes.clone()).ok()?))
}
