//! RuntimeClass: what a class of runtimes costs, and where its pods can run.

use proto::core::v1::Pod;
use proto::dynamic::DynObject;
use proto::node::v1::{RuntimeClass, Scheduling};

use super::{Request, View};
use crate::status::Result;

/// Adds the overhead, node selector and tolerations of the pod's class.
pub fn admit(request: Request<'_>, object: &mut dyn DynObject, view: &impl View) -> Result<()> {
    let Some(pod) = object.downcast_mut::<Pod>() else { return Ok(()) };
    apply(pod, view)
        .map_err(|why| request.target.resource.forbidden(&pod.metadata.name, &format!("pod rejected: {why}")))
}

fn apply(pod: &mut Pod, view: &impl View) -> std::result::Result<(), String> {
    let name = pod.spec.runtime_class_name.clone().unwrap_or_default();
    let class = match name.as_str() {
        "" => None,
        name => match view.named::<RuntimeClass>("", name) {
            Some(class) => Some(class),
            None => return Err(format!("RuntimeClass \"{name}\" not found")),
        },
    };
    let fixed = class.as_ref().and_then(|class| class.overhead.as_ref()).map(|overhead| &overhead.pod_fixed);
    match fixed {
        Some(fixed) if pod.spec.overhead.is_empty() => pod.spec.overhead.clone_from(fixed),
        Some(fixed) => {
            let same = fixed.len() == pod.spec.overhead.len()
                && fixed.iter().all(|(name, wanted)| {
                    pod.spec.overhead.get(name).is_some_and(|found| found.amount() == wanted.amount())
                });
            if !same {
                return Err("Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned());
            }
        }
        None if !pod.spec.overhead.is_empty() => {
            return Err("Pod Overhead set without corresponding RuntimeClass defined Overhead".to_owned());
        }
        None => {}
    }
    class.and_then(|class| class.scheduling).map_or(Ok(()), |place| restrict(pod, place))
}

fn restrict(pod: &mut Pod, place: Scheduling) -> std::result::Result<(), String> {
    for (key, wanted) in place.node_selector {
        let found = pod.spec.node_selector.entry(key.clone()).or_insert_with(|| wanted.clone());
        if *found != wanted {
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}; pod.spec.nodeSelector[{key}] = {found}"
            ));
        }
    }
    for toleration in place.tolerations {
        if !pod.spec.tolerations.contains(&toleration) {
            pod.spec.tolerations.push(toleration);
        }
    }
    Ok(())
}
