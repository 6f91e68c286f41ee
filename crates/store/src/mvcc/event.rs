//! What changed, as watchers see it.
//!
//! An event is encoded once, whoever watches it: its answers differ in their heads only ([`crate::told`]).

use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use prost::encoding::message;
use proto::mvccpb;
use proto::mvccpb::event::EventType;

use super::history::{Loc, Version};
use super::range::key_value;

/// The number of `events` in a WatchResponse.
const EVENTS_FIELD: u32 = 11;
/// The number of `prev_kv` in an Event.
const PREV_KV_FIELD: u32 = 3;

/// One change of one key.
#[derive(Clone, Debug)]
pub struct Event {
    pub key: Bytes,
    pub version: Version,
    /// Empty for a deletion.
    pub value: Bytes,
    /// What the key was before, where it was.
    pub prev: Option<Version>,
    field: OnceLock<Bytes>,
    prev_field: OnceLock<Bytes>,
}

impl Event {
    pub fn new(key: Bytes, version: Version, value: Bytes, prev: Option<Version>) -> Self {
        Self { key, version, value, prev, field: OnceLock::new(), prev_field: OnceLock::new() }
    }

    pub fn is_delete(&self) -> bool {
        self.version.is_tombstone()
    }

    /// The event, without what was before, as a field of a WatchResponse: tag, length, event.
    pub fn field(&self) -> &Bytes {
        self.field.get_or_init(|| {
            let mut out = BytesMut::with_capacity(self.key.len() + self.value.len() + 64);
            message::encode(EVENTS_FIELD, &self.message(), &mut out);
            out.freeze()
        })
    }

    /// What was before, as a field of the event: empty where there was nothing, or where it cannot be read any more.
    pub fn prev_field(&self, read: impl FnOnce(Loc) -> Option<Bytes>) -> &Bytes {
        self.prev_field.get_or_init(|| {
            let Some(prev) = &self.prev else { return Bytes::new() };
            let Some(value) = read(prev.loc) else { return Bytes::new() };
            let mut out = BytesMut::with_capacity(self.key.len() + value.len() + 64);
            message::encode(PREV_KV_FIELD, &key_value(self.key.clone(), prev, value), &mut out);
            out.freeze()
        })
    }

    fn message(&self) -> mvccpb::Event {
        let (kind, kv) = match self.is_delete() {
            true => {
                let mod_revision = self.version.main;
                (EventType::Delete, mvccpb::KeyValue { key: self.key.clone(), mod_revision, ..Default::default() })
            }
            false => (EventType::Put, key_value(self.key.clone(), &self.version, self.value.clone())),
        };
        mvccpb::Event { r#type: kind as i32, kv: Some(kv), prev_kv: None }
    }
}
