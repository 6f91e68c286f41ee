//! Objects as gRPC messages, and back.

use prost::Message;
use proto::dynamic::KindInfo;
use proto::keelson::api::v1::{Json, Object};

use crate::registry::Versioned;
use crate::status::{Failure, Result};
use crate::verbs::decode::Body;
use crate::watch_cache::Entry;

const JSON: &str = "keelson.api.v1.Json";

/// An object.
pub fn object(kind: &'static KindInfo, rev: i64, bytes: &[u8]) -> Object {
    if kind.is_custom() {
        return custom(kind, rev, bytes);
    }
    Object {
        resource_version: rev,
        object: Some(proto::any::pack_bytes(kind.full_name, bytes.to_vec())),
        warnings: Vec::new(),
    }
}

/// A custom object goes out as JSON; its version beside it, as everywhere.
fn custom(kind: &'static KindInfo, rev: i64, bytes: &[u8]) -> Object {
    // Our own encoder's bytes cannot be malformed.
    let raw = kind.decode(bytes).map(|object| object.to_json()).unwrap_or_default();
    let json = Json { raw: raw.into() }.encode_to_vec();
    Object { resource_version: rev, object: Some(proto::any::pack_bytes(JSON, json)), warnings: Vec::new() }
}

/// An object of the cache.
pub fn entry(kind: &'static KindInfo, entry: &Entry, rev: i64) -> Object {
    object(kind, rev, &entry.bytes)
}

/// The answer to a read or a write.
pub fn answer(versioned: &Versioned, warnings: Vec<String>) -> Object {
    Object { warnings, ..object(versioned.kind, versioned.rev, &versioned.bytes) }
}

/// An object as it came. `json` keeps what it borrows from.
pub fn body<'a>(any: Option<&'a prost_types::Any>, json: &'a mut Vec<u8>) -> Result<Body<'a>> {
    let Some(any) = any else { return Err(Failure::bad_request("object must be given")) };
    if proto::any::full_name(&any.type_url) != JSON {
        return Ok(Body::Message(&any.type_url, &any.value));
    }
    let message = Json::decode(any.value.as_slice())
        .map_err(|error| Failure::bad_request(format!("the bytes of keelson.api.v1.Json are malformed: {error}")))?;
    *json = message.raw.to_vec();
    Ok(Body::Json(json))
}
