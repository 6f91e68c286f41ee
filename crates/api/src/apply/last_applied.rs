//! The annotation of kubectl's client-side apply, kept true while the same person moves to server-side apply.

use proto::dynamic::DynObject;
use serde_json::Value;

use super::Writer;
use super::compare::changes;
use super::conflict::Conflict;
use super::field_set::field_set;
use super::set::Set;

/// The one manager that this is done for: kubectl's own.
pub const MANAGER: &str = "kubectl";
/// What client-side apply applied last, as JSON.
pub const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Bytes of all keys and values of annotations, as upstream has it.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// The conflicts that are none, because the annotation says that they were applied from here, left out.
pub(super) fn left_over(conflicts: Vec<Conflict>, live: &dyn DynObject, writer: &Writer<'_>) -> Vec<Conflict> {
    let Some(allowed) = applied_before(live, writer) else { return conflicts };
    let left = |mut conflict: Conflict| {
        conflict.fields.subtract(&allowed);
        (!conflict.fields.is_empty()).then_some(conflict)
    };
    conflicts.into_iter().filter_map(left).collect()
}

/// The fields that the annotation gives and that are still as it gives them.
fn applied_before(live: &dyn DynObject, writer: &Writer<'_>) -> Option<Set> {
    let text = live.metadata().annotations.get(ANNOTATION)?;
    let json: Value = serde_json::from_str(text).ok()?;
    if json["apiVersion"].as_str() != Some(writer.api_version) {
        return None;
    }
    let info = writer.kind(writer.api_version, live.info().kind)?;
    let mut set = field_set(writer.shape(info), &json);
    let mut before = info.new_object();
    proto::json::value_into(json, before.as_reflect_mut()).ok()?;
    let changes = changes(before.as_ref(), live, writer.schema(writer.api_version));
    set.subtract(&changes.added);
    set.subtract(&changes.modified);
    set.subtract(&changes.removed);
    Some(set)
}

/// The object with the annotation brought up to date, where it has one and kubectl applies.
pub(super) fn kept(mut object: Box<dyn DynObject>, config: &Value, manager: &str) -> Box<dyn DynObject> {
    if manager != MANAGER || !object.metadata().annotations.contains_key(ANNOTATION) {
        return object;
    }
    let mut config = config.clone();
    if let Some(annotations) = config.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(ANNOTATION);
    }
    let annotations = &mut object.metadata_mut().annotations;
    annotations.insert(ANNOTATION.to_owned(), format!("{config}\n"));
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > ANNOTATIONS_BYTES_MAX {
        annotations.remove(ANNOTATION);
    }
    object
}
