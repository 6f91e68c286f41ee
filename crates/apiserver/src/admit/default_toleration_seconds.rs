//! DefaultTolerationSeconds: pods stay five minutes on a node that is not ready or not reachable, unless they say else.

use proto::core::v1::{Pod, Toleration};
use proto::dynamic::DynObject;

const SECONDS: i64 = 300;
const NO_EXECUTE: &str = "NoExecute";
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// Adds the tolerations that are missing.
pub fn admit(object: &mut dyn DynObject) {
    let Some(pod) = object.downcast_mut::<Pod>() else { return };
    for taint in TAINTS {
        if !pod.spec.tolerations.iter().any(|toleration| covers(toleration, taint)) {
            pod.spec.tolerations.push(Toleration {
                key: taint.to_owned(),
                operator: "Exists".to_owned(),
                effect: NO_EXECUTE.to_owned(),
                toleration_seconds: Some(SECONDS),
                ..Default::default()
            });
        }
    }
}

fn covers(toleration: &Toleration, taint: &str) -> bool {
    (toleration.key == taint || toleration.key.is_empty()) && matches!(toleration.effect.as_str(), "" | NO_EXECUTE)
}
