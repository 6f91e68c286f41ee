//! Pods leave nodes whose NoExecute taints they do not tolerate, or no longer tolerate.
//!
//! For how long a pod was made to tolerate a taint counts from when the taint was added. A taint made by hand does not say
//! when that was: then it counts from when this controller first saw pod and taint together ([`Sightings`]).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use client::informer::Key;
use proto::core::v1::{Node, ObjectReference, Pod, PodCondition, Taint, Toleration};
use proto::time::Time;

use crate::pods;
use crate::view::{BY_NODE, View};
use crate::write::{Note, Plan, Write};

/// Upstream's name of this controller.
pub const NAME: &str = "taint-eviction-controller";
const NO_EXECUTE: &str = "NoExecute";
const DISRUPTION: &str = "DisruptionTarget";

/// `key` names a pod.
pub fn plan(view: &View, key: &Key, now: Time) -> Plan {
    let living = view.pods.get_key(key).filter(|pod| {
        pod.metadata.deletion_timestamp.is_none() && !pods::is_terminal(pod) && !pod.spec.node_name.is_empty()
    });
    let Some(pod) = living else {
        view.sightings.forget(key);
        return Plan::none();
    };
    // A node that is gone is another controller's.
    let Some(node) = view.nodes.get("", &pod.spec.node_name) else { return Plan::none() };
    let taints: Vec<Taint> = node.spec.taints.iter().filter(|taint| taint.effect == NO_EXECUTE).cloned().collect();
    let taints = view.sightings.dated(key, &pod.metadata.uid, taints, now);
    let Some(due) = due(&pod, &taints, now) else {
        let waited = view.sightings.set_waiting(key, false);
        return if waited { Plan::one(Write::tell(cancelled(&pod))) } else { Plan::none() };
    };
    if due.seconds > now.seconds {
        view.sightings.set_waiting(key, true);
        let mut plan = Plan::none();
        plan.again_after_s(due.seconds.saturating_sub(now.seconds));
        return plan;
    }
    view.sightings.set_waiting(key, false);
    evict(&pod, now)
}

/// The pod may stay after all.
fn cancelled(pod: &Pod) -> Note {
    let meta = &pod.metadata;
    Note {
        component: NAME,
        involved: ObjectReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            ..ObjectReference::default()
        },
        kind: "Normal",
        reason: "TaintManagerEviction",
        message: format!("Cancelling deletion of Pod {}/{}", meta.namespace, meta.name),
    }
}

/// The pods that a node's change concerns, if it has or had (`node` is either state) a taint that evicts.
pub fn concerned(view: &View, node: &Node) -> Vec<Key> {
    if !node.spec.taints.iter().any(|taint| taint.effect == NO_EXECUTE) {
        return Vec::new();
    }
    view.pods.by_index(BY_NODE, &node.metadata.name).iter().map(|pod| Key::of(&**pod)).collect()
}

/// When the pod must go; none: it may stay for ever.
fn due(pod: &Pod, taints: &[Taint], now: Time) -> Option<Time> {
    taints.iter().filter_map(|taint| due_for(pod, taint, now)).min()
}

fn due_for(pod: &Pod, taint: &Taint, now: Time) -> Option<Time> {
    let since = taint.time_added.unwrap_or(now);
    let tolerated: Vec<&Toleration> = pod.spec.tolerations.iter().filter(|known| tolerates(known, taint)).collect();
    if tolerated.is_empty() {
        return Some(now);
    }
    let shortest = tolerated.iter().filter_map(|toleration| toleration.toleration_seconds).min()?;
    Some(Time::from_unix(since.seconds.saturating_add(shortest.max(0))))
}

/// An empty key with Exists tolerates everything; an empty effect every effect.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    if !toleration.effect.is_empty() && toleration.effect != taint.effect {
        return false;
    }
    if !toleration.key.is_empty() && toleration.key != taint.key {
        return false;
    }
    match toleration.operator.as_str() {
        "Exists" => true,
        "" | "Equal" => !toleration.key.is_empty() && toleration.value == taint.value,
        _ => false,
    }
}

/// First the reason on the pod, then its deletion.
fn evict(pod: &Pod, now: Time) -> Plan {
    let marked = pod.status.conditions.iter().any(|known| known.r#type == DISRUPTION && known.status == "True");
    if !marked {
        let mut updated = pod.clone();
        updated.status.conditions.retain(|known| known.r#type != DISRUPTION);
        updated.status.conditions.push(PodCondition {
            r#type: DISRUPTION.to_owned(),
            status: "True".to_owned(),
            observed_generation: pod.metadata.generation,
            last_transition_time: now,
            reason: "DeletionByTaintManager".to_owned(),
            message: "Taint manager: deleting due to NoExecute taint".to_owned(),
            ..PodCondition::default()
        });
        let mut plan = Plan::one(Write::update_status(updated));
        plan.push(delete(pod));
        return plan;
    }
    Plan::one(delete(pod))
}

fn delete(pod: &Pod) -> Write {
    let message = format!("Marking for deletion Pod {}/{}", pod.metadata.namespace, pod.metadata.name);
    Write::delete(pod).telling(Note::normal(NAME, pod, "TaintManagerEviction", message))
}

/// Since when pods are together with taints that do not say since when they are there.
#[derive(Debug, Default)]
pub struct Sightings {
    seen: Mutex<HashMap<Key, Sighting>>,
}

#[derive(Debug, Default)]
struct Sighting {
    /// The pod's uid.
    uid: String,
    /// Key and value of a taint, and when it was first seen.
    taints: Vec<(String, String, Time)>,
    /// The pod's time runs.
    waiting: bool,
}

impl Sightings {
    /// Gives the taints with their times; forgets those that are there no more.
    fn dated(&self, pod: &Key, uid: &str, mut taints: Vec<Taint>, now: Time) -> Vec<Taint> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if taints.is_empty() && !seen.contains_key(pod) {
            return taints;
        }
        let known = seen.entry(pod.clone()).or_default();
        if known.uid != uid {
            *known = Sighting { uid: uid.to_owned(), ..Sighting::default() };
        }
        let before = std::mem::take(&mut known.taints);
        for taint in taints.iter_mut().filter(|taint| taint.time_added.is_none()) {
            let found = before.iter().find(|(key, value, _)| *key == taint.key && *value == taint.value);
            let since = found.map_or(now, |(_, _, since)| *since);
            known.taints.push((taint.key.clone(), taint.value.clone(), since));
            taint.time_added = Some(since);
        }
        taints
    }

    /// Notes whether the pod's time runs. Gives whether it did.
    fn set_waiting(&self, pod: &Key, waiting: bool) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = seen.get_mut(pod) else { return false };
        let before = std::mem::replace(&mut known.waiting, waiting);
        if !waiting && known.taints.is_empty() {
            seen.remove(pod);
        }
        before
    }

    /// The pod is gone, or goes.
    fn forget(&self, pod: &Key) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(pod);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim;

    fn taint(key: &str) -> Taint {
        Taint { key: key.into(), effect: NO_EXECUTE.into(), time_added: Some(Time::from_unix(100)), ..Taint::default() }
    }

    fn toleration(key: &str, seconds: Option<i64>) -> Toleration {
        Toleration { key: key.into(), operator: "Exists".into(), toleration_seconds: seconds, ..Toleration::default() }
    }

    /// The writes and the next look (seconds) at 110 s for a pod with these tolerations.
    fn check(tolerations: Vec<Toleration>, taints: Vec<Taint>) -> (usize, Option<u64>) {
        let view = sim::view();
        let mut node = sim::node("node");
        node.spec.taints = taints;
        view.nodes.put(node);
        let mut pod = Pod::default();
        pod.metadata.namespace = "n".into();
        pod.metadata.name = "p".into();
        sim::ready(&mut pod, 0);
        pod.spec.tolerations = tolerations;
        view.pods.put(pod);
        let plan = plan(&view, &Key::new("n", "p"), Time::from_unix(110));
        (plan.writes.len(), plan.again.map(|pause| pause.as_secs()))
    }

    /// A pod that tolerates the taint "a" for 30 s, on a node with these taints.
    fn view_with(taints: Vec<Taint>) -> View {
        let view = sim::view();
        set_taints(&view, taints);
        let mut pod = Pod::default();
        pod.metadata.namespace = "n".into();
        pod.metadata.name = "p".into();
        pod.metadata.uid = "uid".into();
        sim::ready(&mut pod, 0);
        pod.spec.tolerations = vec![toleration("a", Some(30))];
        view.pods.put(pod);
        view
    }

    fn set_taints(view: &View, taints: Vec<Taint>) {
        let mut node = sim::node("node");
        node.spec.taints = taints;
        node.metadata.resource_version = (view.nodes.revision() + 1).to_string();
        view.nodes.put(node);
    }

    /// What a look at this second does: evict, wait so long, tell, or nothing.
    fn look(view: &View, second: i64) -> String {
        let plan = plan(view, &Key::new("n", "p"), Time::from_unix(second));
        let told = plan.writes.iter().filter_map(|write| write.told.as_ref());
        match (told.map(|note| note.message.clone()).next(), plan.again) {
            (Some(message), _) => message,
            (None, Some(pause)) => format!("wait {}", pause.as_secs()),
            (None, None) => "nothing".to_owned(),
        }
    }

    #[test]
    fn taint_made_by_hand_counts_from_when_it_was_first_seen() {
        let by_hand = Taint { time_added: None, ..taint("a") };
        let view = view_with(vec![by_hand.clone()]);
        assert_eq!(look(&view, 100), "wait 30");
        assert_eq!(look(&view, 120), "wait 10", "each look is not a new beginning");
        assert_eq!(look(&view, 130), "Marking for deletion Pod n/p");

        let view = view_with(vec![by_hand.clone()]);
        assert_eq!(look(&view, 100), "wait 30");
        set_taints(&view, vec![]);
        assert_eq!(look(&view, 120), "Cancelling deletion of Pod n/p");
        assert_eq!(look(&view, 121), "nothing");
        set_taints(&view, vec![by_hand]);
        assert_eq!(look(&view, 200), "wait 30", "taken away and given anew");
    }

    #[test]
    fn pod_may_tolerate_for_as_long_as_can_be_written() {
        let view = view_with(vec![taint("a")]);
        let mut pod = (*view.pods.get("n", "p").expect("the pod")).clone();
        pod.spec.tolerations[0].toleration_seconds = Some(i64::MAX);
        view.pods.put(pod);
        assert!(look(&view, -100).starts_with("wait"), "and no sum overflows");
    }

    #[test]
    fn pods_stay_as_long_as_they_tolerate() {
        assert_eq!(check(vec![], vec![]), (0, None));
        assert_eq!(check(vec![], vec![taint("a")]), (2, None), "marked and deleted");
        assert_eq!(check(vec![toleration("a", None)], vec![taint("a")]), (0, None));
        assert_eq!(check(vec![toleration("", None)], vec![taint("a"), taint("b")]), (0, None));
        assert_eq!(check(vec![toleration("a", Some(30))], vec![taint("a")]), (0, Some(20)));
        assert_eq!(check(vec![toleration("a", Some(10))], vec![taint("a")]), (2, None));
        assert_eq!(check(vec![toleration("a", None)], vec![taint("a"), taint("b")]), (2, None));
        let schedule_only = Toleration { effect: "NoSchedule".into(), ..toleration("a", None) };
        assert_eq!(check(vec![schedule_only], vec![taint("a")]), (2, None));
    }
}
