//! The conditions Available, Progressing and ReplicaFailure, with upstream's reasons and sentences.

use proto::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use proto::time::Time;

use super::sets::Sets;
use super::status::{is_complete, is_progressing};

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";
const RESUMED: &str = "DeploymentResumed";

fn find<'a>(conditions: &'a [DeploymentCondition], kind: &str) -> Option<&'a DeploymentCondition> {
    conditions.iter().find(|condition| condition.r#type == kind)
}

/// Sets a condition. One with the same status and reason stays as it is; one with the same status keeps its transition.
fn set(conditions: &mut Vec<DeploymentCondition>, kind: &str, status: &str, reason: &str, message: String, now: Time) {
    let mut transition = now;
    if let Some(current) = find(conditions, kind) {
        if current.status == status && current.reason == reason {
            return;
        }
        if current.status == status {
            transition = current.last_transition_time;
        }
    }
    conditions.retain(|condition| condition.r#type != kind);
    conditions.push(DeploymentCondition {
        r#type: kind.to_owned(),
        status: status.to_owned(),
        last_update_time: now,
        last_transition_time: transition,
        reason: reason.to_owned(),
        message,
    });
}

/// Whether enough pods are available.
pub fn available(status: &mut DeploymentStatus, enough: bool, now: Time) {
    let (value, reason, message) = if enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set(&mut status.conditions, AVAILABLE, value, reason, message.to_owned(), now);
}

/// Seconds that progress may take; none: it is not judged.
fn deadline_s(deployment: &Deployment) -> Option<i64> {
    deployment.spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX).map(i64::from)
}

/// A set of the current template was made. Where a rollout was just resumed that is not told: as upstream has it, its next
/// word is that the set is progressing.
pub fn set_created(deployment: &Deployment, status: &mut DeploymentStatus, name: &str, now: Time) {
    let resumed = find(&status.conditions, PROGRESSING).is_some_and(|current| current.reason == RESUMED);
    if deadline_s(deployment).is_some() && !resumed {
        let message = format!("Created new replica set {name:?}");
        set(&mut status.conditions, PROGRESSING, "True", "NewReplicaSetCreated", message, now);
    }
}

/// The conditions of a Deployment that was just paused or resumed. None: nothing changes.
pub fn paused(deployment: &Deployment, now: Time) -> Option<Vec<DeploymentCondition>> {
    deadline_s(deployment)?;
    let current = find(&deployment.status.conditions, PROGRESSING);
    let reason = current.map(|current| current.reason.as_str()).unwrap_or_default();
    if reason == TIMED_OUT {
        return None;
    }
    let (reason, message) = match (deployment.spec.paused, reason == PAUSED) {
        (true, false) => (PAUSED, "Deployment is paused"),
        (false, true) => (RESUMED, "Deployment is resumed"),
        _ => return None,
    };
    let mut conditions = deployment.status.conditions.clone();
    set(&mut conditions, PROGRESSING, "Unknown", reason, message.to_owned(), now);
    Some(conditions)
}

/// Judges progress and repeats what keeps the sets from making pods.
pub fn progress(deployment: &Deployment, status: &mut DeploymentStatus, sets: &Sets, now: Time) {
    match deadline_s(deployment) {
        None => status.conditions.retain(|condition| condition.r#type != PROGRESSING),
        Some(deadline) => judge(deployment, status, sets, now, deadline),
    }
    let failing = sets.new.iter().chain(&sets.old).flat_map(|set| &set.status.conditions);
    let mut failing = failing.filter(|condition| condition.r#type == REPLICA_FAILURE && condition.status == "True");
    match failing.next() {
        Some(failure) => {
            let (reason, message) = (failure.reason.clone(), failure.message.clone());
            set(&mut status.conditions, REPLICA_FAILURE, "True", &reason, message, now);
        }
        None => status.conditions.retain(|condition| condition.r#type != REPLICA_FAILURE),
    }
}

fn judge(deployment: &Deployment, status: &mut DeploymentStatus, sets: &Sets, now: Time, deadline: i64) {
    let current = find(&deployment.status.conditions, PROGRESSING).cloned();
    let settled = status.replicas == status.updated_replicas
        && current.as_ref().is_some_and(|current| current.reason == NEW_SET_AVAILABLE);
    if settled {
        return;
    }
    let subject = match &sets.new {
        Some(new) => format!("ReplicaSet {:?}", new.metadata.name),
        None => format!("Deployment {:?}", deployment.metadata.name),
    };
    if is_complete(deployment, status) {
        let message = format!("{subject} has successfully progressed.");
        set(&mut status.conditions, PROGRESSING, "True", NEW_SET_AVAILABLE, message, now);
    } else if is_progressing(&deployment.status, status) || begins(current.as_ref(), sets) {
        let message = format!("{subject} is progressing.");
        // Each step counts anew for the deadline, so the condition is replaced even where nothing else changes.
        let transition = current.filter(|current| current.status == "True").map(|current| current.last_transition_time);
        status.conditions.retain(|condition| condition.r#type != PROGRESSING);
        set(&mut status.conditions, PROGRESSING, "True", "ReplicaSetUpdated", message, now);
        if let (Some(transition), Some(condition)) = (transition, status.conditions.last_mut()) {
            condition.last_transition_time = transition;
        }
    } else if is_timed_out(current.as_ref(), now, deadline) {
        let message = format!("{subject} has timed out progressing.");
        set(&mut status.conditions, PROGRESSING, "False", TIMED_OUT, message, now);
    }
}

/// The new set is there, and the condition still is the one of the rollout before it, which never times out.
fn begins(current: Option<&DeploymentCondition>, sets: &Sets) -> bool {
    sets.new.is_some() && current.is_some_and(|current| current.reason == NEW_SET_AVAILABLE)
}

fn is_timed_out(current: Option<&DeploymentCondition>, now: Time, deadline: i64) -> bool {
    let Some(current) = current else { return false };
    match current.reason.as_str() {
        NEW_SET_AVAILABLE => false,
        TIMED_OUT => true,
        _ => current.last_update_time.seconds + deadline < now.seconds,
    }
}

/// Seconds until progress must be judged although nothing happens; none: it need not.
pub fn deadline_in_s(deployment: &Deployment, status: &DeploymentStatus, now: Time) -> Option<i64> {
    let deadline = deadline_s(deployment)?;
    let current = find(&status.conditions, PROGRESSING)?;
    if current.reason == NEW_SET_AVAILABLE || current.reason == TIMED_OUT || is_complete(deployment, status) {
        return None;
    }
    Some((current.last_update_time.seconds + deadline - now.seconds).max(0))
}
