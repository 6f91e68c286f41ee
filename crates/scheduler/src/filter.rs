//! Filter plugins: plain functions from a node and a pod to the reasons against it; no reason, the node will do.
//!
//! Those here look at the node alone. [`spread`] and [`pod_affinity`] look at all pods and are prepared once a decision.

pub mod pod_affinity;
pub mod spread;

use crate::pod::{PodInfo, Shape, Taint};
use crate::reason::Reason;
use crate::snapshot::{NodeIx, Snapshot};

/// The taint that stands for `spec.unschedulable`.
const UNSCHEDULABLE_TAINT: &str = "node.kubernetes.io/unschedulable";

/// The first plugin's reasons against a node, of those that look at the node alone.
pub fn alone(snapshot: &Snapshot, ix: NodeIx, shape: &Shape) -> Vec<Reason> {
    let first = unschedulable(snapshot, ix, shape)
        .or_else(|| taints(snapshot, ix, shape))
        .or_else(|| node_affinity(snapshot, ix, shape))
        .or_else(|| ports(snapshot, ix, shape));
    first.map_or_else(|| fit(snapshot, ix, shape), |reason| vec![reason])
}

/// Every plugin's reasons, for explanations.
pub fn all_alone(snapshot: &Snapshot, ix: NodeIx, shape: &Shape) -> Vec<Reason> {
    let mut all: Vec<Reason> =
        [unschedulable, taints, node_affinity, ports].iter().filter_map(|plugin| plugin(snapshot, ix, shape)).collect();
    all.extend(fit(snapshot, ix, shape));
    all
}

fn unschedulable(snapshot: &Snapshot, ix: NodeIx, shape: &Shape) -> Option<Reason> {
    if !snapshot.unschedulable[ix] {
        return None;
    }
    let taint = Taint { key: UNSCHEDULABLE_TAINT.into(), value: String::new(), effect: "NoSchedule".into() };
    (!shape.tolerations.iter().any(|toleration| toleration.tolerates(&taint))).then_some(Reason::Unschedulable)
}

pub fn taints(snapshot: &Snapshot, ix: NodeIx, shape: &Shape) -> Option<Reason> {
    let mut forbidding = snapshot.taints[ix].iter().filter(|taint| taint.effect != "PreferNoSchedule");
    let untolerated = |taint: &Taint| !shape.tolerations.iter().any(|toleration| toleration.tolerates(taint));
    forbidding.any(untolerated).then_some(Reason::Taints)
}

/// Node selector and required node affinity.
pub fn node_affinity(snapshot: &Snapshot, ix: NodeIx, shape: &Shape) -> Option<Reason> {
    let (name, labels) = (&snapshot.names[ix], &snapshot.labels[ix]);
    let required =
        shape.required_nodes.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(name, labels)));
    (!required || !shape.node_selector.matches(labels)).then_some(Reason::NodeAffinity)
}

fn ports(snapshot: &Snapshot, ix: NodeIx, shape: &Shape) -> Option<Reason> {
    let taken = |port| snapshot.ports[ix].iter().any(|other| other.conflicts(port));
    shape.ports.iter().any(taken).then_some(Reason::Ports)
}

fn fit(snapshot: &Snapshot, ix: NodeIx, shape: &Shape) -> Vec<Reason> {
    let mut lacking = Vec::new();
    let (has, used, needs) = (&snapshot.allocatable[ix], &snapshot.requested[ix], &shape.requests);
    if i64::try_from(snapshot.pods[ix].len()).unwrap_or(i64::MAX) >= snapshot.pods_max[ix] {
        lacking.push(Reason::TooManyPods);
    }
    let mut check = |resource: &str, needs: i64, has: i64, used: i64| {
        if needs > 0 && needs > has.saturating_sub(used) {
            lacking.push(Reason::Insufficient { resource: resource.into(), whole: needs > has });
        }
    };
    check("cpu", needs.cpu_m, has.cpu_m, used.cpu_m);
    check("memory", needs.memory, has.memory, used.memory);
    check("ephemeral-storage", needs.ephemeral, has.ephemeral, used.ephemeral);
    for (name, amount) in &needs.extended {
        check(name, *amount, has.extended(name), used.extended(name));
    }
    lacking
}

/// `spec.nodeName` is never set on a pod that waits; a pod that has one is only simulated.
pub fn node_name(snapshot: &Snapshot, ix: NodeIx, pod: &PodInfo) -> Option<Reason> {
    (!pod.node.is_empty() && pod.node != *snapshot.names[ix]).then_some(Reason::NodeName)
}
