//! The sentences of a decision: the PodScheduled condition, events, and explanations. Upstream's words.

use std::collections::BTreeMap;

use proto::keelson::scheduler::v1::{ExplainPodResponse, NodeVerdict};

use crate::plan::{self, Decision, Verdict};
use crate::pod::PodInfo;
use crate::preempt::Preemption;
use crate::reason::Reason;
use crate::score::{self, PLUGINS};
use crate::snapshot::Snapshot;

/// Said of pods that a gate holds back.
pub const GATED: &str = "Scheduling is blocked due to non-empty scheduling gates";

/// Why no node takes the pod: every reason with the number of nodes it holds for, then what preemption could do.
pub fn unschedulable(decision: &Decision, preemption: &Preemption) -> String {
    let nodes = decision.verdicts.len();
    if nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let reasons = histogram(refusals(decision).flatten().map(Reason::to_string));
    let first = format!("0/{nodes} nodes are available: {}.", reasons.join(", "));
    match preemption {
        // A node was found and its pods are going: the sentence ends here.
        Preemption::Nominated { .. } => first,
        Preemption::Never => {
            format!("{first} no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.")
        }
        Preemption::Waiting => {
            format!(
                "{first} no new claims to deallocate, preemption: not eligible due to a terminating pod on the nominated node."
            )
        }
        Preemption::Useless => {
            let helpless = histogram(refusals(decision).map(|reasons| helpless(reasons).to_owned())).join(", ");
            format!("{first} no new claims to deallocate, preemption: 0/{nodes} nodes are available: {helpless}.")
        }
    }
}

fn refusals(decision: &Decision) -> impl Iterator<Item = &[Reason]> {
    decision.verdicts.iter().filter_map(|(_, verdict)| match verdict {
        Verdict::Refused(reasons) => Some(reasons.as_slice()),
        Verdict::Fits(_) => None,
    })
}

fn helpless(reasons: &[Reason]) -> &'static str {
    if reasons.iter().all(Reason::resolvable) {
        "No preemption victims found for incoming pod"
    } else {
        "Preemption is not helpful for scheduling"
    }
}

/// "2 Insufficient cpu", sorted as text.
fn histogram(reasons: impl Iterator<Item = String>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut lines: Vec<String> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    lines.sort();
    lines
}

/// Every node's verdict, with all reasons of all plugins, as it would be decided now.
/// `nominated`: the node where room is being made for the pod.
pub fn explain(snapshot: &Snapshot, pod: &PodInfo, nominated: Option<&str>) -> ExplainPodResponse {
    let decision = plan::schedule(snapshot, pod, 0);
    let scores: BTreeMap<_, _> = decision.scores().into_iter().collect();
    let all = plan::reasons(snapshot, pod);
    let nodes = all.iter().map(|(ix, reasons)| {
        let scores = scores.get(ix).filter(|_| reasons.is_empty());
        NodeVerdict {
            node: snapshot.names[*ix].to_string(),
            reasons: reasons.iter().map(Reason::to_string).collect(),
            scores: scores
                .into_iter()
                .flatten()
                .zip(PLUGINS)
                .map(|(score, (name, _))| (name.to_owned(), *score))
                .collect(),
            total: scores.map_or(0, score::total),
        }
    });
    let mut nodes: Vec<NodeVerdict> = nodes.collect();
    nodes.sort_by(|a, b| a.node.cmp(&b.node));
    let nearest = if decision.node.is_some() { None } else { all.iter().min_by_key(|(_, reasons)| distance(reasons)) };
    ExplainPodResponse {
        node: String::new(),
        nodes,
        message: if decision.node.is_some() {
            String::new()
        } else {
            unschedulable(&decision, &Preemption::of(snapshot, pod, &decision, nominated))
        },
        nearest_miss: nearest.map(|(ix, reasons)| nearest_miss(snapshot, *ix, pod, reasons)).unwrap_or_default(),
        ..Default::default()
    }
}

/// Few reasons are nearer than many, and resources nearer than labels.
fn distance(reasons: &[Reason]) -> (usize, usize) {
    (reasons.iter().filter(|reason| !reason.resolvable()).count(), reasons.len())
}

fn nearest_miss(snapshot: &Snapshot, ix: usize, pod: &PodInfo, reasons: &[Reason]) -> String {
    let (has, used, needs) = (&snapshot.allocatable[ix], &snapshot.requested[ix], &pod.shape.requests);
    let lacks = reasons.iter().map(|reason| match reason {
        Reason::Insufficient { resource, .. } => {
            let (needs, has, used, unit) = match &**resource {
                "cpu" => (needs.cpu_m, has.cpu_m, used.cpu_m, "m"),
                "memory" => (needs.memory, has.memory, used.memory, " bytes"),
                "ephemeral-storage" => (needs.ephemeral, has.ephemeral, used.ephemeral, " bytes"),
                other => (needs.extended(other), has.extended(other), used.extended(other), ""),
            };
            format!(
                "{resource}: needs {needs}{unit}, {}{unit} of {has}{unit} are free",
                has.saturating_sub(used).max(0)
            )
        }
        other => other.to_string(),
    });
    format!("{}: {}", snapshot.names[ix], lacks.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cluster, pod};

    #[test]
    fn the_sentence_is_upstreams() {
        let snapshot = cluster(&[("a", "4", "8Gi")]);
        let big = pod("p", "1000", "1Gi");
        let decision = plan::schedule(&snapshot, &big, 0);
        assert_eq!(
            unschedulable(&decision, &Preemption::of(&snapshot, &big, &decision, None)),
            "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: \
             1 Preemption is not helpful for scheduling."
        );
    }

    #[test]
    fn reasons_are_counted_and_sorted() {
        let mut snapshot = cluster(&[("a", "4", "8Gi"), ("b", "4", "8Gi"), ("c", "1", "8Gi")]);
        snapshot.unschedulable[0] = true;
        snapshot.unschedulable[1] = true;
        let big = pod("p", "2", "1Gi");
        let decision = plan::schedule(&snapshot, &big, 0);
        assert!(
            unschedulable(&decision, &Preemption::Useless)
                .starts_with("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. ")
        );
    }

    #[test]
    fn an_explanation_names_the_nearest_miss() {
        let snapshot = cluster(&[("a", "4", "8Gi"), ("b", "1", "512Mi")]);
        let explained = explain(&snapshot, &pod("p", "5", "1Gi"), None);
        assert_eq!(explained.nearest_miss, "a: cpu: needs 5000m, 4000m of 4000m are free");
        assert_eq!(explained.nodes[1].reasons, ["Insufficient cpu", "Insufficient memory"]);
    }
}
