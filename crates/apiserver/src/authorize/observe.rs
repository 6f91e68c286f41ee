//! Keeps [`Access`] as the watch caches are.

use std::sync::Arc;

use prost::Message;
use proto::core::v1::PersistentVolume;
use proto::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use proto::resource::v1::ResourceSlice;
use proto::storage::v1::VolumeAttachment;

use super::Access;
use super::graph::Owned;
use super::index::Binding;
use super::references::{PodFacts, VolumeFacts};
use crate::registry::Registry;
use crate::watch_cache::{Change, Entry, Observer};

/// Whose cache is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    ClusterRoles,
    Roles,
    ClusterRoleBindings,
    RoleBindings,
    Pods,
    Volumes,
    Attachments,
    Slices,
}

const FOLLOWED: [(&str, &str, Which); 8] = [
    ("rbac.authorization.k8s.io", "clusterroles", Which::ClusterRoles),
    ("rbac.authorization.k8s.io", "roles", Which::Roles),
    ("rbac.authorization.k8s.io", "clusterrolebindings", Which::ClusterRoleBindings),
    ("rbac.authorization.k8s.io", "rolebindings", Which::RoleBindings),
    ("", "pods", Which::Pods),
    ("", "persistentvolumes", Which::Volumes),
    ("storage.k8s.io", "volumeattachments", Which::Attachments),
    ("resource.k8s.io", "resourceslices", Which::Slices),
];

const NODE_NAME: &str = "spec.nodeName";

/// Follows every cache that concerns access.
pub fn follow(access: &Arc<Access>, registry: &Registry) {
    for (group, plural, which) in FOLLOWED {
        if let Ok(resource) = registry.find(group, "v1", plural) {
            resource.cache.observe(Box::new(Follower { access: Arc::clone(access), which }));
        }
    }
}

#[derive(Debug)]
struct Follower {
    access: Arc<Access>,
    which: Which,
}

impl Observer for Follower {
    fn replaced(&self, entries: &mut dyn Iterator<Item = &Arc<Entry>>) {
        self.clear();
        for entry in entries {
            self.put(entry);
        }
    }

    fn changed(&self, change: &Change) {
        match (&change.old, &change.new) {
            (Some(old), Some(new)) if self.which == Which::Pods && self.stays(old, new) => {}
            (_, Some(new)) => self.put(new),
            (Some(old), None) => self.remove(old),
            (None, None) => {}
        }
    }
}

fn read<T: Message + Default>(entry: &Entry) -> T {
    // The cache holds what could be decoded; what cannot is like an object that allows nothing.
    T::decode(entry.bytes.clone()).unwrap_or_default()
}

impl Follower {
    /// A bound pod stays on its node, and what it names stays what it is, except for claims that are made for it.
    fn stays(&self, old: &Entry, new: &Entry) -> bool {
        let same = old.field(NODE_NAME) == new.field(NODE_NAME);
        same && !self.access.graph.read().grows(new.namespace(), new.name())
    }

    fn clear(&self) {
        let Access { index, graph, .. } = self.access.as_ref();
        match self.which {
            Which::ClusterRoles | Which::Roles => index.write().clear_roles(self.which == Which::ClusterRoles),
            Which::ClusterRoleBindings | Which::RoleBindings => {
                index.write().clear_bindings(self.which == Which::ClusterRoleBindings);
            }
            Which::Pods => graph.write().clear_pods(),
            Which::Volumes => graph.write().clear_volumes(),
            Which::Attachments => graph.write().clear_owned(Owned::Attachment),
            Which::Slices => graph.write().clear_owned(Owned::Slice),
        }
    }

    fn put(&self, entry: &Entry) {
        let (namespace, name) = (entry.namespace(), entry.name());
        let graph = &self.access.graph;
        match self.which {
            Which::ClusterRoles => self.role(entry, read::<ClusterRole>(entry).rules),
            Which::Roles => self.role(entry, read::<Role>(entry).rules),
            Which::ClusterRoleBindings => {
                let ClusterRoleBinding { subjects, role_ref, .. } = read(entry);
                self.binding(entry, role_ref, subjects);
            }
            Which::RoleBindings => {
                let RoleBinding { subjects, role_ref, .. } = read(entry);
                self.binding(entry, role_ref, subjects);
            }
            Which::Pods if entry.field(NODE_NAME).is_empty() => graph.write().remove_pod(namespace, name),
            Which::Pods => match PodFacts::of(&read(entry)) {
                Some(facts) => graph.write().put_pod(namespace, name, facts),
                None => graph.write().remove_pod(namespace, name),
            },
            Which::Volumes => {
                let facts = VolumeFacts::of(&read::<PersistentVolume>(entry));
                graph.write().put_volume(name, facts);
            }
            Which::Attachments => {
                let attachment: VolumeAttachment = read(entry);
                graph.write().set_node(Owned::Attachment, name, &attachment.spec.node_name);
            }
            Which::Slices => {
                let slice: ResourceSlice = read(entry);
                graph.write().set_node(Owned::Slice, name, slice.spec.node_name.as_deref().unwrap_or_default());
            }
        }
    }

    fn remove(&self, entry: &Entry) {
        let (namespace, name) = (entry.namespace(), entry.name());
        let Access { index, graph, .. } = self.access.as_ref();
        match self.which {
            Which::ClusterRoles | Which::Roles => index.write().remove_role(namespace, name),
            Which::ClusterRoleBindings | Which::RoleBindings => index.write().remove_binding(namespace, name),
            Which::Pods => graph.write().remove_pod(namespace, name),
            Which::Volumes => graph.write().remove_volume(name),
            Which::Attachments => graph.write().set_node(Owned::Attachment, name, ""),
            Which::Slices => graph.write().set_node(Owned::Slice, name, ""),
        }
    }

    fn role(&self, entry: &Entry, rules: Vec<PolicyRule>) {
        self.access.index.write().put_role(entry.namespace(), entry.name(), rules);
    }

    fn binding(&self, entry: &Entry, role: RoleRef, subjects: Vec<Subject>) {
        let (name, namespace) = (entry.name().to_owned(), entry.namespace().to_owned());
        self.access.index.write().put_binding(Binding { name, namespace, role, subjects });
    }
}
