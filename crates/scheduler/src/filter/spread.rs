//! Topology spread constraints: counts of matching pods by domain, made once a decision.

use std::collections::HashMap;

use crate::filter;
use crate::pod::{PodInfo, Spread};
use crate::reason::Reason;
use crate::snapshot::{NodeIx, Snapshot};

/// The constraints of one pod, counted.
pub struct Spreads<'a> {
    counted: Vec<Counted<'a>>,
}

struct Counted<'a> {
    constraint: &'a Spread,
    /// Matching pods by domain, of the domains that are eligible.
    by_domain: HashMap<&'a str, i64>,
    least: i64,
    /// 1 if the pod itself would count.
    own: i64,
}

impl<'a> Spreads<'a> {
    pub fn prepare(snapshot: &'a Snapshot, pod: &'a PodInfo) -> Self {
        Self { counted: pod.spreads.iter().map(|constraint| count(snapshot, pod, constraint)).collect() }
    }

    /// The reason against a node.
    pub fn refuses(&self, snapshot: &Snapshot, ix: NodeIx) -> Option<Reason> {
        for counted in self.counted.iter().filter(|counted| counted.constraint.hard) {
            let Some(domain) = snapshot.labels[ix].get(&counted.constraint.key) else {
                return Some(Reason::SpreadLabel);
            };
            let count = counted.by_domain.get(domain.as_str()).copied().unwrap_or_default();
            if count + counted.own - counted.least > counted.constraint.max_skew {
                return Some(Reason::Spread);
            }
        }
        None
    }

    /// How many matching pods share a domain with the node, over the soft constraints; the fewer the better.
    pub fn crowd(&self, snapshot: &Snapshot, ix: NodeIx) -> i64 {
        let soft = self.counted.iter().filter(|counted| !counted.constraint.hard);
        soft.filter_map(|counted| {
            let domain = snapshot.labels[ix].get(&counted.constraint.key)?;
            counted.by_domain.get(domain.as_str()).copied()
        })
        .sum()
    }

    pub fn has_soft(&self) -> bool {
        self.counted.iter().any(|counted| !counted.constraint.hard)
    }
}

fn count<'a>(snapshot: &'a Snapshot, pod: &PodInfo, constraint: &'a Spread) -> Counted<'a> {
    let matches = |other: &PodInfo| {
        other.namespace == pod.namespace
            && !other.terminating
            && constraint.selector.as_ref().is_some_and(|selector| selector.matches(&other.labels))
    };
    let keys: Vec<&str> = pod.spreads.iter().filter(|s| s.hard == constraint.hard).map(|s| s.key.as_str()).collect();
    let mut by_domain: HashMap<&str, i64> = HashMap::new();
    for ix in snapshot.nodes() {
        let labels = &snapshot.labels[ix];
        if !keys.iter().all(|key| labels.contains_key(*key)) || !eligible(snapshot, ix, pod, constraint) {
            continue;
        }
        let Some(domain) = labels.get(&constraint.key) else {
            continue;
        };
        let here = snapshot.pods[ix].iter().filter(|other| matches(other)).count();
        *by_domain.entry(domain).or_default() += i64::try_from(here).unwrap_or(i64::MAX);
    }
    let domains = i64::try_from(by_domain.len()).unwrap_or(i64::MAX);
    let fewest = by_domain.values().copied().min().unwrap_or_default();
    let own = constraint.selector.as_ref().is_some_and(|selector| selector.matches(&pod.labels));
    Counted {
        constraint,
        least: if domains < constraint.min_domains { 0 } else { fewest },
        by_domain,
        own: i64::from(own),
    }
}

fn eligible(snapshot: &Snapshot, ix: NodeIx, pod: &PodInfo, constraint: &Spread) -> bool {
    (!constraint.honor_affinity || filter::node_affinity(snapshot, ix, &pod.shape).is_none())
        && (!constraint.honor_taints || filter::taints(snapshot, ix, &pod.shape).is_none())
}
