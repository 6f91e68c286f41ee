//! Objects whose kind is known at run time only.

use prost::DecodeError;

use crate::custom::CustomObject;
use crate::kind::{HasMeta, Object};
use crate::reflect::Reflect;
use crate::schema::MessageInfo;

/// An object of any kind.
pub trait DynObject: HasMeta + Reflect {
    /// The kind's row.
    fn info(&self) -> &'static KindInfo;
    /// Protobuf bytes, without envelope.
    fn encode_to_vec(&self) -> Vec<u8>;
    /// Reads protobuf bytes without envelope on top of what is there.
    fn merge_from(&mut self, bytes: &[u8]) -> Result<(), DecodeError>;
    /// Kubernetes JSON.
    fn to_json(&self) -> Vec<u8>;
    fn clone_box(&self) -> Box<dyn DynObject>;
    /// Same kind and equal fields.
    fn equals(&self, other: &dyn DynObject) -> bool;
    fn as_dyn(&self) -> &dyn DynObject;
}

impl<T: Object> DynObject for T {
    fn info(&self) -> &'static KindInfo {
        T::kind_info()
    }
    fn encode_to_vec(&self) -> Vec<u8> {
        prost::Message::encode_to_vec(self)
    }
    fn merge_from(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        prost::Message::merge(self, bytes)
    }
    fn to_json(&self) -> Vec<u8> {
        crate::json::to_vec(self)
    }
    fn clone_box(&self) -> Box<dyn DynObject> {
        Box::new(self.clone())
    }
    fn equals(&self, other: &dyn DynObject) -> bool {
        other.as_any().downcast_ref::<T>().is_some_and(|other| self == other)
    }
    fn as_dyn(&self) -> &dyn DynObject {
        self
    }
}

impl Clone for Box<dyn DynObject> {
    fn clone(&self) -> Self {
        self.clone_box()
    }
}

impl PartialEq for dyn DynObject {
    fn eq(&self, other: &Self) -> bool {
        self.equals(other)
    }
}

impl dyn DynObject {
    /// This object as a kind that is known after all.
    pub fn downcast_ref<T: Object>(&self) -> Option<&T> {
        self.as_any().downcast_ref()
    }

    /// This object as a kind that is known after all.
    pub fn downcast_mut<T: Object>(&mut self) -> Option<&mut T> {
        self.as_any_mut().downcast_mut()
    }
}

/// A kind with object metadata: its names, its schema and how to make one.
#[derive(Debug)]
pub struct KindInfo {
    /// API group; empty for the core group.
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    /// `v1`, `apps/v1`.
    pub api_version: &'static str,
    /// Full protobuf name: `k8s.io.api.core.v1.Pod`.
    pub full_name: &'static str,
    pub message: &'static MessageInfo,
    pub(crate) new: New,
}

/// How an object of a kind is made.
#[derive(Debug)]
pub(crate) enum New {
    /// Of a message of its own.
    Message(fn() -> Box<dyn DynObject>),
    /// Of JSON ([`CustomObject`]).
    Custom,
}

impl KindInfo {
    /// An empty object of the kind.
    pub fn new_object(&'static self) -> Box<dyn DynObject> {
        match self.new {
            New::Message(new) => new(),
            New::Custom => Box::new(CustomObject::new(self)),
        }
    }

    /// Whether the kind is defined while the server runs.
    pub fn is_custom(&self) -> bool {
        matches!(self.new, New::Custom)
    }

    /// Reads protobuf bytes without envelope.
    pub fn decode(&'static self, bytes: &[u8]) -> Result<Box<dyn DynObject>, DecodeError> {
        let mut object = self.new_object();
        object.merge_from(bytes)?;
        Ok(object)
    }

    /// Reads Kubernetes JSON; unknown and duplicate fields are ignored.
    pub fn from_json(&'static self, bytes: &[u8]) -> Result<Box<dyn DynObject>, crate::json::Error> {
        let mut object = self.new_object();
        crate::json::decode_into(bytes, object.as_reflect_mut())?;
        Ok(object)
    }
}

/// Every kind with object metadata, sorted by group, version and kind.
pub fn kinds() -> &'static [&'static KindInfo] {
    crate::kinds::KINDS
}

/// The kind of that group, version and name.
pub fn kind_info(group: &str, version: &str, kind: &str) -> Option<&'static KindInfo> {
    let found = kinds().binary_search_by(|row| (row.group, row.version, row.kind).cmp(&(group, version, kind)));
    found.ok().map(|index| kinds()[index])
}

/// The kind of that apiVersion and name.
pub fn kind_by_api_version(api_version: &str, kind: &str) -> Option<&'static KindInfo> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    kind_info(group, version, kind)
}

/// The kind of that full protobuf name (`k8s.io.api.core.v1.Pod`).
pub fn kind_by_full_name(full_name: &str) -> Option<&'static KindInfo> {
    static BY_NAME: std::sync::LazyLock<Vec<&'static KindInfo>> = std::sync::LazyLock::new(|| {
        let mut rows = kinds().to_vec();
        rows.sort_by_key(|row| row.full_name);
        rows
    });
    let found = BY_NAME.binary_search_by(|row| row.full_name.cmp(full_name));
    found.ok().map(|index| BY_NAME[index])
}

/// Every object message (kinds, lists, options and what they are made of), sorted by full protobuf name.
pub fn messages() -> &'static [&'static MessageInfo] {
    crate::kinds::MESSAGES
}

/// The message of that full protobuf name (`k8s.io.api.core.v1.PodList`).
pub fn message_info(full_name: &str) -> Option<&'static MessageInfo> {
    let found = messages().binary_search_by(|info| info.name.cmp(full_name));
    found.ok().map(|index| messages()[index])
}
