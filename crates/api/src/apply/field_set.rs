//! The fields that a configuration gives a value.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::element::Element;
use super::item;
use super::set::Set;
use super::shape::Shape;

/// The set of a JSON tree's fields: plain and whole values, keys of maps, items of lists, and messages without content.
pub fn field_set(shape: Shape<'_>, value: &Value) -> Set {
    visit(shape, value).1
}

/// Whether the value itself is one of the fields, and those below it.
fn visit(shape: Shape<'_>, value: &Value) -> (bool, Set) {
    let mut set = Set::default();
    let shape = shape.of_value(value);
    match (shape, value) {
        (Shape::Scalar(_) | Shape::Atomic(_), _) => return (true, set),
        (Shape::Struct(_) | Shape::Map(_), Value::Object(map)) => keys(shape, map, &mut set),
        (Shape::Set(_) | Shape::Keyed(_), Value::Array(items)) => {
            // What has no keys was refused before.
            let known = items.iter().filter_map(|item| Some((item::element(shape, item).ok()?, item)));
            for (element, item) in known {
                set.push(element, true, visit(shape.item(), item).1);
            }
        }
        _ => {}
    }
    set.settle();
    (false, set)
}

fn keys(shape: Shape<'_>, map: &Map<String, Value>, set: &mut Set) {
    for (key, value) in map {
        let Some(inner) = shape.below(key) else { continue };
        let (own, below) = visit(inner, value);
        let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        let entry = !shape.names(key);
        set.push(Element::Field(Cow::Owned(key.clone())), own || empty || entry, below);
    }
}
