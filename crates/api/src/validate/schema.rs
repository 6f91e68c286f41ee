//! Validation of the schemas of custom resources: they are structural, so that every field's type is known.

mod complete;
mod rules;
mod structure;

use std::collections::BTreeSet;

use proto::apiextensions::v1::{JsonSchemaProps, ValidationRule};

use super::check::{Errors, one_of_opt};
use super::{FieldError, Path};
use crate::structural::{self, pattern};

/// Schemas within schemas; more would be a threat to the stack.
const DEPTH_MAX: usize = 64;
const REASONS: &[&str] = &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// The schema of a whole resource.
pub fn root(errors: &mut Errors, path: Path<'_>, schema: &JsonSchemaProps) {
    let before = errors.len();
    if schema.nullable {
        errors.push(FieldError::forbidden(path.child("nullable"), "nullable cannot be true at the root"));
    }
    open_api(errors, path, schema, 0);
    if errors.len() > before {
        return;
    }
    structure::root(errors, path, schema);
    complete::check(errors, path, schema, 0);
    if errors.len() == before {
        rules::check(errors, path, schema);
        defaults(errors, path, schema, 0);
    }
}

/// What may be written in a schema at all.
fn open_api(errors: &mut Errors, path: Path<'_>, schema: &JsonSchemaProps, depth: usize) {
    if depth > DEPTH_MAX {
        errors.push(FieldError::invalid(path, depth, "the schema is nested too deeply"));
        return;
    }
    unsupported(errors, path, schema);
    if schema.unique_items {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(path.child("uniqueItems"), why));
    }
    if let Some(additional) = &schema.additional_properties {
        let at = path.child("additionalProperties");
        if !schema.properties.is_empty() && (additional.schema.is_some() || !additional.allows) {
            errors.push(FieldError::forbidden(at, "additionalProperties and properties are mutual exclusive"));
        }
        if let Some(inner) = &additional.schema {
            open_api(errors, at, inner, depth + 1);
        }
    }
    let at = path.child("properties");
    for (name, property) in &schema.properties {
        open_api(errors, at.key(name), property, depth + 1);
    }
    if let Some(not) = &schema.not {
        open_api(errors, path.child("not"), not, depth + 1);
    }
    for (field, list) in [("allOf", &schema.all_of), ("oneOf", &schema.one_of), ("anyOf", &schema.any_of)] {
        let at = path.child(field);
        for (index, inner) in list.iter().enumerate() {
            open_api(errors, at.index(index), inner, depth + 1);
        }
    }
    if let Some(inner) = schema.items.as_ref().and_then(|items| items.schema.as_ref()) {
        open_api(errors, path.child("items"), inner, depth + 1);
    }
    if schema.x_kubernetes_preserve_unknown_fields == Some(false) {
        let at = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(at, false, "must be true or undefined"));
    }
    collections(errors, path, schema);
    if !schema.pattern.is_empty()
        && let Err(error) = pattern::compile(&schema.pattern)
    {
        let why = pattern::complaint(&schema.pattern, &error);
        let why = format!("must be a valid regular expression, but isn't: error parsing regexp: {why}");
        errors.push(FieldError::invalid(path.child("pattern"), &schema.pattern, why));
    }
    let at = path.child("x-kubernetes-validations");
    for (index, rule) in schema.x_kubernetes_validations.iter().enumerate() {
        self::rule(errors, at.index(index), rule);
    }
}

fn unsupported(errors: &mut Errors, path: Path<'_>, schema: &JsonSchemaProps) {
    for (field, given) in [
        ("id", !schema.id.is_empty()),
        ("additionalItems", schema.additional_items.is_some()),
        ("patternProperties", !schema.pattern_properties.is_empty()),
        ("definitions", !schema.definitions.is_empty()),
        ("dependencies", !schema.dependencies.is_empty()),
        ("$ref", schema.r#ref.is_some()),
    ] {
        if given {
            errors.push(FieldError::forbidden(path.child(field), format!("{field} is not supported")));
        }
    }
    match schema.r#type.as_str() {
        "null" => {
            let why = "type cannot be set to null, use nullable as an alternative";
            errors.push(FieldError::forbidden(path.child("type"), why));
        }
        "" | "array" | "boolean" | "integer" | "number" | "object" | "string" => {}
        other => {
            let types = &["array", "boolean", "integer", "number", "object", "string"];
            errors.push(FieldError::not_supported(path.child("type"), other, types));
        }
    }
    if schema.items.as_ref().is_some_and(|items| !items.j_son_schemas.is_empty()) {
        let why = "items must be a schema object and not an array";
        errors.push(FieldError::forbidden(path.child("items"), why));
    }
}

/// How lists and maps are merged.
fn collections(errors: &mut Errors, path: Path<'_>, schema: &JsonSchemaProps) {
    let kind = |errors: &mut Errors, wanted: &str, extension: &str| {
        let why = format!("must be {wanted} if {extension} is specified");
        match schema.r#type.as_str() {
            "" => errors.push(FieldError::required(path.child("type"), why)),
            found if found != wanted => errors.push(FieldError::invalid(path.child("type"), found, why)),
            _ => {}
        }
    };
    let map_type = schema.x_kubernetes_map_type.as_ref();
    if map_type.is_some() {
        kind(errors, "object", "x-kubernetes-map-type");
        one_of_opt(errors, path.child("x-kubernetes-map-type"), map_type, &["atomic", "granular"]);
    }
    let list_type = schema.x_kubernetes_list_type.as_ref();
    if list_type.is_some() {
        kind(errors, "array", "x-kubernetes-list-type");
        one_of_opt(errors, path.child("x-kubernetes-list-type"), list_type, &["atomic", "map", "set"]);
    }
    let (at, keys) = (path.child("x-kubernetes-list-type"), &schema.x_kubernetes_list_map_keys);
    let why = "must be map if x-kubernetes-list-map-keys is non-empty";
    match list_type.map(String::as_str) {
        Some("map") => map_list(errors, path, schema),
        Some("set") if keys.is_empty() => set_list(errors, path, schema),
        _ if keys.is_empty() => {}
        None => errors.push(FieldError::required(at, why)),
        Some(other) => errors.push(FieldError::invalid(at, other, why)),
    }
}

/// A list whose items are told apart by what they are: they are plain, or one value each.
fn set_list(errors: &mut Errors, path: Path<'_>, schema: &JsonSchemaProps) {
    let Some(items) = schema.items.as_ref().and_then(|items| items.schema.as_ref()) else { return };
    let path = path.child("items");
    if items.nullable {
        let why = "cannot be nullable when x-kubernetes-list-type is set";
        errors.push(FieldError::forbidden(path.child("nullable"), why));
    }
    let (field, found) = match items.r#type.as_str() {
        "array" => ("x-kubernetes-list-type", &items.x_kubernetes_list_type),
        "object" => ("x-kubernetes-map-type", &items.x_kubernetes_map_type),
        _ => return,
    };
    let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
    match found.as_deref() {
        Some("atomic") => {}
        None => errors.push(FieldError::required(path.child(field), why)),
        Some(other) => errors.push(FieldError::invalid(path.child(field), other, why)),
    }
}

/// A list whose items are told apart by some of their fields.
fn map_list(errors: &mut Errors, path: Path<'_>, schema: &JsonSchemaProps) {
    let (at, keys) = (path.child("x-kubernetes-list-map-keys"), &schema.x_kubernetes_list_map_keys);
    if keys.is_empty() {
        errors.push(FieldError::required(at, "must not be empty if x-kubernetes-list-type is map"));
    }
    let Some(items) = schema.items.as_ref().and_then(|items| items.schema.as_ref()) else {
        let why = "must have a schema if x-kubernetes-list-type is map";
        errors.push(FieldError::required(path.child("items"), why));
        return;
    };
    let path = path.child("items");
    if items.r#type != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(path.child("type"), &items.r#type, why));
    }
    if items.nullable {
        let why = "cannot be nullable when x-kubernetes-list-type is map";
        errors.push(FieldError::forbidden(path.child("nullable"), why));
    }
    let mut seen = BTreeSet::new();
    for key in keys {
        if !seen.insert(key) {
            errors.push(FieldError::invalid(at, keys, "must not contain duplicate entries"));
        }
        let properties = path.child("properties");
        let here = properties.key(key);
        let Some(property) = items.properties.get(key) else {
            errors.push(FieldError::invalid(at, keys, "entries must all be names of item properties"));
            continue;
        };
        if matches!(property.r#type.as_str(), "array" | "object") {
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(here.child("type"), &property.r#type, why));
        }
        if property.nullable {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(here.child("nullable"), why));
        }
        if property.default.is_none() && !items.required.contains(key) {
            let why =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(here.child("default"), why));
        }
    }
}

/// What a rule says beside its expressions, which `rules` judges.
fn rule(errors: &mut Errors, path: Path<'_>, rule: &ValidationRule) {
    if rule.rule.trim().is_empty() {
        errors.push(FieldError::required(path.child("rule"), "rule is not specified"));
    }
    let (at, message) = (path.child("message"), rule.message.trim());
    if !rule.message.is_empty() && message.is_empty() {
        errors.push(FieldError::invalid(at, &rule.message, "message must be non-empty if specified"));
    } else if message.contains(['\n', '\r']) {
        errors.push(FieldError::invalid(at, &rule.message, "message must not contain line breaks"));
    } else if rule.rule.trim().contains(['\n', '\r']) && message.is_empty() {
        errors.push(FieldError::required(at, "message must be specified if rule contains line breaks"));
    }
    if !rule.message_expression.is_empty() && rule.message_expression.trim().is_empty() {
        let why = "messageExpression must be non-empty if specified";
        errors.push(FieldError::required(path.child("messageExpression"), why));
    }
    one_of_opt(errors, path.child("reason"), rule.reason.as_ref(), REASONS);
}

/// Each default is a value of its own schema.
fn defaults(errors: &mut Errors, path: Path<'_>, schema: &JsonSchemaProps, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    // A default of null says nothing.
    if let Some(default) = schema.default.as_ref()
        && let Ok(default) = serde_json::from_slice::<serde_json::Value>(&default.raw)
        && !default.is_null()
    {
        errors.extend(structural::default_errors(schema, &default, &path.child("default").to_string()));
    }
    let at = path.child("properties");
    for (name, property) in &schema.properties {
        defaults(errors, at.key(name), property, depth + 1);
    }
    if let Some(inner) = schema.items.as_ref().and_then(|items| items.schema.as_ref()) {
        defaults(errors, path.child("items"), inner, depth + 1);
    }
    if let Some(inner) = schema.additional_properties.as_ref().and_then(|additional| additional.schema.as_ref()) {
        defaults(errors, path.child("additionalProperties"), inner, depth + 1);
    }
}
