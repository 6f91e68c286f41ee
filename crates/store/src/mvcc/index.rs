//! Every key's history, the store's revision and compaction point, and how much of each segment is alive.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::history::{History, Loc, Version};
use super::interval::Interval;
use crate::refused::Refused;

/// Bytes of a record beside key and value, about.
const RECORD_OVERHEAD: u64 = 56;

/// A fresh store stands at revision 1, as etcd's does.
const FIRST_REVISION: i64 = 1;

#[derive(Clone, Debug)]
pub struct Index {
    keys: BTreeMap<Box<[u8]>, History>,
    revision: i64,
    /// Readers below this are refused. 0: nothing was compacted.
    compacted: i64,
    /// Live bytes of each segment.
    live: BTreeMap<u32, u64>,
}

impl Default for Index {
    fn default() -> Self {
        Self { keys: BTreeMap::new(), revision: FIRST_REVISION, compacted: 0, live: BTreeMap::new() }
    }
}

fn record_bytes(key: &[u8], loc: Loc) -> u64 {
    RECORD_OVERHEAD + key.len() as u64 + u64::from(loc.len)
}

impl Index {
    pub fn revision(&self) -> i64 {
        self.revision
    }

    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// Keys with any history, deleted but not yet compacted ones included.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn live_bytes(&self) -> u64 {
        self.live.values().sum()
    }

    pub fn live_bytes_of(&self, segment: u32) -> u64 {
        self.live.get(&segment).copied().unwrap_or(0)
    }

    /// Whether readers may ask for `revision` when the newest is `newest`.
    pub fn check_readable(&self, revision: i64, newest: i64) -> Result<(), Refused> {
        if revision > newest {
            return Err(Refused::FutureRevision);
        }
        if revision < self.compacted {
            return Err(Refused::Compacted);
        }
        Ok(())
    }

    pub fn history(&self, key: &[u8]) -> Option<&History> {
        self.keys.get(key)
    }

    /// The newest version of a key, none when deleted.
    pub fn get(&self, key: &[u8]) -> Option<&Version> {
        self.keys.get(key)?.at(i64::MAX)
    }

    /// Keys of the interval with what a reader at `revision` sees, in order.
    pub fn scan<'a>(
        &'a self,
        interval: &Interval<'_>,
        revision: i64,
    ) -> impl Iterator<Item = (&'a [u8], &'a Version)> + use<'a> {
        let bounds = interval.bounds().unwrap_or((Bound::Excluded(&[]), Bound::Excluded(&[0])));
        self.keys.range::<[u8], _>(bounds).filter_map(move |(key, history)| Some((&**key, history.at(revision)?)))
    }

    /// Keys of the interval with their whole histories, in order.
    pub fn histories<'a>(&'a self, interval: &Interval<'_>) -> impl Iterator<Item = (&'a [u8], &'a History)> + use<'a> {
        let bounds = interval.bounds().unwrap_or((Bound::Excluded(&[]), Bound::Excluded(&[0])));
        self.keys.range::<[u8], _>(bounds).map(|(key, history)| (&**key, history))
    }

    /// Up to `count` keys after `after`, with their histories: for walks that let writers in between.
    pub fn histories_after(&self, after: Option<&[u8]>, count: usize) -> impl Iterator<Item = (&[u8], &History)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.keys.range::<[u8], _>((start, Bound::Unbounded)).take(count).map(|(key, history)| (&**key, history))
    }

    /// Adds a version; a version that is there already (a replay) changes nothing.
    pub fn insert(&mut self, key: &[u8], version: Version) {
        let inserted = match self.keys.get_mut(key) {
            Some(history) => history.insert(version),
            None => {
                let mut history = History::default();
                history.insert(version);
                self.keys.insert(key.into(), history);
                true
            }
        };
        if inserted {
            *self.live.entry(version.loc.segment).or_default() += record_bytes(key, version.loc);
        }
        self.revision = self.revision.max(version.main);
    }

    /// Adds a key with its whole history, in key order: for loading a checkpoint.
    pub fn load(&mut self, key: &[u8], versions: impl Iterator<Item = Version>) {
        for version in versions {
            self.insert(key, version);
        }
    }

    pub fn set_revision(&mut self, revision: i64) {
        self.revision = revision;
    }

    /// Notes that a version's record lies elsewhere now; false when the version is gone.
    pub fn relocate(&mut self, key: &[u8], main: i64, sub: u32, loc: Loc) -> bool {
        let Some(version) = self.keys.get_mut(key).and_then(|history| history.find_mut(main, sub)) else {
            return false;
        };
        let bytes = record_bytes(key, loc);
        if let Some(live) = self.live.get_mut(&version.loc.segment) {
            *live = live.saturating_sub(bytes);
        }
        *self.live.entry(loc.segment).or_default() += bytes;
        version.loc = loc;
        true
    }

    /// Moves the compaction point. What falls behind it is dropped by [`Index::trim`], a piece at a time.
    pub fn compact(&mut self, revision: i64) -> Result<(), Refused> {
        if revision <= self.compacted {
            return Err(Refused::Compacted);
        }
        if revision > self.revision {
            return Err(Refused::FutureRevision);
        }
        self.compacted = revision;
        Ok(())
    }

    pub fn restore_compacted(&mut self, revision: i64) {
        self.compacted = self.compacted.max(revision);
    }

    /// Drops what is behind the compaction point from up to `count` keys after `after`; gives the last key looked at,
    /// none at the end.
    pub fn trim(&mut self, after: Option<&[u8]>, count: usize) -> Option<Box<[u8]>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (compacted, live) = (self.compacted, &mut self.live);
        let mut empty = Vec::new();
        let mut last = None;
        let mut looked_at = 0;
        for (key, history) in self.keys.range_mut::<[u8], _>((start, Bound::Unbounded)).take(count) {
            looked_at += 1;
            last = Some(key);
            history.compact(compacted, |dropped| {
                if let Some(live) = live.get_mut(&dropped.loc.segment) {
                    *live = live.saturating_sub(record_bytes(key, dropped.loc));
                }
            });
            if history.is_empty() {
                empty.push(key.clone());
            }
        }
        let last = (looked_at == count).then(|| last.cloned()).flatten();
        for key in empty {
            self.keys.remove(&key);
        }
        last
    }

    /// A segment's file is gone.
    pub fn forget_segment(&mut self, segment: u32) {
        self.live.remove(&segment);
    }
}
