//! What the node controller must remember: when nodes last showed life, and how fast it emptied some.
//!
//! By this process's monotonic clock: the nodes' clocks need not agree with it, and a jump of its own wall clock does
//! not make every node look dead.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When each node last showed life.
#[derive(Debug, Default)]
pub struct Heartbeats {
    seen: Mutex<HashMap<String, (String, Instant)>>,
    /// Uids of the nodes that were told of.
    registered: Mutex<HashMap<String, String>>,
}

impl Heartbeats {
    /// Notes a node's sign of life; a new one counts from now. Gives how long ago it was new.
    pub fn silent_for(&self, node: &str, sign: &str, now: Instant) -> Duration {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(node) {
            Some((known, since)) if known == sign => now.saturating_duration_since(*since),
            _ => {
                seen.insert(node.to_owned(), (sign.to_owned(), now));
                Duration::ZERO
            }
        }
    }

    /// Notes that a node exists. True: that is new.
    pub fn register(&self, node: &str, uid: &str) -> bool {
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        registered.insert(node.to_owned(), uid.to_owned()).as_deref() != Some(uid)
    }

    /// A node is gone. Gives its uid, if it was known.
    pub fn forget(&self, node: &str) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
        self.registered.lock().unwrap_or_else(PoisonError::into_inner).remove(node)
    }
}

/// How many nodes of a zone may be emptied: one at once, then at a rate.
#[derive(Debug, Default)]
pub struct EvictionRate {
    /// When each zone's last node was given.
    last: Mutex<HashMap<String, Instant>>,
}

impl EvictionRate {
    /// The next turn of these zones is as far away as if one had just been taken.
    pub fn start_anew<'a>(&self, zones: impl Iterator<Item = &'a str>, now: Instant) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.extend(zones.map(|zone| (zone.to_owned(), now)));
    }

    /// Takes one turn, if the rate (per second) allows.
    pub fn take(&self, zone: &str, rate: f32, now: Instant) -> bool {
        if rate <= 0.0 {
            return false;
        }
        let pause = Duration::from_secs_f32((1.0 / rate).min(1e6));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(zone).is_some_and(|last| now.saturating_duration_since(*last) < pause) {
            return false;
        }
        last.insert(zone.to_owned(), now);
        true
    }
}
