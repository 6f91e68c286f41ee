//! What makes a schema structural: each field has one type, and what logic says of it adds no fields.

use proto::apiextensions::v1::JsonSchemaProps;

use super::DEPTH_MAX;
use crate::validate::check::Errors;
use crate::validate::{FieldError, Path};

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

impl Level {
    fn why(self) -> &'static str {
        match self {
            Self::Root => "must not be empty at the root",
            Self::Item => "must not be empty for specified array items",
            Self::Field => "must not be empty for specified object fields",
        }
    }
}

pub fn root(errors: &mut Errors, path: Path<'_>, schema: &JsonSchemaProps) {
    one(errors, path, schema, Level::Root, 0);
}

fn one(errors: &mut Errors, path: Path<'_>, schema: &JsonSchemaProps, level: Level, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    if let Some(items) = schema.items.as_ref().and_then(|items| items.schema.as_ref()) {
        one(errors, path.child("items"), items, Level::Item, depth + 1);
    }
    let properties = path.child("properties");
    for (name, property) in &schema.properties {
        one(errors, properties.key(name), property, Level::Field, depth + 1);
    }
    if let Some(additional) = &schema.additional_properties {
        let at = path.child("additionalProperties");
        if level == Level::Root {
            errors.push(FieldError::forbidden(at, "must not be used at the root"));
        }
        if let Some(inner) = &additional.schema {
            one(errors, at, inner, Level::Field, depth + 1);
        }
    }
    kind(errors, path, schema, level);
    logic(errors, path, schema);
    if level == Level::Root || schema.x_kubernetes_embedded_resource {
        object(errors, path, schema, level);
    }
}

fn kind(errors: &mut Errors, path: Path<'_>, schema: &JsonSchemaProps, level: Level) {
    let kind = schema.r#type.as_str();
    let any = schema.x_kubernetes_int_or_string || schema.x_kubernetes_preserve_unknown_fields == Some(true);
    let embedded = "must be object if x-kubernetes-embedded-resource is true";
    match (schema.x_kubernetes_embedded_resource, kind) {
        (true, "") => errors.push(FieldError::required(path.child("type"), embedded)),
        (true, other) if other != "object" => {
            errors.push(FieldError::invalid(path.child("type"), other, embedded));
        }
        (false, "") if !any => errors.push(FieldError::required(path.child("type"), level.why())),
        _ => {}
    }
    if level == Level::Root && !matches!(kind, "" | "object") {
        errors.push(FieldError::invalid(path.child("type"), kind, "must be object at the root"));
    }
    if kind == "array" && schema.items.is_none() {
        errors.push(FieldError::required(path.child("items"), "must be specified"));
    }
    let empty = schema.properties.is_empty() && schema.x_kubernetes_preserve_unknown_fields.is_none();
    if schema.x_kubernetes_embedded_resource && empty && schema.additional_properties.is_none() {
        let why =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(path.child("properties"), why));
    }
}

/// A whole object has its type and metadata, of which only the name may be restricted.
fn object(errors: &mut Errors, path: Path<'_>, schema: &JsonSchemaProps, _level: Level) {
    let properties = path.child("properties");
    for field in ["kind", "apiVersion"] {
        if let Some(property) = schema.properties.get(field).filter(|property| property.r#type != "string") {
            let at = properties.key(field);
            errors.push(FieldError::invalid(at.child("type"), &property.r#type, "must be string"));
        }
    }
    let Some(metadata) = schema.properties.get("metadata") else { return };
    let at = properties.key("metadata");
    if metadata.r#type != "object" {
        errors.push(FieldError::invalid(at.child("type"), &metadata.r#type, "must be object"));
    }
    let named = metadata.properties.keys().all(|name| matches!(name.as_str(), "name" | "generateName"));
    if !named || metadata.additional_properties.is_some() {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(at, why));
    }
}

/// Conditions on a value bring neither types nor defaults of their own.
fn logic(errors: &mut Errors, path: Path<'_>, schema: &JsonSchemaProps) {
    // The two forms in which numbers or texts are written out.
    let either = |list: &[JsonSchemaProps]| {
        let types: Vec<&str> = list.iter().map(|one| one.r#type.as_str()).collect();
        types == ["integer", "string"]
    };
    let skip_any = schema.x_kubernetes_int_or_string && either(&schema.any_of);
    let skip_all = schema.x_kubernetes_int_or_string && schema.all_of.first().is_some_and(|one| either(&one.any_of));
    for (field, list) in [("allOf", &schema.all_of), ("anyOf", &schema.any_of), ("oneOf", &schema.one_of)] {
        let at = path.child(field);
        for (index, inner) in list.iter().enumerate() {
            let skipped = match field {
                "allOf" => skip_all && index == 0,
                "anyOf" => skip_any,
                _ => false,
            };
            if !skipped {
                nested(errors, at.index(index), inner, 0);
            }
        }
    }
    if let Some(inner) = &schema.not {
        nested(errors, path.child("not"), inner, 0);
    }
}

fn nested(errors: &mut Errors, path: Path<'_>, schema: &JsonSchemaProps, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    for (field, given) in [
        ("type", !schema.r#type.is_empty()),
        ("default", schema.default.is_some()),
        ("additionalProperties", schema.additional_properties.is_some()),
        ("title", !schema.title.is_empty()),
        ("description", !schema.description.is_empty()),
        ("nullable", schema.nullable),
        ("x-kubernetes-preserve-unknown-fields", schema.x_kubernetes_preserve_unknown_fields.is_some()),
        ("x-kubernetes-embedded-resource", schema.x_kubernetes_embedded_resource),
        ("x-kubernetes-int-or-string", schema.x_kubernetes_int_or_string),
        ("x-kubernetes-list-map-keys", !schema.x_kubernetes_list_map_keys.is_empty()),
        ("x-kubernetes-list-type", schema.x_kubernetes_list_type.is_some()),
        ("x-kubernetes-map-type", schema.x_kubernetes_map_type.is_some()),
    ] {
        if given {
            errors.push(FieldError::forbidden(path.child(field), "must be empty to be structural"));
        }
    }
    let properties = path.child("properties");
    if schema.properties.contains_key("metadata") {
        errors.push(FieldError::forbidden(properties.key("metadata"), "must not be specified in a nested context"));
    }
    for (name, property) in &schema.properties {
        nested(errors, properties.key(name), property, depth + 1);
    }
    if let Some(items) = schema.items.as_ref().and_then(|items| items.schema.as_ref()) {
        nested(errors, path.child("items"), items, depth + 1);
    }
    for (field, list) in [("allOf", &schema.all_of), ("anyOf", &schema.any_of), ("oneOf", &schema.one_of)] {
        let at = path.child(field);
        for (index, inner) in list.iter().enumerate() {
            nested(errors, at.index(index), inner, depth + 1);
        }
    }
    if let Some(inner) = &schema.not {
        nested(errors, path.child("not"), inner, depth + 1);
    }
}
