//! Objects of kinds that are defined while the server runs: custom resources.
//!
//! Such a kind has no message. Its metadata is typed, since every part of the API reads it; the rest is JSON. Between
//! parts of one process, and in its caches, an object is protobuf with the fields that all objects have there:
//! `{1: metadata, 2: JSON of everything else but the status, 3: JSON of the status}`. Clients get and send JSON.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use serde_json::{Map, Value};

use crate::dynamic::{DynObject, KindInfo, New};
use crate::kind::HasMeta;
use crate::meta::v1::{ObjectMeta, ObjectMeta_INFO};
use crate::reflect::{Mut, Ref, Reflect};
use crate::schema::{FieldInfo, Form, KindName, MessageInfo, ValueType};

const METADATA: u32 = 1;
const BODY: u32 = 2;
const STATUS: u32 = 3;

/// The name of the message that carries such objects to clients of gRPC.
pub const FULL_NAME: &str = "keelson.api.v1.Json";

static FIELDS: [FieldInfo; 1] = [FieldInfo {
    name: "metadata",
    key: "\"metadata\":",
    number: METADATA,
    value: ValueType::Message(&ObjectMeta_INFO),
    ..FieldInfo::PLAIN
}];

/// An object of a kind that is defined while the server runs.
#[derive(Debug, Clone)]
pub struct CustomObject {
    kind: &'static KindInfo,
    pub metadata: ObjectMeta,
    /// The fields beside apiVersion, kind, metadata and status.
    pub body: Map<String, Value>,
    /// `status`, where there is one.
    pub status: Option<Value>,
}

impl PartialEq for CustomObject {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.kind, other.kind)
            && self.metadata == other.metadata
            && self.body == other.body
            && self.status == other.status
    }
}

impl CustomObject {
    /// An empty object of the kind, which [`kind`] made.
    pub fn new(kind: &'static KindInfo) -> Self {
        Self { kind, metadata: ObjectMeta::default(), body: Map::new(), status: None }
    }

    /// The same object as another version of its kind; the fields stay what they are.
    pub fn with_kind(self, kind: &'static KindInfo) -> Self {
        Self { kind, ..self }
    }

    /// Everything but the metadata as one JSON object, as schemas describe it: apiVersion, kind, the body, the status.
    pub fn to_tree(&self) -> Value {
        let mut tree = self.body.clone();
        tree.insert("apiVersion".to_owned(), self.kind.api_version.into());
        tree.insert("kind".to_owned(), self.kind.kind.into());
        tree.extend(self.status.clone().map(|status| ("status".to_owned(), status)));
        Value::Object(tree)
    }

    /// Takes over what [`CustomObject::to_tree`] gave, changed; apiVersion, kind and metadata in it are passed over.
    pub fn set_tree(&mut self, tree: Value) {
        let Value::Object(mut tree) = tree else { return };
        for fixed in ["apiVersion", "kind", "metadata"] {
            tree.remove(fixed);
        }
        self.status = tree.remove("status");
        self.body = tree;
    }
}

impl HasMeta for CustomObject {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Reflect for CustomObject {
    fn message(&self) -> &'static MessageInfo {
        self.kind.message
    }
    fn get(&self, index: usize) -> Ref<'_> {
        match index {
            0 => Ref::Message(&self.metadata),
            _ => crate::reflect::no_field(self.kind.message, index),
        }
    }
    fn get_mut(&mut self, index: usize) -> Mut<'_> {
        match index {
            0 => Mut::Message(&mut self.metadata),
            _ => crate::reflect::no_field(self.kind.message, index),
        }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
    fn as_reflect(&self) -> &dyn Reflect {
        self
    }
    fn as_reflect_mut(&mut self) -> &mut dyn Reflect {
        self
    }
}

impl DynObject for CustomObject {
    fn info(&self) -> &'static KindInfo {
        self.kind
    }

    fn encode_to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        prost::encoding::message::encode(METADATA, &self.metadata, &mut out);
        if !self.body.is_empty() {
            let mut json = Vec::new();
            crate::json::write_map(&mut json, &self.body);
            prost::encoding::bytes::encode(BODY, &json, &mut out);
        }
        if let Some(status) = &self.status {
            let mut json = Vec::new();
            crate::json::write_value(&mut json, status);
            prost::encoding::bytes::encode(STATUS, &json, &mut out);
        }
        out
    }

    fn merge_from(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (field, wire) = decode_key(&mut rest)?;
            let context = DecodeContext::default();
            match field {
                METADATA => prost::encoding::message::merge(wire, &mut self.metadata, &mut rest, context)?,
                BODY => self.body = json(wire, &mut rest)?,
                STATUS => self.status = Some(json(wire, &mut rest)?),
                _ => skip_field(wire, field, &mut rest, context)?,
            }
        }
        Ok(())
    }

    fn to_json(&self) -> Vec<u8> {
        crate::json::dyn_to_vec(self)
    }

    fn clone_box(&self) -> Box<dyn DynObject> {
        Box::new(self.clone())
    }

    fn equals(&self, other: &dyn DynObject) -> bool {
        other.as_any().downcast_ref::<Self>().is_some_and(|other| self == other)
    }

    fn as_dyn(&self) -> &dyn DynObject {
        self
    }
}

#[expect(deprecated, reason = "prost names no other way to tell why bytes are malformed")]
fn json<T: serde::de::DeserializeOwned>(wire: WireType, rest: &mut &[u8]) -> Result<T, DecodeError> {
    let mut text = Vec::new();
    prost::encoding::bytes::merge(wire, &mut text, rest, DecodeContext::default())?;
    serde_json::from_slice(&text).map_err(|error| DecodeError::new(error.to_string()))
}

/// The kind of that name.
///
/// A kind lives as long as the process, like the built-in ones, so that what names a kind needs no counting: what is
/// leaked is a few hundred bytes for each distinct name that is ever defined, once, however often it is defined again.
pub fn kind(group: &str, version: &str, kind: &str) -> &'static KindInfo {
    type Known = HashMap<(String, String, String), &'static KindInfo>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    // A map that somebody panicked over is still whole.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let name = (group.to_owned(), version.to_owned(), kind.to_owned());
    known.entry(name).or_insert_with(|| Box::leak(Box::new(made(group, version, kind))))
}

fn made(group: &str, version: &str, kind: &str) -> KindInfo {
    let text = |text: &str| -> &'static str { String::leak(text.to_owned()) };
    let (kind, api_version) = (text(kind), text(&format!("{group}/{version}")));
    let (group, version) = (
        api_version.rsplit_once('/').map_or("", |(group, _)| group),
        api_version.rsplit_once('/').map_or("", |(_, version)| version),
    );
    let message = MessageInfo {
        name: FULL_NAME,
        form: Form::Custom,
        doc: "",
        atomic: false,
        kind: Some(KindName { api_version, kind }),
        fields: &FIELDS,
    };
    KindInfo {
        group,
        version,
        kind,
        api_version,
        full_name: FULL_NAME,
        message: Box::leak(Box::new(message)),
        new: New::Custom,
    }
}

#[cfg(test)]
mod tests;
