//! Validation of CronJobs.

use proto::batch::v1::{CronJob, CronJobSpec};

use super::check::{Errors, not_negative_opt, one_of_required};
use super::error::Json;
use super::{FieldError, Path, cron, job};

const SPEC: Path<'static> = Path::root("spec");
/// What a job's name leaves of its own for the minute it was made for.
const NAME_BYTES_MAX: usize = 52;

pub fn create(errors: &mut Errors, cron_job: &CronJob) {
    spec(errors, &cron_job.spec, None);
    let name = &cron_job.metadata.name;
    if name.len() > NAME_BYTES_MAX {
        let meta = Path::root("metadata");
        let why = format!("must be no more than {NAME_BYTES_MAX} characters");
        errors.push(FieldError::invalid(meta.child("name"), name, why));
    }
}

pub fn update(errors: &mut Errors, new: &CronJob, old: &CronJob) {
    spec(errors, &new.spec, Some(&old.spec));
}

fn spec(errors: &mut Errors, spec: &CronJobSpec, old: Option<&CronJobSpec>) {
    schedule(errors, SPEC.child("schedule"), spec, old.is_some_and(|old| old.schedule.contains("TZ")));
    not_negative_opt(errors, SPEC.child("startingDeadlineSeconds"), spec.starting_deadline_seconds);
    if old.is_none_or(|old| old.time_zone != spec.time_zone)
        && let Some(zone) = &spec.time_zone
        && let Some(why) = cron::wrong_zone(zone)
    {
        errors.push(FieldError::invalid(SPEC.child("timeZone"), zone, why));
    }
    let policies = &["Allow", "Forbid", "Replace"];
    one_of_required(errors, SPEC.child("concurrencyPolicy"), Some(&spec.concurrency_policy), policies);
    template(errors, spec);
    not_negative_opt(errors, SPEC.child("successfulJobsHistoryLimit"), spec.successful_jobs_history_limit);
    not_negative_opt(errors, SPEC.child("failedJobsHistoryLimit"), spec.failed_jobs_history_limit);
}

/// The zone of a schedule is told beside it; older ones have it in their text.
fn schedule(errors: &mut Errors, path: Path<'_>, spec: &CronJobSpec, old_zone: bool) {
    let text = &spec.schedule;
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    if let Some(why) = cron::wrong_schedule(text) {
        errors.push(FieldError::invalid(path, text, why));
    }
    if text.contains("TZ") {
        if !old_zone {
            let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.push(FieldError::invalid(path, text, why));
        } else if spec.time_zone.is_some() {
            let why = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
            errors.push(FieldError::invalid(path, text, why));
        }
    }
}

fn template(errors: &mut Errors, spec: &CronJobSpec) {
    let path = SPEC.child("jobTemplate");
    let path = path.child("spec");
    let template = &spec.job_template.spec;
    job::spec(errors, path, template);
    if let Some(selector) = &template.selector {
        let why = "`selector` will be auto-generated";
        errors.push(FieldError::invalid(path.child("selector"), Json(selector), why));
    }
    if template.manual_selector == Some(true) {
        errors.push(FieldError::not_supported(path.child("manualSelector"), true, &["nil", "false"]));
    }
}
