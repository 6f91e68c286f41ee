//! Validation of Jobs; their policies are `job_policy`'s, their status `job_status`'s.

use proto::batch::v1::{Job, JobSpec};
use proto::meta::v1::ObjectMeta;

use super::check::{Errors, domain_path, immutable, label_selector, not_negative_opt, one_of, one_of_opt};
use super::error::{Json, JsonOpt};
use super::{FieldError, Path, job_policy, meta, pod};
use crate::name;
use crate::selector::labels::Selector;

const SPEC: Path<'static> = Path::root("spec");
const META: Path<'static> = Path::root("metadata");
const INDEXED: &str = "Indexed";
/// Pods of an indexed job at once, and indexes that may fail.
const INDEXED_PARALLELISM_MAX: i32 = 100_000;
/// The same where more indexes than that have a limit of their own.
const MANY_COMPLETIONS_PARALLELISM_MAX: i32 = 10_000;
const WITHOUT_INDEX: &str = "requires indexed completion mode";

/// Labels that a generated selector and its pods have: key, and whether the value is the job's uid (else its name).
const GENERATED: &[(&str, bool)] = &[
    ("batch.kubernetes.io/controller-uid", true),
    ("batch.kubernetes.io/job-name", false),
    ("controller-uid", true),
    ("job-name", false),
];

pub fn create(errors: &mut Errors, job: &Job) {
    generated_selector(errors, job);
    whole_spec(errors, &job.spec);
    pod_names(errors, job);
}

/// A selector that the server made names this job and no other.
fn generated_selector(errors: &mut Errors, job: &Job) {
    if job.spec.manual_selector == Some(true) {
        return;
    }
    let Some(selector) = &job.spec.selector else { return };
    let path = SPEC.child("template");
    let path = path.child("metadata");
    let ObjectMeta { uid, name, .. } = &job.metadata;
    for (key, is_uid) in GENERATED {
        let expected = if *is_uid { uid } else { name };
        let labels = &job.spec.template.metadata.labels;
        match labels.get(*key) {
            Some(value) if value == expected => {}
            None => errors.push(FieldError::required(path.child("labels").key(key), format!("must be '{expected}'"))),
            Some(_) => {
                let at = path.child("labels");
                errors.push(FieldError::invalid(at.key(key), labels, format!("must be '{expected}'")));
            }
        }
    }
    let of = |is_uid: bool| if is_uid { uid.clone() } else { name.clone() };
    let labels = GENERATED.iter().map(|(key, is_uid)| ((*key).to_owned(), of(*is_uid))).collect();
    if let Ok(found) = Selector::from_selector(Some(selector))
        && !found.matches(&labels)
    {
        errors.push(FieldError::invalid(SPEC.child("selector"), Json(selector), "`selector` not auto-generated"));
    }
}

/// The pods of an indexed job are called by its name and their index.
fn pod_names(errors: &mut Errors, job: &Job) {
    let Some(completions) = job.spec.completions.filter(|count| *count > 0) else { return };
    if is_indexed(&job.spec) {
        let last = format!("{}-{}", job.metadata.name, completions - 1);
        for why in name::dns_label(&last) {
            let why = format!("will not able to create pod with invalid DNS label: {last}: {why}");
            errors.push(FieldError::invalid(META.child("name"), &job.metadata.name, why));
        }
    }
}

pub fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some(INDEXED)
}

/// The spec of a job of its own: it has a selector that finds its pods.
fn whole_spec(errors: &mut Errors, spec: &JobSpec) {
    self::spec(errors, SPEC, spec);
    let path = SPEC.child("selector");
    match &spec.selector {
        None => errors.push(FieldError::required(path, "")),
        Some(selector) => label_selector(errors, path, selector),
    }
    let labels = &spec.template.metadata.labels;
    if Selector::from_selector(spec.selector.as_ref()).is_ok_and(|found| !found.matches(labels)) {
        let path = SPEC.child("template");
        let path = path.child("metadata");
        let why = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(path.child("labels"), labels, why));
    }
}

/// Everything but the selector: what a CronJob's template says as well.
pub fn spec(errors: &mut Errors, path: Path<'_>, spec: &JobSpec) {
    for (field, count) in [("parallelism", spec.parallelism), ("completions", spec.completions)] {
        not_negative_opt(errors, path.child(field), count);
    }
    not_negative_opt(errors, path.child("activeDeadlineSeconds"), spec.active_deadline_seconds);
    for (field, count) in [
        ("backoffLimit", spec.backoff_limit),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index),
        ("maxFailedIndexes", spec.max_failed_indexes),
    ] {
        not_negative_opt(errors, path.child(field), count);
    }
    if spec.max_failed_indexes.is_some() && spec.backoff_limit_per_index.is_none() {
        let why = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(path.child("backoffLimitPerIndex"), why));
    }
    if let Some(manager) = &spec.managed_by {
        domain_path(errors, path.child("managedBy"), manager);
        if manager.len() > name::LABEL_MAX {
            errors.push(FieldError::too_long(path.child("managedBy"), name::LABEL_MAX));
        }
    }
    one_of_opt(errors, path.child("completionMode"), spec.completion_mode.as_ref(), &["NonIndexed", INDEXED]);
    if is_indexed(spec) {
        indexed(errors, path, spec);
    } else if spec.completion_mode.as_deref().is_none_or(|mode| mode == "NonIndexed") {
        for (field, limit) in
            [("backoffLimitPerIndex", spec.backoff_limit_per_index), ("maxFailedIndexes", spec.max_failed_indexes)]
        {
            if let Some(limit) = limit {
                errors.push(FieldError::invalid(path.child(field), limit, WITHOUT_INDEX));
            }
        }
    }
    if let Some(policy) = &spec.pod_failure_policy {
        job_policy::failure(errors, path.child("podFailurePolicy"), policy, spec);
    }
    match &spec.success_policy {
        Some(policy) if is_indexed(spec) => job_policy::success(errors, path.child("successPolicy"), policy, spec),
        Some(policy) => {
            errors.push(FieldError::invalid(path.child("successPolicy"), Json(policy), WITHOUT_INDEX));
        }
        None => {}
    }
    if let Some(policy) = &spec.pod_replacement_policy {
        let allowed: &[&str] =
            if spec.pod_failure_policy.is_some() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
        one_of(errors, path.child("podReplacementPolicy"), policy, allowed);
    }
    template(errors, path.child("template"), spec);
}

fn template(errors: &mut Errors, path: Path<'_>, spec: &JobSpec) {
    pod::template(errors, path, &spec.template);
    let path = path.child("spec");
    let path = path.child("restartPolicy");
    let policy = spec.template.spec.restart_policy.as_str();
    match policy {
        "" | "Always" => errors.push(FieldError::required(path, "valid values: \"OnFailure\", \"Never\"")),
        _ => one_of(errors, path, policy, &["OnFailure", "Never"]),
    }
    if spec.pod_failure_policy.is_some() && policy != "Never" {
        let why = "only \"Never\" is supported when podFailurePolicy is specified";
        errors.push(FieldError::invalid(path, policy, why));
    }
}

fn indexed(errors: &mut Errors, path: Path<'_>, spec: &JobSpec) {
    let mut at_most = |field: &str, count: Option<i32>, max: i32, when: &str| {
        if let Some(count) = count.filter(|count| *count > max) {
            let why = format!("must be less than or equal to {max}{when}");
            errors.push(FieldError::invalid(path.child(field), count, why));
        }
    };
    at_most("parallelism", spec.parallelism, INDEXED_PARALLELISM_MAX, " when completion mode is Indexed");
    if let (Some(failed), Some(completions)) = (spec.max_failed_indexes, spec.completions)
        && failed > completions
    {
        at_most("maxFailedIndexes", Some(failed), completions, " (completions)");
    }
    at_most("maxFailedIndexes", spec.max_failed_indexes, INDEXED_PARALLELISM_MAX, "");
    if spec.completions.is_none() {
        errors.push(FieldError::required(path.child("completions"), "when completion mode is Indexed"));
    }
    let many = spec.completions.is_some_and(|count| count > INDEXED_PARALLELISM_MAX);
    if !many || spec.backoff_limit_per_index.is_none() {
        return;
    }
    let when = format!(" when completions are above {INDEXED_PARALLELISM_MAX} and used with backoff limit per index");
    if spec.max_failed_indexes.is_none() {
        let why = format!("must be specified when completions is above {INDEXED_PARALLELISM_MAX}");
        errors.push(FieldError::required(path.child("maxFailedIndexes"), why));
    }
    for (field, count) in [("parallelism", spec.parallelism), ("maxFailedIndexes", spec.max_failed_indexes)] {
        if let Some(count) = count.filter(|count| *count > MANY_COMPLETIONS_PARALLELISM_MAX) {
            let why = format!("must be less than or equal to {MANY_COMPLETIONS_PARALLELISM_MAX}{when}");
            errors.push(FieldError::invalid(path.child(field), count, why));
        }
    }
}

/// A changed job is judged as a new one, then as a changed one: what is wrong with it is told twice.
pub fn update(errors: &mut Errors, new: &Job, old: &Job) {
    meta::create(errors, new);
    create(errors, new);
    whole_spec(errors, &new.spec);
    let (now, was) = (&new.spec, &old.spec);
    completions(errors, now, was);
    immutable(errors, SPEC.child("selector"), now.selector == was.selector, JsonOpt(now.selector.as_ref()));
    template_update(errors, new, old);
    let mode = now.completion_mode.as_ref();
    immutable(errors, SPEC.child("completionMode"), mode == was.completion_mode.as_ref(), mode);
    let policy = &now.pod_failure_policy;
    let same = *policy == was.pod_failure_policy;
    immutable(errors, SPEC.child("podFailurePolicy"), same, JsonOpt(policy.as_ref()));
    let limit = now.backoff_limit_per_index;
    immutable(errors, SPEC.child("backoffLimitPerIndex"), limit == was.backoff_limit_per_index, limit);
    let manager = now.managed_by.as_ref();
    immutable(errors, SPEC.child("managedBy"), manager == was.managed_by.as_ref(), manager);
    let policy = &now.success_policy;
    immutable(errors, SPEC.child("successPolicy"), *policy == was.success_policy, JsonOpt(policy.as_ref()));
}

/// An indexed job grows and shrinks with its parallelism; no other changes its completions.
fn completions(errors: &mut Errors, now: &JobSpec, was: &JobSpec) {
    if now.completions == was.completions {
        return;
    }
    let path = SPEC.child("completions");
    if !is_indexed(now) {
        immutable(errors, path, false, now.completions);
    } else if now.completions.is_some() && now.completions != now.parallelism {
        let why = "can only be modified in tandem with spec.parallelism";
        errors.push(FieldError::invalid(path, now.completions, why));
    }
}

/// Where the pods of a job go may be changed while it has none.
fn template_update(errors: &mut Errors, new: &Job, old: &Job) {
    let mut kept = old.spec.template.clone();
    let template = &new.spec.template;
    let suspended = old.status.conditions.iter().any(|each| each.r#type == "Suspended" && each.status == "True");
    if old.spec.suspend == Some(true) && (old.status.start_time.is_none() || suspended) {
        kept.metadata.labels.clone_from(&template.metadata.labels);
        kept.metadata.annotations.clone_from(&template.metadata.annotations);
        kept.spec.affinity.clone_from(&template.spec.affinity);
        kept.spec.node_selector.clone_from(&template.spec.node_selector);
        kept.spec.tolerations.clone_from(&template.spec.tolerations);
        kept.spec.scheduling_gates.clone_from(&template.spec.scheduling_gates);
        for (kept, now) in [
            (&mut kept.spec.containers, &template.spec.containers),
            (&mut kept.spec.init_containers, &template.spec.init_containers),
        ] {
            for (container, now) in kept.iter_mut().zip(now) {
                container.resources.clone_from(&now.resources);
            }
        }
    }
    immutable(errors, SPEC.child("template"), *template == kept, Json(template));
}
