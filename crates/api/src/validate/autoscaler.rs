//! Validation of HorizontalPodAutoscalers.

use proto::autoscaling::v1;
use proto::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HpaScalingRules, MetricIdentifier, MetricSpec, MetricTarget,
};

use super::check::{
    Errors, amount_not_negative, label_selector_opt, not_negative, one_of, one_of_opt, positive, required_shape,
};
use super::{FieldError, Path};
use crate::name;

const SPEC: Path<'static> = Path::root("spec");
const STABILIZATION_SECONDS_MAX: i32 = 3600;
const PERIOD_SECONDS_MAX: i32 = 1800;
const TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];

pub fn create(errors: &mut Errors, autoscaler: &HorizontalPodAutoscaler) {
    let spec = &autoscaler.spec;
    replicas(errors, spec.min_replicas, spec.max_replicas);
    reference(errors, SPEC.child("scaleTargetRef"), &spec.scale_target_ref, false);
    let path = SPEC.child("metrics");
    let beyond = |metric: &MetricSpec| matches!(metric.r#type.as_str(), "Object" | "External");
    if spec.min_replicas == Some(0) && !spec.metrics.iter().any(beyond) {
        let why = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(FieldError::forbidden(path, why));
    }
    for (index, metric) in spec.metrics.iter().enumerate() {
        self::metric(errors, path.index(index), metric);
    }
    let Some(behavior) = &spec.behavior else { return };
    let path = SPEC.child("behavior");
    for (field, rules) in [("scaleUp", &behavior.scale_up), ("scaleDown", &behavior.scale_down)] {
        if let Some(rules) = rules {
            scaling(errors, path.child(field), rules);
        }
    }
}

fn replicas(errors: &mut Errors, min: Option<i32>, max: i32) {
    if let Some(min) = min.filter(|min| *min < 1) {
        errors.push(FieldError::invalid(SPEC.child("minReplicas"), min, "must be greater than or equal to 1"));
    }
    let path = SPEC.child("maxReplicas");
    match max {
        0 => errors.push(FieldError::required(path, "must be set and greater than 0")),
        _ => positive(errors, path, i64::from(max)),
    }
    if min.is_some_and(|min| max < min) {
        errors.push(FieldError::invalid(path, max, "must be greater than or equal to `minReplicas`"));
    }
}

/// The older version of the kind, which knows no metric but CPU.
pub fn create_v1(errors: &mut Errors, autoscaler: &v1::HorizontalPodAutoscaler) {
    let spec = &autoscaler.spec;
    replicas(errors, spec.min_replicas, spec.max_replicas);
    let target = CrossVersionObjectReference {
        kind: spec.scale_target_ref.kind.clone(),
        name: spec.scale_target_ref.name.clone(),
        api_version: spec.scale_target_ref.api_version.clone(),
    };
    reference(errors, SPEC.child("scaleTargetRef"), &target, false);
    if let Some(percent) = spec.target_cpu_utilization_percentage {
        positive(errors, SPEC.child("targetCPUUtilizationPercentage"), i64::from(percent));
    }
}

fn reference(errors: &mut Errors, path: Path<'_>, target: &CrossVersionObjectReference, core: bool) {
    required_shape(errors, path.child("kind"), &target.kind, name::path_segment);
    required_shape(errors, path.child("name"), &target.name, name::path_segment);
    let path = path.child("apiVersion");
    let version = &target.api_version;
    match version.split('/').collect::<Vec<_>>().as_slice() {
        [""] if !core => errors.push(FieldError::invalid(path, version, "apiVersion must specify API group")),
        [_] | [_, _] => {}
        _ => errors.push(FieldError::invalid(path, version, format!("unexpected GroupVersion string: {version}"))),
    }
}

fn metric(errors: &mut Errors, path: Path<'_>, metric: &MetricSpec) {
    if metric.r#type.is_empty() {
        errors.push(FieldError::required(path.child("type"), "must specify a metric source type"));
    }
    one_of(errors, path.child("type"), &metric.r#type, TYPES);
    let sources = [
        ("object", "Object", metric.object.is_some()),
        ("external", "External", metric.external.is_some()),
        ("pods", "Pods", metric.pods.is_some()),
        ("resource", "Resource", metric.resource.is_some()),
        ("containerResource", "ContainerResource", metric.container_resource.is_some()),
    ];
    let mut given = sources.iter().filter(|(.., given)| *given);
    if let Some((field, ..)) = given.next() {
        source(errors, path.child(field), metric);
    }
    match sources.iter().find(|(_, kind, _)| *kind == metric.r#type) {
        Some((field, _, false)) => {
            let why = "must populate information for the given metric source";
            errors.push(FieldError::required(path.child(field), why));
        }
        Some(_) => {}
        None => one_of(errors, path.child("type"), &metric.r#type, TYPES),
    }
    if sources.iter().filter(|(.., given)| *given).count() > 1 {
        for (field, ..) in sources.iter().filter(|(_, kind, given)| *given && *kind != metric.r#type) {
            let why = "must populate the given metric source only";
            errors.push(FieldError::forbidden(path.child(field), why));
        }
    }
}

/// The first source that a metric has.
fn source(errors: &mut Errors, path: Path<'_>, metric: &MetricSpec) {
    let either = "must set either a target value for metric or a per-pod target";
    let at = path.child("target");
    if let Some(object) = &metric.object {
        reference(errors, path.child("describedObject"), &object.described_object, true);
        identifier(errors, path.child("metric"), &object.metric);
        target(errors, at, &object.target);
        if object.target.value.is_none() && object.target.average_value.is_none() {
            errors.push(FieldError::required(at.child("averageValue"), either));
        }
    } else if let Some(external) = &metric.external {
        identifier(errors, path.child("metric"), &external.metric);
        target(errors, at, &external.target);
        match (&external.target.value, &external.target.average_value) {
            (None, None) => errors.push(FieldError::required(at.child("averageValue"), either)),
            (Some(_), Some(_)) => {
                let why = "may not set both a target value for metric and a per-pod target";
                errors.push(FieldError::forbidden(at.child("value"), why));
            }
            _ => {}
        }
    } else if let Some(pods) = &metric.pods {
        identifier(errors, path.child("metric"), &pods.metric);
        target(errors, at, &pods.target);
        if !is_positive(pods.target.average_value.as_ref()) {
            let why = "must specify a positive target averageValue";
            errors.push(FieldError::required(at.child("averageValue"), why));
        }
    } else if let Some(resource) = &metric.resource {
        resource_source(errors, path, &resource.name, &resource.target);
    } else if let Some(resource) = &metric.container_resource {
        if resource.container.is_empty() {
            errors.push(FieldError::required(path.child("container"), "must specify a container"));
        }
        resource_source(errors, path, &resource.name, &resource.target);
    }
}

fn is_positive(quantity: Option<&proto::Quantity>) -> bool {
    quantity.is_some_and(|quantity| !quantity.amount().is_negative() && !quantity.amount().is_zero())
}

fn resource_source(errors: &mut Errors, path: Path<'_>, name: &str, target: &MetricTarget) {
    if name.is_empty() {
        errors.push(FieldError::required(path.child("name"), "must specify a resource name"));
    }
    let path = path.child("target");
    self::target(errors, path, target);
    match (target.average_utilization, &target.average_value) {
        (None, None) => {
            let why = "must set either a target raw value or a target utilization";
            errors.push(FieldError::required(path.child("averageUtilization"), why));
        }
        (Some(_), Some(_)) => {
            let why = "may not set both a target raw value and a target utilization";
            errors.push(FieldError::forbidden(path.child("averageValue"), why));
        }
        _ => {}
    }
}

fn target(errors: &mut Errors, path: Path<'_>, target: &MetricTarget) {
    let kind = &target.r#type;
    if kind.is_empty() {
        errors.push(FieldError::required(path.child("type"), "must specify a metric target type"));
    }
    if !matches!(kind.as_str(), "Utilization" | "Value" | "AverageValue") {
        let why = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(path.child("type"), kind, why));
    }
    if let Some(percent) = target.average_utilization {
        positive(errors, path.child("averageUtilization"), i64::from(percent));
    }
    for (field, value) in [("value", &target.value), ("averageValue", &target.average_value)] {
        if let Some(value) = value
            && !is_positive(Some(value))
        {
            errors.push(FieldError::invalid(path.child(field), value, "must be positive"));
        }
    }
}

fn identifier(errors: &mut Errors, path: Path<'_>, metric: &MetricIdentifier) {
    if metric.name.is_empty() {
        errors.push(FieldError::required(path.child("name"), "must specify a metric name"));
    } else {
        super::check::shape(errors, path.child("name"), &metric.name, name::path_segment);
    }
    label_selector_opt(errors, path.child("selector"), metric.selector.as_ref());
}

fn scaling(errors: &mut Errors, path: Path<'_>, rules: &HpaScalingRules) {
    let at_most = |errors: &mut Errors, path: Path<'_>, value: i32, max: i32| {
        if value > max {
            errors.push(FieldError::invalid(path, value, format!("must be less than or equal to {max}")));
        }
    };
    if let Some(seconds) = rules.stabilization_window_seconds {
        not_negative(errors, path.child("stabilizationWindowSeconds"), i64::from(seconds));
        at_most(errors, path.child("stabilizationWindowSeconds"), seconds, STABILIZATION_SECONDS_MAX);
    }
    one_of_opt(errors, path.child("selectPolicy"), rules.select_policy.as_ref(), &["Disabled", "Max", "Min"]);
    amount_not_negative(errors, path.child("tolerance"), rules.tolerance.as_ref());
    let path = path.child("policies");
    if rules.policies.is_empty() {
        errors.push(FieldError::required(path, "must specify at least one Policy"));
    }
    for (index, policy) in rules.policies.iter().enumerate() {
        let path = path.index(index);
        one_of(errors, path.child("type"), &policy.r#type, &["Percent", "Pods"]);
        positive(errors, path.child("value"), i64::from(policy.value));
        positive(errors, path.child("periodSeconds"), i64::from(policy.period_seconds));
        at_most(errors, path.child("periodSeconds"), policy.period_seconds, PERIOD_SECONDS_MAX);
    }
}

pub fn update_status(errors: &mut Errors, new: &HorizontalPodAutoscaler) {
    let path = Path::root("status");
    not_negative(errors, path.child("currentReplicas"), i64::from(new.status.current_replicas));
    not_negative(errors, path.child("desiredReplicas"), i64::from(new.status.desired_replicas));
}
