//! Objects between API versions of one kind, and from the version they are stored in.

mod autoscaler;
mod definition;
mod event;

use proto::dynamic::{DynObject, KindInfo, kind_by_api_version};
use proto::envelope;

/// Why a stored value could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the stored value is malformed")]
    Envelope(#[from] envelope::Error),
    #[error("the stored protobuf is malformed")]
    Protobuf(#[from] prost::DecodeError),
    #[error("the stored JSON is malformed")]
    Json(#[from] proto::json::Error),
    #[error("a stored {kind} of {found} cannot be read as {wanted}")]
    Unknown { kind: String, found: String, wanted: String },
}

/// Reads a stored value (enveloped protobuf, or JSON) as an object of that apiVersion.
pub fn read_stored(bytes: &[u8], api_version: &str) -> Result<Box<dyn DynObject>, Error> {
    if envelope::is_envelope(bytes) {
        let unknown = envelope::decode(bytes)?;
        let meta = unknown.type_meta;
        let info = kind_by_api_version(&meta.api_version, &meta.kind)
            .or_else(|| same_shape(&meta.api_version, &meta.kind))
            .ok_or_else(|| unknown_kind(&meta.kind, &meta.api_version, api_version))?;
        return to_version(info.decode(&unknown.raw)?, api_version);
    }
    let name = proto::json::type_of(bytes)?;
    if name.kind == "CustomResourceDefinition"
        && let Ok(tree) = serde_json::from_slice(bytes)
        && let Some(served) = definition::from_stored(tree)
        && let Some(info) = kind_by_api_version(api_version, &name.kind)
    {
        return Ok(info.from_json(served.to_string().as_bytes())?);
    }
    let info = kind_by_api_version(&name.api_version, &name.kind)
        .ok_or_else(|| unknown_kind(&name.kind, &name.api_version, api_version))?;
    to_version(info.from_json(bytes)?, api_version)
}

/// The JSON to store for an object whose resource is stored as JSON: in the version it is stored in, one line.
pub fn write_stored_json(object: &dyn DynObject) -> Vec<u8> {
    let mut bytes = match object.as_any().downcast_ref() {
        Some(definition) => definition::to_stored(definition),
        None => object.to_json(),
    };
    bytes.push(b'\n');
    bytes
}

fn unknown_kind(kind: &str, found: &str, wanted: &str) -> Error {
    Error::Unknown { kind: kind.to_owned(), found: found.to_owned(), wanted: wanted.to_owned() }
}

/// Kinds stored under an older version whose messages are those of the served one.
pub fn same_shape(api_version: &str, kind: &str) -> Option<&'static KindInfo> {
    match (api_version, kind) {
        ("admissionregistration.k8s.io/v1beta1", "MutatingAdmissionPolicy" | "MutatingAdmissionPolicyBinding") => {
            kind_by_api_version("admissionregistration.k8s.io/v1", kind)
        }
        _ => None,
    }
}

/// The object in another version of its kind; itself where it is that version already.
pub fn to_version(object: Box<dyn DynObject>, api_version: &str) -> Result<Box<dyn DynObject>, Error> {
    let info = object.info();
    if info.api_version == api_version {
        return Ok(object);
    }
    let converted = match (info.kind, api_version) {
        ("Event", "events.k8s.io/v1") => event::to_events(object.as_ref()),
        ("Event", "v1") => event::to_core(object.as_ref()),
        ("HorizontalPodAutoscaler", "autoscaling/v1") => autoscaler::to_v1(object.as_ref()),
        ("HorizontalPodAutoscaler", "autoscaling/v2") => autoscaler::to_v2(object.as_ref()),
        _ => None,
    };
    converted.ok_or_else(|| unknown_kind(info.kind, info.api_version, api_version))
}
