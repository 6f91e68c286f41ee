//! Watchers: one ordered log of changes, a cursor for each group of watchers, a bounded outbox for each stream.
//!
//! Watchers of one stream that want the same are a group: what happens costs a stream one entry in its outbox, however many
//! they are. The state machine publishes each change once; the hub puts it into the outbox of every stream with a group
//! that wants it. A group whose outbox is full, or that begins in the past, is *behind*: it keeps only the revision that it
//! needs next, and its stream fetches from the log of recent changes, or from the store's history, when it has time.
//! So a slow watcher costs nothing but its own cursor. Invariant: a watcher gets every change once, in order.
//!
//! [`Hub`] is what the state machine sees, [`WatchStream`] what a client's session does.

mod hub;
mod signal;
mod stream;

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::mvcc::{Event, Interval};

pub use hub::Hub;
pub use signal::Signal;
pub use stream::{WatchStream, Watcher};

/// Bytes of recent changes that stay in memory, and of changes that an outbox holds before its groups fall behind.
const LOG_BYTES_MAX: usize = 8 << 20;
/// Recent changes that stay in memory.
const LOG_LEN_MAX: usize = 50_000;
/// Events that an outbox holds before its groups fall behind.
const OUTBOX_EVENTS_MAX: usize = 4096;
/// What an event takes beside its key and values.
const EVENT_BYTES: usize = 320;

/// The events of one revision.
#[derive(Debug)]
pub struct Change {
    pub revision: i64,
    pub events: Vec<Event>,
}

impl Change {
    /// Values count as they may come to be held: themselves, encoded, and the one before.
    fn bytes(&self) -> usize {
        self.events.iter().map(|event| EVENT_BYTES + 3 * (event.key.len() + event.value.len())).sum()
    }
}

/// What a watcher wants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spec {
    pub key: Bytes,
    /// As in requests: empty for the key alone, one zero byte for all keys from `key` on.
    pub range_end: Bytes,
    pub puts: bool,
    pub deletes: bool,
    /// Also what was before.
    pub prev_kv: bool,
}

impl Spec {
    pub fn interval(&self) -> Interval<'_> {
        Interval::new(&self.key, &self.range_end)
    }

    fn wants(&self, event: &Event) -> bool {
        if event.is_delete() { self.deletes } else { self.puts }
    }

    /// The events of a change that this watcher gets.
    pub fn pick(&self, change: &Change) -> Picks {
        let interval = self.interval();
        let mut picks = Picks::new();
        for (at, event) in change.events.iter().enumerate() {
            if interval.contains(&event.key) && self.wants(event) {
                picks.push(at as u32);
            }
        }
        picks
    }
}

/// Places in a change's events.
pub type Picks = SmallVec<[u32; 2]>;

/// A change for the watchers of a group.
pub struct Item {
    pub group: u64,
    pub change: Arc<Change>,
    pub picks: Picks,
}

/// A group that is behind, and what it needs.
pub struct Behind {
    pub group: u64,
    pub spec: Spec,
    pub next: i64,
}

/// What a group that is behind gets next.
pub enum Fetched {
    /// Changes up to `upto`, all of them.
    Log(Vec<Item>),
    /// The log does not reach back: the store's history up to this revision is needed first.
    History { upto: i64 },
}

#[cfg(test)]
mod tests;
