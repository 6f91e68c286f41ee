//! The decision: which node takes a pod, and why the others do not. Pure; ties are broken by a seed.
//!
//! [`schedule`] looks at every node. [`Memo`] remembers what was found for pods of the same shape, node by node, and looks again
//! only at nodes that changed since: equal pods are decided once. Both give the same answer (a property test says so).

use std::collections::HashMap;
use std::sync::Arc;

use crate::filter;
use crate::filter::pod_affinity::PodAffinity;
use crate::filter::spread::Spreads;
use crate::pod::{PodInfo, Shape};
use crate::reason::{Plugins, Reason};
use crate::score::{self, PLUGINS, Range, Raw};
use crate::snapshot::{NodeIx, Snapshot};

/// Shapes that are remembered at once, and verdicts over all of them; the memory is emptied when there are more.
const SHAPES_MAX: usize = 256;
const VERDICTS_MAX: usize = 500_000;

/// What was found for one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The node can take the pod.
    Fits(Raw),
    /// The reasons of the first plugin that objects.
    Refused(Vec<Reason>),
}

/// What was decided for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The node that takes it.
    pub node: Option<NodeIx>,
    /// Every node's verdict, by index.
    pub verdicts: Vec<(NodeIx, Verdict)>,
}

/// Decides for one pod. `seed` breaks ties between nodes of equal score.
pub fn schedule(snapshot: &Snapshot, pod: &PodInfo, seed: u64) -> Decision {
    let context = Context::prepare(snapshot, pod);
    let verdicts: Vec<_> =
        snapshot.nodes().map(|ix| (ix, context.complete(ix, verdict_alone(snapshot, ix, &pod.shape)))).collect();
    Decision { node: best(&verdicts, seed), verdicts }
}

impl Decision {
    /// The plugins that refused nodes.
    pub fn plugins(&self) -> Plugins {
        let reasons = self.verdicts.iter().flat_map(|(_, verdict)| match verdict {
            Verdict::Refused(reasons) => reasons.as_slice(),
            Verdict::Fits(_) => &[],
        });
        reasons.fold(Plugins::default(), |set, reason| set.with(reason.plugin()))
    }

    /// The scores of the nodes that can take the pod.
    pub fn scores(&self) -> Vec<(NodeIx, [i64; PLUGINS.len()])> {
        let range = range(&self.verdicts);
        let fits = self.verdicts.iter().filter_map(|(ix, verdict)| match verdict {
            Verdict::Fits(raw) => Some((*ix, score::scores(raw, &range))),
            Verdict::Refused(_) => None,
        });
        fits.collect()
    }
}

/// What plugins that look at other pods found out before the nodes are walked.
struct Context<'a> {
    snapshot: &'a Snapshot,
    pod: &'a PodInfo,
    others: Option<(Spreads<'a>, PodAffinity<'a>)>,
}

impl<'a> Context<'a> {
    fn prepare(snapshot: &'a Snapshot, pod: &'a PodInfo) -> Self {
        let needed = pod.looks_at_pods() || snapshot.has_terms();
        let others = needed.then(|| (Spreads::prepare(snapshot, pod), PodAffinity::prepare(snapshot, pod)));
        Self { snapshot, pod, others }
    }

    fn complete(&self, ix: NodeIx, verdict: Verdict) -> Verdict {
        if let Some(reason) = filter::node_name(self.snapshot, ix, self.pod) {
            return Verdict::Refused(vec![reason]);
        }
        let (Verdict::Fits(raw), Some((spreads, affinity))) = (&verdict, &self.others) else {
            return verdict;
        };
        if let Some(reason) = spreads.refuses(self.snapshot, ix).or_else(|| affinity.refuses(self.snapshot, ix)) {
            return Verdict::Refused(vec![reason]);
        }
        let crowd = if spreads.has_soft() { spreads.crowd(self.snapshot, ix) } else { raw.crowd };
        let liking = if affinity.has_preferences() { affinity.liking(self.snapshot, ix) } else { 0 };
        Verdict::Fits(Raw { crowd, liking, ..*raw })
    }
}

/// Whether one node could take the pod now: the exact answer to "is it worth trying again".
pub fn fits(snapshot: &Snapshot, ix: NodeIx, pod: &PodInfo) -> bool {
    let verdict = verdict_alone(snapshot, ix, &pod.shape);
    matches!(verdict, Verdict::Fits(_))
        && matches!(Context::prepare(snapshot, pod).complete(ix, verdict), Verdict::Fits(_))
}

/// Every reason of every plugin against a node, for explanations.
pub fn reasons(snapshot: &Snapshot, pod: &PodInfo) -> Vec<(NodeIx, Vec<Reason>)> {
    let (spreads, affinity) = (Spreads::prepare(snapshot, pod), PodAffinity::prepare(snapshot, pod));
    let of = |ix: NodeIx| {
        let mut all = filter::all_alone(snapshot, ix, &pod.shape);
        all.extend(spreads.refuses(snapshot, ix));
        all.extend(affinity.refuses(snapshot, ix));
        (ix, all)
    };
    snapshot.nodes().map(of).collect()
}

fn verdict_alone(snapshot: &Snapshot, ix: NodeIx, shape: &Shape) -> Verdict {
    let reasons = filter::alone(snapshot, ix, shape);
    if reasons.is_empty() { Verdict::Fits(score::alone(snapshot, ix, shape)) } else { Verdict::Refused(reasons) }
}

fn range<'a>(verdicts: impl IntoIterator<Item = &'a (NodeIx, Verdict)>) -> Range {
    let mut range = Range::default();
    for (_, verdict) in verdicts {
        if let Verdict::Fits(raw) = verdict {
            range.include(raw);
        }
    }
    range
}

fn best(verdicts: &[(NodeIx, Verdict)], seed: u64) -> Option<NodeIx> {
    let range = range(verdicts);
    let fits = verdicts.iter().filter_map(|(ix, verdict)| match verdict {
        Verdict::Fits(raw) => Some((*ix, raw)),
        Verdict::Refused(_) => None,
    });
    best_of(fits, &range, seed)
}

fn best_of<'a>(fits: impl Iterator<Item = (NodeIx, &'a Raw)>, range: &Range, seed: u64) -> Option<NodeIx> {
    let rank = |(ix, raw): (NodeIx, &Raw)| (score::total(&score::scores(raw, range)), mix(seed, ix as u64), ix);
    fits.map(rank).max().map(|(.., ix)| ix)
}

/// A number that depends on all bits of both (splitmix64's finish).
fn mix(seed: u64, value: u64) -> u64 {
    let mut x = seed ^ value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// See the module.
#[derive(Default)]
pub struct Memo {
    shapes: HashMap<Arc<Shape>, Vec<Known>>,
}

/// What was found for one node when it had this generation.
#[derive(Clone)]
struct Known {
    generation: u64,
    verdict: Verdict,
}

/// What [`Memo::choose`] found.
#[derive(Debug)]
pub enum Choice {
    /// This node takes the pod.
    Node(NodeIx),
    /// None does: the decision says why.
    Refused(Decision),
}

impl Memo {
    /// Decides as [`schedule`] does. Where a node takes the pod, nothing is written down but its name.
    pub fn choose(&mut self, snapshot: &Snapshot, pod: &PodInfo, seed: u64) -> Choice {
        let context = Context::prepare(snapshot, pod);
        let known = self.refresh(snapshot, pod);
        if context.others.is_none() && pod.node.is_empty() {
            let fits = || {
                snapshot.nodes().filter_map(|ix| match &known[ix].verdict {
                    Verdict::Fits(raw) => Some((ix, raw)),
                    Verdict::Refused(_) => None,
                })
            };
            let mut range = Range::default();
            fits().for_each(|(_, raw)| range.include(raw));
            if let Some(ix) = best_of(fits(), &range, seed) {
                return Choice::Node(ix);
            }
        }
        let verdicts: Vec<_> =
            snapshot.nodes().map(|ix| (ix, context.complete(ix, known[ix].verdict.clone()))).collect();
        match best(&verdicts, seed) {
            Some(ix) => Choice::Node(ix),
            None => Choice::Refused(Decision { node: None, verdicts }),
        }
    }

    /// Brings what is known of the pod's shape up to date.
    fn refresh(&mut self, snapshot: &Snapshot, pod: &PodInfo) -> &[Known] {
        let nodes = snapshot.names.len();
        let full = self.shapes.len() >= SHAPES_MAX || (self.shapes.len() + 1) * nodes > VERDICTS_MAX.max(nodes);
        if full && !self.shapes.contains_key(&pod.shape) {
            self.shapes.clear();
        }
        let known = self.shapes.entry(pod.shape.clone()).or_default();
        known.resize(nodes, Known { generation: u64::MAX, verdict: Verdict::Refused(Vec::new()) });
        for ix in snapshot.nodes() {
            if known[ix].generation != snapshot.generation[ix] {
                let verdict = verdict_alone(snapshot, ix, &pod.shape);
                known[ix] = Known { generation: snapshot.generation[ix], verdict };
            }
        }
        known
    }
}

#[cfg(test)]
mod tests;
