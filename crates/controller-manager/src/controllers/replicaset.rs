//! As many pods as a ReplicaSet asks for.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use api::meta::{controller_of, controller_reference, is_controlled_by};
use api::selector::labels::Selector;
use client::informer::Key;
use proto::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use proto::core::v1::Pod;
use proto::time::Time;

use crate::pods;
use crate::view::{BY_NODE, BY_OWNER, View};
use crate::write::{Note, Plan, Write};

/// Upstream's name of this controller.
pub const NAME: &str = "replicaset-controller";
/// Pods made or deleted at one go.
const BURST: usize = 500;
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const REPLICA_FAILURE: &str = "ReplicaFailure";

/// `key` names a ReplicaSet.
pub fn plan(view: &View, key: &Key, now: Time) -> Plan {
    let Some(set) = view.replica_sets.get_key(key) else { return Plan::none() };
    let Ok(selector) = Selector::from_selector(set.spec.selector.as_ref()) else { return Plan::none() };
    let alive = set.metadata.deletion_timestamp.is_none();
    let owned = view.pods.by_index(BY_OWNER, &set.metadata.uid);
    let mut plan = Plan::none();
    if alive && (adopt(view, &set, &selector, &mut plan) | release(&owned, &set, &selector, &mut plan)) {
        return plan;
    }
    let mine: Vec<Arc<Pod>> = owned.into_iter().filter(|pod| selector.matches(&pod.metadata.labels)).collect();
    let mut changed = false;
    if alive {
        changed = manage(view, &set, &mine, now, &mut plan);
    }
    let status = status(view, &set, &mine, now);
    // After creating or deleting, the pods' own events bring the next look; a refusal must show at once.
    let refused = view.create_failure(&set.metadata.uid).is_some();
    if status != set.status && (!changed || refused || set.status.observed_generation == 0) {
        let mut updated = (*set).clone();
        updated.status = status;
        plan.writes.insert(0, Write::update_status(updated));
    }
    let waits = mine.iter().filter_map(|pod| pods::available_in_s(pod, set.spec.min_ready_seconds, now));
    if let Some(soonest) = waits.filter(|seconds| *seconds > 0).min() {
        plan.again_after_s(soonest);
    }
    plan
}

/// The ReplicaSets that a pod's change concerns: its controller, or those that could adopt it.
pub fn concerned(view: &View, pod: &Pod) -> Vec<Key> {
    let meta = &pod.metadata;
    if let Some(owner) = controller_of(meta) {
        let ours = owner.kind == "ReplicaSet" && owner.api_version.starts_with("apps/");
        return if ours { vec![Key::new(&meta.namespace, &owner.name)] } else { Vec::new() };
    }
    let sets = view.replica_sets.list_in(&meta.namespace);
    let could_adopt = |set: &&Arc<ReplicaSet>| {
        Selector::from_selector(set.spec.selector.as_ref()).is_ok_and(|selector| selector.matches(&meta.labels))
    };
    sets.iter().filter(could_adopt).map(|set| Key::new(&meta.namespace, &set.metadata.name)).collect()
}

/// Pods that match and belong to nobody become the set's.
fn adopt(view: &View, set: &ReplicaSet, selector: &Selector, plan: &mut Plan) -> bool {
    if selector.is_everything() {
        return false;
    }
    let before = plan.writes.len();
    for pod in view.pods.list_in(&set.metadata.namespace) {
        let orphan = controller_of(&pod.metadata).is_none() && pod.metadata.deletion_timestamp.is_none();
        if orphan && !pods::is_terminal(&pod) && selector.matches(&pod.metadata.labels) {
            let mut adopted = (*pod).clone();
            adopted.metadata.owner_references.push(controller_reference(set));
            plan.push(Write::update(adopted));
        }
    }
    plan.writes.len() > before
}

/// Pods that no longer match are the set's no more.
fn release(owned: &[Arc<Pod>], set: &ReplicaSet, selector: &Selector, plan: &mut Plan) -> bool {
    let before = plan.writes.len();
    for pod in owned {
        if !selector.matches(&pod.metadata.labels) && pod.metadata.deletion_timestamp.is_none() {
            let mut released = (**pod).clone();
            released.metadata.owner_references.retain(|owner| owner.uid != set.metadata.uid);
            plan.push(Write::update(released));
        }
    }
    plan.writes.len() > before
}

/// Creates or deletes pods. True: the number changes.
fn manage(view: &View, set: &ReplicaSet, mine: &[Arc<Pod>], now: Time, plan: &mut Plan) -> bool {
    let active: Vec<&Arc<Pod>> = mine.iter().filter(|pod| pods::is_active(pod)).collect();
    let wanted = usize::try_from(set.spec.replicas.unwrap_or(1)).unwrap_or(0);
    if active.len() < wanted {
        for _ in 0..(wanted - active.len()).min(BURST) {
            plan.push(
                Write::create(pod_of(set))
                    .telling(Note::normal(NAME, set, "SuccessfulCreate", "Created pod: {name}"))
                    .on_failure(Note::warning(NAME, set, "FailedCreate", "Error creating: {error}")),
            );
        }
        return true;
    }
    let surplus = (active.len() - wanted).min(BURST);
    for pod in victims(view, set, active, now).into_iter().take(surplus) {
        let name = &pod.metadata.name;
        plan.push(
            Write::delete(&**pod)
                .telling(Note::normal(NAME, set, "SuccessfulDelete", format!("Deleted pod: {name}")))
                .on_failure(Note::warning(NAME, set, "FailedDelete", "Error deleting: {error}")),
        );
    }
    surplus > 0
}

/// A pod from the set's template. The server makes its name.
fn pod_of(set: &ReplicaSet) -> Pod {
    let template = &set.spec.template;
    let mut pod = Pod { spec: template.spec.clone(), ..Pod::default() };
    pod.metadata.labels = template.metadata.labels.clone();
    pod.metadata.annotations = template.metadata.annotations.clone();
    pod.metadata.finalizers = template.metadata.finalizers.clone();
    pod.metadata.namespace = set.metadata.namespace.clone();
    pod.metadata.generate_name = format!("{}-", set.metadata.name);
    pod.metadata.owner_references.push(controller_reference(set));
    pod
}

/// Active pods, those that are missed least first.
fn victims<'a>(view: &View, set: &ReplicaSet, mut active: Vec<&'a Arc<Pod>>, now: Time) -> Vec<&'a Arc<Pod>> {
    let siblings = siblings_by_node(view, set, &active);
    active.sort_by_cached_key(|pod| {
        let phase = match pod.status.phase.as_str() {
            "Pending" | "" => 0,
            "Running" => 2,
            _ => 1,
        };
        let cost: i32 = pod.metadata.annotations.get(DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0);
        let ready = pods::is_ready(pod);
        let ready_for = pods::ready_since(pod).map_or(0, |since| now.seconds - since.seconds);
        let restarts = pod.status.container_statuses.iter().map(|status| status.restart_count).max().unwrap_or(0);
        (
            !pod.spec.node_name.is_empty(),
            phase,
            ready,
            cost,
            Reverse(siblings.get(&pod.spec.node_name).copied().unwrap_or(0)),
            log2(ready_for),
            Reverse(restarts),
            log2(now.seconds - pod.metadata.creation_timestamp.seconds),
            pod.metadata.uid.clone(),
        )
    });
    active
}

/// Ages count by their magnitude, so that which of nearly equal pods goes is not predictable by age.
fn log2(seconds: i64) -> u32 {
    64 - u64::try_from(seconds).unwrap_or(0).leading_zeros()
}

/// How many active pods of the set's owner (a Deployment's other sets included) each node has.
fn siblings_by_node(view: &View, set: &ReplicaSet, active: &[&Arc<Pod>]) -> HashMap<String, usize> {
    let owner = controller_of(&set.metadata).map(|owner| owner.uid.clone());
    let family: Vec<String> = match owner {
        Some(uid) => view.replica_sets.by_index(BY_OWNER, &uid).iter().map(|set| set.metadata.uid.clone()).collect(),
        None => vec![set.metadata.uid.clone()],
    };
    let mut count = HashMap::new();
    for pod in active {
        let node = &pod.spec.node_name;
        if !node.is_empty() && !count.contains_key(node) {
            let here = view.pods.by_index(BY_NODE, node);
            let related = here.iter().filter(|pod| pods::is_active(pod));
            let related = related.filter(|pod| family.iter().any(|uid| is_controlled_by(&pod.metadata, uid)));
            count.insert(node.clone(), related.count());
        }
    }
    count
}

fn status(view: &View, set: &ReplicaSet, mine: &[Arc<Pod>], now: Time) -> ReplicaSetStatus {
    let labels = &set.spec.template.metadata.labels;
    let active: Vec<&Arc<Pod>> = mine.iter().filter(|pod| pods::is_active(pod)).collect();
    let count =
        |keep: &dyn Fn(&Pod) -> bool| i32::try_from(active.iter().filter(|pod| keep(pod)).count()).unwrap_or(i32::MAX);
    let terminating = mine.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some() && !pods::is_terminal(pod));
    ReplicaSetStatus {
        replicas: count(&|_| true),
        fully_labeled_replicas: count(&|pod| {
            labels.iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value))
        }),
        ready_replicas: count(&|pod| pods::is_ready(pod)),
        available_replicas: count(&|pod| pods::is_available(pod, set.spec.min_ready_seconds, now)),
        terminating_replicas: i32::try_from(terminating.count()).ok(),
        observed_generation: set.metadata.generation,
        conditions: conditions(view, set, now),
    }
}

fn conditions(view: &View, set: &ReplicaSet, now: Time) -> Vec<ReplicaSetCondition> {
    let mut conditions = set.status.conditions.clone();
    let failure = view.create_failure(&set.metadata.uid);
    let known = conditions.iter().any(|condition| condition.r#type == REPLICA_FAILURE);
    match failure {
        Some(message) if !known => conditions.push(ReplicaSetCondition {
            r#type: REPLICA_FAILURE.to_owned(),
            status: "True".to_owned(),
            last_transition_time: now,
            reason: "FailedCreate".to_owned(),
            message,
        }),
        None => conditions.retain(|condition| condition.r#type != REPLICA_FAILURE),
        Some(_) => {}
    }
    conditions
}

#[cfg(test)]
mod tests;
