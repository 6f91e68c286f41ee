//! Gives every pod its worker, and passes on what containerd tells.

use std::collections::HashMap;
use std::sync::Arc;

use proto::core::v1::Pod;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::node_context::Node;
use crate::observed::ObservedPod;
use crate::pod::DesiredPod;
use crate::record;
use crate::runtime::events::TaskEvent;
use crate::worker::{MESSAGES_MAX, Message, Owners, Worker};

/// What the manager hears of the API.
#[derive(Clone, Debug)]
pub enum PodEvent {
    /// A pod of this node, new or changed.
    Set(Arc<Pod>),
    /// A pod's object is gone.
    Gone(Arc<Pod>),
    /// All pods that exist were told.
    Synced,
    /// An object that volumes are made of changed.
    ObjectsChanged { namespace: String },
}

/// A pod's worker, as others see it.
#[derive(Clone)]
pub struct Handle {
    pub pod: Arc<Pod>,
    tx: mpsc::Sender<Message>,
}

/// Who serves logs and streams looks pods up here: uid -> worker.
pub type Handles = Arc<parking_lot::RwLock<HashMap<String, Handle>>>;

/// Owns the workers.
pub struct Manager {
    node: Arc<Node>,
    handles: Handles,
    owners: Owners,
    workers: JoinSet<String>,
    pods: mpsc::Receiver<PodEvent>,
    tasks: mpsc::Receiver<TaskEvent>,
    containerd_ready: tokio::sync::watch::Sender<Result<(), String>>,
}

impl Manager {
    pub fn new(
        node: Arc<Node>,
        pods: mpsc::Receiver<PodEvent>,
        tasks: mpsc::Receiver<TaskEvent>,
        containerd_ready: tokio::sync::watch::Sender<Result<(), String>>,
    ) -> Self {
        Self {
            node,
            handles: Handles::default(),
            owners: Owners::default(),
            workers: JoinSet::new(),
            pods,
            tasks,
            containerd_ready,
        }
    }

    pub fn handles(&self) -> Handles {
        self.handles.clone()
    }

    /// Runs until cancelled. Ending it disturbs no container.
    pub async fn run(mut self, stop: CancellationToken) {
        for uid in record::list(&self.node.paths.pods()) {
            self.adopt(&uid);
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(event) = self.pods.recv() => self.hear(event).await,
                Some(event) = self.tasks.recv() => self.told(event).await,
                Some(done) = self.workers.join_next(), if !self.workers.is_empty() => match done {
                    Ok(uid) => drop(self.handles.write().remove(&uid)),
                    Err(error) => tracing::error!(%error, "a pod's worker failed"),
                },
            }
        }
    }

    /// Goes on with a pod that the kubelet before this one had.
    fn adopt(&mut self, uid: &str) {
        match record::load(&self.node.paths.pod(uid)) {
            Some((desired, observed)) if desired.uid() == uid => self.spawn(desired, observed),
            _ => tracing::warn!(uid, "a pod's folder holds no record; it is left alone"),
        }
    }

    fn spawn(&mut self, desired: DesiredPod, observed: ObservedPod) {
        let (tx, rx) = mpsc::channel(MESSAGES_MAX);
        let (uid, pod) = (desired.uid().to_owned(), desired.pod.clone());
        self.handles.write().insert(uid.clone(), Handle { pod, tx });
        let worker = Worker::new(self.node.clone(), self.owners.clone(), desired, observed, rx);
        self.workers.spawn(async move {
            worker.run().await;
            uid
        });
    }

    async fn hear(&mut self, event: PodEvent) {
        match event {
            PodEvent::Set(pod) => self.set(pod).await,
            PodEvent::Gone(pod) => self.tell(&pod.metadata.uid, Message::Gone).await,
            PodEvent::Synced => {}
            PodEvent::ObjectsChanged { namespace } => {
                let of_namespace = |handle: &&Handle| handle.pod.metadata.namespace == namespace;
                let chosen: Vec<Handle> = self.handles.read().values().filter(of_namespace).cloned().collect();
                for handle in chosen {
                    // A full queue will be worked off; the volumes are looked at from time to time anyway.
                    let _ = handle.tx.try_send(Message::ObjectsChanged);
                }
            }
        }
    }

    async fn set(&mut self, pod: Arc<Pod>) {
        let uid = pod.metadata.uid.clone();
        let known = self.handles.write().get_mut(&uid).map(|handle| handle.pod = pod.clone()).is_some();
        if known {
            return self.tell(&uid, Message::Desired(pod)).await;
        }
        let over = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
        if over && pod.metadata.deletion_timestamp.is_none() {
            return; // It ended before this kubelet's time.
        }
        let mut desired = DesiredPod::new(pod.clone());
        desired.update(pod, crate::time::now());
        self.spawn(desired, ObservedPod::default());
    }

    async fn tell(&self, uid: &str, message: Message) {
        let tx = self.handles.read().get(uid).map(|handle| handle.tx.clone());
        if let Some(tx) = tx {
            // A worker that is gone has finished.
            let _ = tx.send(message).await;
        }
    }

    async fn told(&mut self, event: TaskEvent) {
        match event {
            TaskEvent::Exited { container_id, exit_code, finished_at } => {
                let uid = self.owners.lock().get(&container_id).cloned();
                if let Some(uid) = uid {
                    let message = Message::Exited { id: container_id, code: exit_code, finished_at };
                    self.tell(&uid, message).await;
                }
            }
            // The kernel's own count is read when the container ends.
            TaskEvent::OutOfMemory { .. } => {}
            TaskEvent::Disconnected(error) => {
                tracing::warn!(error, "containerd does not answer");
                drop(self.containerd_ready.send_replace(Err(error)));
            }
            TaskEvent::Connected => {
                drop(self.containerd_ready.send_replace(Ok(())));
                self.relist().await;
            }
        }
    }

    /// Events are not replayed: after a connection every worker compares.
    async fn relist(&self) {
        let tasks = match self.node.containerd.list_tasks().await {
            Ok(tasks) => Arc::new(tasks),
            Err(error) => return tracing::warn!(%error, "cannot list containerd's tasks"),
        };
        let all: Vec<Handle> = self.handles.read().values().cloned().collect();
        for handle in all {
            let _ = handle.tx.send(Message::Tasks(tasks.clone())).await;
        }
    }
}

/// Pods that exist here but not in the API any more.
pub fn orphans(handles: &Handles, exists: impl Fn(&str) -> bool) -> Vec<Arc<Pod>> {
    handles.read().iter().filter(|(uid, _)| !exists(uid)).map(|(_, handle)| handle.pod.clone()).collect()
}
