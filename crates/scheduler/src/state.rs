//! The scheduler's state and its steps: events in, actions out. No I/O: `run.rs` feeds it and does what it asks.

use std::collections::HashMap;
use std::sync::Arc;

use proto::core::v1 as core;
use proto::keelson::scheduler::v1::ExplainPodResponse;

use crate::filter;
use crate::message;
use crate::plan::{self, Choice, Memo};
use crate::pod::{PodInfo, PodKey};
use crate::preempt::Preemption;
use crate::queue::{Millis, Queue};
use crate::reason::{Plugin, Plugins};
use crate::snapshot::{NodeIx, Snapshot};

/// What must be done after a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The pod has its node, assumed in the snapshot: bind it.
    Bind(Arc<PodInfo>),
    /// No node takes the pod: say so. `changed`: the condition does not say so yet.
    Refuse { pod: Arc<PodInfo>, message: String, changed: bool, nominated: Option<String> },
    /// These pods make room for the one before.
    Evict { victims: Vec<Arc<PodInfo>>, preemptor: Arc<PodInfo>, node: String },
}

/// See the module.
pub struct State {
    pub snapshot: Snapshot,
    pub queue: Queue,
    memo: Memo,
    /// Pods of other schedulers are none of our business until they have a node.
    scheduler: String,
    /// Placed in the snapshot, not yet seen with their node.
    assumed: HashMap<PodKey, String>,
    /// What the PodScheduled condition of a pod says.
    said: HashMap<PodKey, String>,
    /// Waiting pods with the node where room is being made for them.
    nominated: HashMap<PodKey, Arc<PodInfo>>,
    seed: u64,
}

impl State {
    pub fn new(scheduler: &str, queue: Queue, seed: u64) -> Self {
        Self {
            snapshot: Snapshot::default(),
            queue,
            memo: Memo::default(),
            scheduler: scheduler.to_owned(),
            assumed: HashMap::new(),
            said: HashMap::new(),
            nominated: HashMap::new(),
            seed,
        }
    }

    /// A pod came or changed.
    pub fn pod_changed(&mut self, pod: &core::Pod, now: Millis) {
        let info = Arc::new(PodInfo::from_api(pod));
        let key = info.key();
        if info.finished {
            self.pod_gone(&key, now);
        } else if !info.node.is_empty() {
            self.placed(info, now);
        } else if info.scheduler == self.scheduler {
            self.waits(info, pod, now);
        }
    }

    /// A pod is gone, or needs no room any more.
    pub fn pod_gone(&mut self, key: &PodKey, now: Millis) {
        self.queue.remove(key);
        self.assumed.remove(key);
        self.said.remove(key);
        self.nominated.remove(key);
        if let Some(pod) = self.snapshot.forget(key) {
            self.room_made(&pod.node, now);
        }
    }

    pub fn node_changed(&mut self, node: &core::Node, now: Millis) {
        use Plugin::*;
        let change = self.snapshot.set_node(node);
        let mut concerns = Plugins::NONE;
        let mut concern = |changed: bool, plugins: &[Plugin]| {
            if changed {
                concerns = plugins.iter().fold(concerns, |set, plugin| set.with(*plugin));
            }
        };
        concern(
            change.added,
            &[
                NodeUnschedulable,
                NodeName,
                TaintToleration,
                NodeAffinity,
                NodePorts,
                NodeResourcesFit,
                PodTopologySpread,
                InterPodAffinity,
            ],
        );
        concern(change.allocatable, &[NodeResourcesFit]);
        concern(change.labels, &[NodeAffinity, PodTopologySpread, InterPodAffinity]);
        concern(change.taints, &[TaintToleration, NodeUnschedulable, PodTopologySpread]);
        if let (true, Some(ix)) = (change.any(), self.snapshot.index(&node.metadata.name)) {
            self.wake(concerns, ix, now);
        }
    }

    pub fn node_gone(&mut self, name: &str, now: Millis) {
        self.snapshot.remove_node(name);
        self.queue.happened(Plugins::of(&[Plugin::PodTopologySpread]), now, |_, _| true);
    }

    pub fn namespace_changed(&mut self, namespace: &core::Namespace, now: Millis) {
        let (name, labels) = (namespace.metadata.name.clone(), namespace.metadata.labels.clone());
        if self.snapshot.namespaces.insert(name, labels.clone()).as_ref() != Some(&labels) {
            self.queue.happened(Plugins::of(&[Plugin::InterPodAffinity]), now, |_, _| true);
        }
    }

    /// Decides for the next pod; `None`: nobody waits.
    pub fn decide(&mut self, now: Millis) -> Option<Vec<Action>> {
        let pod = self.queue.pop(now)?.pod;
        self.seed = self.seed.wrapping_add(1);
        let reserved = self.reserve_for_others(&pod);
        let choice = self.memo.choose(&self.snapshot, &pod, self.seed);
        let actions = match choice {
            Choice::Node(ix) => Ok(ix),
            Choice::Refused(decision) => Err(self.refuse(&pod, &decision, now)),
        };
        for key in reserved {
            self.snapshot.forget(&key);
        }
        let ix = match actions {
            Ok(ix) => ix,
            Err(refusal) => return Some(refusal),
        };
        let placed = Arc::new(PodInfo { node: self.snapshot.names[ix].to_string(), ..(*pod).clone() });
        self.nominated.remove(&placed.key());
        self.snapshot.place(placed.clone());
        self.assumed.insert(placed.key(), placed.uid.clone());
        Some(vec![Action::Bind(placed)])
    }

    /// The binding was written.
    pub fn bound(&mut self, pod: &PodInfo) {
        self.queue.remove(&pod.key());
        self.said.remove(&pod.key());
    }

    /// The binding failed: the room is free again, the pod is tried later (`again`) or forgotten.
    pub fn not_bound(&mut self, pod: &PodInfo, again: bool, now: Millis) {
        let key = pod.key();
        if self.assumed.get(&key) != Some(&pod.uid) {
            return;
        }
        self.assumed.remove(&key);
        self.snapshot.forget(&key);
        if again {
            self.queue.failed(&key, now);
        } else {
            self.queue.remove(&key);
        }
        self.room_made(&pod.node, now);
    }

    /// The condition could not be written: it is said again at the next attempt.
    pub fn not_said(&mut self, key: &PodKey) {
        self.said.remove(key);
    }

    /// Why a pod is where it is; `None`: nobody knows the pod.
    pub fn explain(&self, key: &PodKey) -> Option<ExplainPodResponse> {
        if let Some(waiting) = self.queue.get(key).filter(|_| !self.assumed.contains_key(key)) {
            let nominated = self.nominated.get(key).map(|pod| pod.node.as_str());
            let mut answer = message::explain(&self.snapshot, &waiting.pod, nominated);
            answer.queue = waiting.place.as_str().to_owned();
            answer.attempts = i32::try_from(waiting.attempts).unwrap_or(i32::MAX);
            if waiting.pod.gated {
                answer.message = message::GATED.to_owned();
            }
            return Some(answer);
        }
        let pod = self.snapshot.pod(key)?;
        Some(ExplainPodResponse { node: pod.node.clone(), ..Default::default() })
    }

    /// Pods for which room is being made take it already, in the eyes of pods that are not more important.
    fn reserve_for_others(&mut self, pod: &PodInfo) -> Vec<PodKey> {
        let key = pod.key();
        let others =
            self.nominated.iter().filter(|(other, nominated)| **other != key && nominated.priority >= pod.priority);
        let others: Vec<_> = others.map(|(key, nominated)| (key.clone(), nominated.clone())).collect();
        others.iter().for_each(|(_, nominated)| self.snapshot.place(nominated.clone()));
        others.into_iter().map(|(key, _)| key).collect()
    }

    fn nominate(&mut self, pod: &PodInfo, node: &str) {
        let nominated = PodInfo { node: node.to_owned(), ..pod.clone() };
        self.nominated.insert(pod.key(), Arc::new(nominated));
    }

    fn refuse(&mut self, pod: &Arc<PodInfo>, decision: &plan::Decision, now: Millis) -> Vec<Action> {
        let key = pod.key();
        let nominated = self.nominated.get(&key).map(|nominated| nominated.node.as_str());
        let preemption = Preemption::of(&self.snapshot, pod, decision, nominated);
        let message = message::unschedulable(decision, &preemption);
        // Without any node there is no plugin that refused: every node that comes may help.
        let plugins = if decision.verdicts.is_empty() { Plugins::of(&[Plugin::NodeName]) } else { decision.plugins() };
        self.queue.refused(&key, plugins, now);
        let changed = self.said.insert(key, message.clone()).as_ref() != Some(&message);
        let refuse = |nominated| Action::Refuse { pod: pod.clone(), message: message.clone(), changed, nominated };
        match preemption {
            Preemption::Nominated { node, victims } => {
                let node = self.snapshot.names[node].to_string();
                self.nominate(pod, &node);
                vec![refuse(Some(node.clone())), Action::Evict { victims, preemptor: pod.clone(), node }]
            }
            Preemption::Waiting => vec![refuse(None)],
            Preemption::Never | Preemption::Useless => {
                self.nominated.remove(&pod.key());
                vec![refuse(None)]
            }
        }
    }

    fn placed(&mut self, pod: Arc<PodInfo>, now: Millis) {
        let key = pod.key();
        self.queue.remove(&key);
        self.assumed.remove(&key);
        self.said.remove(&key);
        self.nominated.remove(&key);
        let before = self.snapshot.pod(&key).cloned();
        let (node, labels, shape) = (pod.node.clone(), pod.labels.clone(), pod.shape.clone());
        if before.as_ref().is_some_and(|before| **before == *pod) {
            return;
        }
        self.snapshot.place(pod);
        let same_labels = before.as_ref().is_some_and(|before| before.labels == labels);
        if !same_labels {
            let about_pods = Plugins::of(&[Plugin::InterPodAffinity, Plugin::PodTopologySpread]);
            self.queue.happened(about_pods, now, |pod, _| pod.looks_at_pods());
        }
        if before.is_some_and(|before| before.shape != shape) {
            self.room_made(&node, now);
        }
    }

    fn waits(&mut self, info: Arc<PodInfo>, pod: &core::Pod, now: Millis) {
        let key = info.key();
        if info.terminating {
            self.pod_gone(&key, now);
        } else if self.assumed.get(&key) == Some(&info.uid) {
            // An older state of a pod that is being bound.
        } else {
            let condition =
                pod.status.conditions.iter().find(|c| c.r#type == "PodScheduled" && c.reason == "Unschedulable");
            if let Some(condition) = condition {
                self.said.entry(key.clone()).or_insert_with(|| condition.message.clone());
            }
            // After a restart: what the scheduler before this one had promised.
            if !pod.status.nominated_node_name.is_empty() && self.queue.get(&key).is_none() {
                self.nominate(&info, &pod.status.nominated_node_name);
            }
            self.queue.put(info, now);
        }
    }

    fn room_made(&mut self, node: &str, now: Millis) {
        use Plugin::*;
        let concerns = Plugins::of(&[NodeResourcesFit, NodePorts, PodTopologySpread, InterPodAffinity]);
        match self.snapshot.index(node) {
            Some(ix) => self.wake(concerns, ix, now),
            None => self
                .queue
                .happened(Plugins::of(&[PodTopologySpread, InterPodAffinity]), now, |pod, _| pod.looks_at_pods()),
        }
    }

    /// Something changed at one node: wakes the pods that it could now take, and those of which it refuses for another reason than
    /// their condition says. Pods that look at other pods may gain on other nodes as well.
    fn wake(&mut self, concerns: Plugins, ix: NodeIx, now: Millis) {
        let snapshot = &self.snapshot;
        self.queue.happened(concerns, now, |pod, refused_by| {
            let reasons = filter::alone(snapshot, ix, &pod.shape);
            let as_before = reasons.iter().any(|reason| refused_by.meets(Plugins::of(&[reason.plugin()])));
            !as_before || pod.looks_at_pods() || snapshot.has_terms() || could_preempt(snapshot, ix, pod)
        });
    }
}

/// Whether less important pods run there: their number may have become small enough.
fn could_preempt(snapshot: &Snapshot, ix: NodeIx, pod: &PodInfo) -> bool {
    snapshot.pods[ix].iter().any(|other| other.priority < pod.priority)
}

#[cfg(test)]
mod tests;
