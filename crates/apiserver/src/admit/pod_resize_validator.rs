//! PodResizeValidator: a resize beyond what the pod's node has at all is refused here, before the kubelet sees it.

use api::scheduling::resource::{Resources, requests};
use proto::core::v1::Pod;
use proto::dynamic::DynObject;

use super::View;
use crate::registry::Resource;
use crate::status::Result;

const OS: &str = "kubernetes.io/os";

/// Judges a resized pod, beside the one that is stored.
pub fn admit(resource: &Resource, new: &dyn DynObject, old: &dyn DynObject, view: &impl View) -> Result<()> {
    let Some(pod) = new.downcast_ref::<Pod>() else { return Ok(()) };
    let unchanged = pod.metadata.generation == old.metadata().generation;
    if pod.spec.node_name.is_empty() || unchanged {
        return Ok(());
    }
    let name = &pod.spec.node_name;
    let refuse = |why: &str| Err(resource.forbidden(&pod.metadata.name, why));
    let Some(node) = view.node(name) else { return refuse(&format!("node \"{name}\" not found")) };
    let lacks = lacking(&requests(&pod.spec), &Resources::from_list(&node.status.allocatable));
    if !lacks.is_empty() {
        return refuse(&format!("Node didn't have enough allocatable resources: {}", lacks.join("; ")));
    }
    match node.metadata.labels.get(OS).map_or("", String::as_str) {
        "linux" => Ok(()),
        os => refuse(&format!("pod resize is only supported on linux nodes, node \"{name}\" is \"{os}\"")),
    }
}

fn lacking(wanted: &Resources, node: &Resources) -> Vec<String> {
    let amounts = [("cpu", wanted.cpu_m, node.cpu_m), ("memory", wanted.memory, node.memory)];
    let missing = amounts.into_iter().filter(|(_, wanted, node)| wanted > node);
    missing.map(|(name, wanted, node)| format!("{name}, requested: {wanted}, allocatable: {node}")).collect()
}
