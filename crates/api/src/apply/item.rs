//! What tells the items of a JSON list apart.

use std::borrow::Cow;

use serde_json::Value;

use super::element::{Element, Scalar};
use super::shape::Shape;

/// The step to an item of a set or a map-like list; the text says why it has none.
pub fn element(list: Shape<'_>, item: &Value) -> Result<Element, String> {
    if !matches!(list, Shape::Keyed(_)) {
        return value(item);
    }
    let Value::Object(map) = item else {
        let what = if item.is_null() { "a null element" } else { "non-map elements" };
        return Err(format!("associative list with keys may not have {what}"));
    };
    let names = list.keys();
    let found = |key: &Cow<'static, str>| {
        let value = map.get(key.as_ref()).cloned().or_else(|| list.key_default(key))?;
        Some((key.clone(), Scalar::of(&value)))
    };
    let mut keys: Vec<_> = names.iter().filter_map(found).collect();
    if keys.is_empty() {
        return Err(format!(
            "associative list with keys has an element that omits all key fields {names:?} (and doesn't have default values for any key fields)"
        ));
    }
    keys.sort();
    Ok(Element::Key(keys))
}

fn value(item: &Value) -> Result<Element, String> {
    match item {
        Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
        Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
        Value::Array(_) => Err("associative list without keys has an element that's a list type".to_owned()),
        plain => Ok(Element::Value(Scalar::of(plain))),
    }
}
