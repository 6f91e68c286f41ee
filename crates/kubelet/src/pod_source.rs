//! Where pods come from: the API's pods that are bound to this node.

use std::collections::HashSet;

use client::informer::{Change, Informer};
use client::{Client, ListParams};
use proto::core::v1::Pod;
use tokio::sync::mpsc;

use crate::manager::{Handles, PodEvent};
use crate::object_source::Objects;

/// Pod events that wait for the manager.
pub const EVENTS_MAX: usize = 256;

/// Follows the pods of this node.
pub fn informer(client: &Client, node_name: &str) -> Informer<Pod> {
    Informer::new(client.api(), ListParams::default().fields(format!("spec.nodeName={node_name}")))
}

/// Passes the informer's changes to the manager, and says whose objects are to be followed. After the first list, pods that only this node knows are told as gone.
pub async fn run(mut informer: Informer<Pod>, handles: Handles, mut objects: Objects, tx: mpsc::Sender<PodEvent>) {
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
            objects.take(&event);
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
