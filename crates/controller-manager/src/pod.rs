//! What controllers ask of a pod.

use api::meta::is_terminating;
use std::time::Duration;

use proto::core::v1::{Pod, PodCondition, PodTemplateSpec};
use proto::kind::HasMeta;
use proto::meta::v1::OwnerReference;
use proto::time::Time;


/// The condition of that type.
pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.conditions.iter().find(|condition| condition.r#type == kind)
}

/// Takes part: neither ended nor being deleted.
pub fn is_active(pod: &Pod) -> bool {
    !is_terminating(&pod.metadata) && !has_ended(pod)
}

/// Succeeded or Failed: no container runs again.
pub fn has_ended(pod: &Pod) -> bool {
    matches!(pod.status.phase.as_str(), "Succeeded" | "Failed")
}

pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

/// Ready since `min_ready_seconds`; otherwise, for a ready pod, how long until then.
pub fn availability(pod: &Pod, min_ready_seconds: i32, now: Time) -> Availability {
    let Some(ready) = condition(pod, "Ready").filter(|condition| condition.status == "True") else {
        return Availability::NotReady;
    };
    let since = now.seconds - ready.last_transition_time.seconds;
    let wait = i64::from(min_ready_seconds) - since;
    if min_ready_seconds == 0 || wait <= 0 {
        return Availability::Available;
    }
    Availability::In(Duration::from_secs(wait.unsigned_abs()))
}

/// How a pod counts towards availability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    Available,
    /// Ready, but not for long enough yet.
    In(Duration),
    NotReady,
}

/// A pod made from a template; its name is given on creation.
pub fn from_template(template: &PodTemplateSpec, namespace: &str, owner_name: &str, owner: OwnerReference) -> Pod {
    let mut pod = Pod { spec: template.spec.clone(), ..Pod::default() };
    let metadata = pod.metadata_mut();
    metadata.namespace = namespace.to_owned();
    metadata.generate_name = format!("{owner_name}-");
    metadata.labels = template.metadata.labels.clone();
    metadata.annotations = template.metadata.annotations.clone();
    metadata.finalizers = template.metadata.finalizers.clone();
    metadata.owner_references = vec![owner];
    pod
}
