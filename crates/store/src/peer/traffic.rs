//! What goes to and comes from each other member: numbers for [`crate::metrics`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::notices::Notices;
use crate::counts::{Count, Times};

/// One other member.
#[derive(Debug, Default)]
pub struct Peer {
    pub sent_bytes: Count,
    pub received_bytes: Count,
    pub sent_failures: Count,
    pub round_trips: Times,
    /// Whether the last call was answered.
    reached: AtomicBool,
    pub notices: Notices,
}

impl Peer {
    pub fn answered(&self, asked: Instant) {
        self.round_trips.observe(asked.elapsed());
        self.reached.store(true, Ordering::Relaxed);
    }

    pub fn failed(&self) {
        self.sent_failures.one();
        self.reached.store(false, Ordering::Relaxed);
    }

    pub fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }
}

/// All other members that there have been.
#[derive(Debug, Default)]
pub struct Traffic(Mutex<BTreeMap<u64, Arc<Peer>>>);

impl Traffic {
    pub fn of(&self, member: u64) -> Arc<Peer> {
        self.0.lock().entry(member).or_default().clone()
    }

    pub fn all(&self) -> Vec<(u64, Arc<Peer>)> {
        self.0.lock().iter().map(|(member, peer)| (*member, peer.clone())).collect()
    }
}

/// When the requests of a pipeline were sent: answers come in the same order.
#[derive(Debug, Default)]
pub struct Asked(Mutex<VecDeque<Instant>>);

/// A pipeline that nobody answers does not fill the memory.
const ASKED_MAX: usize = 4096;

impl Asked {
    pub fn sent(&self) {
        let mut asked = self.0.lock();
        if asked.len() < ASKED_MAX {
            asked.push_back(Instant::now());
        }
    }

    pub fn answered(&self) -> Option<Instant> {
        self.0.lock().pop_front()
    }
}
