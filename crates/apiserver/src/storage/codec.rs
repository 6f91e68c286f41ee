//! Stored values: Kubernetes' envelope (`k8s\0` and a `runtime.Unknown`) around an object's protobuf bytes, or JSON for
//! the few resources that are stored so. Opening an envelope copies nothing.

use bytes::{Buf, Bytes};
use prost::encoding::{WireType, decode_key, decode_varint, skip_field};
use proto::dynamic::KindInfo;

use super::{Record, StorageError};

/// The field of `runtime.Unknown` that holds the object.
const RAW: u32 = 2;

/// The object's protobuf bytes in a stored value.
pub fn open(kind: &'static KindInfo, record: &Record) -> Result<Bytes, StorageError> {
    let corrupt =
        |reason: String| StorageError::Corrupt { key: String::from_utf8_lossy(&record.key).into_owned(), reason };
    if record.value.starts_with(b"{") {
        let object = api::convert::read_stored(&record.value, kind.api_version);
        let mut object = object.map_err(|error| corrupt(error.to_string()))?;
        object.metadata_mut().resource_version.clear();
        return Ok(object.encode_to_vec().into());
    }
    if !record.value.starts_with(proto::envelope::MAGIC) {
        return Err(corrupt("it begins neither as protobuf nor as JSON (is it encrypted?)".to_owned()));
    }
    raw(record.value.slice(proto::envelope::MAGIC.len()..))
        .ok_or_else(|| corrupt("its envelope is malformed".to_owned()))
}

/// The value to store for an object's protobuf bytes, which say to be of `api_version`: the kind's own, or a version
/// with the same fields.
pub fn seal(kind: &'static KindInfo, api_version: &str, json: bool, bytes: &[u8]) -> Bytes {
    if json && let Ok(object) = kind.decode(bytes) {
        return api::convert::write_stored_json(object.as_ref()).into();
    }
    proto::envelope::encode_bytes(api_version, kind.kind, bytes.to_vec()).into()
}

fn raw(mut body: Bytes) -> Option<Bytes> {
    let mut found = Bytes::new();
    while body.has_remaining() {
        let (field, wire) = decode_key(&mut body).ok()?;
        if field == RAW && wire == WireType::LengthDelimited {
            let len = usize::try_from(decode_varint(&mut body).ok()?).ok()?;
            if len > body.len() {
                return None;
            }
            found = body.split_to(len);
        } else {
            skip_field(wire, field, &mut body, Default::default()).ok()?;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_to_the_same_bytes() {
        let kind = proto::dynamic::kind_info("", "v1", "ConfigMap").expect("a core kind");
        let mut object = kind.new_object();
        object.metadata_mut().name = "a".to_owned();
        let bytes = object.encode_to_vec();
        let record = Record {
            key: Bytes::from_static(b"/registry/configmaps/d/a"),
            value: seal(kind, "v1", false, &bytes),
            rev: 1,
        };
        assert_eq!(open(kind, &record).expect("sealed above"), bytes);
    }

    #[test]
    fn a_cut_envelope_is_named_with_its_key() {
        let kind = proto::dynamic::kind_info("", "v1", "ConfigMap").expect("a core kind");
        let record =
            Record { key: Bytes::from_static(b"/registry/x"), value: Bytes::from_static(b"k8s\0\x12\x7f"), rev: 1 };
        let error = open(kind, &record).expect_err("cut");
        assert!(error.to_string().contains("/registry/x"), "{error}");
    }
}
