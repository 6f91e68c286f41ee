//! What holds a connection once it was upgraded, and its server no longer reads it.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Spawns what reads a connection after its upgrade: it keeps the connection's place among those that are open, and the
/// server waits for it until the drain deadline, then ends it. Requests that ask for an upgrade have it as an extension.
#[derive(Clone, Debug)]
pub struct Upgrades {
    tasks: TaskTracker,
    abort: CancellationToken,
    /// Free again once the last clone is gone.
    slot: Arc<OwnedSemaphorePermit>,
}

impl Upgrades {
    pub(super) fn new(tasks: TaskTracker, abort: CancellationToken, slot: OwnedSemaphorePermit) -> Self {
        Self { tasks, abort, slot: Arc::new(slot) }
    }

    /// Runs `session` as a task of the server.
    pub fn spawn(&self, session: impl Future<Output = ()> + Send + 'static) {
        let (abort, slot) = (self.abort.clone(), Arc::clone(&self.slot));
        self.tasks.spawn(async move {
            let _slot = slot;
            tokio::select! {
                () = session => {}
                () = abort.cancelled() => {}
            }
        });
    }
}
