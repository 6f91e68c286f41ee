//! TaintNodesByCondition: a new node takes no pods until it is known to be ready.

use proto::core::v1::{Node, Taint};
use proto::dynamic::DynObject;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const NO_SCHEDULE: &str = "NoSchedule";

/// Taints a new node.
pub fn admit(object: &mut dyn DynObject) {
    let Some(node) = object.downcast_mut::<Node>() else { return };
    if !node.spec.taints.iter().any(|taint| taint.key == NOT_READY && taint.effect == NO_SCHEDULE) {
        node.spec.taints.push(Taint {
            key: NOT_READY.to_owned(),
            effect: NO_SCHEDULE.to_owned(),
            ..Default::default()
        });
    }
}
