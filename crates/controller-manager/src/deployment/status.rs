//! What a Deployment says of itself: counts and conditions.

use std::time::Duration;

use proto::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};

use super::{Rollout, rollout};

impl Rollout<'_> {
    /// The counts and the Available condition, without judging progress: for paused and resized deployments.
    pub(super) fn sync_status(&mut self) {
        let status = self.counts();
        self.next.status = DeploymentStatus { conditions: std::mem::take(&mut self.next.status.conditions), ..status };
        self.tell_availability();
    }

    /// The counts and every condition.
    pub(super) fn sync_rollout_status(&mut self) {
        let before = self.deployment.status.clone();
        self.sync_status();
        self.tell_failures();
        if !self.has_deadline() {
            self.drop_condition("Progressing");
            return;
        }
        let told = condition(&self.next.status, "Progressing").map(|condition| condition.reason.clone());
        let done = told.as_deref() == Some("NewReplicaSetAvailable") && self.next.status.replicas == self.next.status.updated_replicas;
        if !done {
            self.tell_progress(&before);
        }
        self.watch_deadline();
    }

    /// Pausing stops the clock of the progress deadline, resuming starts it anew.
    pub(super) fn note_pause(&mut self) {
        if !self.has_deadline() {
            return;
        }
        let told = condition(&self.next.status, "Progressing").map(|condition| condition.reason.as_str());
        if told == Some("ProgressDeadlineExceeded") {
            return;
        }
        let paused = told == Some("DeploymentPaused");
        if self.deployment.spec.paused && !paused {
            self.set_condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused".to_owned());
        } else if !self.deployment.spec.paused && paused {
            self.set_condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed".to_owned());
        }
    }

    pub(super) fn has_deadline(&self) -> bool {
        self.deployment.spec.progress_deadline_seconds.is_some_and(|seconds| seconds != i32::MAX)
    }

    /// Sets a condition, unless it already says so; its place is then the last.
    pub(super) fn set_condition(&mut self, kind: &str, status: &str, reason: &str, message: String) {
        let known = condition(&self.next.status, kind).cloned();
        if known.as_ref().is_some_and(|known| known.status == status && known.reason == reason) {
            return;
        }
        self.replace_condition(known, kind, status, reason, message);
    }

    fn replace_condition(&mut self, known: Option<DeploymentCondition>, kind: &str, status: &str, reason: &str, message: String) {
        let since = known.filter(|known| known.status == status).map_or(self.now, |known| known.last_transition_time);
        self.drop_condition(kind);
        self.next.status.conditions.push(DeploymentCondition {
            r#type: kind.to_owned(),
            status: status.to_owned(),
            last_update_time: self.now,
            last_transition_time: since,
            reason: reason.to_owned(),
            message,
        });
    }

    fn drop_condition(&mut self, kind: &str) {
        self.next.status.conditions.retain(|condition| condition.r#type != kind);
    }

    fn counts(&self) -> DeploymentStatus {
        let available: i32 = self.all().map(|set| set.status.available_replicas).sum();
        DeploymentStatus {
            observed_generation: self.deployment.metadata.generation,
            replicas: self.all().map(|set| set.status.replicas).sum(),
            updated_replicas: self.new.as_ref().map_or(0, |set| set.status.replicas),
            ready_replicas: self.all().map(|set| set.status.ready_replicas).sum(),
            available_replicas: available,
            unavailable_replicas: (self.total() - available).max(0),
            terminating_replicas: Some(self.all().filter_map(|set| set.status.terminating_replicas).sum()),
            conditions: Vec::new(),
            collision_count: self.deployment.status.collision_count,
        }
    }

    fn tell_availability(&mut self) {
        let least = self.replicas() - rollout::max_unavailable(self.deployment);
        if self.next.status.available_replicas >= least {
            let message = "Deployment has minimum availability.".to_owned();
            self.set_condition("Available", "True", "MinimumReplicasAvailable", message);
        } else {
            let message = "Deployment does not have minimum availability.".to_owned();
            self.set_condition("Available", "False", "MinimumReplicasUnavailable", message);
        }
    }

    /// A set that cannot make its pods says why; the deployment repeats it.
    fn tell_failures(&mut self) {
        let failure = self
            .new
            .iter()
            .chain(self.old.iter().rev())
            .find_map(|set| set.status.conditions.iter().find(|condition| condition.r#type == "ReplicaFailure"))
            .cloned();
        match failure {
            Some(failure) => self.set_condition("ReplicaFailure", &failure.status, &failure.reason, failure.message),
            None => self.drop_condition("ReplicaFailure"),
        }
    }

    fn tell_progress(&mut self, before: &DeploymentStatus) {
        let what = match &self.new {
            Some(set) => format!("ReplicaSet {:?}", set.metadata.name),
            None => format!("Deployment {:?}", self.deployment.metadata.name),
        };
        if is_complete(self.deployment, &self.next.status) {
            let message = format!("{what} has successfully progressed.");
            self.set_condition("Progressing", "True", "NewReplicaSetAvailable", message);
        } else if has_moved(before, &self.next.status) {
            // Told even if it was told before: its update time restarts the deadline.
            let known = condition(&self.next.status, "Progressing").cloned();
            self.replace_condition(known, "Progressing", "True", "ReplicaSetUpdated", format!("{what} is progressing."));
        } else if self.deadline_in().is_some_and(|left| left <= 0) {
            let message = format!("{what} has timed out progressing.");
            self.set_condition("Progressing", "False", "ProgressDeadlineExceeded", message);
        }
    }

    /// Seconds until the rollout counts as stuck; none where nothing is under way.
    fn deadline_in(&self) -> Option<i64> {
        let told = condition(&self.next.status, "Progressing")?;
        if matches!(told.reason.as_str(), "NewReplicaSetAvailable" | "ProgressDeadlineExceeded") {
            return None;
        }
        let deadline = i64::from(self.deployment.spec.progress_deadline_seconds?);
        Some(told.last_update_time.seconds + deadline - self.now.seconds)
    }

    fn watch_deadline(&mut self) {
        if let Some(left) = self.deadline_in() {
            // One second more: condition times have whole seconds.
            self.plan.requeue(Duration::from_secs(left.max(0).unsigned_abs() + 1));
        }
    }
}

/// The condition of that type.
pub fn condition<'s>(status: &'s DeploymentStatus, kind: &str) -> Option<&'s DeploymentCondition> {
    status.conditions.iter().find(|condition| condition.r#type == kind)
}

/// All wanted pods are of the current template and available, and no other exists.
pub fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = deployment.spec.replicas.unwrap_or(1);
    status.updated_replicas == wanted
        && status.replicas == wanted
        && status.available_replicas == wanted
        && status.observed_generation >= deployment.metadata.generation
}

fn has_moved(before: &DeploymentStatus, after: &DeploymentStatus) -> bool {
    let old = |status: &DeploymentStatus| status.replicas - status.updated_replicas;
    after.updated_replicas > before.updated_replicas
        || old(after) < old(before)
        || after.ready_replicas > before.ready_replicas
        || after.available_replicas > before.available_replicas
}
