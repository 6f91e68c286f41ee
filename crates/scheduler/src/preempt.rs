//! Preemption: whether the eviction of less important pods would make room, and whose. Pure.

use std::sync::Arc;

use crate::plan::{self, Decision, Verdict};
use crate::pod::PodInfo;
use crate::reason::Reason;
use crate::snapshot::{NodeIx, Snapshot};

/// Nodes that are looked at closely; beyond, the first found must do.
const CANDIDATES_MAX: usize = 100;

/// What preemption can do for a pod that no node takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Preemption {
    /// These pods go, and the node will have room.
    Nominated { node: NodeIx, victims: Vec<Arc<PodInfo>> },
    /// The pod does not preempt others.
    Never,
    /// Pods are already going on the node that was nominated for it.
    Waiting,
    /// Nowhere would it help.
    Useless,
}

impl Preemption {
    /// Decides for a pod that was refused everywhere. `nominated`: the node where room is being made for it already.
    pub fn of(snapshot: &Snapshot, pod: &PodInfo, decision: &Decision, nominated: Option<&str>) -> Self {
        if pod.never_preempts {
            return Self::Never;
        }
        let lower = |other: &Arc<PodInfo>| other.priority < pod.priority;
        let open = decision.verdicts.iter().filter(
            |(_, verdict)| matches!(verdict, Verdict::Refused(reasons) if reasons.iter().all(Reason::resolvable)),
        );
        let mut candidates: Vec<(NodeIx, Vec<Arc<PodInfo>>)> = Vec::new();
        // Pods that look at others need all nodes to be tried out; the copy is made once, and only then.
        let needs_all = pod.looks_at_pods() || snapshot.has_terms();
        let mut all: Option<Snapshot> = None;
        for (ix, _) in open.clone() {
            let promised = nominated.is_some_and(|node| *snapshot.names[*ix] == *node);
            if promised && snapshot.pods[*ix].iter().any(|other| lower(other) && other.terminating) {
                return Self::Waiting;
            }
        }
        for (ix, _) in open {
            if !snapshot.pods[*ix].iter().any(lower) {
                continue;
            }
            let found = if needs_all {
                victims(all.get_or_insert_with(|| snapshot.clone()), *ix, pod)
            } else {
                victims(&mut snapshot.excerpt(*ix), 0, pod)
            };
            candidates.extend(found.map(|victims| (*ix, victims)));
            if candidates.len() >= CANDIDATES_MAX {
                break;
            }
        }
        // The least important victims, then the lowest sum, then the fewest, then those that started last.
        let cost = |victims: &[Arc<PodInfo>]| {
            let highest = victims.iter().map(|v| v.priority).max().unwrap_or(i32::MIN);
            let sum: i64 = victims.iter().map(|v| i64::from(v.priority) - i64::from(i32::MIN)).sum();
            let youngest_first =
                std::cmp::Reverse(victims.iter().filter(|v| v.priority == highest).map(|v| v.created).min());
            (highest, sum, victims.len(), youngest_first)
        };
        let best = candidates.into_iter().min_by_key(|(ix, victims)| (cost(victims), *ix));
        best.map_or(Self::Useless, |(node, victims)| Self::Nominated { node, victims })
    }
}

/// The fewest pods of lower priority whose eviction makes the node fit; the most important ones are spared first. Leaves `trial` as
/// it was.
fn victims(trial: &mut Snapshot, ix: NodeIx, pod: &PodInfo) -> Option<Vec<Arc<PodInfo>>> {
    let mut lower: Vec<Arc<PodInfo>> =
        trial.pods[ix].iter().filter(|other| other.priority < pod.priority).cloned().collect();
    for other in &lower {
        trial.forget(&other.key());
    }
    let fits_without_all = plan::fits(trial, ix, pod);
    if !fits_without_all {
        lower.into_iter().for_each(|other| trial.place(other));
        return None;
    }
    lower.sort_by_key(|other| (std::cmp::Reverse(other.priority), other.created));
    lower.retain(|other| {
        trial.place(other.clone());
        if plan::fits(trial, ix, pod) {
            return false;
        }
        trial.forget(&other.key());
        true
    });
    lower.iter().for_each(|other| trial.place(other.clone()));
    Some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cluster, pod};

    fn placed(name: &str, cpu: &str, priority: i32) -> Arc<PodInfo> {
        Arc::new(PodInfo { node: "a".into(), priority, ..pod(name, cpu, "1Mi") })
    }

    fn decide(snapshot: &Snapshot, pod: &PodInfo) -> Preemption {
        Preemption::of(snapshot, pod, &plan::schedule(snapshot, pod, 0), None)
    }

    #[test]
    fn only_pods_that_end_on_the_nominated_node_are_waited_for() {
        let mut snapshot = cluster(&[("a", "4", "8Gi"), ("b", "4", "8Gi")]);
        let stuck = PodInfo { terminating: true, ..pod("stuck", "4", "1Mi") };
        snapshot.place(Arc::new(PodInfo { node: "b".into(), ..stuck }));
        snapshot.place(placed("low", "4", 0));
        let high = PodInfo { priority: 10, ..pod("high", "2", "1Mi") };
        let decision = plan::schedule(&snapshot, &high, 0);
        let with = |nominated| Preemption::of(&snapshot, &high, &decision, nominated);
        assert!(matches!(with(None), Preemption::Nominated { .. }), "b's pod may never end");
        assert!(matches!(with(Some("a")), Preemption::Nominated { .. }));
        assert_eq!(with(Some("b")), Preemption::Waiting);
    }

    #[test]
    fn the_fewest_and_least_important_pods_go() {
        let mut snapshot = cluster(&[("a", "4", "8Gi")]);
        for (name, cpu, priority) in [("low", "1", 0), ("lower", "2", -5), ("mid", "1", 5)] {
            snapshot.place(placed(name, cpu, priority));
        }
        let high = PodInfo { priority: 10, ..pod("high", "2", "1Mi") };
        let Preemption::Nominated { victims, .. } = decide(&snapshot, &high) else { panic!("nobody goes") };
        assert_eq!(victims.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["lower"]);
    }

    #[test]
    fn equals_are_never_evicted() {
        let mut snapshot = cluster(&[("a", "4", "8Gi")]);
        snapshot.place(placed("equal", "4", 10));
        let high = PodInfo { priority: 10, ..pod("high", "2", "1Mi") };
        assert_eq!(decide(&snapshot, &high), Preemption::Useless);
    }

    #[test]
    fn a_pod_that_never_preempts_waits() {
        let mut snapshot = cluster(&[("a", "4", "8Gi")]);
        snapshot.place(placed("low", "4", 0));
        let high = PodInfo { priority: 10, never_preempts: true, ..pod("high", "2", "1Mi") };
        assert_eq!(decide(&snapshot, &high), Preemption::Never);
    }
}
