//! Objects as REST carries them: the cache's and the store's bytes know no version, answers do.

use std::ops::Range;

use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint, skip_field};
use proto::dynamic::{DynObject, KindInfo};
use proto::meta::v1::{PartialObjectMetadata, Status};
use proto::runtime::TypeMeta;

use super::negotiate::{Accepted, Format, Shape};
use super::{table, yaml};
use crate::registry::{Resource, Versioned};
use crate::status::{Failure, Result};

/// metadata in every object.
const METADATA: u32 = 1;
/// resourceVersion in ObjectMeta.
const RESOURCE_VERSION: u32 = 6;
/// The fields of `runtime.Unknown`.
const UNKNOWN_TYPE: u32 = 1;
const UNKNOWN_RAW: u32 = 2;
const UNKNOWN_ENCODING: u32 = 3;
const UNKNOWN_CONTENT_TYPE: u32 = 4;

/// An object with its version, read.
pub fn decode(kind: &'static KindInfo, rev: i64, bytes: &[u8]) -> Result<Box<dyn DynObject>> {
    let malformed = |error| Failure::internal(format!("a stored {} is malformed: {error}", kind.kind));
    let mut object = kind.decode(bytes).map_err(malformed)?;
    if rev != 0 {
        object.metadata_mut().resource_version = rev.to_string();
    }
    Ok(object)
}

/// Appends JSON of an object with its version; items of lists are written without kind and apiVersion.
pub fn json(out: &mut Vec<u8>, kind: &'static KindInfo, rev: i64, bytes: &[u8], with_type: bool) -> Result<()> {
    let version = if rev == 0 { String::new() } else { rev.to_string() };
    if !proto::json::write_bytes(out, kind.message, bytes, &version, with_type) {
        proto::json::write(out, decode(kind, rev, bytes)?.as_reflect(), with_type);
    }
    Ok(())
}

/// The metadata of an object, with its version.
pub fn metadata(rev: i64, bytes: &[u8]) -> Result<PartialObjectMetadata> {
    let mut object = PartialObjectMetadata::decode(bytes).map_err(Failure::internal)?;
    if rev != 0 {
        object.metadata.resource_version = rev.to_string();
    }
    Ok(object)
}

/// Protobuf bytes of an object with its version put in.
pub fn with_version(rev: i64, bytes: &[u8]) -> Vec<u8> {
    let Some((place, text)) = place(rev, bytes) else { return bytes.to_vec() };
    let mut out = Vec::with_capacity(place.len(bytes, &text));
    out.extend_from_slice(&bytes[..place.metadata_field.start]);
    encode_key(METADATA, WireType::LengthDelimited, &mut out);
    encode_varint(place.metadata_len(&text) as u64, &mut out);
    out.extend_from_slice(&bytes[place.metadata.start..place.version_field.start]);
    field(&mut out, RESOURCE_VERSION, text.as_bytes());
    out.extend_from_slice(&bytes[place.version_field.end..]);
    out
}

/// How many bytes [`with_version`] makes.
pub fn len_with_version(rev: i64, bytes: &[u8]) -> usize {
    place(rev, bytes).map_or(bytes.len(), |(place, text)| place.len(bytes, &text))
}

/// Where the version goes.
struct Place {
    /// The field of the metadata, and what is in it.
    metadata_field: Range<usize>,
    metadata: Range<usize>,
    /// The field of the version.
    version_field: Range<usize>,
}

impl Place {
    fn metadata_len(&self, version: &str) -> usize {
        self.metadata.len() - self.version_field.len() + field_len(version.len())
    }

    fn len(&self, bytes: &[u8], version: &str) -> usize {
        bytes.len() - self.metadata_field.len() + field_len(self.metadata_len(version))
    }
}

/// Where the version goes, and its text. `None`: there is none to put in, or nowhere to put it; our own encoder always writes
/// both fields.
fn place(rev: i64, bytes: &[u8]) -> Option<(Place, String)> {
    if rev == 0 {
        return None;
    }
    let (metadata_field, metadata) = find(METADATA, bytes, 0..bytes.len())?;
    let (version_field, _) = find(RESOURCE_VERSION, bytes, metadata.clone())?;
    Some((Place { metadata_field, metadata, version_field }, rev.to_string()))
}

/// The first length-delimited field of that number in a part of a message: all of it, and what is in it.
fn find(number: u32, bytes: &[u8], part: Range<usize>) -> Option<(Range<usize>, Range<usize>)> {
    let mut rest = bytes.get(part.clone())?;
    while !rest.is_empty() {
        let begin = part.end - rest.len();
        let (field, wire) = decode_key(&mut rest).ok()?;
        if field != number || wire != WireType::LengthDelimited {
            skip_field(wire, field, &mut rest, Default::default()).ok()?;
            continue;
        }
        let len = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
        let inner = part.end - rest.len();
        rest.get(..len)?;
        return Some((begin..inner + len, inner..inner + len));
    }
    None
}

/// An object in the envelope of `application/vnd.kubernetes.protobuf`.
pub fn envelope(kind: &KindInfo, rev: i64, bytes: &[u8]) -> Vec<u8> {
    proto::envelope::encode_bytes(kind.api_version, kind.kind, with_version(rev, bytes))
}

/// One object as an answer.
pub fn object(
    resource: &Resource,
    versioned: &Versioned,
    accepted: Accepted,
    include: table::Include,
) -> Result<Vec<u8>> {
    let Versioned { kind, rev, bytes } = versioned;
    match (accepted.shape, accepted.format) {
        (Shape::Whole, Format::Protobuf) => Ok(envelope(kind, *rev, bytes)),
        (Shape::Whole, format) => {
            let mut out = Vec::with_capacity(bytes.len() * 2);
            json(&mut out, kind, *rev, bytes, true)?;
            Ok(text(out, format, accepted.pretty))
        }
        (Shape::Metadata, Format::Protobuf) => {
            let (version, object) = (partial_version(accepted), metadata(*rev, bytes)?);
            Ok(proto::envelope::encode(version, "PartialObjectMetadata", &object))
        }
        (Shape::Metadata, format) => Ok(text(partial(&metadata(*rev, bytes)?, accepted), format, accepted.pretty)),
        (Shape::Table, format) => {
            let table = table::of_object(resource, *rev, bytes, accepted, include)?;
            Ok(text(table, format, accepted.pretty))
        }
        (Shape::MetadataList, _) => {
            let message = format!(
                "you requested PartialObjectMetadataList, but the requested object is not a list (*{}.{})",
                if kind.group.is_empty() { "core" } else { kind.group.split('.').next().unwrap_or_default() },
                kind.kind
            );
            Err(Failure::new(406, "NotAcceptable", message))
        }
    }
}

/// `meta.k8s.io/v1`.
pub fn partial_version(accepted: Accepted) -> &'static str {
    if accepted.version == "v1" { "meta.k8s.io/v1" } else { "meta.k8s.io/v1beta1" }
}

/// JSON of an object's metadata.
pub fn partial(object: &PartialObjectMetadata, accepted: Accepted) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(br#"{"kind":"PartialObjectMetadata","apiVersion":""#);
    out.extend_from_slice(partial_version(accepted).as_bytes());
    out.extend_from_slice(br#"","metadata":"#);
    proto::json::write(&mut out, &object.metadata, false);
    out.push(b'}');
    out
}

/// A Status as an answer.
pub fn status(status: &Status, format: Format, pretty: bool) -> Vec<u8> {
    match format {
        Format::Protobuf => proto::envelope::encode_kind(status),
        format => text(proto::json::to_vec(status), format, pretty),
    }
}

/// JSON as it is, indented, or as YAML.
pub fn text(json: Vec<u8>, format: Format, pretty: bool) -> Vec<u8> {
    match format {
        Format::Yaml => yaml::of_json(&json),
        _ if pretty => indent(&json),
        _ => json,
    }
}

/// JSON with line breaks, as upstream's pretty form has it: two spaces a level.
fn indent(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + depth * 2, b' ');
    };
    for (at, &byte) in json.iter().enumerate() {
        if quoted {
            out.push(byte);
            (quoted, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            continue;
        }
        let before = at.checked_sub(1).map_or(0, |at| json[at]);
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                depth += 1;
                if !matches!(json.get(at + 1), Some(b'}' | b']')) {
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if !matches!(before, b'{' | b'[') {
                    line(&mut out, depth);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            byte => {
                quoted = byte == b'"';
                out.push(byte);
            }
        }
    }
    out
}

/// Appends a length-delimited field.
pub fn field(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Bytes of a length-delimited field of so many bytes whose number is below 16.
pub fn field_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

/// The envelope around a message of `length` bytes: what goes before it, and what follows.
pub fn list_envelope(api_version: &str, kind: &str, length: usize) -> (Vec<u8>, Vec<u8>) {
    let type_meta = TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() };
    let mut head = proto::envelope::MAGIC.to_vec();
    field(&mut head, UNKNOWN_TYPE, &type_meta.encode_to_vec());
    encode_key(UNKNOWN_RAW, WireType::LengthDelimited, &mut head);
    encode_varint(length as u64, &mut head);
    // The encoding and the content type are empty and written, as upstream does.
    let mut tail = Vec::new();
    field(&mut tail, UNKNOWN_ENCODING, &[]);
    field(&mut tail, UNKNOWN_CONTENT_TYPE, &[]);
    (head, tail)
}

#[cfg(test)]
mod tests {
    use proto::core::v1::Pod;

    use super::*;

    #[test]
    fn the_version_is_put_where_it_belongs() {
        let mut pod = Pod::default();
        pod.metadata.name = "p".into();
        pod.metadata.uid = "u".into();
        pod.metadata.labels.insert("a".into(), "b".repeat(200));
        pod.spec.node_name = "n".into();
        let bare = Message::encode_to_vec(&pod);
        pod.metadata.resource_version = "123456789".into();
        assert_eq!(with_version(123_456_789, &bare), Message::encode_to_vec(&pod));
        assert_eq!(len_with_version(123_456_789, &bare), Message::encode_to_vec(&pod).len());
        assert_eq!(with_version(0, &bare), bare);
    }

    #[test]
    fn malformed_bytes_are_left_as_they_are() {
        for bytes in [&b""[..], b"\x0a\x7f", b"\xff", b"\x08\x01"] {
            assert_eq!(with_version(7, bytes), bytes);
        }
    }

    #[test]
    fn an_envelope_in_two_pieces_is_the_whole_one() {
        let (mut head, tail) = list_envelope("v1", "PodList", 3);
        head.extend_from_slice(b"raw");
        head.extend_from_slice(&tail);
        assert_eq!(head, proto::envelope::encode_bytes("v1", "PodList", b"raw".to_vec()));
    }

    #[test]
    fn indented_json_says_the_same() {
        let json = br#"{"a":[1,{"b":"x\"{,:}\\"}],"c":{},"d":[]}"#;
        let text = String::from_utf8(indent(json)).unwrap();
        assert_eq!(
            text,
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x\\\"{,:}\\\\\"\n    }\n  ],\n  \"c\": {},\n  \"d\": []\n}"
        );
    }
}
