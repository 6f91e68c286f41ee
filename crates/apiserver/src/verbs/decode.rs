//! From what a client sent to an object of the resource's kind, as it would be read back.

use proto::any;
use proto::dynamic::{DynObject, KindInfo};
use proto::meta::v1::ManagedFieldsEntry;

use super::Target;
use super::options::FieldValidation;
use crate::registry::Resource;
use crate::status::{Failure, Result};

/// An object as it came.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// Protobuf of the message of this full name.
    Message(&'a str, &'a [u8]),
    /// JSON.
    Json(&'a [u8]),
}

/// Reads an object of a resource. Texts of warnings go to `warnings`.
pub fn object_of(
    resource: &Resource,
    body: Body<'_>,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<Box<dyn DynObject>> {
    match &resource.custom {
        Some(version) => version.decode(resource, body, validation, warnings),
        None => object(resource.kind, body, validation, warnings),
    }
}

/// Reads an object of `kind`. Texts of warnings go to `warnings`.
pub fn object(
    kind: &'static KindInfo,
    body: Body<'_>,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<Box<dyn DynObject>> {
    match body {
        Body::Message(name, bytes) => {
            let name = any::full_name(name);
            if name != kind.full_name {
                return Err(Failure::bad_request(format!(
                    "the object is a {name}, the request is about {} ({} {})",
                    kind.full_name, kind.api_version, kind.kind
                )));
            }
            kind.decode(bytes)
                .map_err(|error| Failure::bad_request(format!("the bytes of the {} are malformed: {error}", kind.kind)))
        }
        Body::Json(bytes) => json(kind, bytes, validation, warnings),
    }
}

fn json(
    kind: &'static KindInfo,
    bytes: &[u8],
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<Box<dyn DynObject>> {
    let refuse = |what: String| {
        Failure::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: {what}",
            kind.kind, kind.version, kind.kind
        ))
    };
    let mut object = kind.new_object();
    let decoded =
        proto::json::decode_into(bytes, object.as_reflect_mut()).map_err(|error| refuse(error.to_string()))?;
    if !decoded.kind.is_empty() && (decoded.kind != kind.kind || decoded.api_version != kind.api_version) {
        return Err(Failure::bad_request(format!(
            "the object is {} {}, the request is about {} {}",
            decoded.api_version, decoded.kind, kind.api_version, kind.kind
        )));
    }
    let unknown = decoded.unknown.iter().map(|path| format!("unknown field \"{path}\""));
    let duplicate = decoded.duplicate.iter().map(|path| format!("duplicate field \"{path}\""));
    let complaints: Vec<String> = unknown.chain(duplicate).collect();
    if clears_owners(object.as_ref(), bytes) {
        object.metadata_mut().managed_fields.push(ManagedFieldsEntry::default());
    }
    complain(complaints, validation, warnings).map_err(refuse)?;
    Ok(object)
}

/// What becomes of unknown and duplicate fields: a refusal, warnings, nothing.
pub fn complain(
    complaints: Vec<String>,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> std::result::Result<(), String> {
    match validation {
        _ if complaints.is_empty() => {}
        FieldValidation::Strict => return Err(format!("strict decoding error: {}", complaints.join(", "))),
        FieldValidation::Warn => warnings.extend(complaints),
        FieldValidation::Ignore => {}
    }
    Ok(())
}

/// Whether JSON gives an empty list of owners. A message cannot tell that from none: a single empty entry means the same.
pub fn clears_owners(object: &dyn DynObject, bytes: &[u8]) -> bool {
    const NAME: &str = "managedFields";
    let named = || std::str::from_utf8(bytes).is_ok_and(|text| text.contains(NAME));
    if !object.metadata().managed_fields.is_empty() || !named() {
        return false;
    }
    let json: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    json["metadata"][NAME].is_array()
}

/// The namespace and name of an object must be those of the request; what the object leaves out is filled in.
pub fn place(target: &Target, object: &mut dyn DynObject) -> Result<()> {
    let meta = object.metadata_mut();
    if target.resource.row.namespaced {
        if target.namespace.is_empty() && meta.namespace.is_empty() {
            return Err(Failure::method_not_allowed());
        }
        if !meta.namespace.is_empty() && meta.namespace != target.namespace {
            return Err(Failure::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        meta.namespace.clone_from(&target.namespace);
    } else if !meta.namespace.is_empty() {
        return Err(Failure::bad_request("namespace may not be set on a cluster-scoped object"));
    }
    if !target.name.is_empty() {
        if !meta.name.is_empty() && meta.name != target.name {
            return Err(Failure::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                meta.name, target.name
            )));
        }
        meta.name.clone_from(&target.name);
    }
    Ok(())
}
