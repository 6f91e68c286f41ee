//! Keeps [`Others`] as the watch caches are.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use proto::admissionregistration::v1::{
    MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, MutatingWebhookConfiguration, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration,
};

use super::policy::Binding;
use super::{Others, hook};
use crate::registry::Registry;
use crate::watch_cache::{Change, Entry, Observer};

impl Others {
    /// Follows the caches of configurations.
    pub fn follow(self: &Arc<Self>, registry: &Registry) {
        let follow = Follow { others: self, registry };
        follow.cache(
            "mutatingwebhookconfigurations",
            |others| &others.mutating,
            |bytes| read::<MutatingWebhookConfiguration>(bytes).map(|it| hook::mutating(&it)).unwrap_or_default(),
        );
        follow.cache(
            "validatingwebhookconfigurations",
            |others| &others.validating,
            |bytes| read::<ValidatingWebhookConfiguration>(bytes).map(|it| hook::validating(&it)).unwrap_or_default(),
        );
        follow.cache(
            "mutatingadmissionpolicies",
            |others| &others.mutating_policies,
            |bytes| read::<MutatingAdmissionPolicy>(bytes).iter().map(Into::into).collect(),
        );
        follow.cache(
            "validatingadmissionpolicies",
            |others| &others.validating_policies,
            |bytes| read::<ValidatingAdmissionPolicy>(bytes).iter().map(Into::into).collect(),
        );
        follow.cache(
            "mutatingadmissionpolicybindings",
            |others| &others.mutating_bindings,
            |bytes| read::<MutatingAdmissionPolicyBinding>(bytes).iter().map(Binding::from).collect(),
        );
        follow.cache(
            "validatingadmissionpolicybindings",
            |others| &others.validating_bindings,
            |bytes| read::<ValidatingAdmissionPolicyBinding>(bytes).iter().map(Binding::from).collect(),
        );
    }
}

/// The cache holds what could be decoded; what cannot says nothing.
fn read<T: proto::Object>(bytes: &[u8]) -> Option<T> {
    T::decode(bytes).ok()
}

type Place<T> = fn(&Others) -> &ArcSwap<Vec<Arc<T>>>;

struct Follow<'a> {
    others: &'a Arc<Others>,
    registry: &'a Registry,
}

impl Follow<'_> {
    /// Follows the cache of a resource: each object is read to what it says, all of it is kept at `place`.
    fn cache<T: fmt::Debug + Send + Sync + 'static>(&self, plural: &str, place: Place<T>, read: fn(&[u8]) -> Vec<T>) {
        if let Ok(resource) = self.registry.find("admissionregistration.k8s.io", "v1", plural) {
            let others = Arc::clone(self.others);
            resource.cache.observe(Box::new(Follower { others, place, read, known: Mutex::default() }));
        }
    }
}

/// Follows one cache.
struct Follower<T> {
    others: Arc<Others>,
    place: Place<T>,
    read: fn(&[u8]) -> Vec<T>,
    /// By the object's name: the order in which all are asked.
    known: Mutex<BTreeMap<String, Vec<Arc<T>>>>,
}

impl<T> fmt::Debug for Follower<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}

impl<T: fmt::Debug + Send + Sync> Observer for Follower<T> {
    fn replaced(&self, entries: &mut dyn Iterator<Item = &Arc<Entry>>) {
        let mut known = self.known.lock();
        *known = entries.map(|entry| (entry.name().to_owned(), self.said(entry))).collect();
        self.publish(&known);
    }

    fn changed(&self, change: &Change) {
        let mut known = self.known.lock();
        match (&change.old, &change.new) {
            (_, Some(new)) => _ = known.insert(new.name().to_owned(), self.said(new)),
            (Some(old), None) => _ = known.remove(old.name()),
            (None, None) => {}
        }
        self.publish(&known);
    }
}

impl<T> Follower<T> {
    fn said(&self, entry: &Entry) -> Vec<Arc<T>> {
        (self.read)(&entry.bytes).into_iter().map(Arc::new).collect()
    }

    fn publish(&self, known: &BTreeMap<String, Vec<Arc<T>>>) {
        let all = known.values().flatten().cloned().collect();
        (self.place)(&self.others).store(Arc::new(all));
    }
}
