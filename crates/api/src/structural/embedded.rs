//! Whole Kubernetes objects within an object (`x-kubernetes-embedded-resource`): they have a type and metadata though
//! the schema does not name them.

use proto::meta::v1::ObjectMeta;
use serde_json::{Map, Value};

use super::node::{Additional, Node};
use super::prune::Trail;
use super::show::show;
use crate::name;
use crate::validate::{FieldError, Path, Reason, meta};

/// Drops what the metadata of objects within does not know, and tells the paths. Metadata that cannot be read stays.
pub fn prune(value: &mut Value, node: &Node) -> Vec<String> {
    let mut dropped = Vec::new();
    prune_one(value, node, &mut Trail::new(), &mut dropped);
    dropped
}

fn prune_one(value: &mut Value, node: &Node, trail: &mut Trail, dropped: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if node.embedded {
                metadata(fields, trail, dropped);
            }
            for (name, value) in fields.iter_mut() {
                let Some(inner) = node.field(name) else { continue };
                trail.field(name, |trail| prune_one(value, inner, trail, dropped));
            }
        }
        Value::Array(items) => {
            let Some(inner) = node.items.as_deref() else { return };
            for (index, item) in items.iter_mut().enumerate() {
                trail.item(index, |trail| prune_one(item, inner, trail, dropped));
            }
        }
        _ => {}
    }
}

fn metadata(fields: &mut Map<String, Value>, trail: &mut Trail, dropped: &mut Vec<String>) {
    let Some(found) = fields.get("metadata") else { return };
    let mut read = ObjectMeta::default();
    let Ok(decoded) = proto::json::value_into(found.clone(), &mut read) else { return };
    trail.field("metadata", |trail| {
        dropped.extend(decoded.unknown.iter().map(|path| trail.field(path, |trail| trail.text().to_owned())));
    });
    let mut clean = proto::json::to_value(&read);
    // A time that nobody set is none.
    if let Some(clean) = clean.as_object_mut() {
        clean.retain(|_, value| !value.is_null());
    }
    fields.insert("metadata".to_owned(), clean);
}

/// What is wrong with the objects within a whole object, which itself is judged elsewhere.
pub fn check(value: &Value, node: &Node) -> Vec<FieldError> {
    let mut errors = Vec::new();
    below(value, node, None, &mut errors);
    errors
}

fn below(value: &Value, node: &Node, path: Option<Path<'_>>, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let entry = node.property(name).is_none() && matches!(node.additional, Additional::Of(_));
                let Some(inner) = node.field(name) else { continue };
                match &path {
                    None => one(value, inner, Path::root(name), errors),
                    Some(path) if entry => one(value, inner, path.key(name), errors),
                    Some(path) => one(value, inner, path.child(name), errors),
                }
            }
        }
        Value::Array(items) => {
            let (Some(inner), Some(path)) = (node.items.as_deref(), &path) else { return };
            for (index, item) in items.iter().enumerate() {
                one(item, inner, path.index(index), errors);
            }
        }
        _ => {}
    }
}

fn one(value: &Value, node: &Node, path: Path<'_>, errors: &mut Vec<FieldError>) {
    if let (true, Value::Object(fields)) = (node.embedded, value) {
        object(fields, path, errors);
    }
    below(value, node, Some(path), errors);
}

fn object(fields: &Map<String, Value>, path: Path<'_>, errors: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        let at = path.child(name);
        match fields.get(name) {
            None => errors.push(FieldError::required(at, "must not be empty")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::invalid(at, text, "must not be empty"));
            }
            Some(Value::String(text)) if name == "kind" => {
                let wrong = name::dns_1035_label(&text.to_lowercase());
                if !wrong.is_empty() {
                    let why = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
                    errors.push(FieldError::invalid(at, text, why));
                }
            }
            Some(Value::String(text)) if text.matches('/').count() > 1 => {
                errors.push(FieldError::invalid(at, text, format!("unexpected GroupVersion string: {text}")));
            }
            Some(Value::String(_)) => {}
            Some(other) => errors.push(invalid(at, other, "must be a string")),
        }
    }
    let Some(found) = fields.get("metadata") else { return };
    let at = path.child("metadata");
    match proto::json::from_value::<ObjectMeta>(found.clone()) {
        Ok(read) => meta::embedded(errors, at, &read),
        Err(error) => errors.push(invalid(at, found, &error.to_string())),
    }
}

fn invalid(path: Path<'_>, value: &Value, why: &str) -> FieldError {
    FieldError { reason: Reason::Invalid, field: path.to_string(), value: show(value), detail: why.to_owned() }
}
