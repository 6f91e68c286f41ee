//! Validation of a Job's status.

use proto::batch::v1::{Job, JobStatus};

use super::check::{Errors, not_negative, not_negative_opt};
use super::job::is_indexed;
use super::job_policy::indexes;
use super::{FieldError, Path};

const STATUS: Path<'static> = Path::root("status");
/// Conditions that a job keeps once it has them.
const TERMINAL: &[&str] = &["Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"];

fn is_true(status: &JobStatus, kind: &str) -> bool {
    status.conditions.iter().any(|condition| condition.r#type == kind && condition.status == "True")
}

pub fn update(errors: &mut Errors, new: &Job, old: &Job) {
    counts(errors, &new.status);
    ends(errors, &new.status);
    finished(errors, &new.status);
    index_lists(errors, new);
    if new.status.ready.is_some_and(|ready| ready > new.status.active) {
        let why = "cannot set more ready pods than active";
        errors.push(FieldError::invalid(STATUS.child("ready"), new.status.ready, why));
    }
    changes(errors, new, old);
}

fn counts(errors: &mut Errors, status: &JobStatus) {
    for (field, count) in [("active", status.active), ("succeeded", status.succeeded), ("failed", status.failed)] {
        not_negative(errors, STATUS.child(field), i64::from(count));
    }
    not_negative_opt(errors, STATUS.child("ready"), status.ready);
    not_negative_opt(errors, STATUS.child("terminating"), status.terminating);
    let Some(pods) = &status.uncounted_terminated_pods else { return };
    let path = STATUS.child("uncountedTerminatedPods");
    let all: Vec<&String> = pods.succeeded.iter().chain(&pods.failed).collect();
    for (field, from, uids) in [("succeeded", 0, &pods.succeeded), ("failed", pods.succeeded.len(), &pods.failed)] {
        let path = path.child(field);
        for (index, uid) in uids.iter().enumerate() {
            if uid.is_empty() {
                errors.push(FieldError::invalid(path.index(index), uid, "must not be empty"));
            } else if all[..from + index].contains(&uid) {
                errors.push(FieldError::duplicate(path.index(index), uid));
            }
        }
    }
}

/// How a job ends: in one way, after it was decided, at a time.
fn ends(errors: &mut Errors, status: &JobStatus) {
    let (complete, failed) = (is_true(status, "Complete"), is_true(status, "Failed"));
    let conditions = STATUS.child("conditions");
    let mut never = |wrong: bool, why: &str| {
        if wrong {
            errors.push(FieldError::wrong(conditions, why));
        }
    };
    never(complete && failed, "cannot set Complete=True and Failed=true conditions");
    let target = is_true(status, "FailureTarget");
    never(complete && target, "cannot set Complete=True and FailureTarget=true conditions");
    let path = STATUS.child("completionTime");
    match &status.completion_time {
        Some(time) => {
            let shown = time.to_string();
            if !complete {
                let why = "cannot set completionTime when there is no Complete=True condition";
                errors.push(FieldError::invalid(path, shown.as_str(), why));
            }
            if status.start_time.is_some_and(|start| *time < start) {
                let why = "completionTime cannot be set before startTime";
                errors.push(FieldError::invalid(path, shown.as_str(), why));
            }
        }
        None if complete => errors.push(FieldError::required(path, "completionTime is required for Complete jobs")),
        None => {}
    }
    let mut never = |wrong: bool, why: &str| {
        if wrong {
            errors.push(FieldError::wrong(conditions, why));
        }
    };
    never(failed && !target, "cannot set Failed=True condition without the FailureTarget=true condition");
    let met = is_true(status, "SuccessCriteriaMet");
    never(complete && !met, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
    never(target && met, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    never(failed && met, "cannot set Failed=True and SuccessCriteriaMet=true conditions");
}

/// A job that has ended has begun, and has no pods left.
fn finished(errors: &mut Errors, status: &JobStatus) {
    if !is_true(status, "Complete") && !is_true(status, "Failed") {
        return;
    }
    if status.active > 0 {
        let why = "active>0 is invalid for finished job";
        errors.push(FieldError::invalid(STATUS.child("active"), status.active, why));
    }
    if status.start_time.is_none() {
        errors.push(FieldError::required(STATUS.child("startTime"), "startTime is required for finished job"));
    }
    if status.terminating.is_some_and(|count| count > 0) {
        let why = "terminating>0 is invalid for finished job";
        errors.push(FieldError::invalid(STATUS.child("terminating"), status.terminating, why));
    }
    let uncounted = status.uncounted_terminated_pods.as_ref();
    if uncounted.is_some_and(|pods| !pods.succeeded.is_empty() || !pods.failed.is_empty()) {
        let why = "uncountedTerminatedPods needs to be empty for finished job";
        errors.push(FieldError::wrong(STATUS.child("uncountedTerminatedPods"), why));
    }
}

fn index_lists(errors: &mut Errors, job: &Job) {
    let (status, completions) = (&job.status, job.spec.completions.unwrap_or_default());
    let path = STATUS.child("completedIndexes");
    if !is_indexed(&job.spec) {
        if !status.completed_indexes.is_empty() {
            let why = "cannot set non-empty completedIndexes when non-indexed completion mode";
            errors.push(FieldError::invalid(path, &status.completed_indexes, why));
        }
        return;
    }
    let completed = indexes(&status.completed_indexes, completions);
    if let Err(why) = &completed {
        let why = format!("error parsing completedIndexes: {why}");
        errors.push(FieldError::invalid(path, &status.completed_indexes, why));
    }
    let Some(text) = &status.failed_indexes else { return };
    let path = STATUS.child("failedIndexes");
    if job.spec.backoff_limit_per_index.is_none() {
        let why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(FieldError::invalid(path, text, why));
        return;
    }
    match (indexes(text, completions), completed) {
        (Err(why), _) => {
            errors.push(FieldError::invalid(path, text, format!("error parsing failedIndexes: {why}")));
        }
        (Ok(failed), Ok(completed)) if failed.overlap(&completed) => {
            errors.push(FieldError::invalid(path, text, "failedIndexes and completedIndexes overlap"));
        }
        _ => {}
    }
}

fn changes(errors: &mut Errors, new: &Job, old: &Job) {
    let (now, was) = (&new.status, &old.status);
    for kind in TERMINAL {
        if is_true(was, kind) && !is_true(now, kind) {
            let why = format!("cannot disable the terminal {kind}=True condition");
            errors.push(FieldError::wrong(STATUS.child("conditions"), why));
        }
    }
    for (field, now, was) in [("succeeded", now.succeeded, was.succeeded), ("failed", now.failed, was.failed)] {
        if now < was && is_indexed(&new.spec) == is_indexed(&old.spec) && !is_indexed(&new.spec) {
            errors.push(FieldError::invalid(STATUS.child(field), now, format!("cannot decrease the {field} counter")));
        }
    }
    if let Some(time) = was.completion_time.filter(|time| now.completion_time != Some(*time)) {
        let shown = time.to_string();
        let why = "completionTime cannot be mutated";
        errors.push(FieldError::invalid(STATUS.child("completionTime"), shown.as_str(), why));
    }
}
