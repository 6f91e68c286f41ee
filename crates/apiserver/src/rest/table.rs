//! Objects as rows of a Table: what kubectl prints.

use api::print::{self, Column};
use api::structural::columns::Head;
use jiff::Timestamp;
use proto::dynamic::DynObject;
use serde_json::{Value, json};

use super::encode;
use super::negotiate::Accepted;
use crate::registry::Resource;
use crate::status::{Failure, Result};

/// What of an object its row carries: `includeObject`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl Include {
    /// Reads the option; empty is the metadata.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::None),
            "Object" => Ok(Self::Object),
            other => {
                let why = format!(
                    "unrecognized includeObject value {other:?}: \"None\", \"Metadata\" and \"Object\" are known"
                );
                Err(Failure::bad_request(why))
            }
        }
    }
}

/// The heads of a resource's columns.
fn heads(resource: &Resource) -> Vec<Value> {
    match &resource.custom {
        Some(version) => version.columns.heads().iter().map(Head::to_json).collect(),
        None => {
            let columns = print::columns(resource.row.group, resource.row.plural).unwrap_or(print::PLAIN);
            columns.iter().map(definition).collect()
        }
    }
}

/// What a table begins with, up to its first row. `metadata` is JSON.
pub fn prologue(resource: &Resource, accepted: Accepted, metadata: &Value, with_columns: bool) -> Vec<u8> {
    let definitions: Vec<Value> = if with_columns { heads(resource) } else { Vec::new() };
    let version = encode::partial_version(accepted);
    let mut out =
        format!(r#"{{"kind":"Table","apiVersion":"{version}","metadata":{metadata},"columnDefinitions":"#).into_bytes();
    match with_columns {
        true => out.extend_from_slice(json!(definitions).to_string().as_bytes()),
        false => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(br#","rows":["#);
    out
}

/// What a table ends with.
pub const EPILOGUE: &[u8] = b"]}";

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name,
        "type": column.kind,
        "format": column.format,
        "description": describe(column),
        "priority": column.priority,
    })
}

fn describe(column: &Column) -> String {
    match (column.format, column.kind) {
        ("name", _) => "The name of the object, unique in its namespace".to_owned(),
        (_, "date") => format!("{}: a time", column.name),
        _ if column.name == "Age" => "How long ago the object was created".to_owned(),
        _ => format!("{} of the object", column.name),
    }
}

/// A row.
pub fn row(
    resource: &Resource,
    object: &dyn DynObject,
    accepted: Accepted,
    include: Include,
    now: Timestamp,
) -> Vec<u8> {
    let json = object.to_json();
    let value: Value = serde_json::from_slice(&json).unwrap_or_default();
    let cells = match &resource.custom {
        Some(version) => version.columns.cells(&value, now),
        None => print::cells(resource.row.group, resource.row.plural, &value, now),
    };
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(br#"{"cells":"#);
    out.extend_from_slice(Value::Array(cells).to_string().as_bytes());
    if let Some(conditions) = conditions(resource, &value) {
        out.extend_from_slice(br#","conditions":"#);
        out.extend_from_slice(conditions.to_string().as_bytes());
    }
    out.extend_from_slice(br#","object":"#);
    match include {
        Include::None => out.extend_from_slice(b"null"),
        Include::Object => out.extend_from_slice(&json),
        Include::Metadata => {
            let metadata = proto::meta::v1::PartialObjectMetadata { metadata: object.metadata().clone() };
            out.extend_from_slice(&encode::partial(&metadata, accepted));
        }
    }
    out.push(b'}');
    out
}

/// Rows of pods that have ended say so: kubectl may hide them.
fn conditions(resource: &Resource, object: &Value) -> Option<Value> {
    if (resource.row.group, resource.row.plural) != ("", "pods") {
        return None;
    }
    let (reason, message) = match object.pointer("/status/phase").and_then(Value::as_str)? {
        "Succeeded" => ("Succeeded", "every container of the pod has ended well"),
        "Failed" => ("Failed", "the pod has ended, and not well"),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

/// A table of one object.
pub fn of_object(resource: &Resource, rev: i64, bytes: &[u8], accepted: Accepted, include: Include) -> Result<Vec<u8>> {
    let object = encode::decode(resource.kind, rev, bytes)?;
    let metadata = match rev {
        0 => json!({}),
        rev => json!({"resourceVersion": rev.to_string()}),
    };
    let mut out = prologue(resource, accepted, &metadata, true);
    out.extend_from_slice(&row(resource, object.as_ref(), accepted, include, Timestamp::now()));
    out.extend_from_slice(EPILOGUE);
    Ok(out)
}
