//! Which objects concern which node, because of the pods that are bound to it: a node may read those and no others.
//!
//! Pods name Secrets, ConfigMaps, claims, service accounts and resource claims; a volume belongs to the claim that it
//! is bound to, and the volume's Secrets with it; attachments and resource slices name their node themselves.

use std::collections::HashMap;
use std::sync::Arc;

use super::references::{Kind, PodFacts, Reference, VolumeFacts};

/// By namespace, then by name.
type Names<T> = HashMap<Box<str>, HashMap<Box<str>, T>>;

/// The nodes that something concerns, and by how many pods each.
#[derive(Debug, Default)]
struct Nodes(HashMap<Arc<str>, u32>);

/// What concerns whom.
#[derive(Debug, Default)]
pub struct Graph {
    pods: Names<Pod>,
    uses: HashMap<Kind, Names<Nodes>>,
    volumes: HashMap<Box<str>, VolumeFacts>,
    /// The volumes that a Secret is for.
    volumes_of_secret: Names<Vec<Box<str>>>,
    attachments: HashMap<Box<str>, Box<str>>,
    slices: HashMap<Box<str>, Box<str>>,
    /// Node names that are shared.
    nodes: HashMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct Pod {
    node: Arc<str>,
    references: Box<[Reference]>,
    grows: bool,
}

impl Graph {
    /// A pod is bound, or what it uses has changed.
    pub fn put_pod(&mut self, namespace: &str, name: &str, facts: PodFacts) {
        self.remove_pod(namespace, name);
        let node = self.node(&facts.node);
        for reference in &facts.references {
            let nodes = entry(self.uses.entry(reference.kind).or_default(), namespace, &reference.name);
            *nodes.0.entry(Arc::clone(&node)).or_default() += 1;
        }
        let pod = Pod { node, references: facts.references.into(), grows: facts.grows };
        self.pods.entry(namespace.into()).or_default().insert(name.into(), pod);
    }

    /// A pod is gone, or is bound to no node.
    pub fn remove_pod(&mut self, namespace: &str, name: &str) {
        let Some(pod) = take(&mut self.pods, namespace, name) else { return };
        for reference in &pod.references {
            let Some(names) = self.uses.get_mut(&reference.kind) else { continue };
            let Some(nodes) = names.get_mut(namespace).and_then(|names| names.get_mut(&reference.name)) else {
                continue;
            };
            if let Some(count) = nodes.0.get_mut(&pod.node) {
                *count -= 1;
                if *count == 0 {
                    nodes.0.remove(&pod.node);
                }
            }
            if nodes.0.is_empty() {
                take(names, namespace, &reference.name);
            }
        }
        if let Some(count) = self.nodes.get_mut(&pod.node) {
            *count -= 1;
            if *count == 0 {
                self.nodes.remove(&pod.node);
            }
        }
    }

    /// Whether a later version of the pod may name more.
    pub fn grows(&self, namespace: &str, name: &str) -> bool {
        look(&self.pods, namespace, name).is_some_and(|pod| pod.grows)
    }

    /// Forgets every pod.
    pub fn clear_pods(&mut self) {
        self.pods.clear();
        self.uses.clear();
        self.nodes.clear();
    }

    /// A volume is there, or changed.
    pub fn put_volume(&mut self, name: &str, facts: VolumeFacts) {
        self.remove_volume(name);
        for (namespace, secret) in &facts.secrets {
            entry(&mut self.volumes_of_secret, namespace, secret).push(name.into());
        }
        self.volumes.insert(name.into(), facts);
    }

    /// A volume is gone.
    pub fn remove_volume(&mut self, name: &str) {
        let Some(facts) = self.volumes.remove(name) else { return };
        for (namespace, secret) in &facts.secrets {
            let volumes = entry(&mut self.volumes_of_secret, namespace, secret);
            volumes.retain(|volume| **volume != *name);
            if volumes.is_empty() {
                take(&mut self.volumes_of_secret, namespace, secret);
            }
        }
    }

    /// Forgets every volume.
    pub fn clear_volumes(&mut self) {
        self.volumes.clear();
        self.volumes_of_secret.clear();
    }

    /// The node of an attachment or of a slice; empty: it has none, or is gone.
    pub fn set_node(&mut self, of: Owned, name: &str, node: &str) {
        let map = self.owned(of);
        match node {
            "" => map.remove(name),
            node => map.insert(name.into(), node.into()),
        };
    }

    /// Forgets all of that kind.
    pub fn clear_owned(&mut self, of: Owned) {
        self.owned(of).clear();
    }

    fn owned(&mut self, of: Owned) -> &mut HashMap<Box<str>, Box<str>> {
        match of {
            Owned::Attachment => &mut self.attachments,
            Owned::Slice => &mut self.slices,
        }
    }

    /// Whether the object is that node's own.
    pub fn owns(&self, node: &str, of: Owned, name: &str) -> bool {
        let map = match of {
            Owned::Attachment => &self.attachments,
            Owned::Slice => &self.slices,
        };
        map.get(name).is_some_and(|owner| **owner == *node)
    }

    /// Whether the pod is bound to the node.
    pub fn runs(&self, node: &str, namespace: &str, name: &str) -> bool {
        look(&self.pods, namespace, name).is_some_and(|pod| *pod.node == *node)
    }

    /// Whether a pod of the node uses the object, or a volume that such a pod uses does.
    pub fn concerns(&self, node: &str, kind: Kind, namespace: &str, name: &str) -> bool {
        let used = self.uses.get(&kind).and_then(|names| look(names, namespace, name));
        if used.is_some_and(|nodes| nodes.0.contains_key(node)) {
            return true;
        }
        let volumes = look(&self.volumes_of_secret, namespace, name).filter(|_| kind == Kind::Secret);
        volumes.into_iter().flatten().any(|volume| self.mounts(node, volume))
    }

    /// Whether a pod of the node uses the claim that the volume is bound to.
    pub fn mounts(&self, node: &str, volume: &str) -> bool {
        let Some((namespace, claim)) = self.volumes.get(volume).and_then(|facts| facts.claim.as_ref()) else {
            return false;
        };
        let used = self.uses.get(&Kind::Claim).and_then(|names| look(names, namespace, claim));
        used.is_some_and(|nodes| nodes.0.contains_key(node))
    }

    fn node(&mut self, name: &str) -> Arc<str> {
        let shared = match self.nodes.get_key_value(name) {
            Some((shared, _)) => Arc::clone(shared),
            None => Arc::from(name),
        };
        *self.nodes.entry(Arc::clone(&shared)).or_default() += 1;
        shared
    }
}

/// What names its node itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owned {
    /// A VolumeAttachment.
    Attachment,
    /// A ResourceSlice.
    Slice,
}

fn look<'a, T>(names: &'a Names<T>, namespace: &str, name: &str) -> Option<&'a T> {
    names.get(namespace)?.get(name)
}

fn entry<'a, T: Default>(names: &'a mut Names<T>, namespace: &str, name: &str) -> &'a mut T {
    names.entry(namespace.into()).or_default().entry(name.into()).or_default()
}

fn take<T>(names: &mut Names<T>, namespace: &str, name: &str) -> Option<T> {
    let inner = names.get_mut(namespace)?;
    let found = inner.remove(name);
    if inner.is_empty() {
        names.remove(namespace);
    }
    found
}

#[cfg(test)]
mod tests;
