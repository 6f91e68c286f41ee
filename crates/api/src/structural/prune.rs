//! Removing what a schema does not know.

use serde_json::{Map, Value};

use super::node::{Additional, Node};

/// The fields that every Kubernetes object has, whatever its schema says.
pub const OBJECT_FIELDS: &[&str] = &["apiVersion", "kind", "metadata"];

/// A place on the way through a value.
pub struct Trail {
    text: String,
}

impl Trail {
    pub fn new() -> Self {
        Self { text: String::new() }
    }

    /// Runs the step one field deeper.
    pub fn field<T>(&mut self, name: &str, step: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.text.len();
        if length > 0 {
            self.text.push('.');
        }
        self.text.push_str(name);
        let result = step(self);
        self.text.truncate(length);
        result
    }

    /// Runs the step one item deeper.
    pub fn item<T>(&mut self, index: usize, step: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.text.len();
        self.text.push_str(&format!("[{index}]"));
        let result = step(self);
        self.text.truncate(length);
        result
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Drops the fields that the schema does not name and tells their paths. A whole object keeps its own fields.
pub fn prune(value: &mut Value, node: &Node, whole: bool) -> Vec<String> {
    let mut dropped = Vec::new();
    one(value, Some(node), whole, &mut Trail::new(), &mut dropped);
    dropped.sort();
    dropped
}

fn one(value: &mut Value, node: Option<&Node>, whole: bool, trail: &mut Trail, dropped: &mut Vec<String>) {
    match value {
        Value::Object(fields) => object(fields, node, whole, trail, dropped),
        Value::Array(items) => {
            let inner = node.and_then(|node| node.items.as_deref());
            // What is below a list of anything is anything.
            if inner.is_none() && node.is_some_and(|node| node.preserve) {
                return;
            }
            for (index, item) in items.iter_mut().enumerate() {
                trail.item(index, |trail| one(item, inner, false, trail, dropped));
            }
        }
        _ => {}
    }
}

fn object(
    fields: &mut Map<String, Value>,
    node: Option<&Node>,
    whole: bool,
    trail: &mut Trail,
    dropped: &mut Vec<String>,
) {
    let object = whole || node.is_some_and(|node| node.embedded);
    fields.retain(|name, value| {
        if object && OBJECT_FIELDS.contains(&name.as_str()) {
            return true;
        }
        trail.field(name, |trail| {
            match node.map(|node| (node, node.property(name), &node.additional)) {
                Some((_, Some(property), _)) => one(value, Some(property), false, trail, dropped),
                Some((_, None, Additional::Of(inner))) => one(value, Some(inner), false, trail, dropped),
                Some((node, None, _)) if node.preserve => {}
                Some((_, None, Additional::Any)) => one(value, None, false, trail, dropped),
                _ => {
                    dropped.push(trail.text().to_owned());
                    return false;
                }
            }
            true
        })
    });
}

/// Drops nulls that neither may stand nor become a default.
pub fn prune_nulls(value: &mut Value, node: &Node) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let Some(inner) = node.field(name) else { return true };
            if value.is_null() {
                return inner.nullable || inner.default.is_some();
            }
            prune_nulls(value, inner);
            true
        }),
        Value::Array(items) => {
            let Some(inner) = node.items.as_deref() else { return };
            items.iter_mut().for_each(|item| prune_nulls(item, inner));
        }
        _ => {}
    }
}
