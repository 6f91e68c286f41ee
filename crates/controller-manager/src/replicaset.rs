//! Keeps a ReplicaSet's number of pods.
//!
//! Pods belong to a set by controller reference; a matching pod without one is adopted, an own pod that no longer
//! matches is released.

use api::meta::{controller_of, controller_reference, is_terminating};
use std::collections::HashMap;

use api::selector::labels::Selector;
use proto::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use proto::core::v1::Pod;
use proto::time::Time;

use crate::plan::Plan;
use crate::pod::{self, Availability};

/// At most so many pods are created or deleted in one go, as upstream.
const BURST: usize = 500;
/// Counts as more costly to delete the larger it is.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// `pods`: those of the set's namespace. `failure`: what the newest attempt to create or delete a pod said, if it failed.
pub fn plan(set: &ReplicaSet, pods: &[&Pod], failure: Option<&Failure>, now: Time) -> Plan {
    let mut plan = Plan::none();
    let Some(selector) = set.spec.selector.as_ref().and_then(|selector| Selector::from_selector(Some(selector)).ok()) else {
        return plan;
    };
    let own = claim(set, &selector, pods, &mut plan);
    let active: Vec<&Pod> = own.iter().copied().filter(|pod| pod::is_active(pod)).collect();
    if !is_terminating(&set.metadata) {
        scale(set, &active, pods, &mut plan);
    }
    write_status(set, &own, &active, failure, now, &mut plan);
    for pod in &active {
        if let Availability::In(wait) = pod::availability(pod, set.spec.min_ready_seconds, now) {
            plan.requeue(wait);
        }
    }
    plan
}

/// Why pods could not be made or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// FailedCreate or FailedDelete.
    pub reason: &'static str,
    pub message: String,
}

/// The set's pods; adopts and releases on the way.
fn claim<'a>(set: &ReplicaSet, selector: &Selector, pods: &[&'a Pod], plan: &mut Plan) -> Vec<&'a Pod> {
    let mut own = Vec::new();
    for pod in pods {
        let matches = selector.matches(&pod.metadata.labels);
        match controller_of(&pod.metadata) {
            Some(owner) if owner.uid == set.metadata.uid => {
                if matches {
                    own.push(*pod);
                } else if !is_terminating(&set.metadata) {
                    release(set, pod, plan);
                }
            }
            None if matches && pod::is_active(pod) && !is_terminating(&set.metadata) => {
                let mut adopted = (*pod).clone();
                adopted.metadata.owner_references.push(controller_reference(set));
                plan.update(adopted);
                own.push(*pod);
            }
            _ => {}
        }
    }
    own
}

fn release(set: &ReplicaSet, pod: &Pod, plan: &mut Plan) {
    let mut released = pod.clone();
    released.metadata.owner_references.retain(|owner| owner.uid != set.metadata.uid);
    plan.update(released);
}

fn scale(set: &ReplicaSet, active: &[&Pod], all: &[&Pod], plan: &mut Plan) {
    let wanted = usize::try_from(set.spec.replicas.unwrap_or(1)).unwrap_or(0);
    for _ in active.len()..wanted.min(active.len() + BURST) {
        let pod = pod::from_template(&set.spec.template, &set.metadata.namespace, &set.metadata.name, controller_reference(set));
        plan.create(pod)
            .note(set, "SuccessfulCreate", "Created pod: {name}")
            .warn(set, "FailedCreate", "Error creating");
    }
    if active.len() > wanted {
        let surplus = (active.len() - wanted).min(BURST);
        for pod in to_delete(active, all, surplus) {
            plan.delete(pod)
                .note(set, "SuccessfulDelete", format!("Deleted pod: {}", pod.metadata.name))
                .warn(set, "FailedDelete", "Error deleting");
        }
    }
}

/// Those whose loss costs least, first: not yet placed, not running, not ready, cheap by annotation, sharing a node
/// with more of their kind, ready for a shorter time, restarted more often, younger.
fn to_delete<'a>(active: &[&'a Pod], all: &[&Pod], count: usize) -> Vec<&'a Pod> {
    let mut on_node: HashMap<&str, usize> = HashMap::new();
    let owner = active.first().and_then(|pod| controller_of(&pod.metadata)).map(|owner| owner.uid.as_str());
    for pod in all.iter().filter(|pod| pod::is_active(pod) && controller_of(&pod.metadata).map(|o| o.uid.as_str()) == owner) {
        *on_node.entry(pod.spec.node_name.as_str()).or_default() += 1;
    }
    let mut ranked = active.to_vec();
    ranked.sort_by_cached_key(|pod| {
        let ready = pod::condition(pod, "Ready").filter(|condition| condition.status == "True");
        let restarts: i32 = pod.status.container_statuses.iter().map(|status| status.restart_count).sum();
        (
            !pod.spec.node_name.is_empty(),
            phase_rank(&pod.status.phase),
            ready.is_some(),
            deletion_cost(pod),
            std::cmp::Reverse(on_node.get(pod.spec.node_name.as_str()).copied().unwrap_or(0)),
            std::cmp::Reverse(ready.map(|condition| condition.last_transition_time.seconds)),
            std::cmp::Reverse(restarts),
            std::cmp::Reverse(pod.metadata.creation_timestamp.seconds),
            pod.metadata.name.clone(),
        )
    });
    ranked.truncate(count);
    ranked
}

fn phase_rank(phase: &str) -> u8 {
    match phase {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    }
}

fn deletion_cost(pod: &Pod) -> i32 {
    pod.metadata.annotations.get(DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn write_status(set: &ReplicaSet, own: &[&Pod], active: &[&Pod], failure: Option<&Failure>, now: Time, plan: &mut Plan) {
    let status = status(set, own, active, failure, now);
    if status != set.status {
        plan.update_status(ReplicaSet { status, ..set.clone() });
    }
}

fn status(set: &ReplicaSet, own: &[&Pod], active: &[&Pod], failure: Option<&Failure>, now: Time) -> ReplicaSetStatus {
    let template = &set.spec.template.metadata.labels;
    let carries_all = |pod: &&&Pod| template.iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value));
    let available = |pod: &&&Pod| pod::availability(pod, set.spec.min_ready_seconds, now) == Availability::Available;
    let terminating = own.iter().filter(|pod| is_terminating(&pod.metadata) && !pod::has_ended(pod));
    ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: count(active.iter().filter(carries_all).count()),
        ready_replicas: count(active.iter().filter(|pod| pod::is_ready(pod)).count()),
        available_replicas: count(active.iter().filter(available).count()),
        terminating_replicas: Some(count(terminating.count())),
        observed_generation: set.metadata.generation,
        conditions: conditions(set, active.len(), failure, now),
    }
}

fn conditions(set: &ReplicaSet, active: usize, failure: Option<&Failure>, now: Time) -> Vec<ReplicaSetCondition> {
    let mut conditions = set.status.conditions.clone();
    let known = conditions.iter().position(|condition| condition.r#type == "ReplicaFailure");
    let missing = usize::try_from(set.spec.replicas.unwrap_or(1)).is_ok_and(|wanted| wanted != active);
    match (failure.filter(|_| missing), known) {
        (Some(failure), None) => conditions.push(ReplicaSetCondition {
            r#type: "ReplicaFailure".to_owned(),
            status: "True".to_owned(),
            last_transition_time: now,
            reason: failure.reason.to_owned(),
            message: failure.message.clone(),
        }),
        (None, Some(index)) => {
            conditions.remove(index);
        }
        _ => {}
    }
    conditions
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
