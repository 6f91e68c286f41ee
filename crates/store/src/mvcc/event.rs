//! What changed, as watchers see it.

use std::sync::OnceLock;

use bytes::Bytes;

use super::history::Version;

/// One change of one key.
#[derive(Clone, Debug)]
pub struct Event {
    pub key: Bytes,
    pub version: Version,
    /// Empty for a deletion.
    pub value: Bytes,
    /// What the key was before, where it was.
    pub prev: Option<Version>,
    /// The value before, once somebody has read it.
    pub prev_value: OnceLock<Option<Bytes>>,
}

impl Event {
    pub fn is_delete(&self) -> bool {
        self.version.is_tombstone()
    }
}
