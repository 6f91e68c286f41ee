//! Maps and objects: of JSON, or made by an expression.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map as JsonMap, Value as Json};

use super::{Text, Value, of_json};
use crate::types::{Decl, Object, Shape};

/// A map, or an object.
#[derive(Debug, Clone)]
pub struct Map<'a>(Entries<'a>);

#[derive(Debug, Clone)]
enum Entries<'a> {
    Json(&'a JsonMap<String, Json>, Option<&'a Decl>),
    Made(Arc<BTreeMap<Key<'a>, Value<'a>>>),
    /// An object that an expression made, with the name of its type.
    Object(Arc<str>, Arc<BTreeMap<Key<'a>, Value<'a>>>),
}

/// A key. A whole number is one key, whatever its type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key<'a> {
    Bool(bool),
    Int(i64),
    /// More than an int holds.
    Uint(u64),
    String(Text<'a>),
}

impl<'a> Key<'a> {
    /// None for a value that can be no key.
    pub fn of(value: &Value<'a>) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Uint(value) => i64::try_from(*value).map_or(Self::Uint(*value), Self::Int),
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => Self::Int(*value as i64),
            Value::String(text) => Self::String(text.clone()),
            _ => return None,
        })
    }

    pub fn value(&self) -> Value<'a> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::String(text) => Value::String(text.clone()),
        }
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Uint(value) => value.fmt(f),
            Self::String(text) => f.write_str(text),
        }
    }
}

impl<'a> Map<'a> {
    pub fn made(entries: BTreeMap<Key<'a>, Value<'a>>) -> Self {
        Self(Entries::Made(Arc::new(entries)))
    }

    /// An object that an expression wrote out.
    pub fn made_object(name: Arc<str>, entries: BTreeMap<Key<'a>, Value<'a>>) -> Self {
        Self(Entries::Object(name, Arc::new(entries)))
    }

    pub(super) fn json(entries: &'a JsonMap<String, Json>, decl: Option<&'a Decl>) -> Self {
        Self(Entries::Json(entries, decl))
    }

    pub(super) fn object(&self) -> Option<&'a Object> {
        match &self.0 {
            Entries::Json(_, Some(decl)) => match &decl.shape {
                Shape::Object(object) => Some(object),
                _ => None,
            },
            _ => None,
        }
    }

    /// The name of the type of an object that an expression wrote out.
    pub fn made_name(&self) -> Option<&str> {
        match &self.0 {
            Entries::Object(name, _) => Some(name),
            _ => None,
        }
    }

    pub(super) fn type_name(&self) -> Text<'a> {
        match (&self.0, self.object()) {
            (Entries::Object(name, _), _) => Text::Shared(name.clone()),
            (_, Some(object)) => Text::Borrowed(&object.name),
            _ => Text::Borrowed("map"),
        }
    }

    pub fn len(&self) -> usize {
        match &self.0 {
            Entries::Json(entries, _) => entries.len(),
            Entries::Made(entries) | Entries::Object(_, entries) => entries.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key, or of a field as expressions write it.
    pub fn get(&self, key: &Key<'_>) -> Option<Value<'a>> {
        match (&self.0, key) {
            (Entries::Json(entries, decl), Key::String(name)) => match decl.map(|decl| &decl.shape) {
                Some(Shape::Object(object)) => {
                    let field = object.field(name)?;
                    entries.get(&*field.json).map(|value| of_json(value, Some(&field.decl)))
                }
                Some(Shape::Map(values)) => entries.get(&**name).map(|value| of_json(value, Some(values))),
                _ => entries.get(&**name).map(|value| of_json(value, None)),
            },
            (Entries::Json(..), _) => None,
            (Entries::Made(entries) | Entries::Object(_, entries), key) => entries.get(key).cloned(),
        }
    }

    /// The value of a field of JSON, by its name there.
    pub(super) fn json_field(&self, name: &str) -> Option<Value<'a>> {
        match &self.0 {
            Entries::Json(entries, decl) => {
                let value = entries.get(name)?;
                let inner = match decl.map(|decl| &decl.shape) {
                    Some(Shape::Object(object)) => {
                        object.fields().iter().find(|field| *field.json == *name).map(|field| &*field.decl)
                    }
                    Some(Shape::Map(values)) => Some(&**values),
                    _ => None,
                };
                Some(of_json(value, inner))
            }
            Entries::Made(entries) | Entries::Object(_, entries) => {
                entries.get(&Key::String(Text::Shared(name.into()))).cloned()
            }
        }
    }

    /// Keys in their order; of JSON, as JSON has them.
    pub fn keys(&self) -> Vec<Key<'a>> {
        match &self.0 {
            Entries::Json(entries, _) => entries.keys().map(|key| Key::String(Text::Borrowed(key))).collect(),
            Entries::Made(entries) | Entries::Object(_, entries) => entries.keys().cloned().collect(),
        }
    }

    /// Keys, as JSON has them, with their values.
    pub fn entries(&self) -> Vec<(Key<'a>, Value<'a>)> {
        match &self.0 {
            Entries::Json(entries, _) => entries
                .keys()
                .filter_map(|key| Some((Key::String(Text::Borrowed(key)), self.json_field(key)?)))
                .collect(),
            Entries::Made(entries) | Entries::Object(_, entries) => {
                entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
            }
        }
    }

    /// The map with one more entry; without a copy where nobody else holds it. None where the key is there already.
    pub fn inserted(self, key: Key<'a>, value: Value<'a>) -> Option<Self> {
        let mut entries = match self.0 {
            Entries::Made(entries) => Arc::try_unwrap(entries).unwrap_or_else(|shared| (*shared).clone()),
            _ => self.entries().into_iter().collect(),
        };
        entries.insert(key, value).is_none().then(|| Self::made(entries))
    }
}
