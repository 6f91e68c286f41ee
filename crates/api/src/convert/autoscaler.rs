//! HorizontalPodAutoscalers as autoscaling/v1 shows what is stored as autoscaling/v2.
//!
//! v1 has a field for the CPU's utilization only; all other metrics, the scaling behavior, the conditions and the current
//! metrics travel in annotations of upstream's names, so that a client of v1 loses nothing when it writes back what it
//! read.

mod behavior;
mod metrics;

use std::collections::BTreeMap;

use proto::Reflect;
use proto::autoscaling::{v1, v2};
use proto::dynamic::DynObject;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// autoscaling/v2 to autoscaling/v1.
pub fn to_v1(object: &dyn DynObject) -> Option<Box<dyn DynObject>> {
    let scaler = object.downcast_ref::<v2::HorizontalPodAutoscaler>()?;
    let (spec, status) = (&scaler.spec, &scaler.status);
    let mut metadata = scaler.metadata.clone();
    let annotations = &mut metadata.annotations;
    let others = spec.metrics.iter().filter(|metric| metrics::cpu_target(metric).is_none());
    set(annotations, METRICS, others.map(metrics::spec_to_v1));
    set(annotations, CURRENT_METRICS, status.current_metrics.iter().map(metrics::status_to_v1));
    set(annotations, CONDITIONS, status.conditions.iter().map(condition_to_v1));
    if let Some(behavior) = &spec.behavior {
        annotations.insert(BEHAVIOR.to_owned(), behavior::text(behavior));
    }
    Some(Box::new(v1::HorizontalPodAutoscaler {
        metadata,
        spec: v1::HorizontalPodAutoscalerSpec {
            scale_target_ref: metrics::reference_to_v1(&spec.scale_target_ref),
            min_replicas: spec.min_replicas,
            max_replicas: spec.max_replicas,
            target_cpu_utilization_percentage: spec.metrics.iter().find_map(metrics::cpu_target),
        },
        status: v1::HorizontalPodAutoscalerStatus {
            observed_generation: status.observed_generation,
            last_scale_time: status.last_scale_time,
            current_replicas: status.current_replicas,
            desired_replicas: status.desired_replicas,
            current_cpu_utilization_percentage: status.current_metrics.iter().find_map(metrics::cpu_current),
        },
    }))
}

/// autoscaling/v1 to autoscaling/v2. An annotation that cannot be read is dropped, as upstream.
pub fn to_v2(object: &dyn DynObject) -> Option<Box<dyn DynObject>> {
    let scaler = object.downcast_ref::<v1::HorizontalPodAutoscaler>()?;
    let (spec, status) = (&scaler.spec, &scaler.status);
    let mut metadata = scaler.metadata.clone();
    let annotations = &mut metadata.annotations;
    let mut wanted: Vec<v2::MetricSpec> = take(annotations, METRICS, metrics::spec_to_v2);
    wanted.extend(spec.target_cpu_utilization_percentage.map(metrics::cpu_metric));
    let current_metrics = take(annotations, CURRENT_METRICS, metrics::status_to_v2);
    let conditions = take(annotations, CONDITIONS, condition_to_v2);
    let behavior = annotations.remove(BEHAVIOR).and_then(|text| behavior::read(&text));
    Some(Box::new(v2::HorizontalPodAutoscaler {
        metadata,
        spec: v2::HorizontalPodAutoscalerSpec {
            scale_target_ref: metrics::reference_to_v2(&spec.scale_target_ref),
            min_replicas: spec.min_replicas,
            max_replicas: spec.max_replicas,
            metrics: wanted,
            behavior,
        },
        status: v2::HorizontalPodAutoscalerStatus {
            observed_generation: status.observed_generation,
            last_scale_time: status.last_scale_time,
            current_replicas: status.current_replicas,
            desired_replicas: status.desired_replicas,
            current_metrics,
            conditions,
        },
    }))
}

/// Writes items as a JSON array into an annotation; nothing where there are none.
fn set<T: Reflect>(annotations: &mut BTreeMap<String, String>, name: &str, items: impl Iterator<Item = T>) {
    let items: Vec<String> = items.map(|item| proto::json::to_string(&item)).collect();
    if !items.is_empty() {
        annotations.insert(name.to_owned(), format!("[{}]", items.join(",")));
    }
}

/// Takes an annotation away and reads its JSON array.
fn take<T: Reflect + Default, U>(
    annotations: &mut BTreeMap<String, String>,
    name: &str,
    convert: impl Fn(&T) -> U,
) -> Vec<U> {
    let text = annotations.remove(name).unwrap_or_default();
    let values: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap_or_default();
    let items: Result<Vec<T>, _> = values.into_iter().map(proto::json::from_value).collect();
    items.unwrap_or_default().iter().map(convert).collect()
}

fn condition_to_v1(condition: &v2::HorizontalPodAutoscalerCondition) -> v1::HorizontalPodAutoscalerCondition {
    v1::HorizontalPodAutoscalerCondition {
        r#type: condition.r#type.clone(),
        status: condition.status.clone(),
        last_transition_time: condition.last_transition_time,
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    }
}

fn condition_to_v2(condition: &v1::HorizontalPodAutoscalerCondition) -> v2::HorizontalPodAutoscalerCondition {
    v2::HorizontalPodAutoscalerCondition {
        r#type: condition.r#type.clone(),
        status: condition.status.clone(),
        last_transition_time: condition.last_transition_time,
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    }
}

#[cfg(test)]
mod tests;
