//! Filling in defaults.

use serde_json::Value;

use super::node::{Additional, Node};

/// Puts the schema's defaults where a field is absent, or null without being allowed to.
///
/// Fields that have no object around them stay absent; a default may bring that object.
pub fn fill(value: &mut Value, node: &Node) {
    match value {
        Value::Object(fields) => {
            for (name, property) in &node.properties {
                let Some(default) = &property.default else { continue };
                let absent = fields.get(&**name).is_none_or(|found| found.is_null() && !property.nullable);
                if absent {
                    fields.insert((**name).to_owned(), (**default).clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                let inner = match (node.property(name), &node.additional) {
                    (Some(property), _) => property,
                    (None, Additional::Of(inner)) => inner,
                    _ => continue,
                };
                place(value, inner);
            }
        }
        Value::Array(items) => {
            let Some(inner) = node.items.as_deref() else { return };
            items.iter_mut().for_each(|item| place(item, inner));
        }
        _ => {}
    }
}

fn place(value: &mut Value, node: &Node) {
    if value.is_null()
        && !node.nullable
        && let Some(default) = &node.default
    {
        *value = (**default).clone();
    }
    fill(value, node);
}
