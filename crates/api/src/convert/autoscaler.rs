//! HorizontalPodAutoscalers as autoscaling/v1 shows what is stored as autoscaling/v2.
//!
//! v1 has a field for the CPU's utilization only; the scaling behavior travels in an annotation. Other metrics and
//! conditions are not shown in v1 yet: no controller of ours reads v1.

use proto::autoscaling::{v1, v2};
use proto::dynamic::DynObject;
use serde_json::{Value, json};

const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// autoscaling/v2 to autoscaling/v1.
pub fn to_v1(object: &dyn DynObject) -> Option<Box<dyn DynObject>> {
    let scaler = object.downcast_ref::<v2::HorizontalPodAutoscaler>()?;
    let mut metadata = scaler.metadata.clone();
    if let Some(behavior) = &scaler.spec.behavior {
        metadata.annotations.insert(BEHAVIOR.to_owned(), behavior_text(behavior));
    }
    let target = &scaler.spec.scale_target_ref;
    Some(Box::new(v1::HorizontalPodAutoscaler {
        metadata,
        spec: v1::HorizontalPodAutoscalerSpec {
            scale_target_ref: v1::CrossVersionObjectReference {
                kind: target.kind.clone(),
                name: target.name.clone(),
                api_version: target.api_version.clone(),
            },
            min_replicas: scaler.spec.min_replicas,
            max_replicas: scaler.spec.max_replicas,
            target_cpu_utilization_percentage: scaler.spec.metrics.iter().find_map(cpu_utilization),
        },
        status: v1::HorizontalPodAutoscalerStatus {
            observed_generation: scaler.status.observed_generation,
            last_scale_time: scaler.status.last_scale_time,
            current_replicas: scaler.status.current_replicas,
            desired_replicas: scaler.status.desired_replicas,
            current_cpu_utilization_percentage: None,
        },
    }))
}

fn cpu_utilization(metric: &v2::MetricSpec) -> Option<i32> {
    let resource = metric.resource.as_ref().filter(|resource| resource.name == "cpu")?;
    resource.target.average_utilization
}

/// The behavior as the annotation holds it: Go's field names, the order of upstream's struct.
fn behavior_text(behavior: &v2::HorizontalPodAutoscalerBehavior) -> String {
    let mut text = String::from("{");
    for (name, rules) in [("ScaleUp", &behavior.scale_up), ("ScaleDown", &behavior.scale_down)] {
        let comma = if name == "ScaleUp" { "," } else { "" };
        match rules {
            None => text.push_str(&format!("\"{name}\":null{comma}")),
            Some(rules) => text.push_str(&format!("\"{name}\":{}{comma}", rules_text(rules))),
        }
    }
    text.push('}');
    text
}

fn rules_text(rules: &v2::HpaScalingRules) -> String {
    let policies: Vec<String> = rules
        .policies
        .iter()
        .map(|policy| {
            let kind = json!(policy.r#type);
            format!("{{\"Type\":{kind},\"Value\":{},\"PeriodSeconds\":{}}}", policy.value, policy.period_seconds)
        })
        .collect();
    let window = rules.stabilization_window_seconds.map_or(Value::Null, Value::from);
    let select = json!(rules.select_policy);
    let tolerance = rules.tolerance.as_ref().map_or(Value::Null, |tolerance| json!(tolerance.string));
    format!(
        "{{\"StabilizationWindowSeconds\":{window},\"SelectPolicy\":{select},\"Policies\":[{}],\"Tolerance\":{tolerance}}}",
        policies.join(",")
    )
}
