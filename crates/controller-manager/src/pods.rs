//! What a pod's state means to controllers.

use proto::core::v1::{Pod, PodCondition};
use proto::time::Time;

/// It ended and will not run again.
pub fn is_terminal(pod: &Pod) -> bool {
    matches!(pod.status.phase.as_str(), "Succeeded" | "Failed")
}

/// It counts: neither ended nor being deleted.
pub fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && pod.metadata.deletion_timestamp.is_none()
}

/// One of its conditions.
pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.conditions.iter().find(|condition| condition.r#type == kind)
}

/// Its Ready condition is true.
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Since when it is ready.
pub fn ready_since(pod: &Pod) -> Option<Time> {
    condition(pod, "Ready").filter(|ready| ready.status == "True").map(|ready| ready.last_transition_time)
}

/// Ready for at least so long.
pub fn is_available(pod: &Pod, min_ready_s: i32, now: Time) -> bool {
    available_in_s(pod, min_ready_s, now) == Some(0)
}

/// Seconds until it counts as available, if it stays ready; none while it is not ready.
pub fn available_in_s(pod: &Pod, min_ready_s: i32, now: Time) -> Option<i64> {
    let since = ready_since(pod)?;
    if min_ready_s == 0 {
        return Some(0);
    }
    Some(since.seconds.saturating_add(i64::from(min_ready_s)).saturating_sub(now.seconds).max(0))
}
