//! An object without some of its fields.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::element::Element;
use super::item;
use super::set::Set;
use super::shape::Shape;

/// `value` without the members of `set`. What is emptied by that becomes null.
pub fn remove(shape: Shape<'_>, value: Value, set: &Set) -> Value {
    let shape = shape.of_value(&value);
    match (shape, value) {
        (Shape::Struct(_) | Shape::Map(_), Value::Object(map)) if !map.is_empty() => {
            let left: Map<String, Value> = map
                .into_iter()
                .filter_map(|(key, value)| {
                    let element = Element::Field(Cow::Owned(key));
                    let value = without(shape_below(shape, &element), &element, value, set)?;
                    let Element::Field(key) = element else { return None };
                    Some((key.into_owned(), value))
                })
                .collect();
            if left.is_empty() { Value::Null } else { Value::Object(left) }
        }
        (Shape::Set(_) | Shape::Keyed(_), Value::Array(items)) if !items.is_empty() => {
            let left: Vec<Value> = items
                .into_iter()
                .filter_map(|value| match item::element(shape, &value) {
                    Ok(element) => without(Some(shape.item()), &element, value, set),
                    Err(_) => Some(value),
                })
                .collect();
            if left.is_empty() { Value::Null } else { Value::Array(left) }
        }
        (_, value) => value,
    }
}

fn shape_below<'s>(shape: Shape<'s>, element: &Element) -> Option<Shape<'s>> {
    match element {
        Element::Field(key) => shape.below(key),
        _ => None,
    }
}

/// The value below a step; none where it is removed.
fn without(shape: Option<Shape<'_>>, element: &Element, value: Value, set: &Set) -> Option<Value> {
    match (set.get(element), shape) {
        (Some(node), _) if node.member => None,
        (Some(node), Some(shape)) if !node.children.is_empty() => Some(remove(shape, value, &node.children)),
        _ => Some(value),
    }
}
