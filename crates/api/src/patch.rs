//! Patches: JSON (RFC 6902), merge (RFC 7396), and Kubernetes' strategic merge.
//!
//! All three work on an object's JSON tree; the strategic one reads from the schema tables which lists merge, and by
//! what key.

mod json;
mod merge;
mod strategic;

use proto::schema::MessageInfo;
use serde_json::Value;

/// Why a patch could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The patch itself is malformed.
    #[error("{0}")]
    Malformed(String),
    /// The patch does not fit the object: a path that is not there, a test that fails.
    #[error("{0}")]
    Unprocessable(String),
    /// The patch asks for more than one request may.
    #[error("{0}")]
    TooLarge(String),
    /// A strategic merge directive is wrong; upstream answers it with code 500.
    #[error("{0}")]
    Directive(String),
}

/// Applies a JSON patch: a list of operations, all or none.
pub fn json(object: &mut Value, patch: &Value) -> Result<(), Error> {
    json::apply(object, patch)
}

/// Applies a merge patch: objects merge, null removes, everything else replaces.
pub fn merge(object: &mut Value, patch: &Value) -> Result<(), Error> {
    merge::apply(object, patch)
}

/// Applies a strategic merge patch to an object of that schema.
pub fn strategic(object: &mut Value, patch: &Value, schema: &'static MessageInfo) -> Result<(), Error> {
    strategic::apply(object, patch, schema)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
