//! Whether an applied configuration fits its schema.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::item;
use super::shape::{Plain, Shape, Whole};

/// What is wrong with a configuration, each with its path, in upstream's words. Null fits everywhere.
pub fn check(shape: Shape, value: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    visit(shape, value, "", &mut wrong);
    wrong
}

fn visit(shape: Shape, value: &Value, path: &str, wrong: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    let complaint = match (shape, value) {
        (Shape::Scalar(plain), value) => scalar(plain, value),
        (Shape::Atomic(Whole::Any), _) => None,
        (Shape::Struct(_) | Shape::Map(_) | Shape::Atomic(Whole::Map(_) | Whole::Message(_)), Value::Object(map)) => {
            keys(shape, map, path, wrong);
            None
        }
        (Shape::Struct(_) | Shape::Map(_) | Shape::Atomic(Whole::Map(_) | Whole::Message(_)), other) => {
            Some(format!("expected map, got &{{{}}}", shown(other)))
        }
        (Shape::Atomic(Whole::Texts), Value::Array(items)) => items.iter().find_map(|item| scalar(Plain::Text, item)),
        (Shape::Atomic(Whole::List(field)), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                visit(Shape::of_item(field), item, &format!("{path}[{index}]"), wrong);
            }
            None
        }
        (Shape::Set(field) | Shape::Keyed(field, _), Value::Array(list)) => {
            items(shape, Shape::of_item(field), list, path, wrong);
            None
        }
        (_, other) => Some(format!("expected list, got &{{{}}}", shown(other))),
    };
    wrong.extend(complaint.map(|complaint| format!("{path}: {complaint}")));
}

fn keys(shape: Shape, map: &Map<String, Value>, path: &str, wrong: &mut Vec<String>) {
    for (key, value) in map {
        let path = format!("{path}.{key}");
        match shape.below(key) {
            Some(shape) => visit(shape, value, &path, wrong),
            None => wrong.push(format!("{path}: field not declared in schema")),
        }
    }
}

fn items(list: Shape, shape: Shape, items: &[Value], path: &str, wrong: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        match item::element(list, item) {
            Err(why) => wrong.push(format!("{path}: element {index}: {why}")),
            Ok(element) => {
                visit(shape, item, &format!("{path}{element}"), wrong);
                if seen.contains(&element) {
                    wrong.push(format!("{path}: duplicate entries for key {element}"));
                }
                seen.insert(element);
            }
        }
    }
}

fn scalar(plain: Plain, value: &Value) -> Option<String> {
    let wanted = match (plain, value) {
        (Plain::Bool, Value::Bool(_)) | (Plain::Number, Value::Number(_)) | (Plain::Text, Value::String(_)) => {
            return None;
        }
        (Plain::Any, Value::Bool(_) | Value::Number(_) | Value::String(_)) => return None,
        (_, Value::Null) => return None,
        (Plain::Bool, _) => "boolean",
        (Plain::Number, _) => "numeric (int or float)",
        (Plain::Text, _) => "string",
        (Plain::Any, _) => "any scalar",
    };
    Some(format!("expected {wanted}, got &{{{}}}", shown(value)))
}

/// A value as upstream prints it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
