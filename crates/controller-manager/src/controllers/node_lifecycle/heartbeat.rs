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

    /// A node is gone.
    pub fn forget(&self, node: &str) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}

/// How many nodes of a zone may be emptied: one at once, then at a rate.
#[derive(Debug, Default)]
pub struct EvictionRate {
    /// When each zone's last node was given.
    last: Mutex<HashMap<String, Instant>>,
}

impl EvictionRate {
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
