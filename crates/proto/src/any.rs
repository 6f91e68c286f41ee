//! Objects inside `google.protobuf.Any`, as gRPC carries them.

use prost::{DecodeError, Message};

use crate::dynamic::{DynObject, kind_by_full_name};
use crate::kind::Kind;

const PREFIX: &str = "type.googleapis.com/";

/// Packs a kind.
pub fn pack<T: Kind>(message: &T) -> prost_types::Any {
    prost_types::Any { type_url: type_url(T::FULL_NAME), value: Message::encode_to_vec(message) }
}

/// Packs an object whose kind is known at run time only.
pub fn pack_dyn(object: &dyn DynObject) -> prost_types::Any {
    prost_types::Any { type_url: type_url(object.info().full_name), value: object.encode_to_vec() }
}

/// Packs bytes that are already encoded.
pub fn pack_bytes(full_name: &str, value: Vec<u8>) -> prost_types::Any {
    prost_types::Any { type_url: type_url(full_name), value }
}

/// `type.googleapis.com/` and the full name.
pub fn type_url(full_name: &str) -> String {
    let mut url = String::with_capacity(PREFIX.len() + full_name.len());
    url.push_str(PREFIX);
    url.push_str(full_name);
    url
}

/// The full name in a type URL: what follows its last slash.
pub fn full_name(type_url: &str) -> &str {
    type_url.rsplit('/').next().unwrap_or(type_url)
}

/// Unpacks a kind.
pub fn unpack<T: Kind>(any: &prost_types::Any) -> Result<T, Error> {
    let found = full_name(&any.type_url);
    if found != T::FULL_NAME {
        return Err(Error::WrongType { wanted: T::FULL_NAME, found: found.to_owned() });
    }
    T::decode(any.value.as_slice()).map_err(|source| Error::Decode { name: found.to_owned(), source })
}

/// Unpacks an object of whatever kind it says.
pub fn unpack_dyn(any: &prost_types::Any) -> Result<Box<dyn DynObject>, Error> {
    let found = full_name(&any.type_url);
    let info = kind_by_full_name(found).ok_or_else(|| Error::UnknownType { found: found.to_owned() })?;
    info.decode(&any.value).map_err(|source| Error::Decode { name: found.to_owned(), source })
}

/// Why an `Any` could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("expected a {wanted}, got a {found}")]
    WrongType { wanted: &'static str, found: String },
    #[error("{found} is no kind that is known here")]
    UnknownType { found: String },
    #[error("the bytes of the {name} are malformed")]
    Decode { name: String, source: DecodeError },
}
