//! What expressions are about and what they make. Values of JSON are borrowed, and looked into only where an expression looks.

mod compare;
mod host;
mod json;
mod list;
mod map;

use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;

use crate::types::{Object, Type};

pub use compare::{Work, contains, equal, equal_within, order};
pub use host::{Access, Authorizer, Builder, Cidr, Decision, Host};
pub use json::of_json;
pub use list::List;
pub use map::{Key, Map};

/// A value.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'a>),
    Bytes(Arc<[u8]>),
    /// Nanoseconds.
    Duration(i64),
    Timestamp(Timestamp),
    List(List<'a>),
    Map(Map<'a>),
    /// What `type()` says.
    Type(Text<'a>),
    Optional(Option<Arc<Value<'a>>>),
    /// A value of a library.
    Host(Arc<Host<'a>>),
}

/// A text, borrowed where it can be.
#[derive(Debug, Clone)]
pub enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text)
    }
}

impl<'a> Value<'a> {
    pub fn text(text: impl Into<Text<'a>>) -> Self {
        Self::String(text.into())
    }

    pub fn list(values: Vec<Self>) -> Self {
        Self::List(List::made(values))
    }

    pub fn host(host: Host<'a>) -> Self {
        Self::Host(Arc::new(host))
    }

    pub fn some(value: Self) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// What a condition came to; none where the value is neither true nor false.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Characters, bytes, items or entries; one for values that have no size.
    pub fn size(&self) -> u64 {
        let size = match self {
            Self::String(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
            Self::Host(host) => host.size(),
            _ => 1,
        };
        size as u64
    }

    /// The name of its type.
    pub fn type_name(&self) -> Text<'a> {
        let name = match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::List(_) => "list",
            Self::Map(map) => return map.type_name(),
            Self::Type(_) => "type",
            Self::Optional(_) => "optional_type",
            Self::Host(host) => host.type_name(),
        };
        Text::Borrowed(name)
    }

    /// Whether a function that takes `ty` takes this value, as far as its outside tells.
    pub fn is(&self, ty: &Type) -> bool {
        match (ty, self) {
            (Type::Dyn | Type::Var(_) | Type::Error, _) => true,
            (Type::Null, Self::Null)
            | (Type::Bool, Self::Bool(_))
            | (Type::Int, Self::Int(_))
            | (Type::Uint, Self::Uint(_))
            | (Type::Double, Self::Double(_))
            | (Type::String, Self::String(_))
            | (Type::Bytes, Self::Bytes(_))
            | (Type::Duration, Self::Duration(_))
            | (Type::Timestamp, Self::Timestamp(_))
            | (Type::List(_), Self::List(_))
            | (Type::Map(..) | Type::Object(_), Self::Map(_))
            | (Type::TypeOf(_), Self::Type(_))
            | (Type::Optional(_), Self::Optional(_)) => true,
            (Type::Opaque(name), Self::Host(host)) => host.type_name() == *name,
            _ => false,
        }
    }

    /// The object of a request's type that a map of JSON is, if it is one.
    pub fn object(&self) -> Option<&'a Object> {
        match self {
            Self::Map(map) => map.object(),
            _ => None,
        }
    }
}
