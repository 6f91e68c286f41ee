//! Rolls a Deployment's template out through ReplicaSets.
//!
//! One plan: claim the sets; find or make the one of the current template ([`revision`]); follow a change of size
//! ([`scale`]) or the strategy ([`rollout`]); tell the state ([`status`]); drop old revisions. A plan changes sets and
//! tells the state as it is decided from; the next event brings the next step.

mod revision;
mod rollout;
mod scale;
mod status;

use api::meta::{controller_of, controller_reference, is_terminating};
use api::selector::labels::Selector;
use proto::apps::v1::{Deployment, ReplicaSet};
use proto::core::v1::Pod;
use proto::time::Time;

use crate::plan::Plan;
use crate::pod;

/// The deployment's revision, on it and on each of its sets.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// Revisions that a set had before it was rolled back to.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
/// The label that keeps the pods of different templates apart.
pub const HASH_LABEL: &str = "pod-template-hash";

/// A Deployment, its sets as they shall be, and what is to be written.
struct Rollout<'a> {
    deployment: &'a Deployment,
    /// The deployment as it shall be: annotations and status change here.
    next: Deployment,
    /// Sets of other templates, oldest first.
    old: Vec<ReplicaSet>,
    /// The set of the current template.
    new: Option<ReplicaSet>,
    now: Time,
    plan: Plan,
}

/// `sets` and `pods`: those of the deployment's namespace.
pub fn plan(deployment: &Deployment, sets: &[&ReplicaSet], pods: &[&Pod], now: Time) -> Plan {
    let mut plan = Plan::none();
    let Some(selector) = deployment.spec.selector.as_ref().and_then(|selector| Selector::from_selector(Some(selector)).ok()) else {
        return plan;
    };
    let own = claim(deployment, &selector, sets, &mut plan);
    let mut rollout = Rollout::new(deployment, own, now, plan);
    if is_terminating(&deployment.metadata) {
        rollout.sync_status();
        return rollout.finish();
    }
    rollout.note_pause();
    if deployment.spec.paused || rollout.is_scaling() {
        rollout.sync_revision();
        rollout.scale();
        if deployment.spec.paused {
            rollout.clean_up();
        }
        rollout.sync_status();
        return rollout.finish();
    }
    if deployment.spec.strategy.r#type == "Recreate" {
        rollout.recreate(pods);
    } else {
        rollout.roll();
    }
    if status::is_complete(deployment, &deployment.status) {
        rollout.clean_up();
    }
    rollout.sync_rollout_status();
    rollout.finish()
}

/// The deployment's sets; adopts and releases on the way.
fn claim(deployment: &Deployment, selector: &Selector, sets: &[&ReplicaSet], plan: &mut Plan) -> Vec<ReplicaSet> {
    let mut own = Vec::new();
    for set in sets {
        let matches = selector.matches(&set.metadata.labels);
        match controller_of(&set.metadata) {
            Some(owner) if owner.uid == deployment.metadata.uid => {
                if matches {
                    own.push((*set).clone());
                } else if !is_terminating(&deployment.metadata) {
                    let mut released = (*set).clone();
                    released.metadata.owner_references.retain(|owner| owner.uid != deployment.metadata.uid);
                    plan.update(released);
                }
            }
            None if matches && !is_terminating(&deployment.metadata) && !is_terminating(&set.metadata) => {
                let mut adopted = (*set).clone();
                adopted.metadata.owner_references.push(controller_reference(deployment));
                plan.update(adopted);
            }
            _ => {}
        }
    }
    own
}

impl<'a> Rollout<'a> {
    fn new(deployment: &'a Deployment, mut sets: Vec<ReplicaSet>, now: Time, plan: Plan) -> Self {
        sets.sort_by(|a, b| age(a).cmp(&age(b)));
        let current = sets.iter().position(|set| revision::same_template(&set.spec.template, &deployment.spec.template));
        let new = current.map(|index| sets.remove(index));
        Self { deployment, next: deployment.clone(), old: sets, new, now, plan }
    }

    fn replicas(&self) -> i32 {
        self.deployment.spec.replicas.unwrap_or(1)
    }

    fn all(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.old.iter().chain(&self.new)
    }

    /// Sum of the sizes that the sets shall have.
    fn total(&self) -> i32 {
        self.all().map(size).sum()
    }

    /// Gives a set another size, and says so.
    fn resize(&mut self, which: Which, to: i32) {
        let (replicas, max) = (self.replicas(), self.replicas() + rollout::max_surge(self.deployment));
        let set = match which {
            Which::New => self.new.as_mut(),
            Which::Old(index) => self.old.get_mut(index),
        };
        let Some(set) = set else { return };
        let from = size(set);
        let annotated = revision::annotate_sizes(set, replicas, max);
        if from == to && !annotated {
            return;
        }
        set.spec.replicas = Some(to);
        let name = set.metadata.name.clone();
        let step = self.plan.update(set.clone());
        if from != to {
            let direction = if to > from { "up" } else { "down" };
            let message = format!("Scaled {direction} replica set {name} from {from} to {to}");
            step.note(self.deployment, "ScalingReplicaSet", message);
        }
    }

    /// Deletes the oldest empty sets beyond the history that is wanted.
    fn clean_up(&mut self) {
        let Some(limit) = self.deployment.spec.revision_history_limit.and_then(|limit| usize::try_from(limit).ok()) else {
            return;
        };
        let mut kept: Vec<&ReplicaSet> = self.old.iter().filter(|set| !is_terminating(&set.metadata)).collect();
        let surplus = kept.len().saturating_sub(limit);
        kept.sort_by_key(|set| (revision::of(set), age(set).0));
        for set in kept.into_iter().take(surplus) {
            let observed = set.metadata.generation <= set.status.observed_generation;
            if set.status.replicas == 0 && size(set) == 0 && observed {
                self.plan.delete(set);
            }
        }
    }

    fn finish(mut self) -> Plan {
        let annotations_changed = self.next.metadata.annotations != self.deployment.metadata.annotations;
        let status_changed = self.next.status != self.deployment.status;
        if annotations_changed {
            self.plan.update(self.next.clone());
        }
        if status_changed {
            self.plan.update_status(self.next);
        }
        self.plan
    }
}

/// One of a deployment's sets.
#[derive(Debug, Clone, Copy)]
enum Which {
    New,
    Old(usize),
}

/// How many pods a set shall have.
fn size(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

fn age(set: &ReplicaSet) -> (i64, &str) {
    (set.metadata.creation_timestamp.seconds, &set.metadata.name)
}

/// Whether a pod of another template still runs; only Recreate asks.
fn old_pods_run(rollout: &Rollout<'_>, pods: &[&Pod]) -> bool {
    pods.iter().any(|pod| {
        let owner = controller_of(&pod.metadata).map(|owner| owner.uid.as_str());
        let old = rollout.old.iter().any(|set| Some(set.metadata.uid.as_str()) == owner);
        old && !pod::has_ended(pod)
    })
}

#[cfg(test)]
mod tests;
