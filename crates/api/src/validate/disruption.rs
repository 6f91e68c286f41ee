//! Validation of PodDisruptionBudgets.

use proto::policy::v1::PodDisruptionBudget;

use super::check::{Errors, at_most_whole, count_or_percent, label_selector_opt, not_negative, one_of_opt};
use super::error::Json;
use super::{FieldError, Path};

const SPEC: Path<'static> = Path::root("spec");

pub fn create(errors: &mut Errors, budget: &PodDisruptionBudget) {
    let spec = &budget.spec;
    if spec.min_available.is_some() && spec.max_unavailable.is_some() {
        let why = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid(SPEC, Json(spec), why));
    }
    for (field, value) in [("minAvailable", &spec.min_available), ("maxUnavailable", &spec.max_unavailable)] {
        if let Some(value) = value {
            count_or_percent(errors, SPEC.child(field), value);
            at_most_whole(errors, SPEC.child(field), value);
        }
    }
    label_selector_opt(errors, SPEC.child("selector"), spec.selector.as_ref());
    let policies = &["AlwaysAllow", "IfHealthyBudget"];
    one_of_opt(errors, SPEC.child("unhealthyPodEvictionPolicy"), spec.unhealthy_pod_eviction_policy.as_ref(), policies);
}

pub fn update_status(errors: &mut Errors, new: &PodDisruptionBudget) {
    let path = Path::root("status");
    let status = &new.status;
    super::conditions::list(errors, path.child("conditions"), &status.conditions);
    for (field, count) in [
        ("disruptionsAllowed", status.disruptions_allowed),
        ("currentHealthy", status.current_healthy),
        ("desiredHealthy", status.desired_healthy),
        ("expectedPods", status.expected_pods),
    ] {
        not_negative(errors, path.child(field), i64::from(count));
    }
}
