//! A JSON value against its schema, where a whole validator would be more than a default needs.

use proto::apiextensions::v1::JsonSchemaProps;
use serde_json::Value;

use super::DEPTH_MAX;
use crate::validate::check::Errors;
use crate::validate::{FieldError, Path};

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

pub fn check(errors: &mut Errors, path: Path<'_>, value: &Value, schema: &JsonSchemaProps, depth: usize) {
    if depth > DEPTH_MAX || (value.is_null() && schema.nullable) {
        return;
    }
    let (found, wanted) = (kind(value), schema.r#type.as_str());
    let fits = found == wanted
        || wanted.is_empty()
        || (wanted == "number" && found == "integer")
        || (schema.x_kubernetes_int_or_string && matches!(found, "integer" | "string"));
    if !fits {
        let why = format!(" in body must be of type {wanted}: \"{found}\"");
        errors.push(FieldError::type_invalid(path, found, why));
        return;
    }
    if !schema.r#enum.is_empty() {
        let allowed: Vec<Value> =
            schema.r#enum.iter().filter_map(|one| serde_json::from_slice(&one.raw).ok()).collect();
        if !allowed.contains(value) {
            let words: Vec<String> = allowed.iter().map(|one| one.to_string().trim_matches('"').to_owned()).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let shown = value.to_string();
            errors.push(FieldError::not_supported(path, shown.trim_matches('"'), &words));
        }
    }
    match value {
        Value::String(text) => self::text(errors, path, text, schema),
        Value::Number(number) => self::number(errors, path, number.as_f64().unwrap_or_default(), schema),
        Value::Array(items) => list(errors, path, items, schema, depth),
        Value::Object(fields) => object(errors, path, fields, schema, depth),
        Value::Null | Value::Bool(_) => {}
    }
}

fn length(limit: Option<i64>) -> Option<usize> {
    limit.and_then(|limit| usize::try_from(limit).ok())
}

fn text(errors: &mut Errors, path: Path<'_>, text: &str, schema: &JsonSchemaProps) {
    let count = text.chars().count();
    if let Some(max) = length(schema.max_length).filter(|max| count > *max) {
        errors.push(FieldError::too_long(path, max));
    }
    if let Some(min) = length(schema.min_length).filter(|min| count < *min) {
        let why = format!(" in body should be at least {min} chars long");
        errors.push(FieldError::invalid(path, text, why));
    }
    if !schema.pattern.is_empty() && regex::Regex::new(&schema.pattern).is_ok_and(|pattern| !pattern.is_match(text)) {
        errors.push(FieldError::invalid(path, text, format!(" in body should match '{}'", schema.pattern)));
    }
}

fn number(errors: &mut Errors, path: Path<'_>, number: f64, schema: &JsonSchemaProps) {
    let shown = number.to_string();
    let mut wrong = |why: String| errors.push(FieldError::invalid(path, shown.as_str(), why));
    if let Some(max) = schema.maximum
        && (number > max || (schema.exclusive_maximum && number >= max))
    {
        wrong(format!(" in body should be less than or equal to {max}"));
    }
    if let Some(min) = schema.minimum
        && (number < min || (schema.exclusive_minimum && number <= min))
    {
        wrong(format!(" in body should be greater than or equal to {min}"));
    }
    if let Some(step) = schema.multiple_of.filter(|step| *step > 0.0)
        && (number / step).fract() != 0.0
    {
        wrong(format!(" in body should be a multiple of {step}"));
    }
}

fn list(errors: &mut Errors, path: Path<'_>, items: &[Value], schema: &JsonSchemaProps, depth: usize) {
    if let Some(max) = length(schema.max_items).filter(|max| items.len() > *max) {
        errors.push(FieldError::too_many(path, items.len(), max));
    }
    if let Some(min) = length(schema.min_items).filter(|min| items.len() < *min) {
        let why = format!(" in body should have at least {min} items");
        errors.push(FieldError::invalid(path, items.len(), why));
    }
    let Some(inner) = schema.items.as_ref().and_then(|items| items.schema.as_ref()) else { return };
    for (index, item) in items.iter().enumerate() {
        check(errors, path.index(index), item, inner, depth + 1);
    }
}

fn object(
    errors: &mut Errors,
    path: Path<'_>,
    fields: &serde_json::Map<String, Value>,
    schema: &JsonSchemaProps,
    depth: usize,
) {
    if let Some(max) = length(schema.max_properties).filter(|max| fields.len() > *max) {
        errors.push(FieldError::too_many(path, fields.len(), max));
    }
    if let Some(min) = length(schema.min_properties).filter(|min| fields.len() < *min) {
        let why = format!(" in body should have at least {min} properties");
        errors.push(FieldError::invalid(path, fields.len(), why));
    }
    let additional = schema.additional_properties.as_ref();
    for (name, value) in fields {
        match (schema.properties.get(name), additional.and_then(|additional| additional.schema.as_ref())) {
            (Some(inner), _) => check(errors, path.child(name), value, inner, depth + 1),
            (None, Some(inner)) => check(errors, path.key(name), value, inner, depth + 1),
            (None, None) if schema.x_kubernetes_preserve_unknown_fields.is_none() && additional.is_none() => {
                let why = format!("must not have unknown field {name}");
                errors.push(FieldError::invalid(path, name, why));
            }
            (None, None) => {}
        }
    }
    for name in schema.required.iter().filter(|name| {
        let default = schema.properties.get(*name).and_then(|property| property.default.as_ref());
        !fields.contains_key(*name) && default.is_none()
    }) {
        errors.push(FieldError::required(path.child(name), ""));
    }
}
