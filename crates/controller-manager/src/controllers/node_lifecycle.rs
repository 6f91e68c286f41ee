//! Nodes that fall silent: their conditions become Unknown, they are tainted, and their pods count as not ready.
//!
//! A plan takes one step of: conditions, pods' readiness, taints. Taints that evict (NoExecute) are given out at a
//! limited rate, more slowly (or not at all) while most of a zone is silent: then the fault is more likely in between.
//! While no node of the whole cluster is ready, none is evicted from: upstream's "master disruption mode".

mod heartbeat;
mod zone;

use std::time::Duration;

use client::informer::Key;
use proto::core::v1::{Node, NodeCondition, ObjectReference, Pod, Taint};
use proto::time::Time;
use tokio::time::Instant;

use crate::pods;
use crate::view::{BY_NODE, View};
use crate::write::{Note, Plan, Write};

pub use heartbeat::{EvictionRate, Heartbeats};
use zone::Zones;

/// Upstream's name of this controller.
pub const NAME: &str = "node-lifecycle-controller";
/// Where kubelets renew their Leases.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";
const COMPONENT: &str = "node-controller";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";
/// Conditions that a kubelet keeps.
const KEPT: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
/// Condition, the status that is bad, and the taint for it.
const PRESSURES: [(&str, &str, &str); 4] = [
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// `key` names a node.
pub fn plan(view: &View, key: &Key, now: Time) -> Plan {
    let Some(node) = view.nodes.get("", &key.name) else {
        let Some(uid) = view.heartbeats.forget(&key.name) else { return Plan::none() };
        return Plan::one(Write::tell(note(&key.name, &uid, "RemovingNode", "Removing Node", "from Controller")));
    };
    let registered = view.heartbeats.register(&key.name, &node.metadata.uid);
    let silent = view.heartbeats.silent_for(&key.name, &sign_of_life(view, &node), Instant::now());
    let grace = if condition(&node, "Ready").is_some() {
        view.settings.node_monitor_grace_period
    } else {
        view.settings.node_startup_grace_period
    };
    let mut plan = if silent > grace { mark_unknown(&node, now) } else { Plan::none() };
    if plan.writes.is_empty() {
        plan = mark_pods(view, &node, now);
        if let Some(write) = taint(view, &node, now) {
            plan.push(write);
        }
    }
    if registered {
        let told = note(&key.name, &node.metadata.uid, "RegisteredNode", "Registered Node", "in Controller");
        plan.writes.insert(0, Write::tell(told));
    }
    let period = view.settings.node_monitor_period.max(Duration::from_millis(100));
    plan.again = Some(period.min(grace.saturating_sub(silent).max(Duration::from_millis(100))));
    plan
}

/// The controller came to know a node, or no longer does.
fn note(node: &str, uid: &str, reason: &'static str, what: &str, where_to: &str) -> Note {
    Note {
        component: COMPONENT,
        involved: ObjectReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: node.to_owned(),
            uid: uid.to_owned(),
            ..ObjectReference::default()
        },
        kind: "Normal",
        reason,
        message: format!("Node {node} event: {what} {node} {where_to}"),
    }
}

/// What changes whenever the kubelet shows life: its Lease's renewal, its status' heartbeat.
fn sign_of_life(view: &View, node: &Node) -> String {
    let lease = view.leases.get(LEASE_NAMESPACE, &node.metadata.name);
    let renewed = lease.and_then(|lease| lease.spec.renew_time).map(|time| time.to_string());
    let beat = condition(node, "Ready").map(|ready| ready.last_heartbeat_time.to_string());
    format!("{} {}", renewed.unwrap_or_default(), beat.unwrap_or_default())
}

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.conditions.iter().find(|condition| condition.r#type == kind)
}

fn ready_status(node: &Node) -> &str {
    condition(node, "Ready").map_or("", |ready| ready.status.as_str())
}

/// What the kubelet used to say is no longer known.
fn mark_unknown(node: &Node, now: Time) -> Plan {
    let mut marked = node.clone();
    for kind in KEPT {
        match marked.status.conditions.iter_mut().find(|condition| condition.r#type == kind) {
            Some(condition) if condition.status == "Unknown" => {}
            Some(condition) => {
                condition.status = "Unknown".to_owned();
                condition.reason = "NodeStatusUnknown".to_owned();
                condition.message = "Kubelet stopped posting node status.".to_owned();
                condition.last_transition_time = now;
            }
            None => marked.status.conditions.push(NodeCondition {
                r#type: kind.to_owned(),
                status: "Unknown".to_owned(),
                reason: "NodeStatusNeverUpdated".to_owned(),
                message: "Kubelet never posted node status.".to_owned(),
                last_heartbeat_time: node.metadata.creation_timestamp,
                last_transition_time: now,
            }),
        }
    }
    if marked == *node {
        return Plan::none();
    }
    let mut write = Write::update_status(marked);
    if ready_status(node) == "True" {
        let message = format!("Node {} status is now: NodeNotReady", node.metadata.name);
        write = write.telling(Note::normal(COMPONENT, node, "NodeNotReady", message));
    }
    Plan::one(write)
}

/// Pods of a node that is not ready are not ready, whatever its kubelet said last.
fn mark_pods(view: &View, node: &Node, now: Time) -> Plan {
    let mut plan = Plan::none();
    if ready_status(node) != "Unknown" {
        return plan;
    }
    for pod in view.pods.by_index(BY_NODE, &node.metadata.name) {
        if !pods::is_ready(&pod) || pods::is_terminal(&pod) {
            continue;
        }
        let mut marked: Pod = (*pod).clone();
        for ready in marked.status.conditions.iter_mut().filter(|condition| condition.r#type == "Ready") {
            ready.status = "False".to_owned();
            ready.last_transition_time = now;
        }
        plan.push(Write::update_status(marked).telling(Note::warning(
            COMPONENT,
            &*pod,
            "NodeNotReady",
            "Node is not ready",
        )));
    }
    plan
}

/// The node with the taints that its conditions ask for; none: it has them.
fn taint(view: &View, node: &Node, now: Time) -> Option<Write> {
    let mut wanted = wanted_taints(node);
    let ill = wanted.iter().any(|(_, effect)| *effect == NO_EXECUTE);
    let zones = if ill { Zones::of(&view.nodes.list(), &view.settings) } else { Zones::default() };
    if zones.all_silent() {
        // Rather this process is cut off than all nodes are dead: nobody's pods go, and those that were to go stay.
        wanted.retain(|(_, effect)| *effect != NO_EXECUTE);
        view.evictions.start_anew(zones.names(), Instant::now());
    }
    let is_ours = |taint: &Taint| match taint.effect.as_str() {
        NO_SCHEDULE => {
            [NOT_READY, UNREACHABLE, UNSCHEDULABLE].contains(&taint.key.as_str())
                || PRESSURES.iter().any(|(_, _, key)| *key == taint.key)
        }
        NO_EXECUTE => [NOT_READY, UNREACHABLE].contains(&taint.key.as_str()),
        _ => false,
    };
    let is = |taint: &Taint, (key, effect): &(&str, &str)| taint.key == *key && taint.effect == *effect;
    let mut tainted = node.clone();
    tainted.spec.taints.retain(|taint| !is_ours(taint) || wanted.iter().any(|wanted| is(taint, wanted)));
    for wanted in &wanted {
        if tainted.spec.taints.iter().any(|taint| is(taint, wanted)) {
            continue;
        }
        let evicting_already = node.spec.taints.iter().any(|taint| taint.effect == NO_EXECUTE && is_ours(taint));
        if wanted.1 == NO_EXECUTE && !evicting_already && !may_evict(view, &zones, node) {
            continue;
        }
        tainted.spec.taints.push(Taint {
            key: wanted.0.to_owned(),
            effect: wanted.1.to_owned(),
            time_added: Some(now),
            ..Taint::default()
        });
    }
    (tainted.spec.taints != node.spec.taints).then(|| Write::update(tainted))
}

/// Key and effect of each taint that the node's conditions ask for.
fn wanted_taints(node: &Node) -> Vec<(&'static str, &'static str)> {
    let mut wanted = Vec::new();
    match ready_status(node) {
        "False" => wanted.extend([(NOT_READY, NO_SCHEDULE), (NOT_READY, NO_EXECUTE)]),
        "Unknown" => wanted.extend([(UNREACHABLE, NO_SCHEDULE), (UNREACHABLE, NO_EXECUTE)]),
        // Admission taints new nodes; the taint stays until the kubelet has spoken.
        "" => wanted.push((NOT_READY, NO_SCHEDULE)),
        _ => {}
    }
    for (kind, bad, key) in PRESSURES {
        if condition(node, kind).is_some_and(|condition| condition.status == bad) {
            wanted.push((key, NO_SCHEDULE));
        }
    }
    if node.spec.unschedulable {
        wanted.push((UNSCHEDULABLE, NO_SCHEDULE));
    }
    wanted
}

/// Whether one more node of this zone may be emptied now.
fn may_evict(view: &View, zones: &Zones, node: &Node) -> bool {
    let zone = zone::name(node);
    view.evictions.take(&zone, zones.rate(&zone, &view.settings), Instant::now())
}

#[cfg(test)]
mod tests;
