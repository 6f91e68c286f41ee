//! One wrong field.

use std::fmt;

use proto::meta::v1::StatusCause;

use crate::status::quoted;

/// What kind of wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    TypeInvalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    Internal,
}

impl Reason {
    /// The word in a Status' causes.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

/// One wrong field of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    pub reason: Reason,
    /// `spec.containers[0].name`.
    pub field: String,
    /// The value as it is shown; empty where it says nothing.
    pub value: String,
    pub detail: String,
}

impl FieldError {
    fn new(reason: Reason, field: impl fmt::Display, value: String, detail: impl Into<String>) -> Self {
        Self { reason, field: field.to_string(), value, detail: detail.into() }
    }

    pub fn required(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(Reason::Required, field, String::new(), detail)
    }

    pub fn invalid(field: impl fmt::Display, value: impl Shown, detail: impl Into<String>) -> Self {
        Self::new(Reason::Invalid, field, value.shown(), detail)
    }

    /// As [`Self::invalid`], where no value is worth showing.
    pub fn wrong(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(Reason::Invalid, field, String::new(), detail)
    }

    pub fn type_invalid(field: impl fmt::Display, value: impl Shown, detail: impl Into<String>) -> Self {
        Self::new(Reason::TypeInvalid, field, value.shown(), detail)
    }

    pub fn duplicate(field: impl fmt::Display, value: impl Shown) -> Self {
        Self::new(Reason::Duplicate, field, value.shown(), "")
    }

    pub fn not_found(field: impl fmt::Display, value: impl Shown) -> Self {
        Self::new(Reason::NotFound, field, value.shown(), "")
    }

    pub fn not_supported(field: impl fmt::Display, value: impl Shown, supported: &[&str]) -> Self {
        let mut supported: Vec<String> = supported.iter().map(|value| quoted(value)).collect();
        supported.sort();
        let detail = format!("supported values: {}", supported.join(", "));
        Self::new(Reason::NotSupported, field, value.shown(), detail)
    }

    pub fn forbidden(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(Reason::Forbidden, field, String::new(), detail)
    }

    pub fn too_long(field: impl fmt::Display, max: usize) -> Self {
        Self::new(Reason::TooLong, field, String::new(), format!("may not be more than {max} bytes"))
    }

    pub fn too_many(field: impl fmt::Display, count: usize, max: usize) -> Self {
        Self::new(Reason::TooMany, field, count.to_string(), format!("must have at most {max} items"))
    }

    /// The text without the field: the message of a cause.
    pub fn message(&self) -> String {
        let mut text = self.reason.text().to_owned();
        if !self.value.is_empty() {
            text.push_str(": ");
            text.push_str(&self.value);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }

    /// The cause in a Status.
    pub fn cause(&self) -> StatusCause {
        StatusCause { reason: self.reason.word().to_owned(), message: self.message(), field: self.field.clone() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message())
    }
}

/// A value as errors show it: texts in quotes, numbers bare, messages as JSON.
pub trait Shown {
    fn shown(&self) -> String;
}

impl Shown for &str {
    fn shown(&self) -> String {
        quoted(self)
    }
}

impl Shown for &String {
    fn shown(&self) -> String {
        quoted(self)
    }
}

/// Lists and absent values are shown as JSON.
impl Shown for &Vec<String> {
    fn shown(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

impl Shown for &Vec<i32> {
    fn shown(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

impl Shown for &std::collections::BTreeMap<String, String> {
    fn shown(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

macro_rules! bare {
    ($($type:ty),*) => {$(
        impl Shown for $type {
            fn shown(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

bare!(i32, i64, usize, bool);

impl Shown for &proto::Quantity {
    fn shown(&self) -> String {
        quoted(&self.string)
    }
}

impl Shown for &proto::IntOrString {
    fn shown(&self) -> String {
        let text = crate::int_or_string::text(self);
        if crate::int_or_string::is_string(self) { quoted(&text) } else { text }
    }
}

/// A message, shown as JSON.
pub struct Json<'a, T>(pub &'a T);

/// A message that may be absent, shown as JSON.
pub struct JsonOpt<'a, T>(pub Option<&'a T>);

impl<T: proto::Reflect> Shown for JsonOpt<'_, T> {
    fn shown(&self) -> String {
        self.0.map_or_else(|| "null".to_owned(), proto::json::to_string)
    }
}

/// A value that may be absent.
impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "null".to_owned(), Shown::shown)
    }
}

impl<T: proto::Reflect> Shown for Json<'_, T> {
    fn shown(&self) -> String {
        proto::json::to_string(self.0)
    }
}
