//! A configuration laid over an object.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::Element;
use super::item;
use super::shape::Shape;

/// `live` with what `config` says: its values win, maps and messages are joined, lists by their items. Nothing is removed.
pub fn merge(shape: Shape<'_>, live: Value, config: &Value) -> Value {
    // What is deduced merges where both are maps.
    let shape = if live.is_object() { shape.of_value(config) } else { shape.of_value(&live) };
    match (shape, live, config) {
        (Shape::Struct(_) | Shape::Map(_), Value::Object(live), Value::Object(config)) => {
            Value::Object(maps(shape, live, config))
        }
        (Shape::Set(_) | Shape::Keyed(_), Value::Array(live), Value::Array(config)) => {
            Value::Array(lists(shape, live, config))
        }
        // A null says nothing about a map, message or list that has content.
        (Shape::Struct(_) | Shape::Map(_) | Shape::Set(_) | Shape::Keyed(_), live, Value::Null)
            if has_content(&live) =>
        {
            live
        }
        (_, _, config) => config.clone(),
    }
}

fn has_content(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn maps(shape: Shape<'_>, mut live: Map<String, Value>, config: &Map<String, Value>) -> Map<String, Value> {
    for (key, value) in config {
        let merged = match (live.remove(key), shape.below(key)) {
            (Some(before), Some(shape)) => merge(shape, before, value),
            _ => value.clone(),
        };
        live.insert(key.clone(), merged);
    }
    live
}

/// Items come in the configuration's order; those that only the object has keep their place among the others.
fn lists(list: Shape<'_>, live: Vec<Value>, config: &[Value]) -> Vec<Value> {
    let mut live: Vec<(Element, Option<Value>)> =
        live.into_iter().filter_map(|item| Some((item::element(list, &item).ok()?, Some(item)))).collect();
    let config: Vec<(Element, &Value)> =
        config.iter().filter_map(|item| Some((item::element(list, item).ok()?, item))).collect();
    // Where each element of the object is; of those that occur twice the first.
    let mut places = BTreeMap::new();
    for (index, (element, _)) in live.iter().enumerate() {
        places.entry(element.clone()).or_insert(index);
    }
    let wanted: BTreeMap<&Element, usize> = config.iter().enumerate().map(|(at, (element, _))| (element, at)).collect();
    let shared: Vec<usize> = (0..config.len()).filter(|at| places.contains_key(&config[*at].0)).collect();
    let mut shared = shared.into_iter().peekable();

    let mut out = Vec::with_capacity(live.len().max(config.len()));
    let (mut left, mut right) = (0, 0);
    while left < live.len() || right < config.len() {
        if left < live.len() {
            match wanted.get(&live[left].0) {
                // Only the object has it.
                None => {
                    out.extend(live[left].1.take());
                    left += 1;
                    continue;
                }
                // It has come already, or it comes later, in the configuration's order.
                Some(at) if *at < right || shared.peek().is_some_and(|next| next != at) => {
                    left += 1;
                    continue;
                }
                Some(_) => {}
            }
        }
        let Some((element, value)) = config.get(right) else { continue };
        let before = places.get(element).and_then(|place| live[*place].1.take());
        out.push(match before {
            Some(before) => merge(list.item(), before, value),
            None => (*value).clone(),
        });
        if shared.peek() == Some(&right) {
            shared.next();
        }
        right += 1;
    }
    out
}
