//! The store as simply as it can be written: every event ever, looked through from the beginning each time.

use bytes::Bytes;
use proto::mvccpb::KeyValue;

use super::{Loc, Values, Version};
use crate::mvcc::Interval;

/// Values in memory; a loc's offset is a place in the list.
#[derive(Default)]
pub struct MemoryValues {
    values: Vec<Bytes>,
}

impl Values for MemoryValues {
    fn put(&mut self, _key: &[u8], _version: &Version, value: &[u8]) -> Loc {
        self.values.push(Bytes::copy_from_slice(value));
        Loc { segment: 0, offset: self.values.len() as u32 - 1, len: value.len() as u32 }
    }

    fn tombstone(&mut self, key: &[u8], version: &Version) -> Loc {
        self.put(key, version, b"")
    }

    fn read(&self, loc: Loc) -> std::io::Result<Bytes> {
        Ok(self.values[loc.offset as usize].clone())
    }
}

/// One event: the pair as it was after it, or none.
type Event = (i64, Bytes, Option<KeyValue>);

pub struct Model {
    events: Vec<Event>,
    pub revision: i64,
    pub compacted: i64,
}

impl Default for Model {
    fn default() -> Self {
        Self { events: Vec::new(), revision: 1, compacted: 0 }
    }
}

impl Model {
    pub fn get(&self, key: &[u8], revision: i64) -> Option<KeyValue> {
        self.events.iter().rev().find(|event| event.0 <= revision && event.1 == key)?.2.clone()
    }

    /// What a reader at `revision` sees of the interval, in order of keys.
    pub fn range(&self, interval: &Interval<'_>, revision: i64) -> Vec<KeyValue> {
        let mut keys: Vec<&Bytes> =
            self.events.iter().map(|event| &event.1).filter(|key| interval.contains(key)).collect();
        keys.sort();
        keys.dedup();
        keys.into_iter().filter_map(|key| self.get(key, revision)).collect()
    }

    pub fn put(&mut self, key: &[u8], value: &[u8], revision: i64) {
        let before = self.get(key, i64::MAX);
        let pair = KeyValue {
            key: Bytes::copy_from_slice(key),
            create_revision: before.as_ref().map_or(revision, |pair| pair.create_revision),
            mod_revision: revision,
            version: before.map_or(1, |pair| pair.version + 1),
            value: Bytes::copy_from_slice(value),
            lease: 0,
        };
        self.events.push((revision, pair.key.clone(), Some(pair)));
        self.revision = revision;
    }

    pub fn delete(&mut self, interval: &Interval<'_>, revision: i64) -> i64 {
        let found = self.range(interval, i64::MAX);
        for pair in &found {
            self.events.push((revision, pair.key.clone(), None));
            self.revision = revision;
        }
        found.len() as i64
    }
}
