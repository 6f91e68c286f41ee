//! Follows the ConfigMaps and Secrets that the volumes of this node's pods are made of, each by its name: a node may
//! read no others.

use std::collections::{BTreeMap, BTreeSet};

use client::informer::{Change, Informer};
use client::{Client, ListParams};
use proto::Object;
use proto::core::v1::{ConfigMap, Pod, Secret};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::manager::PodEvent;

/// What a volume can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    ConfigMap,
    Secret,
}

/// One object: its kind, namespace and name.
type Source = (Kind, String, String);

/// Tells the manager when an object changes that volumes are made of. Dropping it ends every watch.
pub struct Objects {
    client: Client,
    tx: mpsc::Sender<PodEvent>,
    uses: Uses,
    watches: BTreeMap<Source, JoinHandle<()>>,
}

impl Objects {
    /// Follows nothing yet.
    pub fn new(client: &Client, tx: &mpsc::Sender<PodEvent>) -> Self {
        Self { client: client.clone(), tx: tx.clone(), uses: Uses::default(), watches: BTreeMap::new() }
    }

    /// A pod is there, changed, or is gone: begins and ends watches.
    pub fn take(&mut self, event: &PodEvent) {
        let (begin, end) = match event {
            PodEvent::Set(pod) => self.uses.set(&pod.metadata.uid, sources(pod)),
            PodEvent::Gone(pod) => self.uses.set(&pod.metadata.uid, BTreeSet::new()),
            PodEvent::ObjectsChanged { .. } => return,
        };
        for source in end {
            if let Some(watch) = self.watches.remove(&source) {
                watch.abort();
            }
        }
        for source in begin {
            let watch = self.follow(&source);
            self.watches.insert(source, watch);
        }
    }

    /// Only names and versions are kept.
    fn follow(&self, (kind, namespace, name): &Source) -> JoinHandle<()> {
        let which = ListParams::in_namespace(namespace).fields(format!("metadata.name={name}"));
        match kind {
            Kind::ConfigMap => self.tell(Informer::<ConfigMap>::new(self.client.api(), which).strip(|map| {
                map.data.clear();
                map.binary_data.clear();
            })),
            Kind::Secret => {
                self.tell(Informer::<Secret>::new(self.client.api(), which).strip(|secret| secret.data.clear()))
            }
        }
    }

    fn tell<T: Object>(&self, mut informer: Informer<T>) -> JoinHandle<()> {
        let tx = self.tx.clone();
        informer.on_change(move |change: &Change<T>| {
            if change.old.is_some() {
                // A full channel: the volumes are looked at from time to time anyway.
                let _ = tx.try_send(PodEvent::ObjectsChanged { namespace: change.key.namespace.clone() });
            }
        });
        tokio::spawn(informer.run())
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        for watch in self.watches.values() {
            watch.abort();
        }
    }
}

/// Which pods' volumes are made of what.
#[derive(Default)]
struct Uses {
    by_pod: BTreeMap<String, BTreeSet<Source>>,
    counts: BTreeMap<Source, usize>,
}

impl Uses {
    /// The pod of that uid uses these now. Gives what nobody used before, and what nobody uses any more.
    fn set(&mut self, uid: &str, now: BTreeSet<Source>) -> (Vec<Source>, Vec<Source>) {
        let before = self.by_pod.remove(uid).unwrap_or_default();
        let mut begin = Vec::new();
        for source in now.difference(&before) {
            let count = self.counts.entry(source.clone()).or_default();
            *count += 1;
            if *count == 1 {
                begin.push(source.clone());
            }
        }
        let mut end = Vec::new();
        for source in before.difference(&now) {
            let Some(count) = self.counts.get_mut(source) else { continue };
            *count -= 1;
            if *count == 0 {
                self.counts.remove(source);
                end.push(source.clone());
            }
        }
        if !now.is_empty() {
            self.by_pod.insert(uid.to_owned(), now);
        }
        (begin, end)
    }
}

/// What the volumes of a pod are made of; nothing once it is over.
fn sources(pod: &Pod) -> BTreeSet<Source> {
    let mut found = BTreeSet::new();
    if matches!(pod.status.phase.as_str(), "Succeeded" | "Failed") {
        return found;
    }
    let mut add = |kind: Kind, name: &str| {
        if !name.is_empty() {
            found.insert((kind, pod.metadata.namespace.clone(), name.to_owned()));
        }
    };
    for source in pod.spec.volumes.iter().map(|volume| &volume.volume_source) {
        if let Some(map) = &source.config_map {
            add(Kind::ConfigMap, &map.local_object_reference.name);
        }
        if let Some(secret) = &source.secret {
            add(Kind::Secret, &secret.secret_name);
        }
        for projection in source.projected.iter().flat_map(|projected| &projected.sources) {
            if let Some(map) = &projection.config_map {
                add(Kind::ConfigMap, &map.local_object_reference.name);
            }
            if let Some(secret) = &projection.secret {
                add(Kind::Secret, &secret.local_object_reference.name);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, phase: &str) -> Pod {
        let pod = json!({
            "metadata": {"name": uid, "namespace": "ns", "uid": uid}, "status": {"phase": phase},
            "spec": {"containers": [], "volumes": [
                {"name": "a", "secret": {"secretName": "s"}}, {"name": "b", "configMap": {"name": "m"}},
                {"name": "c", "projected": {"sources": [{"secret": {"name": "s"}}, {"configMap": {"name": "root"}}]}},
                {"name": "d", "emptyDir": {}}]}
        });
        proto::json::from_value(pod).expect("a pod")
    }

    fn names(sources: &[Source]) -> Vec<&str> {
        sources.iter().map(|(_, _, name)| name.as_str()).collect()
    }

    #[test]
    fn each_object_is_followed_once_while_a_pod_uses_it() {
        let mut uses = Uses::default();
        let (begin, end) = uses.set("p", sources(&pod("p", "Running")));
        assert_eq!((names(&begin), names(&end)), (vec!["m", "root", "s"], vec![]));
        assert_eq!(uses.set("q", sources(&pod("q", "Running"))), (vec![], vec![]));
        assert_eq!(uses.set("p", sources(&pod("p", "Running"))), (vec![], vec![]));
        assert_eq!(uses.set("p", sources(&pod("p", "Succeeded"))), (vec![], vec![]));
        let (begin, end) = uses.set("q", BTreeSet::new());
        assert_eq!((names(&begin), names(&end)), (vec![], vec!["m", "root", "s"]));
        assert!(uses.counts.is_empty() && uses.by_pod.is_empty());
    }
}
