//! Validation of DaemonSets.

use proto::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy};
use proto::meta::v1::LabelSelector;

use super::check::{
    Errors, at_most_whole, count_or_percent, immutable, label_selector_opt, not_negative, not_negative_opt,
};
use super::error::{Json, JsonOpt};
use super::{FieldError, Path, meta, pod, workload};
use crate::int_or_string;
use crate::selector::labels::Selector;

const SPEC: Path<'static> = Path::root("spec");
const STATUS: Path<'static> = Path::root("status");

pub fn create(errors: &mut Errors, set: &DaemonSet) {
    spec(errors, &set.spec);
}

fn spec(errors: &mut Errors, spec: &DaemonSetSpec) {
    let (at, path) = (SPEC.child("selector"), SPEC.child("template"));
    label_selector_opt(errors, at, spec.selector.as_ref());
    let labels = &spec.template.metadata.labels;
    if Selector::from_selector(spec.selector.as_ref()).is_ok_and(|found| !found.matches(labels)) {
        let path = path.child("metadata");
        let why = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(path.child("labels"), labels, why));
    }
    if let Some(selector) = spec.selector.as_ref().filter(|selector| **selector == LabelSelector::default()) {
        errors.push(FieldError::invalid(at, Json(selector), "empty selector is invalid for daemonset"));
    }
    pod::template(errors, path, &spec.template);
    workload::runs_forever(errors, path, &spec.template.spec, "DaemonSet");
    not_negative(errors, SPEC.child("minReadySeconds"), i64::from(spec.min_ready_seconds));
    strategy(errors, SPEC.child("updateStrategy"), &spec.update_strategy);
    not_negative_opt(errors, SPEC.child("revisionHistoryLimit"), spec.revision_history_limit);
}

fn strategy(errors: &mut Errors, path: Path<'_>, strategy: &DaemonSetUpdateStrategy) {
    let at = path.child("rollingUpdate");
    let rolling = match (strategy.r#type.as_str(), &strategy.rolling_update) {
        ("OnDelete", _) => return,
        ("RollingUpdate", Some(rolling)) => rolling,
        ("RollingUpdate", None) => return errors.push(FieldError::required(at, "")),
        (other, _) => {
            return errors.push(FieldError::not_supported(path, other, &["OnDelete", "RollingUpdate"]));
        }
    };
    let zero = int_or_string::from_int(0);
    let unavailable = rolling.max_unavailable.as_ref().unwrap_or(&zero);
    let surge = rolling.max_surge.as_ref().unwrap_or(&zero);
    let (at_unavailable, at_surge) = (at.child("maxUnavailable"), at.child("maxSurge"));
    count_or_percent(errors, at_unavailable, unavailable);
    count_or_percent(errors, at_surge, surge);
    at_most_whole(errors, at_unavailable, unavailable);
    at_most_whole(errors, at_surge, surge);
    let any = |value| int_or_string::percent(value).unwrap_or_else(|| int_or_string::int_value(value)) != 0;
    match (any(unavailable), any(surge)) {
        (true, true) => {
            errors.push(FieldError::invalid(at_surge, surge, "may not be set when maxUnavailable is non-zero"));
        }
        (false, false) => errors.push(FieldError::required(at_unavailable, "cannot be 0 when maxSurge is 0")),
        _ => {}
    }
}

/// A changed set is judged as a new one, then as a changed one: what is wrong with it is told twice.
pub fn update(errors: &mut Errors, new: &DaemonSet, old: &DaemonSet) {
    meta::create(errors, new);
    spec(errors, &new.spec);
    spec(errors, &new.spec);
    let selector = &new.spec.selector;
    immutable(errors, SPEC.child("selector"), *selector == old.spec.selector, JsonOpt(selector.as_ref()));
}

pub fn update_status(errors: &mut Errors, new: &DaemonSet, old: &DaemonSet) {
    let status = &new.status;
    for (field, count) in [
        ("currentNumberScheduled", i64::from(status.current_number_scheduled)),
        ("numberMisscheduled", i64::from(status.number_misscheduled)),
        ("desiredNumberScheduled", i64::from(status.desired_number_scheduled)),
        ("numberReady", i64::from(status.number_ready)),
        ("observedGeneration", status.observed_generation),
        ("updatedNumberScheduled", i64::from(status.updated_number_scheduled)),
        ("numberAvailable", i64::from(status.number_available)),
        ("numberUnavailable", i64::from(status.number_unavailable)),
    ] {
        not_negative(errors, STATUS.child(field), count);
    }
    workload::collisions(errors, status.collision_count, old.status.collision_count);
}
