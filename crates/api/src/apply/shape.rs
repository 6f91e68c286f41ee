//! What server-side apply holds a value for: read from the schema tables.

use proto::schema::{FieldInfo, Form, Label, ListType, MessageInfo, ValueType};

/// How a value has owners.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// A plain value.
    Scalar(Plain),
    /// One owner as a whole.
    Atomic(Whole),
    /// An owner for each field.
    Struct(&'static MessageInfo),
    /// An owner for each key of this field's map.
    Map(&'static FieldInfo),
    /// An owner for each value of this field's list.
    Set(&'static FieldInfo),
    /// An owner for each field of each item of this field's list; keys tell items apart.
    Keyed(&'static FieldInfo, &'static MessageInfo),
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
pub enum Whole {
    /// A list of this field's items.
    List(&'static FieldInfo),
    /// A map of this field's values.
    Map(&'static FieldInfo),
    Message(&'static MessageInfo),
    Texts,
    Any,
}

impl Shape {
    /// A field's value.
    pub fn of(field: &'static FieldInfo) -> Self {
        match (field.label, field.list_type, field.value) {
            (Label::List, ListType::Set, _) => Self::Set(field),
            (Label::List, ListType::Map, ValueType::Message(item)) => Self::Keyed(field, item),
            (Label::List, ..) => Self::Atomic(Whole::List(field)),
            (Label::Map, ..) if field.atomic => Self::Atomic(Whole::Map(field)),
            (Label::Map, ..) => Self::Map(field),
            (Label::Single, _, ValueType::Message(info)) if info.form == Form::Plain && field.atomic => {
                Self::Atomic(Whole::Message(info))
            }
            (Label::Single, _, ValueType::Message(info)) if info.form == Form::Plain && field.granular => {
                Self::Struct(info)
            }
            (Label::Single, ..) => Self::of_item(field),
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
            Self::Struct(info) | Self::Atomic(Whole::Message(info)) => match info.find(key) {
                Some((_, field)) => Some(Self::of(field)),
                None => {
                    (info.kind.is_some() && matches!(key, "kind" | "apiVersion")).then_some(Self::Scalar(Plain::Text))
                }
            },
            Self::Map(field) | Self::Atomic(Whole::Map(field)) => Some(Self::of_item(field)),
            _ => None,
        }
    }

    /// A message.
    pub fn of_message(info: &'static MessageInfo) -> Self {
        match info.form {
            Form::Plain if info.atomic => Self::Atomic(Whole::Message(info)),
            Form::Plain | Form::Custom => Self::Struct(info),
            Form::Time | Form::MicroTime | Form::Duration => Self::Scalar(Plain::Text),
            Form::Quantity | Form::IntOrString => Self::Scalar(Plain::Any),
            Form::Items => Self::Atomic(Whole::Texts),
            Form::Raw | Form::SchemaOrArray | Form::SchemaOrBool | Form::SchemaOrStrings => Self::Atomic(Whole::Any),
        }
    }
}

/// A key that an item leaves out and that has a default, as JSON; none where it has none.
pub fn key_default(item: &'static MessageInfo, key: &str) -> Option<serde_json::Value> {
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
