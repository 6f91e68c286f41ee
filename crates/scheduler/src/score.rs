//! Score plugins: how good a node is for a pod, 0 to 100 each, weighted as upstream does by default.

use crate::pod::Shape;
use crate::snapshot::{NodeIx, Snapshot};

/// The best score of a plugin.
pub const SCORE_MAX: i64 = 100;
/// Images smaller than this do not count, and larger ones count no more than this, for each container.
const IMAGE_MIN: i64 = 23 << 20;
const IMAGE_MAX: i64 = 1000 << 20;

/// A score plugin's name and weight.
pub const PLUGINS: [(&str, i64); 7] = [
    ("NodeResourcesFit", 1),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
];

/// What the plugins say of a node before they are compared over all nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    pub fit: i64,
    pub balance: i64,
    pub images: i64,
    /// Taints of effect PreferNoSchedule that are not tolerated.
    pub taints: i64,
    /// Sum of the weights of preferred node affinity that match.
    pub affinity: i64,
    pub crowd: i64,
    pub liking: i64,
}

/// The scores that depend on the node alone.
pub fn alone(snapshot: &Snapshot, ix: NodeIx, shape: &Shape) -> Raw {
    let (fit, balance) = resources(snapshot, ix, shape);
    Raw {
        fit,
        balance,
        images: images(snapshot, ix, shape),
        taints: taints(snapshot, ix, shape),
        affinity: affinity(snapshot, ix, shape),
        crowd: siblings(snapshot, ix, shape),
        liking: 0,
    }
}

/// Least allocated: the more is left, the better. Balanced: CPU and memory used alike.
fn resources(snapshot: &Snapshot, ix: NodeIx, shape: &Shape) -> (i64, i64) {
    let has = [snapshot.allocatable[ix].cpu_m, snapshot.allocatable[ix].memory];
    let used = [0, 1].map(|kind: usize| snapshot.scored[ix][kind].saturating_add(shape.scored[kind]));
    let left = |kind: usize| {
        if has[kind] <= 0 || used[kind] > has[kind] {
            return 0;
        }
        let score = i128::from(has[kind] - used[kind]) * i128::from(SCORE_MAX) / i128::from(has[kind]);
        i64::try_from(score).unwrap_or(SCORE_MAX)
    };
    // Balance counts what is really asked for: a pod without requests does not change it.
    let real = [
        snapshot.requested[ix].cpu_m.saturating_add(shape.requests.cpu_m),
        snapshot.requested[ix].memory.saturating_add(shape.requests.memory),
    ];
    let share = |kind: usize| {
        if has[kind] <= 0 { 1.0 } else { (real[kind] as f64 / has[kind] as f64).min(1.0) }
    };
    let apart = (share(0) - share(1)).abs() / 2.0;
    ((left(0) + left(1)) / 2, ((1.0 - apart) * SCORE_MAX as f64) as i64)
}

/// Pods of the same controller on the node: upstream's default spreading by node, without its maximum skew.
fn siblings(snapshot: &Snapshot, ix: NodeIx, shape: &Shape) -> i64 {
    let Some(controller) = &shape.siblings else {
        return 0;
    };
    let same = snapshot.pods[ix].iter().filter(|other| other.shape.siblings.as_ref() == Some(controller));
    i64::try_from(same.count()).unwrap_or(i64::MAX)
}

fn images(snapshot: &Snapshot, ix: NodeIx, shape: &Shape) -> i64 {
    let nodes = i64::try_from(snapshot.names.len().max(1)).unwrap_or(i64::MAX);
    let worth = |image: &String| {
        let size = snapshot.images[ix].get(image).or_else(|| snapshot.images[ix].get(&format!("{image}:latest")))?;
        let on = snapshot.image_nodes.get(image).copied().unwrap_or(1);
        // An image that few nodes have should not draw all pods there.
        Some(size / nodes * i64::try_from(on).unwrap_or(1))
    };
    if snapshot.images[ix].is_empty() {
        return 0;
    }
    let sum = shape.images.iter().filter_map(worth).fold(0, i64::saturating_add);
    let most = IMAGE_MAX * i64::try_from(shape.images.len().max(1)).unwrap_or(1);
    SCORE_MAX * (sum.clamp(IMAGE_MIN, most) - IMAGE_MIN) / (most - IMAGE_MIN)
}

fn taints(snapshot: &Snapshot, ix: NodeIx, shape: &Shape) -> i64 {
    let soft = snapshot.taints[ix].iter().filter(|taint| taint.effect == "PreferNoSchedule");
    let disliked = soft.filter(|taint| !shape.tolerations.iter().any(|toleration| toleration.tolerates(taint)));
    i64::try_from(disliked.count()).unwrap_or(i64::MAX)
}

fn affinity(snapshot: &Snapshot, ix: NodeIx, shape: &Shape) -> i64 {
    let (name, labels) = (&snapshot.names[ix], &snapshot.labels[ix]);
    shape.preferred_nodes.iter().filter(|(_, term)| term.matches(name, labels)).map(|(weight, _)| weight).sum()
}

/// The range of each figure over the nodes that can take the pod.
#[derive(Clone, Copy, Debug, Default)]
pub struct Range {
    taints_max: i64,
    affinity_max: i64,
    crowd: (i64, i64),
    liking: (i64, i64),
    seen: bool,
}

impl Range {
    pub fn include(&mut self, raw: &Raw) {
        let widen = |range: (i64, i64), value: i64, seen: bool| {
            if seen { (range.0.min(value), range.1.max(value)) } else { (value, value) }
        };
        self.taints_max = self.taints_max.max(raw.taints);
        self.affinity_max = self.affinity_max.max(raw.affinity);
        self.crowd = widen(self.crowd, raw.crowd, self.seen);
        self.liking = widen(self.liking, raw.liking, self.seen);
        self.seen = true;
    }
}

/// The scores by plugin, in the order of [`PLUGINS`].
pub fn scores(raw: &Raw, range: &Range) -> [i64; PLUGINS.len()] {
    let share = |value: i64, of: i64| if of == 0 { 0 } else { value * SCORE_MAX / of };
    let taints = SCORE_MAX - share(raw.taints, range.taints_max);
    let crowd = SCORE_MAX - share(raw.crowd - range.crowd.0, range.crowd.1 - range.crowd.0);
    let liking = share(raw.liking - range.liking.0, range.liking.1 - range.liking.0);
    [raw.fit, raw.balance, raw.images, taints, share(raw.affinity, range.affinity_max), crowd, liking]
}

/// The weighted sum.
pub fn total(scores: &[i64; PLUGINS.len()]) -> i64 {
    scores.iter().zip(PLUGINS).map(|(score, (_, weight))| score * weight).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pod::PodInfo;
    use crate::testing::{cluster, pod};

    /// The balance of each node for a pod of 1 CPU and 1 GiB, and which node is chosen.
    #[test]
    fn cpu_and_memory_used_alike_are_balanced() {
        let mut snapshot = cluster(&[("even", "8", "8Gi"), ("memory", "8", "8Gi"), ("cpu", "8", "8Gi")]);
        // Each node has 8 of 16 eighths left: the first score is equal, the second is not.
        for (node, cpu, memory) in [("even", "4", "4Gi"), ("memory", "1", "7Gi"), ("cpu", "7", "1Gi")] {
            snapshot.place(Arc::new(PodInfo { node: node.into(), ..pod(node, cpu, memory) }));
        }
        let one = pod("one", "1", "1Gi");
        let raw = [0, 1, 2].map(|ix| alone(&snapshot, ix, &one.shape));
        assert_eq!(raw.map(|raw| raw.fit), [37, 37, 37]);
        assert_eq!(raw.map(|raw| raw.balance), [100, 62, 62]);
        for seed in 0..20 {
            assert_eq!(crate::plan::schedule(&snapshot, &one, seed).node, snapshot.index("even"));
        }
    }
}
