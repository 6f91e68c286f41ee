//! Lists whose items may occur once only: sets, and lists whose items have keys.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::node::{Additional, Merge, Node};
use super::show::show;
use crate::validate::{FieldError, Path, Reason};

/// What occurs twice in a whole object, at its second occurrence.
pub fn check(node: &Node, value: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Value::Object(fields) = value {
        object(node, fields, None, &mut errors);
    }
    errors
}

fn one(node: &Node, value: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(fields) => object(node, fields, Some(path), errors),
        Value::Array(items) => list(node, items, path, errors),
        _ => {}
    }
}

fn object(node: &Node, fields: &Map<String, Value>, path: Option<Path<'_>>, errors: &mut Vec<FieldError>) {
    for (name, value) in fields {
        let below = |path: Option<&Path<'_>>, inner: &Node, entry: bool, errors: &mut Vec<FieldError>| match path {
            None => one(inner, value, Path::root(name), errors),
            Some(path) if entry => one(inner, value, path.key(name), errors),
            Some(path) => one(inner, value, path.child(name), errors),
        };
        match (node.property(name), &node.additional) {
            (Some(property), _) => below(path.as_ref(), property, false, errors),
            (None, Additional::Of(inner)) => below(path.as_ref(), inner, true, errors),
            _ => {}
        }
    }
}

fn list(node: &Node, items: &[Value], path: Path<'_>, errors: &mut Vec<FieldError>) {
    match node.merge {
        Merge::Set => duplicates(items.iter().cloned(), path, errors),
        Merge::Keyed => keyed(node, items, path, errors),
        _ => {}
    }
    if let Some(inner) = node.items.as_deref() {
        for (index, item) in items.iter().enumerate() {
            one(inner, item, path.index(index), errors);
        }
    }
}

fn keyed(node: &Node, items: &[Value], path: Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some(index) = items.iter().position(|item| !matches!(item, Value::Null | Value::Object(_))) {
        let detail = "must be an object for an array of list-type map".to_owned();
        let (field, value) = (path.index(index).to_string(), show(&items[index]));
        errors.push(FieldError { reason: Reason::Invalid, field, value, detail });
        return;
    }
    let keys = items.iter().map(|item| {
        let given = node.keys.iter().filter_map(|key| Some(((**key).to_owned(), item.get(&**key)?.clone())));
        Value::Object(given.collect())
    });
    duplicates(keys, path, errors);
}

/// A value that occurs more than twice is told once.
fn duplicates(values: impl Iterator<Item = Value>, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (index, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            let (field, value) = (path.index(index).to_string(), show(&value));
            errors.push(FieldError { reason: Reason::Duplicate, field, value, detail: String::new() });
        }
    }
}
