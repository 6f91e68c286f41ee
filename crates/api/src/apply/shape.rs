//! What server-side apply holds a value for: read from the schema tables, or from the schema of a custom resource.

use std::borrow::Cow;

use proto::schema::{FieldInfo, Form, Label, ListType, MessageInfo, ValueType};
use serde_json::Value;

use super::custom::Custom;

/// How a value has owners.
#[derive(Debug, Clone, Copy)]
pub enum Shape<'s> {
    /// A plain value.
    Scalar(Plain),
    /// One owner as a whole.
    Atomic(Whole<'s>),
    /// An owner for each field.
    Struct(Fields<'s>),
    /// An owner for each key of a map.
    Map(Inner<'s>),
    /// An owner for each value of a list.
    Set(Inner<'s>),
    /// An owner for each field of each item of a list; keys tell items apart.
    Keyed(Inner<'s>),
    /// Nothing is known: see the value ([`Shape::of_value`]).
    Deduced,
}

/// The fields of a value that has an owner for each.
#[derive(Debug, Clone, Copy)]
pub enum Fields<'s> {
    Message(&'static MessageInfo),
    Custom(Custom<'s>),
}

/// What says of which shape items or entries are.
#[derive(Debug, Clone, Copy)]
pub enum Inner<'s> {
    /// This field's list or map.
    Field(&'static FieldInfo),
    /// This list.
    Custom(Custom<'s>),
    /// Nothing: each is deduced.
    Deduced,
}

/// What a plain value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    Bool,
    Number,
    Text,
    /// A number, a text or a boolean.
    Any,
}

/// What a value with one owner must be.
#[derive(Debug, Clone, Copy)]
pub enum Whole<'s> {
    /// A list of this field's items.
    List(&'static FieldInfo),
    /// A map of this field's values.
    Map(&'static FieldInfo),
    Message(&'static MessageInfo),
    Custom(Custom<'s>),
    Texts,
    Any,
}

impl<'s> Shape<'s> {
    /// A field's value.
    pub fn of(field: &'static FieldInfo) -> Self {
        match (field.label, field.list_type, field.value) {
            (Label::List, ListType::Set, _) => Self::Set(Inner::Field(field)),
            (Label::List, ListType::Map, ValueType::Message(_)) => Self::Keyed(Inner::Field(field)),
            (Label::List, ..) => Self::Atomic(Whole::List(field)),
            (Label::Map, ..) if field.atomic => Self::Atomic(Whole::Map(field)),
            (Label::Map, ..) => Self::Map(Inner::Field(field)),
            (Label::Single, _, ValueType::Message(info)) if info.form == Form::Plain && field.atomic => {
                Self::Atomic(Whole::Message(info))
            }
            (Label::Single, _, ValueType::Message(info)) if info.form == Form::Plain && field.granular => {
                Self::Struct(Fields::Message(info))
            }
            (Label::Single, ..) => Self::of_item(field),
        }
    }

    /// A value of which nothing was known, now that it is seen: maps have an owner for each key, lists one as a whole.
    pub fn of_value(self, value: &Value) -> Self {
        match (self, value) {
            (Self::Deduced, Value::Object(_)) => Self::Map(Inner::Deduced),
            (Self::Deduced, Value::Array(_)) => Self::Atomic(Whole::Any),
            (Self::Deduced, _) => Self::Scalar(Plain::Any),
            _ => self,
        }
    }

    /// An item of a list, or the value of an entry of a map; as deduced where it has none.
    pub fn item(self) -> Self {
        match self {
            Self::Map(inner) | Self::Set(inner) | Self::Keyed(inner) => match inner {
                Inner::Field(field) => Self::of_item(field),
                Inner::Custom(list) => list.item(),
                Inner::Deduced => Self::Deduced,
            },
            Self::Atomic(Whole::Custom(list)) => list.item(),
            _ => Self::Deduced,
        }
    }

    /// The names of the fields that tell a list's items apart.
    pub fn keys(self) -> Vec<Cow<'static, str>> {
        match self {
            Self::Keyed(Inner::Field(field)) => field.list_map_keys.iter().map(|key| Cow::Borrowed(*key)).collect(),
            Self::Keyed(Inner::Custom(list)) => list.keys(),
            _ => Vec::new(),
        }
    }

    /// What a key is that an item leaves out, as JSON; none where it has no default.
    pub fn key_default(self, key: &str) -> Option<Value> {
        match self {
            Self::Keyed(Inner::Field(field)) => key_default(field.message()?, key),
            Self::Keyed(Inner::Custom(list)) => list.key_default(key),
            _ => None,
        }
    }

    /// True for a key that the schema names as a field; others are entries of a map.
    pub fn names(self, key: &str) -> bool {
        match self {
            Self::Struct(Fields::Custom(object)) => object.names(key),
            Self::Struct(Fields::Message(_)) => true,
            _ => false,
        }
    }

    /// An item of the field's list, or a value of its map.
    pub fn of_item(field: &'static FieldInfo) -> Self {
        match field.value {
            ValueType::Bool => Self::Scalar(Plain::Bool),
            ValueType::Int32 | ValueType::Int64 | ValueType::Double => Self::Scalar(Plain::Number),
            ValueType::String | ValueType::Bytes => Self::Scalar(Plain::Text),
            ValueType::Message(info) => Self::of_message(info),
        }
    }

    /// What a value of this shape has under a key; none where its schema knows no such key.
    pub fn below(self, key: &str) -> Option<Self> {
        match self {
            Self::Struct(Fields::Message(info)) | Self::Atomic(Whole::Message(info)) => match info.find(key) {
                Some((_, field)) => Some(Self::of(field)),
                None => {
                    (info.kind.is_some() && matches!(key, "kind" | "apiVersion")).then_some(Self::Scalar(Plain::Text))
                }
            },
            Self::Struct(Fields::Custom(object)) | Self::Atomic(Whole::Custom(object)) => object.field(key),
            Self::Map(_) => Some(self.item()),
            Self::Atomic(Whole::Map(field)) => Some(Self::of_item(field)),
            _ => None,
        }
    }

    /// A message.
    pub fn of_message(info: &'static MessageInfo) -> Self {
        match info.form {
            Form::Plain if info.atomic => Self::Atomic(Whole::Message(info)),
            Form::Plain | Form::Custom => Self::Struct(Fields::Message(info)),
            Form::Time | Form::MicroTime | Form::Duration => Self::Scalar(Plain::Text),
            Form::Quantity | Form::IntOrString => Self::Scalar(Plain::Any),
            Form::Items => Self::Atomic(Whole::Texts),
            Form::Raw | Form::SchemaOrArray | Form::SchemaOrBool | Form::SchemaOrStrings => Self::Atomic(Whole::Any),
        }
    }
}

/// A key that an item leaves out and that has a default, as JSON; none where it has none.
pub fn key_default(item: &'static MessageInfo, key: &str) -> Option<Value> {
    let (_, field) = item.find(key)?;
    if !field.default_json.is_empty() {
        return serde_json::from_str(field.default_json).ok();
    }
    // OpenAPI gives every plain field that is always written its zero.
    let zero = field.keep_empty && !field.pointer;
    match field.value {
        ValueType::String if zero => Some("".into()),
        ValueType::Int32 | ValueType::Int64 if zero => Some(0.into()),
        ValueType::Bool if zero => Some(false.into()),
        _ => None,
    }
}
