//! What changed between two JSON trees of a custom resource.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::compare::{Changes, Own};
use super::element::{Element, Scalar};
use super::item;
use super::shape::Shape;

/// What changed in the fields of an object, or in the entries of a map.
pub fn entries(
    shape: Shape<'_>,
    old: Option<&Map<String, Value>>,
    new: Option<&Map<String, Value>>,
    changes: &mut Changes,
) {
    let mut names: Vec<&String> = old.into_iter().chain(new).flat_map(Map::keys).collect();
    names.sort();
    names.dedup();
    for name in names {
        let (before, after) = (old.and_then(|old| old.get(name)), new.and_then(|new| new.get(name)));
        // What the schema knows no more has one owner, if any.
        let inner = shape.below(name).unwrap_or(Shape::Deduced);
        let (own, below) = value(inner, before, after);
        changes.push(|| Element::Field(Cow::Owned(name.clone())), own, below);
    }
}

fn value(shape: Shape<'_>, old: Option<&Value>, new: Option<&Value>) -> (Own, Changes) {
    let own = Own::of(old, new);
    let mut below = Changes::default();
    let seen = new.filter(|new| !new.is_null()).or(old).unwrap_or(&Value::Null);
    match shape.of_value(seen) {
        Shape::Scalar(_) | Shape::Atomic(_) => return (leaf(own, old, new), below),
        shape @ (Shape::Set(_) | Shape::Keyed(_)) => {
            let (left, right) = (items(old), items(new));
            if left.is_empty() && right.is_empty() {
                return (leaf(own, old, new), below);
            }
            lists(shape, left, right, &mut below);
        }
        shape => {
            let (left, right) = (fields(old), fields(new));
            if left.is_none() && right.is_none() {
                return (leaf(own, old, new), below);
            }
            entries(shape, left, right, &mut below);
        }
    }
    below.settle();
    (own, below)
}

/// A value that has no parts, or none in both objects.
fn leaf(own: Own, old: Option<&Value>, new: Option<&Value>) -> Own {
    match (old, new) {
        (Some(old), Some(new)) if !same(old, new) => Own::Modified,
        _ => own,
    }
}

/// Deep equality; numbers by what they count.
fn same(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Number(_), Value::Number(_)) => Scalar::of(old) == Scalar::of(new),
        (Value::Array(old), Value::Array(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| same(old, new))
        }
        (Value::Object(old), Value::Object(new)) => {
            let inner = |(name, old): (&String, &Value)| new.get(name).is_some_and(|new| same(old, new));
            old.len() == new.len() && old.iter().all(inner)
        }
        _ => old == new,
    }
}

fn fields(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value?.as_object().filter(|map| !map.is_empty())
}

fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn lists(shape: Shape<'_>, old: &[Value], new: &[Value], changes: &mut Changes) {
    let (old, new) = (by_element(shape, old), by_element(shape, new));
    let mut elements: Vec<&Element> = old.keys().chain(new.keys()).collect();
    elements.sort();
    elements.dedup();
    let none = Vec::new();
    for element in elements {
        let (before, after) = (old.get(element).unwrap_or(&none), new.get(element).unwrap_or(&none));
        let (own, below) = match (shape, before.len(), after.len()) {
            (Shape::Keyed(_), 0 | 1, 0 | 1) => value(shape.item(), before.first().copied(), after.first().copied()),
            (Shape::Keyed(_), ..) => (together(before, after), Changes::default()),
            _ => (Own::of(before.first(), after.first()), Changes::default()),
        };
        changes.push(|| element.clone(), own, below);
    }
}

/// Items that share their keys with others are judged as a whole.
fn together(before: &[&Value], after: &[&Value]) -> Own {
    let same = before.len() == after.len() && before.iter().zip(after).all(|(before, after)| same(before, after));
    match Own::of(before.first(), after.first()) {
        Own::Same if !same => Own::Modified,
        own => own,
    }
}

/// Items without keys have no owners.
fn by_element<'a>(shape: Shape<'_>, items: &'a [Value]) -> BTreeMap<Element, Vec<&'a Value>> {
    let mut all: BTreeMap<Element, Vec<&Value>> = BTreeMap::new();
    for item in items {
        if let Ok(element) = item::element(shape, item) {
            all.entry(element).or_default().push(item);
        }
    }
    all
}
