//! What makes pods. A change that leaves everything but metadata and status as it was is not complained about.

use proto::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use proto::batch::v1::{CronJob, Job, JobSpec};
use proto::core::v1::{PodTemplate, ReplicationController};
use proto::meta::v1::ObjectMeta;

use super::pod::{label_name, template};
use super::{SPEC, Warnings, storage};
use crate::validate::Path;

/// Beyond these numbers a Job's failed indexes may be too many to write down.
const COMPLETIONS_MAX: i32 = 100_000;
const PARALLELISM_MAX: i32 = 10_000;

const IN_PODS: &str = "Pod names and hostnames";

/// Whether there is something new to judge.
fn is_changed(new: &ObjectMeta, old: Option<&ObjectMeta>) -> bool {
    old.is_none_or(|old| old.generation != new.generation)
}

macro_rules! with_template {
    ($name:ident, $kind:ty, $doc:literal) => {
        #[doc = $doc]
        pub fn $name(warnings: &mut Warnings, new: &$kind, old: Option<&$kind>) {
            if old.is_none() {
                label_name(warnings, &new.metadata, IN_PODS);
            }
            if is_changed(&new.metadata, old.map(|old| &old.metadata)) {
                template(warnings, SPEC.child("template"), &new.spec.template);
            }
        }
    };
}

with_template!(deployment, Deployment, "A Deployment.");
with_template!(replica_set, ReplicaSet, "A ReplicaSet.");

/// A ReplicationController.
pub fn replication_controller(
    warnings: &mut Warnings,
    new: &ReplicationController,
    old: Option<&ReplicationController>,
) {
    if old.is_none() {
        label_name(warnings, &new.metadata, IN_PODS);
    }
    if let Some(pods) = &new.spec.template
        && is_changed(&new.metadata, old.map(|old| &old.metadata))
    {
        template(warnings, SPEC.child("template"), pods);
    }
}

/// A DaemonSet.
pub fn daemon_set(warnings: &mut Warnings, new: &DaemonSet, old: Option<&DaemonSet>) {
    if is_changed(&new.metadata, old.map(|old| &old.metadata)) {
        template(warnings, SPEC.child("template"), &new.spec.template);
    }
}

/// A StatefulSet.
pub fn stateful_set(warnings: &mut Warnings, new: &StatefulSet, old: Option<&StatefulSet>) {
    if !is_changed(&new.metadata, old.map(|old| &old.metadata)) {
        return;
    }
    template(warnings, SPEC.child("template"), &new.spec.template);
    let path = SPEC.child("volumeClaimTemplates");
    for (index, claim) in new.spec.volume_claim_templates.iter().enumerate() {
        storage::claim_spec(warnings, path.index(index).child("spec"), &claim.spec);
    }
    if new.spec.revision_history_limit.is_some_and(|limit| limit < 0) {
        let path = SPEC.child("revisionHistoryLimit");
        warnings
            .push(format!("{path}: a negative value retains all historical revisions; a value >= 0 is recommended"));
    }
}

/// A Job.
pub fn job(warnings: &mut Warnings, new: &Job, old: Option<&Job>) {
    if old.is_none() {
        label_name(warnings, &new.metadata, IN_PODS);
    }
    if is_changed(&new.metadata, old.map(|old| &old.metadata)) {
        job_spec(warnings, SPEC, &new.spec);
    }
}

/// A CronJob.
pub fn cron_job(warnings: &mut Warnings, new: &CronJob, old: Option<&CronJob>) {
    if old.is_none() {
        label_name(warnings, &new.metadata, IN_PODS);
    }
    if is_changed(&new.metadata, old.map(|old| &old.metadata)) {
        job_spec(warnings, SPEC.child("jobTemplate").child("spec"), &new.spec.job_template.spec);
    }
    // Such a schedule is refused but where it was there before.
    if new.spec.schedule.contains("TZ") {
        let path = SPEC.child("schedule");
        warnings.push(format!(
            "CRON_TZ or TZ used in {path} is not officially supported, see \
             https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        ));
    }
}

fn job_spec(warnings: &mut Warnings, path: Path<'_>, spec: &JobSpec) {
    let many = spec.completions.is_some_and(|completions| completions > COMPLETIONS_MAX)
        && spec.parallelism.is_some_and(|parallelism| parallelism > PARALLELISM_MAX);
    if many && spec.completion_mode.as_deref() == Some("Indexed") {
        warnings.push(format!(
            "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than \
             10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
    template(warnings, path.child("template"), &spec.template);
}

/// A template on its own.
pub fn pod_template(warnings: &mut Warnings, new: &PodTemplate, _: Option<&PodTemplate>) {
    template(warnings, Path::root("template"), &new.template);
}
