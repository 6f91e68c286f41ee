//! Gives every pod its worker, and passes on what containerd tells.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proto::core::v1::Pod;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::admission::{self, Rejection};
use crate::cluster::Event;
use crate::node_context::Node;
use crate::observed::ObservedPod;
use crate::pod::{DesiredPod, Ending, EndingCause};
use crate::record;
use crate::resize::{self, Pending, Why};
use crate::runtime::container::label;
use crate::runtime::events::TaskEvent;
use crate::worker::{self, Look, MESSAGES_MAX, Message, Owners, Worker};

/// How often everything that containerd has is compared with what is known: events may be lost.
const RELIST: Duration = Duration::from_secs(60);
/// The pause after a look that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long the API server may take to say which labels the node has.
const LABELS_WAIT: Duration = Duration::from_secs(2);
/// The pause before a worker that failed is replaced.
const REVIVAL: Duration = Duration::from_secs(1);

/// What the manager hears of the API.
#[derive(Clone, Debug)]
pub enum PodEvent {
    /// A pod of this node, new or changed.
    Set(Arc<Pod>),
    /// A pod's object is gone.
    Gone(Arc<Pod>),
    /// An object that volumes are made of changed.
    ObjectsChanged { namespace: String },
}

/// A pod's worker, as others see it.
#[derive(Clone)]
pub struct Handle {
    pub pod: Arc<Pod>,
    /// The object is gone from the API.
    gone: bool,
    /// The node did not take it.
    rejected: bool,
    /// A newer object whose amounts are not granted, and why. `pod` has those that are.
    pending: Option<(Arc<Pod>, Pending)>,
    tx: mpsc::Sender<Message>,
}

impl Handle {
    /// Whether what the pod asks for is taken.
    fn counts(&self) -> bool {
        !self.gone && !self.rejected && !matches!(self.pod.status.phase.as_str(), "Succeeded" | "Failed")
    }
}

/// Who serves logs and streams looks pods up here: uid -> worker.
pub type Handles = Arc<parking_lot::RwLock<HashMap<String, Handle>>>;

/// Owns the workers.
pub struct Manager {
    node: Arc<Node>,
    handles: Handles,
    owners: Owners,
    workers: JoinSet<()>,
    /// Which pod a worker has.
    uids: HashMap<Id, String>,
    /// Workers that failed, by pod, until they are replaced.
    fallen: JoinSet<String>,
    /// The look at containerd that is under way, and whether another one is asked for.
    looks: JoinSet<Result<Look, String>>,
    look_again: bool,
    /// Removals of containers whose pod nobody knows.
    sweeps: JoinSet<()>,
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
            uids: HashMap::new(),
            fallen: JoinSet::new(),
            looks: JoinSet::new(),
            look_again: false,
            sweeps: JoinSet::new(),
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
        let mut relist = tokio::time::interval_at(Instant::now() + RELIST, RELIST);
        relist.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(event) = self.pods.recv() => {
                    self.hear(event).await;
                    self.grant_deferred().await;
                }
                Some(event) = self.tasks.recv() => self.told(event).await,
                Some(done) = self.workers.join_next_with_id(), if !self.workers.is_empty() => match done {
                    Ok((id, ())) => {
                        self.finished(id);
                        self.grant_deferred().await;
                    }
                    Err(error) => self.failed(&error),
                },
                Some(Ok(uid)) = self.fallen.join_next(), if !self.fallen.is_empty() => self.revive(&uid),
                Some(done) = self.looks.join_next(), if !self.looks.is_empty() => match done {
                    Ok(Ok(look)) => self.looked(look).await,
                    Ok(Err(error)) => {
                        tracing::warn!(error, "cannot look at containerd's containers");
                        relist.reset_after(LOOK_AGAIN);
                    }
                    Err(error) => tracing::error!(%error, "a look at containerd failed"),
                },
                Some(_) = self.sweeps.join_next(), if !self.sweeps.is_empty() => {}
                _ = relist.tick() => self.look(),
            }
        }
    }

    /// Goes on with a pod that the kubelet before this one had.
    fn adopt(&mut self, uid: &str) {
        match record::load(&self.node.paths.pod(uid)) {
            Some((desired, observed)) if desired.uid() == uid => self.spawn(desired, observed, true),
            _ => tracing::warn!(uid, "a pod's folder holds no record; it is left alone"),
        }
    }

    fn spawn(&mut self, desired: DesiredPod, observed: ObservedPod, inherits: bool) {
        let (tx, rx) = mpsc::channel(MESSAGES_MAX);
        let uid = desired.uid().to_owned();
        let rejected = matches!(&desired.ending, Some(Ending { cause: EndingCause::Rejected { .. }, .. }));
        let handle = Handle { pod: desired.pod.clone(), gone: desired.gone, rejected, pending: None, tx };
        self.handles.write().insert(uid.clone(), handle);
        let worker = Worker::new(self.node.clone(), self.owners.clone(), desired, observed, rx, inherits);
        let task = self.workers.spawn(worker.run());
        self.uids.insert(task.id(), uid);
    }

    fn finished(&mut self, id: Id) {
        if let Some(uid) = self.uids.remove(&id) {
            self.handles.write().remove(&uid);
        }
    }

    /// A worker that panicked is replaced by one that goes on from its record, as after a restart of the kubelet.
    fn failed(&mut self, error: &tokio::task::JoinError) {
        let Some(uid) = self.uids.remove(&error.id()) else { return };
        tracing::error!(uid, %error, "a pod's worker failed; another one takes over");
        self.fallen.spawn(async move {
            tokio::time::sleep(REVIVAL).await;
            uid
        });
    }

    fn revive(&mut self, uid: &str) {
        let Some(handle) = self.handles.read().get(uid).cloned() else { return };
        let found = record::load(&self.node.paths.pod(uid)).filter(|(desired, _)| desired.uid() == uid);
        let (mut desired, observed) =
            found.unwrap_or_else(|| (DesiredPod::new(handle.pod.clone()), ObservedPod::default()));
        // What its messages would have told.
        let now = crate::time::now();
        desired.update(handle.pod, now);
        if handle.gone {
            desired.lose(now);
        }
        self.spawn(desired, observed, true);
    }

    async fn hear(&mut self, event: PodEvent) {
        match event {
            PodEvent::Set(pod) => self.set(pod).await,
            PodEvent::Gone(pod) => {
                if let Some(handle) = self.handles.write().get_mut(&pod.metadata.uid) {
                    handle.gone = true;
                }
                self.tell(&pod.metadata.uid, Message::Gone).await;
            }
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
        let before = self.handles.read().get(&uid).map(|handle| handle.pod.clone());
        if let Some(before) = before {
            return self.change(pod, &before).await;
        }
        let over = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
        if over && pod.metadata.deletion_timestamp.is_none() {
            return; // It ended before this kubelet's time.
        }
        // A folder without a record: what a kubelet before this one began is not known.
        let inherits = self.node.paths.pod(&uid).dir.exists();
        let now = crate::time::now();
        let (mut desired, mut observed) = (DesiredPod::new(pod.clone()), ObservedPod::default());
        if !inherits && let Err(rejection) = self.admit(&pod).await {
            let (reason, message) = (rejection.reason, rejection.message());
            tracing::info!(pod = desired.key(), reason, message, "the pod is rejected");
            let event = Event { warning: true, reason, message: rejection.why, field_path: String::new() };
            self.node.cluster.event(&pod, event);
            let cause = EndingCause::Rejected { reason: reason.into(), message };
            desired.ending = Some(Ending { since: now, grace_seconds: 0, cause });
            observed.started_at = Some(now);
        }
        desired.update(pod, now);
        self.spawn(desired, observed, inherits);
    }

    /// A newer object of a pod that is here: its amounts count once the node has granted them.
    async fn change(&self, asked: Arc<Pod>, before: &Pod) {
        let (pod, pending) = self.grant(&asked, before);
        let uid = pod.metadata.uid.clone();
        let told = |pending: &Pending| (pending.reason, pending.generation);
        let mut known = None;
        if let Some(handle) = self.handles.write().get_mut(&uid) {
            handle.pod = pod.clone();
            known = handle.pending.as_ref().map(|(_, before)| told(before));
            handle.pending = pending.clone().map(|pending| (asked.clone(), pending));
        }
        if let Some(pending) = pending.as_ref().filter(|pending| known != Some(told(pending))) {
            self.node.cluster.event(&asked, resize::pending_event(&asked, pending));
        }
        self.tell(&uid, Message::Desired { pod, pending }).await;
    }

    /// The object with what the node grants of it.
    fn grant(&self, asked: &Arc<Pod>, before: &Pod) -> (Arc<Pod>, Option<Pending>) {
        if !resize::differs(asked, before) {
            return (asked.clone(), None);
        }
        let handles = self.handles.read();
        let others = handles.iter().filter(|(uid, handle)| **uid != asked.metadata.uid && handle.counts());
        match resize::judge(asked, others.map(|(_, handle)| &*handle.pod), &self.node.offer) {
            Ok(()) => (asked.clone(), None),
            Err(pending) => (Arc::new(resize::with_granted(asked, before)), Some(pending)),
        }
    }

    /// Asks again for those that waited for other pods.
    async fn grant_deferred(&self) {
        let deferred = |handle: &Handle| {
            let (asked, _) = handle.pending.as_ref().filter(|(_, pending)| pending.reason == Why::Deferred)?;
            Some((asked.clone(), handle.pod.clone()))
        };
        let waiting: Vec<(Arc<Pod>, Arc<Pod>)> = self.handles.read().values().filter_map(deferred).collect();
        for (asked, before) in waiting {
            if self.grant(&asked, &before).1.is_none() {
                self.change(asked, &before).await;
            }
        }
    }

    /// Whether the node takes a pod that it does not have yet.
    async fn admit(&self, pod: &Pod) -> Result<(), Rejection> {
        if pod.metadata.deletion_timestamp.is_some() {
            return Ok(()); // It is only cleaned up.
        }
        let others: Vec<Arc<Pod>> = {
            let handles = self.handles.read();
            handles.values().filter(|handle| handle.counts()).map(|handle| handle.pod.clone()).collect()
        };
        admission::check(pod, others.iter().map(|other| &**other), &self.node.offer)?;
        if admission::is_choosy(pod) {
            let labels = tokio::time::timeout(LABELS_WAIT, self.node.cluster.node_labels(&self.node.name)).await;
            // Where nobody knows, the scheduler's word counts.
            if let Ok(Ok(labels)) = labels {
                return admission::check_labels(pod, &self.node.name, &labels);
            }
            tracing::warn!(
                pod = pod.metadata.name,
                "the node's labels are not known; the pod's wishes are not looked at"
            );
        }
        Ok(())
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
                // Events are not replayed: after a connection every worker compares.
                self.look();
            }
        }
    }

    /// Begins a look at all that containerd has of this node.
    fn look(&mut self) {
        if !self.looks.is_empty() {
            self.look_again = true;
            return;
        }
        let node = self.node.clone();
        self.looks.spawn(async move {
            let found = worker::look(&node.containerd, label::NODE, &node.name).await;
            found.map_err(|error| crate::images::chain(&error))
        });
    }

    /// Every worker compares; containers that belong to none of them are removed.
    async fn looked(&mut self, look: Look) {
        let look = Arc::new(look);
        let all: Vec<Handle> = self.handles.read().values().cloned().collect();
        for handle in all {
            // A worker that is gone has finished.
            let _ = handle.tx.send(Message::Looked(look.clone())).await;
        }
        for container in &look.containers {
            let uid = container.labels.get(label::POD_UID).cloned().unwrap_or_default();
            if self.handles.read().contains_key(&uid) {
                continue;
            }
            let (node, id) = (self.node.clone(), container.id.clone());
            tracing::info!(id, uid, "removing a container of a pod that nobody knows");
            self.sweeps.spawn(async move {
                if let Err(error) = worker::remove_container(&node.containerd, &id).await {
                    tracing::warn!(id, %error, "the container stays behind for now");
                }
            });
        }
        if std::mem::take(&mut self.look_again) {
            self.look();
        }
    }
}

/// Pods that exist here but not in the API any more.
pub fn orphans(handles: &Handles, exists: impl Fn(&str) -> bool) -> Vec<Arc<Pod>> {
    handles.read().iter().filter(|(uid, _)| !exists(uid)).map(|(_, handle)| handle.pod.clone()).collect()
}
