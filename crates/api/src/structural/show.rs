//! Values as texts of refusals show them.

use serde_json::Value;

use super::number::Real;

/// A text in quotes.
pub fn shown(text: &str) -> String {
    crate::status::quoted(text)
}

/// Texts in quotes, numbers and booleans bare, all else as JSON.
pub fn show(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        Value::Number(number) => Real::of(number).text(),
        _ => value.to_string(),
    }
}
