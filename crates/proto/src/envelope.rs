//! The envelope of stored objects and of `application/vnd.kubernetes.protobuf`.
//!
//! Four bytes `k8s\0`, then a `runtime.Unknown` with the object's apiVersion, kind and bytes.

use prost::{DecodeError, Message};

use crate::dynamic::{DynObject, kind_by_api_version};
use crate::kind::Kind;
use crate::runtime::{TypeMeta, Unknown};

/// What an envelope begins with.
pub const MAGIC: &[u8] = b"k8s\0";

/// Wraps a message.
pub fn encode<M: Message>(api_version: &str, kind: &str, message: &M) -> Vec<u8> {
    encode_bytes(api_version, kind, Message::encode_to_vec(message))
}

/// Wraps a kind under its own name.
pub fn encode_kind<T: Kind>(message: &T) -> Vec<u8> {
    encode(T::API_VERSION, T::KIND, message)
}

/// Wraps an object of any kind.
pub fn encode_dyn(object: &dyn DynObject) -> Vec<u8> {
    encode_bytes(object.info().api_version, object.info().kind, object.encode_to_vec())
}

/// Wraps bytes that are already encoded.
pub fn encode_bytes(api_version: &str, kind: &str, raw: Vec<u8>) -> Vec<u8> {
    let type_meta = TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() };
    let unknown = Unknown { type_meta, raw, content_encoding: String::new(), content_type: String::new() };
    let mut bytes = Vec::with_capacity(MAGIC.len() + unknown.encoded_len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&Message::encode_to_vec(&unknown));
    bytes
}

/// Whether the bytes begin as an envelope does.
pub fn is_envelope(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Opens an envelope: the object's bytes are in `raw`.
pub fn decode(bytes: &[u8]) -> Result<Unknown, Error> {
    let body = bytes.strip_prefix(MAGIC).ok_or(Error::NoMagic)?;
    Unknown::decode(body).map_err(Error::Malformed)
}

/// Opens an envelope and reads the object in it.
pub fn decode_object(bytes: &[u8]) -> Result<Box<dyn DynObject>, Error> {
    let unknown = decode(bytes)?;
    let TypeMeta { api_version, kind } = unknown.type_meta;
    let Some(info) = kind_by_api_version(&api_version, &kind) else {
        return Err(Error::UnknownKind { api_version, kind });
    };
    info.decode(&unknown.raw).map_err(Error::Malformed)
}

/// Opens an envelope and reads a kind that is known beforehand.
pub fn decode_kind<T: Kind>(bytes: &[u8]) -> Result<T, Error> {
    let unknown = decode(bytes)?;
    let TypeMeta { api_version, kind } = unknown.type_meta;
    if kind != T::KIND {
        return Err(Error::UnknownKind { api_version, kind });
    }
    T::decode(unknown.raw.as_slice()).map_err(Error::Malformed)
}

/// Why an envelope could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the bytes do not begin with the magic k8s and a zero byte")]
    NoMagic,
    #[error("the protobuf is malformed")]
    Malformed(#[source] DecodeError),
    #[error("{api_version} {kind} is no kind that is known here")]
    UnknownKind { api_version: String, kind: String },
}
