//! The nodes and what runs on them, as a structure of arrays, kept up to date event by event.
//!
//! A node keeps its index for as long as the process runs. Pods may be known before their node is: then its slot exists but is
//! not alive. A pod that was decided but not yet confirmed is *assumed*: it takes its room at once.

use std::collections::HashMap;
use std::sync::Arc;

use proto::core::v1 as core;

use crate::pod::{HostPort, PodInfo, PodKey, Taint};
use crate::resource::{self, Resources};
use crate::selector::Labels;

/// Index of a node in every array of the snapshot.
pub type NodeIx = usize;

/// See the module. Fields are columns: one entry a node.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub names: Vec<Arc<str>>,
    /// Whether the node exists.
    pub alive: Vec<bool>,
    /// Grows with every change of the node or of what runs there.
    pub generation: Vec<u64>,
    pub allocatable: Vec<Resources>,
    pub pods_max: Vec<i64>,
    pub requested: Vec<Resources>,
    pub scored: Vec<[i64; 2]>,
    pub unschedulable: Vec<bool>,
    pub taints: Vec<Vec<Taint>>,
    pub labels: Vec<Labels>,
    /// Images present, with their sizes in bytes.
    pub images: Vec<HashMap<String, i64>>,
    pub pods: Vec<Vec<Arc<PodInfo>>>,
    pub ports: Vec<Vec<HostPort>>,
    /// Labels of each namespace, for terms that select namespaces.
    pub namespaces: HashMap<String, Labels>,
    /// How many nodes have each image.
    pub image_nodes: HashMap<String, usize>,
    by_name: HashMap<Arc<str>, NodeIx>,
    by_pod: HashMap<PodKey, (NodeIx, Arc<PodInfo>)>,
    /// Pods that have terms about other pods.
    with_terms: usize,
    clock: u64,
}

/// What a change of a node may have made possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeChange {
    pub added: bool,
    pub allocatable: bool,
    pub labels: bool,
    pub taints: bool,
}

impl NodeChange {
    pub fn any(self) -> bool {
        self.added || self.allocatable || self.labels || self.taints
    }
}

impl Snapshot {
    /// Indexes of the nodes that exist.
    pub fn nodes(&self) -> impl Iterator<Item = NodeIx> + '_ {
        (0..self.names.len()).filter(|ix| self.alive[*ix])
    }

    pub fn node_count(&self) -> usize {
        self.alive.iter().filter(|alive| **alive).count()
    }

    pub fn index(&self, name: &str) -> Option<NodeIx> {
        self.by_name.get(name).copied().filter(|ix| self.alive[*ix])
    }

    /// A pod that has its room on a node, assumed or confirmed.
    pub fn pod(&self, key: &PodKey) -> Option<&Arc<PodInfo>> {
        self.by_pod.get(key).map(|(_, pod)| pod)
    }

    /// Whether any placed pod has terms about others.
    pub fn has_terms(&self) -> bool {
        self.with_terms > 0
    }

    /// One node alone, with index 0: enough to try things out for pods that do not look at other nodes' pods.
    pub fn excerpt(&self, ix: NodeIx) -> Self {
        let mut one = Self::default();
        one.slot(&self.names[ix]);
        one.alive[0] = self.alive[ix];
        one.allocatable[0] = self.allocatable[ix].clone();
        one.pods_max[0] = self.pods_max[ix];
        one.unschedulable[0] = self.unschedulable[ix];
        one.taints[0].clone_from(&self.taints[ix]);
        one.labels[0].clone_from(&self.labels[ix]);
        for pod in &self.pods[ix] {
            one.place(pod.clone());
        }
        one
    }

    /// Adds a node, or takes over its new state; says what changed.
    pub fn set_node(&mut self, node: &core::Node) -> NodeChange {
        let ix = self.slot(&node.metadata.name);
        let allocatable = Resources::from_list(&node.status.allocatable);
        let pods_max = node.status.allocatable.get("pods").map_or(0, resource::value);
        let taints: Vec<Taint> = node.spec.taints.iter().map(taint).collect();
        let change = NodeChange {
            added: !self.alive[ix],
            allocatable: self.allocatable[ix] != allocatable || self.pods_max[ix] != pods_max,
            labels: self.labels[ix] != node.metadata.labels,
            taints: self.taints[ix] != taints || self.unschedulable[ix] != node.spec.unschedulable,
        };
        let images = images(node);
        if change.any() || self.images[ix] != images {
            self.touch(ix);
        }
        self.count_images(ix, false);
        self.alive[ix] = true;
        self.allocatable[ix] = allocatable;
        self.pods_max[ix] = pods_max;
        self.taints[ix] = taints;
        self.unschedulable[ix] = node.spec.unschedulable;
        self.labels[ix].clone_from(&node.metadata.labels);
        self.images[ix] = images;
        self.count_images(ix, true);
        change
    }

    pub fn remove_node(&mut self, name: &str) {
        if let Some(ix) = self.index(name) {
            self.touch(ix);
            self.count_images(ix, false);
            self.images[ix].clear();
            self.alive[ix] = false;
        }
    }

    /// Gives a pod its room on its node; a pod that was placed before moves or is replaced.
    pub fn place(&mut self, pod: Arc<PodInfo>) {
        let key = pod.key();
        self.forget(&key);
        let ix = self.slot(&pod.node);
        self.touch(ix);
        self.requested[ix].add(&pod.shape.requests);
        self.scored[ix] = sum(self.scored[ix], pod.shape.scored);
        self.ports[ix].extend(pod.shape.ports.iter().cloned());
        self.pods[ix].push(pod.clone());
        self.with_terms += usize::from(pod.has_terms());
        self.by_pod.insert(key, (ix, pod));
    }

    /// Takes a pod's room back; `None` if it had none.
    pub fn forget(&mut self, key: &PodKey) -> Option<Arc<PodInfo>> {
        let (ix, pod) = self.by_pod.remove(key)?;
        self.touch(ix);
        self.pods[ix].retain(|other| !Arc::ptr_eq(other, &pod));
        if self.requested[ix].is_saturated() || self.scored[ix].contains(&i64::MAX) {
            // The sum was cut off: what is left over cannot be told from it.
            self.add_up(ix);
        } else {
            self.requested[ix].subtract(&pod.shape.requests);
            self.scored[ix] = std::array::from_fn(|kind| self.scored[ix][kind].saturating_sub(pod.shape.scored[kind]));
        }
        if !pod.shape.ports.is_empty() {
            self.ports[ix] = self.pods[ix].iter().flat_map(|pod| pod.shape.ports.iter().cloned()).collect();
        }
        self.with_terms -= usize::from(pod.has_terms());
        Some(pod)
    }

    /// Adds a node's sums up anew from what runs there.
    fn add_up(&mut self, ix: NodeIx) {
        let (mut requested, mut scored) = (Resources::default(), [0; 2]);
        for pod in &self.pods[ix] {
            requested.add(&pod.shape.requests);
            scored = sum(scored, pod.shape.scored);
        }
        (self.requested[ix], self.scored[ix]) = (requested, scored);
    }

    fn touch(&mut self, ix: NodeIx) {
        self.clock += 1;
        self.generation[ix] = self.clock;
    }

    fn count_images(&mut self, ix: NodeIx, more: bool) {
        for image in self.images[ix].keys() {
            let count = self.image_nodes.entry(image.clone()).or_default();
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
        }
    }

    fn slot(&mut self, name: &str) -> NodeIx {
        if let Some(ix) = self.by_name.get(name) {
            return *ix;
        }
        let (ix, name) = (self.names.len(), Arc::<str>::from(name));
        self.by_name.insert(name.clone(), ix);
        self.names.push(name);
        self.alive.push(false);
        self.generation.push(0);
        self.allocatable.push(Resources::default());
        self.pods_max.push(0);
        self.requested.push(Resources::default());
        self.scored.push([0; 2]);
        self.unschedulable.push(false);
        self.taints.push(Vec::new());
        self.labels.push(Labels::new());
        self.images.push(HashMap::new());
        self.pods.push(Vec::new());
        self.ports.push(Vec::new());
        ix
    }
}

fn sum(mine: [i64; 2], theirs: [i64; 2]) -> [i64; 2] {
    [mine[0].saturating_add(theirs[0]), mine[1].saturating_add(theirs[1])]
}

fn taint(taint: &core::Taint) -> Taint {
    Taint { key: taint.key.clone(), value: taint.value.clone(), effect: taint.effect.clone() }
}

fn images(node: &core::Node) -> HashMap<String, i64> {
    let all = node.status.images.iter();
    all.flat_map(|image| image.names.iter().map(|name| (name.clone(), image.size_bytes))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod};

    #[test]
    fn a_placed_pod_takes_its_room_and_gives_it_back() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(&node("n", "4", "8Gi"));
        snapshot.place(Arc::new(PodInfo { node: "n".into(), ..pod("a", "1", "1Gi") }));
        assert_eq!(snapshot.requested[0].cpu_m, 1000);
        snapshot.place(Arc::new(PodInfo { node: "n".into(), ..pod("a", "2", "1Gi") }));
        assert_eq!(snapshot.requested[0].cpu_m, 2000, "the same pod counts once");
        snapshot.forget(&("default".into(), "a".into()));
        assert_eq!((snapshot.requested[0].clone(), snapshot.pods[0].len()), (Resources::default(), 0));
    }

    #[test]
    fn amounts_beyond_all_measure_leave_no_trace() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(&node("n", "4", "8Gi"));
        for name in ["a", "b", "c"] {
            let (cpu, memory) = if name == "c" { ("1", "1Gi") } else { ("9P", "7E") };
            snapshot.place(Arc::new(PodInfo { node: "n".into(), ..pod(name, cpu, memory) }));
            assert!(!crate::filter::alone(&snapshot, 0, &pod("d", "1", "1Gi").shape).is_empty() || name == "c");
            crate::score::alone(&snapshot, 0, &pod("d", "9P", "7E").shape);
        }
        for name in ["a", "b"] {
            snapshot.forget(&("default".into(), name.into()));
        }
        assert_eq!((snapshot.requested[0].cpu_m, snapshot.requested[0].memory), (1000, 1 << 30));
        assert_eq!(snapshot.scored[0], [1000, 1 << 30]);
    }

    #[test]
    fn a_pod_may_be_known_before_its_node() {
        let mut snapshot = Snapshot::default();
        snapshot.place(Arc::new(PodInfo { node: "n".into(), ..pod("a", "1", "1Gi") }));
        assert_eq!(snapshot.node_count(), 0);
        assert!(snapshot.set_node(&node("n", "4", "8Gi")).added);
        assert_eq!((snapshot.node_count(), snapshot.requested[0].cpu_m), (1, 1000));
    }

    #[test]
    fn a_heartbeat_changes_nothing() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(&node("n", "4", "8Gi"));
        let before = snapshot.generation[0];
        assert!(!snapshot.set_node(&node("n", "4", "8Gi")).any());
        assert_eq!(snapshot.generation[0], before);
    }
}
