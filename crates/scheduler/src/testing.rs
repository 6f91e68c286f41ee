//! Nodes and pods for tests.

use proto::Quantity;
use proto::core::v1 as core;

use crate::pod::PodInfo;
use crate::snapshot::Snapshot;

fn quantity(text: &str) -> Quantity {
    Quantity { string: text.into() }
}

/// A node with room for 110 pods.
pub fn node(name: &str, cpu: &str, memory: &str) -> core::Node {
    let mut node = core::Node::default();
    node.metadata.name = name.into();
    node.status.allocatable =
        [("cpu", cpu), ("memory", memory), ("pods", "110")].map(|(k, v)| (k.to_owned(), quantity(v))).into();
    node
}

/// A pod of one container, in the namespace default.
pub fn pod(name: &str, cpu: &str, memory: &str) -> PodInfo {
    PodInfo::from_api(&api_pod(name, cpu, memory))
}

/// The same as the API gives it.
pub fn api_pod(name: &str, cpu: &str, memory: &str) -> core::Pod {
    let mut pod = core::Pod::default();
    pod.metadata.namespace = "default".into();
    pod.metadata.name = name.into();
    let mut container = core::Container::default();
    container.resources.requests = [("cpu", cpu), ("memory", memory)].map(|(k, v)| (k.to_owned(), quantity(v))).into();
    pod.spec.containers = vec![container];
    pod
}

pub fn cluster(nodes: &[(&str, &str, &str)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (name, cpu, memory) in nodes {
        snapshot.set_node(&node(name, cpu, memory));
    }
    snapshot
}
