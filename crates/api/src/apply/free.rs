//! What changed in JSON that has no schema (`RawExtension`): objects by their keys, everything else as a whole.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::compare::{Changes, Own};
use super::element::Element;

/// What changed from one raw JSON to another.
pub(super) fn compare(old: Option<&[u8]>, new: Option<&[u8]>) -> (Own, Changes) {
    if old == new {
        return (Own::Same, Changes::default());
    }
    let parse = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
    values(old.map(parse).as_ref(), new.map(parse).as_ref())
}

fn values(old: Option<&Value>, new: Option<&Value>) -> (Own, Changes) {
    let (own, mut changes) = (Own::of(old, new), Changes::default());
    let (left, right) = (object(old), object(new));
    // One with keys beside one that can have none: another value, not another content.
    let unlike = |one: Option<&Value>| one.is_some_and(|value| !value.is_object() && !value.is_null());
    if (left.is_none() && right.is_none()) || unlike(old) || unlike(new) {
        let modified = own == Own::Same && old != new;
        return (if modified { Own::Modified } else { own }, changes);
    }
    let keys = left.into_iter().flat_map(Map::keys);
    let added = right.into_iter().flat_map(Map::keys).filter(|key| left.is_none_or(|left| !left.contains_key(*key)));
    for key in keys.chain(added) {
        let (own, below) = values(left.and_then(|map| map.get(key)), right.and_then(|map| map.get(key)));
        changes.push(|| Element::Field(Cow::Owned(key.clone())), own, below);
    }
    changes.settle();
    (own, changes)
}

/// An object that has keys.
fn object(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object).filter(|map| !map.is_empty())
}
