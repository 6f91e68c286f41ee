//! Whether an applied configuration fits its schema.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::item;
use super::shape::{Plain, Shape, Whole};

/// What is wrong with a configuration, each with its path, in upstream's words. Null fits everywhere.
pub fn check(shape: Shape<'_>, value: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    visit(shape, value, "", &mut wrong);
    wrong
}

fn visit(shape: Shape<'_>, value: &Value, path: &str, wrong: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    let shape = shape.of_value(value);
    let complaint = match (shape, value) {
        (Shape::Scalar(plain), value) => scalar(plain, value),
        (Shape::Atomic(Whole::Any), _) => None,
        (Shape::Atomic(Whole::Texts), Value::Array(items)) => items.iter().find_map(|item| scalar(Plain::Text, item)),
        (Shape::Atomic(Whole::List(field)), Value::Array(items)) => {
            all(Shape::of_item(field), items, path, wrong);
            None
        }
        (Shape::Atomic(Whole::Custom(list)), Value::Array(items)) if list.is_list() => {
            all(list.item(), items, path, wrong);
            None
        }
        (Shape::Set(_) | Shape::Keyed(_), Value::Array(list)) => {
            items(shape, list, path, wrong);
            None
        }
        (shape, other) if is_map(shape) => match other {
            Value::Object(map) => {
                keys(shape, map, path, wrong);
                None
            }
            other => Some(format!("expected map, got &{{{}}}", shown(other))),
        },
        (_, other) => Some(format!("expected list, got &{{{}}}", shown(other))),
    };
    wrong.extend(complaint.map(|complaint| format!("{path}: {complaint}")));
}

fn is_map(shape: Shape<'_>) -> bool {
    match shape {
        Shape::Struct(_) | Shape::Map(_) | Shape::Atomic(Whole::Map(_) | Whole::Message(_)) => true,
        Shape::Atomic(Whole::Custom(object)) => !object.is_list(),
        _ => false,
    }
}

/// The items of a list that has one owner.
fn all(shape: Shape<'_>, items: &[Value], path: &str, wrong: &mut Vec<String>) {
    for (index, item) in items.iter().enumerate() {
        visit(shape, item, &format!("{path}[{index}]"), wrong);
    }
}

fn keys(shape: Shape<'_>, map: &Map<String, Value>, path: &str, wrong: &mut Vec<String>) {
    for (key, value) in map {
        let path = format!("{path}.{key}");
        match shape.below(key) {
            Some(shape) => visit(shape, value, &path, wrong),
            None => wrong.push(format!("{path}: field not declared in schema")),
        }
    }
}

fn items(list: Shape<'_>, items: &[Value], path: &str, wrong: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        match item::element(list, item) {
            Err(why) => wrong.push(format!("{path}: element {index}: {why}")),
            Ok(element) => {
                visit(list.item(), item, &format!("{path}{element}"), wrong);
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
