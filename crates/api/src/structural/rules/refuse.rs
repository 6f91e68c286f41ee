//! What is said of an object that a rule refuses.

use serde_json::Value;

use super::field_path::steps;
use crate::structural::node::{Additional, Node, Rule};
use crate::structural::place::Place;
use crate::structural::show::show;
use crate::validate::{FieldError, Reason};

/// A value as refusals show it; what is large is not shown.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) => String::new(),
        scalar => show(scalar),
    }
}

/// The rule's own words for it, or the rule.
fn words(rule: &Rule) -> String {
    match rule.message.trim() {
        "" => rule.rule.trim().to_owned(),
        message => message.to_owned(),
    }
}

/// The field at fault: where the rule stands, and from there where the rule says.
fn field(rule: &Rule, node: &Node, place: &Place<'_>) -> String {
    let base = place.field();
    let Some(steps) = steps(&rule.field_path).filter(|steps| !steps.is_empty()) else { return base };
    let mut field = if place.is_root() && base == "<nil>" { String::new() } else { base };
    let mut here = Some(node);
    for step in steps {
        let values = match here.map(|node| &node.additional) {
            Some(Additional::Of(values)) => Some(&**values),
            _ => None,
        };
        match values {
            Some(_) => field.push_str(&format!("[{step}]")),
            None if field.is_empty() => field.push_str(&step),
            None => {
                field.push('.');
                field.push_str(&step);
            }
        }
        here = values.or_else(|| here.and_then(|node| node.property(&step)));
    }
    field
}

/// The refusal of a value for which a rule does not hold.
pub fn refusal(rule: &Rule, message: Option<String>, node: &Node, value: &Value, place: &Place<'_>) -> FieldError {
    let field = field(rule, node, place);
    let detail = message.unwrap_or_else(|| match rule.message.trim() {
        "" => format!("failed rule: {}", rule.rule.trim()),
        message => message.to_owned(),
    });
    match rule.reason.as_deref() {
        Some("FieldValueForbidden") => FieldError::forbidden(field, detail),
        Some("FieldValueRequired") => FieldError::required(field, detail),
        Some("FieldValueDuplicate") => {
            FieldError { reason: Reason::Duplicate, field, value: shown(value), detail: String::new() }
        }
        _ => FieldError { reason: Reason::Invalid, field, value: shown(value), detail },
    }
}

/// A rule that could not be evaluated.
pub fn trouble(place: &Place<'_>, value: &Value, detail: String) -> FieldError {
    FieldError { reason: Reason::Invalid, field: place.field(), value: shown(value), detail }
}

/// Why a rule has no answer.
pub fn failed(rule: &Rule, error: &cel::Error) -> String {
    match error {
        cel::Error::NoOverload => format!(
            "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {}",
            words(rule)
        ),
        other => format!("{other} evaluating rule: {}", words(rule)),
    }
}

/// A rule that alone costs too much.
pub fn limit(rule: &Rule) -> String {
    format!(
        "'{}': no further validation rules will be run due to call cost exceeds limit for rule: {}",
        cel::Error::CostLimit,
        words(rule)
    )
}

/// All rules together cost too much.
pub fn out_of_budget(place: &Place<'_>, value: &Value) -> FieldError {
    let why = "validation failed due to running out of cost budget, no further validation rules will be run";
    trouble(place, value, why.to_owned())
}
