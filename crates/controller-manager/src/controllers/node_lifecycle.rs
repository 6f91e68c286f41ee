//! Nodes that fall silent: their conditions become Unknown, they are tainted, and their pods leave.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// When each node last showed life, by this process's clock: clocks of nodes need not agree with it.
#[derive(Debug, Default)]
pub struct Heartbeats {
    seen: Mutex<HashMap<String, (String, Instant)>>,
}

impl Heartbeats {
    /// Notes a node's sign of life (its Lease's renewal); a new one counts from now. Gives how long ago it was new.
    pub fn silent_for(&self, node: &str, sign: &str, now: Instant) -> std::time::Duration {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(node) {
            Some((known, since)) if known == sign => now.saturating_duration_since(*since),
            _ => {
                seen.insert(node.to_owned(), (sign.to_owned(), now));
                std::time::Duration::ZERO
            }
        }
    }

    /// A node is gone.
    pub fn forget(&self, node: &str) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}
