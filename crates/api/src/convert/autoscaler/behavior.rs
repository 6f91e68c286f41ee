//! The scaling behavior as its annotation holds it: Go's field names, in the order of upstream's struct.

use proto::autoscaling::v2;
use serde_json::{Value, json};

pub fn text(behavior: &v2::HorizontalPodAutoscalerBehavior) -> String {
    let rules = |rules: &Option<v2::HpaScalingRules>| rules.as_ref().map_or("null".to_owned(), rules_text);
    format!("{{\"ScaleUp\":{},\"ScaleDown\":{}}}", rules(&behavior.scale_up), rules(&behavior.scale_down))
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

/// `None`: the annotation holds something else.
pub fn read(text: &str) -> Option<v2::HorizontalPodAutoscalerBehavior> {
    let value: Value = serde_json::from_str(text).ok()?;
    let behavior = value.as_object()?;
    let rules = |name: &str| match behavior.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(rules) => read_rules(rules).map(Some),
    };
    Some(v2::HorizontalPodAutoscalerBehavior { scale_up: rules("ScaleUp")?, scale_down: rules("ScaleDown")? })
}

fn read_rules(value: &Value) -> Option<v2::HpaScalingRules> {
    let policies = match &value["Policies"] {
        Value::Null => Vec::new(),
        list => list.as_array()?.iter().map(read_policy).collect::<Option<Vec<_>>>()?,
    };
    Some(v2::HpaScalingRules {
        stabilization_window_seconds: number(&value["StabilizationWindowSeconds"]),
        select_policy: value["SelectPolicy"].as_str().map(str::to_owned),
        policies,
        tolerance: value["Tolerance"].as_str().map(|text| proto::Quantity { string: text.to_owned() }),
    })
}

fn read_policy(value: &Value) -> Option<v2::HpaScalingPolicy> {
    Some(v2::HpaScalingPolicy {
        r#type: value["Type"].as_str()?.to_owned(),
        value: number(&value["Value"])?,
        period_seconds: number(&value["PeriodSeconds"])?,
    })
}

fn number(value: &Value) -> Option<i32> {
    value.as_i64().and_then(|number| i32::try_from(number).ok())
}
