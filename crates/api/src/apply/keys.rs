//! What tells the items of a message's list apart.

use std::borrow::Cow;

use proto::json::is_left_out;
use proto::reflect::{List, Ref};
use proto::schema::{FieldInfo, FieldPath, MessageInfo};
use serde_json::Value;

use super::element::{Element, Scalar};
use super::shape;

/// An item of a map-like list.
pub(super) struct Item<'a> {
    pub(super) element: Element,
    pub(super) value: Ref<'a>,
}

/// Where the keys of a list's items are.
pub(super) struct Keys {
    /// Sorted by name.
    places: Vec<(&'static str, FieldPath, &'static FieldInfo)>,
    info: &'static MessageInfo,
}

impl Keys {
    pub(super) fn new(field: &'static FieldInfo, info: &'static MessageInfo) -> Self {
        let place = |key: &&'static str| info.find(key).map(|(path, found)| (*key, path, found));
        let mut places: Vec<_> = field.list_map_keys.iter().filter_map(place).collect();
        places.sort_by_key(|(name, ..)| *name);
        Self { places, info }
    }

    /// Sorted by their keys; those with the same keys keep their order.
    pub(super) fn items<'a>(&self, list: Option<&'a dyn List>) -> Vec<Item<'a>> {
        let Some(list) = list else { return Vec::new() };
        let mut items: Vec<Item<'a>> = (0..list.len())
            .map(|index| list.item(index))
            .map(|value| Item { element: self.element(value), value })
            .collect();
        items.sort_by(|left, right| left.element.cmp(&right.element));
        items
    }

    fn element(&self, item: Ref<'_>) -> Element {
        let mut keys = Vec::with_capacity(self.places.len());
        for (name, path, field) in &self.places {
            let found = path.steps().fold(item, |value, index| match value {
                Ref::Message(message) => message.get(index),
                other => other,
            });
            let value = match is_left_out(field, found) {
                false => Some(scalar(found)),
                true => shape::key_default(self.info, name).as_ref().map(Scalar::of),
            };
            keys.extend(value.map(|value| (Cow::Borrowed(*name), value)));
        }
        Element::Key(keys)
    }
}

/// A plain value as it names an item.
pub(super) fn scalar(value: Ref<'_>) -> Scalar {
    match value {
        Ref::Bool(flag) => Scalar::Bool(flag),
        Ref::Int32(number) => Scalar::int(i64::from(number)),
        Ref::Int64(number) => Scalar::int(number),
        Ref::Double(number) => Scalar::of(&Value::from(number)),
        Ref::String(text) => Scalar::Text(text.to_owned()),
        _ => Scalar::Null,
    }
}
