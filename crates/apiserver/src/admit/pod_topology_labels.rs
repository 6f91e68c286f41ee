//! PodTopologyLabels: a pod knows the zone and region of its node by its own labels.

use std::collections::BTreeMap;

use proto::core::v1::{Binding, Pod};
use proto::dynamic::DynObject;

use super::View;

const LABELS: [&str; 2] = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"];

/// Labels a new pod that names its node already.
pub fn on_create(object: &mut dyn DynObject, view: &impl View) {
    if let Some(pod) = object.downcast_mut::<Pod>() {
        label(&mut pod.metadata.labels, &pod.spec.node_name, view);
    }
}

/// Labels a binding, which hands its labels on to the pod.
pub fn on_bind(binding: &mut Binding, view: &impl View) {
    if matches!(binding.target.kind.as_str(), "" | "Node") {
        label(&mut binding.metadata.labels, &binding.target.name, view);
    }
}

/// A node that is not there, as upstream, labels nothing.
fn label(labels: &mut BTreeMap<String, String>, node: &str, view: &impl View) {
    if node.is_empty() {
        return;
    }
    let Some(node) = view.node(node) else { return };
    for key in LABELS {
        if let Some(value) = node.metadata.labels.get(key) {
            labels.insert(key.to_owned(), value.clone());
        }
    }
}
