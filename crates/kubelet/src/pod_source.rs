//! Where pods come from: the API's pods that are bound to this node.

use std::collections::HashSet;

use client::informer::{Change, Informer};
use client::{Client, ListParams};
use proto::Object;
use proto::core::v1::{ConfigMap, Pod, Secret};
use tokio::sync::mpsc;

use crate::manager::{Handles, PodEvent};

/// Pod events that wait for the manager.
pub const EVENTS_MAX: usize = 256;

/// Follows the pods of this node.
pub fn informer(client: &Client, node_name: &str) -> Informer<Pod> {
    Informer::new(client.api(), ListParams::default().fields(format!("spec.nodeName={node_name}")))
}

/// Passes the informer's changes to the manager. After the first list, pods that only this node knows are told as gone.
pub async fn run(mut informer: Informer<Pod>, handles: Handles, tx: mpsc::Sender<PodEvent>) {
    let (mut changes, store) = (informer.changes(), informer.store());
    let follow = tokio::spawn(informer.run());
    let _end = AbortOnDrop(follow);
    let mut synced = false;
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = store.wait_synced(), if !synced => {
                synced = true;
                let exists: HashSet<String> = store.list().iter().map(|pod| pod.metadata.uid.clone()).collect();
                for pod in crate::manager::orphans(&handles, |uid| exists.contains(uid)) {
                    if tx.send(PodEvent::Gone(pod)).await.is_err() {
                        return;
                    }
                }
                continue;
            }
        };
        let Some(change) = change else { return };
        for event in events(change) {
            if tx.send(event).await.is_err() {
                return;
            }
        }
    }
}

/// What a change means. A name whose uid changed is another pod.
fn events(change: Change<Pod>) -> Vec<PodEvent> {
    match (change.old, change.new) {
        (Some(old), Some(new)) if old.metadata.uid != new.metadata.uid => vec![PodEvent::Gone(old), PodEvent::Set(new)],
        (_, Some(new)) => vec![PodEvent::Set(new)],
        (Some(old), None) => vec![PodEvent::Gone(old)],
        (None, None) => Vec::new(),
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells the manager when an object changes that volumes may be made of. Only names and versions are kept.
pub fn tell_objects(client: &Client, tx: &mpsc::Sender<PodEvent>) -> Vec<tokio::task::JoinHandle<()>> {
    fn follow<T: Object>(mut informer: Informer<T>, tx: mpsc::Sender<PodEvent>) -> tokio::task::JoinHandle<()> {
        informer.on_change(move |change: &Change<T>| {
            if change.old.is_some() {
                // A full channel: the volumes are looked at from time to time anyway.
                let _ = tx.try_send(PodEvent::ObjectsChanged { namespace: change.key.namespace.clone() });
            }
        });
        tokio::spawn(informer.run())
    }
    let maps = Informer::<ConfigMap>::new(client.api(), ListParams::default()).strip(|map| {
        map.data.clear();
        map.binary_data.clear();
    });
    let secrets = Informer::<Secret>::new(client.api(), ListParams::default()).strip(|secret| secret.data.clear());
    vec![follow(maps, tx.clone()), follow(secrets, tx.clone())]
}
