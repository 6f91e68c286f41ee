//! Validation of Deployments and ReplicaSets, and what all workloads share.

use proto::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, ReplicaSet, ReplicaSetSpec};
use proto::core::v1::{PodSpec, PodTemplateSpec};
use proto::meta::v1::LabelSelector;

use super::check::{Errors, count_or_percent, label_selector, not_negative};
use super::error::Json;
use super::{FieldError, Path, pod};
use crate::int_or_string;
use crate::selector::labels::Selector;

const SPEC: Path<'static> = Path::root("spec");
const STATUS: Path<'static> = Path::root("status");

pub fn deployment(errors: &mut Errors, deployment: &Deployment) {
    deployment_spec(errors, &deployment.spec);
}

pub fn deployment_update(errors: &mut Errors, new: &Deployment, old: &Deployment) {
    deployment_spec(errors, &new.spec);
    same_selector(errors, new.spec.selector.as_ref(), old.spec.selector.as_ref());
}

fn same_selector(errors: &mut Errors, new: Option<&LabelSelector>, old: Option<&LabelSelector>) {
    if new != old {
        let shown = new.map(proto::json::to_string).unwrap_or_default();
        errors.push(FieldError::invalid(SPEC.child("selector"), shown.as_str(), "field is immutable"));
    }
}

fn deployment_spec(errors: &mut Errors, spec: &DeploymentSpec) {
    not_negative(errors, SPEC.child("replicas"), i64::from(spec.replicas.unwrap_or(1)));
    template(errors, spec.selector.as_ref(), &spec.template);
    strategy(errors, SPEC.child("strategy"), &spec.strategy);
    not_negative(errors, SPEC.child("minReadySeconds"), i64::from(spec.min_ready_seconds));
    if let Some(limit) = spec.revision_history_limit {
        not_negative(errors, SPEC.child("revisionHistoryLimit"), i64::from(limit));
    }
    if let Some(deadline) = spec.progress_deadline_seconds {
        let path = SPEC.child("progressDeadlineSeconds");
        not_negative(errors, path, i64::from(deadline));
        if deadline <= spec.min_ready_seconds {
            errors.push(FieldError::invalid(path, deadline, "must be greater than minReadySeconds"));
        }
    }
}

/// The selector, and a template whose pods it selects.
fn template(errors: &mut Errors, selector: Option<&LabelSelector>, template: &PodTemplateSpec) {
    let path = SPEC.child("selector");
    match selector {
        None => errors.push(FieldError::required(path, "")),
        Some(selector) => {
            label_selector(errors, path, selector);
            if *selector == LabelSelector::default() {
                let why = "empty selector is invalid for deployment";
                errors.push(FieldError::invalid(path, Json(selector), why));
            }
        }
    }
    let path = SPEC.child("template");
    if !selects(errors, selector, template, path) {
        return;
    }
    pod::template(errors, path, template);
    runs_forever(errors, path, &template.spec, "ReplicaSet");
}

/// A selector that makes sense, and selects what is made of the template; tells whether it makes sense.
pub fn selects(
    errors: &mut Errors,
    selector: Option<&LabelSelector>,
    template: &PodTemplateSpec,
    path: Path<'_>,
) -> bool {
    let Ok(found) = Selector::from_selector(selector) else {
        let shown = selector.map(proto::json::to_string).unwrap_or_default();
        errors.push(FieldError::invalid(SPEC.child("selector"), shown.as_str(), "invalid label selector"));
        return false;
    };
    let labels = &template.metadata.labels;
    if !found.is_everything() && !found.matches(labels) {
        let path = path.child("metadata");
        let why = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(path.child("labels"), labels, why));
    }
    true
}

/// Pods that a controller replaces do not end by themselves.
pub fn runs_forever(errors: &mut Errors, template: Path<'_>, spec: &PodSpec, kind: &str) {
    let path = template.child("spec");
    if spec.restart_policy != "Always" {
        let found = spec.restart_policy.as_str();
        errors.push(FieldError::not_supported(path.child("restartPolicy"), found, &["Always"]));
    }
    if spec.active_deadline_seconds.is_some() {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(path.child("activeDeadlineSeconds"), why));
    }
}

fn strategy(errors: &mut Errors, path: Path<'_>, strategy: &DeploymentStrategy) {
    match strategy.r#type.as_str() {
        "Recreate" if strategy.rolling_update.is_some() => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(FieldError::forbidden(path.child("rollingUpdate"), why));
        }
        "Recreate" => {}
        "RollingUpdate" => rolling(errors, path.child("rollingUpdate"), strategy),
        other => errors.push(FieldError::not_supported(path, other, &["Recreate", "RollingUpdate"])),
    }
}

fn rolling(errors: &mut Errors, path: Path<'_>, strategy: &DeploymentStrategy) {
    let Some(rolling) = &strategy.rolling_update else {
        errors.push(FieldError::required(path, "this should be defaulted and never be nil"));
        return;
    };
    let zero = int_or_string::from_int(0);
    let unavailable = rolling.max_unavailable.as_ref().unwrap_or(&zero);
    let surge = rolling.max_surge.as_ref().unwrap_or(&zero);
    let (at_unavailable, at_surge) = (path.child("maxUnavailable"), path.child("maxSurge"));
    count_or_percent(errors, at_unavailable, unavailable);
    count_or_percent(errors, at_surge, surge);
    let none = |value: &proto::IntOrString| {
        if int_or_string::is_string(value) { int_or_string::percent(value) == Some(0) } else { value.int_val == 0 }
    };
    if none(unavailable) && none(surge) {
        errors.push(FieldError::invalid(at_unavailable, unavailable, "may not be 0 when `maxSurge` is 0"));
    }
    if int_or_string::percent(unavailable).is_some_and(|percent| percent > 100) {
        errors.push(FieldError::invalid(at_unavailable, unavailable, "must not be greater than 100%"));
    }
}

/// Counts that are not negative, and parts that are not more than the whole.
pub fn counts(errors: &mut Errors, whole: (&str, i32), parts: &[(&str, i32)], available_within_ready: bool) {
    let whole_name = whole.0;
    for (field, count) in std::iter::once(&whole).chain(parts) {
        not_negative(errors, STATUS.child(field), i64::from(*count));
    }
    for (field, count) in parts.iter().filter(|(field, _)| *field != "unavailableReplicas") {
        if *count > whole.1 {
            let why = format!("cannot be greater than status.{whole_name}");
            errors.push(FieldError::invalid(STATUS.child(field), *count, why));
        }
    }
    let count = |name: &str| parts.iter().find(|(field, _)| *field == name).map_or(0, |(_, count)| *count);
    if available_within_ready && count("availableReplicas") > count("readyReplicas") {
        let why = "cannot be greater than readyReplicas";
        errors.push(FieldError::invalid(STATUS.child("availableReplicas"), count("availableReplicas"), why));
    }
}

pub fn deployment_status(errors: &mut Errors, new: &Deployment, old: &Deployment) {
    let (new, old) = (&new.status, &old.status);
    not_negative(errors, STATUS.child("observedGeneration"), new.observed_generation);
    let parts = [
        ("updatedReplicas", new.updated_replicas),
        ("readyReplicas", new.ready_replicas),
        ("availableReplicas", new.available_replicas),
        ("unavailableReplicas", new.unavailable_replicas),
    ];
    counts(errors, ("replicas", new.replicas), &parts, true);
    collisions(errors, new.collision_count, old.collision_count);
}

pub fn collisions(errors: &mut Errors, new: Option<i32>, old: Option<i32>) {
    let path = STATUS.child("collisionCount");
    if let Some(count) = new {
        not_negative(errors, path, i64::from(count));
    }
    if let Some(old) = old
        && new.is_none_or(|new| new < old)
    {
        errors.push(FieldError::invalid(path, new.unwrap_or_default(), "cannot be decremented"));
    }
}

pub fn replica_set(errors: &mut Errors, set: &ReplicaSet) {
    replica_set_spec(errors, &set.spec);
}

pub fn replica_set_update(errors: &mut Errors, new: &ReplicaSet, old: &ReplicaSet) {
    replica_set_spec(errors, &new.spec);
    same_selector(errors, new.spec.selector.as_ref(), old.spec.selector.as_ref());
}

fn replica_set_spec(errors: &mut Errors, spec: &ReplicaSetSpec) {
    not_negative(errors, SPEC.child("replicas"), i64::from(spec.replicas.unwrap_or(1)));
    not_negative(errors, SPEC.child("minReadySeconds"), i64::from(spec.min_ready_seconds));
    template(errors, spec.selector.as_ref(), &spec.template);
}

pub fn replica_set_status(errors: &mut Errors, new: &ReplicaSet) {
    let new = &new.status;
    not_negative(errors, STATUS.child("observedGeneration"), new.observed_generation);
    let parts = [
        ("fullyLabeledReplicas", new.fully_labeled_replicas),
        ("readyReplicas", new.ready_replicas),
        ("availableReplicas", new.available_replicas),
    ];
    counts(errors, ("replicas", new.replicas), &parts, true);
}
