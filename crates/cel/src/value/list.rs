//! Lists: of JSON, or made by an expression.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{Value, of_json};
use crate::types::{Decl, ListKind};

/// A list.
#[derive(Debug, Clone)]
pub struct List<'a> {
    items: Items<'a>,
    /// How its items are told apart, where its schema says so.
    pub kind: Option<&'a ListKind>,
}

#[derive(Debug, Clone)]
enum Items<'a> {
    Json(&'a [Json], Option<&'a Decl>),
    Made(Arc<Vec<Value<'a>>>),
}

impl<'a> List<'a> {
    pub fn made(values: Vec<Value<'a>>) -> Self {
        Self { items: Items::Made(Arc::new(values)), kind: None }
    }

    pub(super) fn json(items: &'a [Json], decl: Option<&'a Decl>, kind: Option<&'a ListKind>) -> Self {
        Self { items: Items::Json(items, decl), kind }
    }

    pub fn len(&self) -> usize {
        match &self.items {
            Items::Json(items, _) => items.len(),
            Items::Made(items) => items.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        match &self.items {
            Items::Json(items, decl) => items.get(index).map(|item| of_json(item, *decl)),
            Items::Made(items) => items.get(index).cloned(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    pub fn to_vec(&self) -> Vec<Value<'a>> {
        self.iter().collect()
    }

    /// The list with one more item; without a copy where nobody else holds it.
    pub fn pushed(self, value: Value<'a>) -> Self {
        let mut items = match self.items {
            Items::Made(items) => Arc::try_unwrap(items).unwrap_or_else(|shared| shared.to_vec()),
            Items::Json(..) => self.to_vec(),
        };
        items.push(value);
        Self { items: Items::Made(Arc::new(items)), kind: self.kind }
    }

    /// Both lists, as the kind of the first one joins them.
    pub fn joined(&self, other: &Self) -> Self {
        let mut items = self.to_vec();
        match self.kind {
            Some(ListKind::Set) => {
                let new: Vec<_> =
                    other.iter().filter(|item| !items.iter().any(|old| super::equal(old, item))).collect();
                items.extend(new);
            }
            Some(ListKind::Map(keys)) => {
                for item in other.iter() {
                    match items.iter().position(|old| same_keys(old, &item, keys)) {
                        Some(at) => items[at] = item,
                        None => items.push(item),
                    }
                }
            }
            _ => items.extend(other.iter()),
        }
        Self { items: Items::Made(Arc::new(items)), kind: self.kind }
    }
}

/// Whether two items of a list are the same one, by the fields that tell.
pub(super) fn same_keys(a: &Value<'_>, b: &Value<'_>, keys: &[Arc<str>]) -> bool {
    let (Value::Map(a), Value::Map(b)) = (a, b) else { return false };
    keys.iter().all(|key| match (a.json_field(key), b.json_field(key)) {
        (Some(a), Some(b)) => super::equal(&a, &b),
        (None, None) => true,
        _ => false,
    })
}
