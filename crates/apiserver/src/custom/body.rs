//! From what a client sent to an object of a custom kind.

use proto::CustomObject;
use proto::dynamic::DynObject;
use proto::json::Decoded;
use proto::meta::v1::ManagedFieldsEntry;

use super::Version;
use crate::registry::Resource;
use crate::status::{Failure, Result, cause};
use crate::verbs::decode::{Body, clears_owners, complain};
use crate::verbs::options::FieldValidation;

/// How much of a body that says not what it is a refusal shows.
const SHOWN_LEN_MAX: usize = 30;

impl Version {
    /// Reads an object. Texts of warnings go to `warnings`.
    pub fn decode(
        &self,
        resource: &Resource,
        body: Body<'_>,
        validation: FieldValidation,
        warnings: &mut Vec<String>,
    ) -> Result<Box<dyn DynObject>> {
        let kind = resource.kind;
        let Body::Json(bytes) = body else {
            return Err(Failure::bad_request(format!(
                "{} is a custom resource: it is sent as JSON ({})",
                kind.kind,
                proto::custom::FULL_NAME
            )));
        };
        let refuse = |what: String| {
            let (kind, version) = (kind.kind, kind.version);
            Failure::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {what}"))
        };
        let mut object = CustomObject::new(kind);
        let decoded = proto::json::decode_into(bytes, &mut object).map_err(|error| refuse(error.to_string()))?;
        if is_of_no_version(self, resource, &decoded) {
            // As upstream: a version that is not there knows no field.
            let fields = object.body.keys().map(String::as_str).chain(object.status.as_ref().map(|_| "status"));
            let unknown = fields.map(|field| format!("unknown field \"{field}\"")).collect();
            complain(unknown, validation, warnings).map_err(refuse)?;
        }
        check_type(resource, &object, &decoded, bytes)?;
        if clears_owners(&object, bytes) {
            object.metadata.managed_fields.push(ManagedFieldsEntry::default());
        }
        let pruned = self.prune(&mut object);
        let unknown = decoded.unknown.iter().chain(&pruned).map(|path| format!("unknown field \"{path}\""));
        let duplicate = decoded.duplicate.iter().map(|path| format!("duplicate field \"{path}\""));
        complain(unknown.chain(duplicate).collect(), validation, warnings).map_err(refuse)?;
        Ok(Box::new(object))
    }
}

/// Whether an object says to be of a version of this kind that its definition does not name.
fn is_of_no_version(version: &Version, resource: &Resource, decoded: &Decoded) -> bool {
    let group = decoded.api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let same = group == resource.kind.group && decoded.kind == resource.kind.kind;
    same && !version.schemas.iter().any(|(known, _)| *known == decoded.api_version)
}

/// Refuses an object that says to be another one.
fn check_type(resource: &Resource, object: &CustomObject, decoded: &Decoded, bytes: &[u8]) -> Result<()> {
    let kind = resource.kind;
    for (field, said) in [("Kind", &decoded.kind), ("apiVersion", &decoded.api_version)] {
        if said.is_empty() {
            return Err(Failure::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): Object '{field}' is missing in '{}' ({})",
                kind.kind,
                String::from_utf8_lossy(bytes),
                shown(bytes)
            )));
        }
    }
    if decoded.api_version != kind.api_version {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({})",
            decoded.api_version, kind.api_version
        )));
    }
    if decoded.kind != kind.kind {
        let message = format!("Invalid value: \"{}\": must be {}", decoded.kind, kind.kind);
        let causes = vec![cause("FieldValueInvalid", "kind", message)];
        return Err(Failure::invalid(kind.group, &decoded.kind, &object.metadata.name, causes));
    }
    Ok(())
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.char_indices().nth(SHOWN_LEN_MAX) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.into_owned(),
    }
}
