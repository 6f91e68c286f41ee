//! What ends an evaluation without a value.

use std::borrow::Cow;
use std::fmt;

/// Why an expression has no value; texts are upstream's where clients of Kubernetes read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The expression may not cost more. No operator makes up for this one.
    CostLimit,
    /// No form of a function takes these values.
    NoOverload,
    Other(Cow<'static, str>),
}

impl Error {
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Other(text.into())
    }

    pub(crate) fn no_such_key(key: impl fmt::Display) -> Self {
        Self::new(format!("no such key: {key}"))
    }

    pub(crate) fn conversion(from: &str, to: &str) -> Self {
        Self::new(format!("type conversion error from '{from}' to '{to}'"))
    }

    pub(crate) const INT_OVERFLOW: Self = Self::Other(Cow::Borrowed("integer overflow"));
    pub(crate) const UINT_OVERFLOW: Self = Self::Other(Cow::Borrowed("unsigned integer overflow"));
    pub(crate) const DURATION_OVERFLOW: Self = Self::Other(Cow::Borrowed("duration overflow"));
    pub(crate) const TIMESTAMP_OVERFLOW: Self = Self::Other(Cow::Borrowed("timestamp overflow"));
    pub(crate) const DIVIDED_BY_ZERO: Self = Self::Other(Cow::Borrowed("division by zero"));
    pub(crate) const MODULUS_BY_ZERO: Self = Self::Other(Cow::Borrowed("modulus by zero"));
    pub(crate) const TOO_LARGE: Self =
        Self::Other(Cow::Borrowed("the result is too large: it would have more than 16 MiB"));
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CostLimit => f.write_str("operation cancelled: actual cost limit exceeded"),
            Self::NoOverload => f.write_str("no such overload"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}
