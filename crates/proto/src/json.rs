//! Kubernetes JSON, driven by the schema tables.
//!
//! camelCase names in upstream's order, inlined messages, empties left out exactly as upstream leaves them out, and the
//! special forms of time, quantity, int-or-string and raw JSON. Encoding writes straight into a byte buffer; decoding
//! is case-sensitive, takes `null` for absent, and tells unknown and duplicate fields by their path.

mod custom;
mod decode;
mod encode;
mod special;
mod transcode;

use crate::kind::Kind;
use crate::reflect::Reflect;

pub use custom::{map as write_map, value as write_value};
pub use decode::{Decoded, Error, decode_into, value_into};
pub use encode::{is_left_out, is_written_null};
pub use transcode::write_bytes;

/// JSON of a message; a kind's begins with kind and apiVersion.
pub fn to_vec<T: Reflect>(message: &T) -> Vec<u8> {
    dyn_to_vec(message)
}

/// JSON of a message whose type is known at run time only.
pub fn dyn_to_vec(message: &dyn Reflect) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    encode::message(&mut out, message, true);
    out
}

/// Appends JSON of a message to a buffer. Items of lists are written without kind and apiVersion.
pub fn write(out: &mut Vec<u8>, message: &dyn Reflect, with_type: bool) {
    encode::message(out, message, with_type);
}

/// JSON of a message as a string.
pub fn to_string<T: Reflect>(message: &T) -> String {
    String::from_utf8_lossy(&to_vec(message)).into_owned()
}

/// JSON of a message as a tree.
pub fn to_value<T: Reflect>(message: &T) -> serde_json::Value {
    dyn_to_value(message)
}

/// JSON of a message whose type is known at run time only, as a tree.
pub fn dyn_to_value(message: &dyn Reflect) -> serde_json::Value {
    serde_json::from_slice(&dyn_to_vec(message)).unwrap_or_default()
}

/// Reads a kind; unknown and duplicate fields are ignored.
pub fn from_slice<T: Reflect + Default>(bytes: &[u8]) -> Result<T, Error> {
    let mut message = T::default();
    decode_into(bytes, &mut message)?;
    Ok(message)
}

/// Reads a tree; unknown fields are ignored.
pub fn from_value<T: Reflect + Default>(value: serde_json::Value) -> Result<T, Error> {
    let mut message = T::default();
    value_into(value, &mut message)?;
    Ok(message)
}

/// Reads a kind and what strict validation wants to know.
pub fn from_slice_strict<T: Kind>(bytes: &[u8]) -> Result<(T, Decoded), Error> {
    let mut message = T::default();
    let decoded = decode_into(bytes, &mut message)?;
    Ok((message, decoded))
}

/// kind and apiVersion of a JSON object, without reading the rest.
pub fn type_of(bytes: &[u8]) -> Result<TypeName, Error> {
    serde_json::from_slice(bytes).map_err(Error::syntax)
}

/// What a JSON object says it is; empty where it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
pub struct TypeName {
    #[serde(default, rename = "apiVersion")]
    pub api_version: String,
    #[serde(default)]
    pub kind: String,
}

#[cfg(test)]
mod tests;
