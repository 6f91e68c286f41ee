//! A Deployment's status, added up from its sets.

use proto::apps::v1::{Deployment, DeploymentStatus};
use proto::time::Time;

use super::conditions;
use super::rolling::max_unavailable;
use super::sets::{Sets, wanted};

/// The status, progress not yet judged.
pub fn of(deployment: &Deployment, sets: &Sets, now: Time) -> DeploymentStatus {
    let sum = |count: fn(&proto::apps::v1::ReplicaSetStatus) -> i32| {
        sets.all().map(|set| count(&set.status)).fold(0, i32::saturating_add)
    };
    let available = sum(|status| status.available_replicas);
    let terminating = sum(|status| status.terminating_replicas.unwrap_or(0));
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: sum(|status| status.replicas),
        updated_replicas: sets.new.as_ref().map_or(0, |new| new.status.replicas),
        ready_replicas: sum(|status| status.ready_replicas),
        available_replicas: available,
        unavailable_replicas: sets.total().saturating_sub(available).max(0),
        terminating_replicas: Some(terminating),
        conditions: deployment.status.conditions.clone(),
        collision_count: deployment.status.collision_count,
    };
    let enough = available >= wanted(deployment).saturating_sub(max_unavailable(deployment));
    conditions::available(&mut status, enough, now);
    status
}

/// Everything runs the current template, and nothing else runs.
pub fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = wanted(deployment);
    status.updated_replicas == wanted
        && status.replicas == wanted
        && status.available_replicas == wanted
        && status.observed_generation >= deployment.metadata.generation
}

/// Something got better since the status before.
pub fn is_progressing(before: &DeploymentStatus, now: &DeploymentStatus) -> bool {
    now.updated_replicas > before.updated_replicas
        || now.replicas.saturating_sub(now.updated_replicas) < before.replicas.saturating_sub(before.updated_replicas)
        || now.ready_replicas > before.ready_replicas
        || now.available_replicas > before.available_replicas
}
