//! How far the task that follows definitions is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::{GROUP, PLURAL};
use crate::server::Server;
use crate::status::Result;

/// How long a request for what is not known waits for definitions that are being dealt with.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Counts the changes of definitions that were heard of, and those that are served.
#[derive(Debug)]
pub struct Progress {
    heard: AtomicU64,
    done: watch::Sender<u64>,
    /// Wakes the task.
    pub(super) wake: Notify,
}

impl Default for Progress {
    fn default() -> Self {
        Self { heard: AtomicU64::new(0), done: watch::Sender::new(0), wake: Notify::new() }
    }
}

impl Progress {
    /// Something changed.
    pub(super) fn begin(&self) {
        self.heard.fetch_add(1, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// How much changed so far.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Acquire)
    }

    /// So much is served.
    pub(super) fn done(&self, heard: u64) {
        self.done.send_replace(heard);
    }
}

/// Waits until every definition that is in the store now is dealt with: whoever was told by another apiserver that a
/// definition is established is answered here as well.
pub async fn settle(server: &Server) -> Result<()> {
    server.catch_up(server.registry.find(GROUP, "v1", PLURAL)?).await?;
    let wanted = server.definitions.heard();
    let mut done = server.definitions.done.subscribe();
    // Whoever waited in vain is told what is known.
    _ = tokio::time::timeout(SETTLE_TIMEOUT, done.wait_for(|done| *done >= wanted)).await;
    Ok(())
}
