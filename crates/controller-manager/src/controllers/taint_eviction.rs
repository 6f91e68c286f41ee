//! Pods leave nodes whose NoExecute taints they do not tolerate, or no longer tolerate.

use client::informer::Key;
use proto::core::v1::{Node, Pod, PodCondition, Taint, Toleration};
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
    let Some(pod) = view.pods.get_key(key) else { return Plan::none() };
    if pod.metadata.deletion_timestamp.is_some() || pods::is_terminal(&pod) || pod.spec.node_name.is_empty() {
        return Plan::none();
    }
    let Some(node) = view.nodes.get("", &pod.spec.node_name) else { return Plan::none() };
    let Some(due) = due(&pod, &node, now) else { return Plan::none() };
    if due.seconds > now.seconds {
        let mut plan = Plan::none();
        plan.again_after_s(due.seconds - now.seconds);
        return plan;
    }
    evict(&pod, now)
}

/// The pods that a node's change concerns.
pub fn concerned(view: &View, node: &Node) -> Vec<Key> {
    if !node.spec.taints.iter().any(|taint| taint.effect == NO_EXECUTE) {
        return Vec::new();
    }
    view.pods.by_index(BY_NODE, &node.metadata.name).iter().map(|pod| Key::of(&**pod)).collect()
}

/// When the pod must go; none: it may stay for ever.
fn due(pod: &Pod, node: &Node, now: Time) -> Option<Time> {
    let taints = node.spec.taints.iter().filter(|taint| taint.effect == NO_EXECUTE);
    taints.filter_map(|taint| due_for(pod, taint, now)).min()
}

fn due_for(pod: &Pod, taint: &Taint, now: Time) -> Option<Time> {
    let since = taint.time_added.unwrap_or(now);
    let tolerated: Vec<&Toleration> = pod.spec.tolerations.iter().filter(|known| tolerates(known, taint)).collect();
    if tolerated.is_empty() {
        return Some(now);
    }
    let shortest = tolerated.iter().filter_map(|toleration| toleration.toleration_seconds).min()?;
    Some(Time::from_unix(since.seconds + shortest.max(0)))
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
