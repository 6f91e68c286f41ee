//! The one thread of consensus.
//!
//! openraft's core, the batching of proposals and the state machine hand each write on to each other. On one thread a hand-over
//! is a function call; on several it wakes a thread, which costs more than the write itself.

use std::future::Future;
use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// A runtime on a thread of its own; it ends with this.
pub struct Consensus {
    handle: Handle,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Consensus {
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let (up, is_up) = mpsc::channel();
        let thread = std::thread::Builder::new().name("consensus".into()).spawn(move || {
            runtime.block_on(async {
                // Nobody waits for it any more when the start was given up.
                let _told = up.send(());
                stopped.cancelled().await;
            });
        })?;
        is_up.recv().map_err(io::Error::other)?;
        Ok(Self { handle, stop, thread: Some(thread) })
    }

    /// Where its tasks are spawned.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs something there; what it spawns stays there. A panic inside is passed on.
    pub async fn run<R: Send + 'static>(&self, work: impl Future<Output = R> + Send + 'static) -> R {
        match self.handle.spawn(work).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => unreachable!("nobody aborts it, and its runtime lives"),
        }
    }
}

impl Drop for Consensus {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_runs_there_and_what_it_spawns_is_on_its_thread() {
        let consensus = Consensus::start().unwrap();
        let name = || std::thread::current().name().map(str::to_owned);
        let (outer, inner) =
            consensus.run(async move { (name(), tokio::spawn(async move { name() }).await.unwrap()) }).await;
        assert_eq!((outer.as_deref(), inner.as_deref()), (Some("consensus"), Some("consensus")));
    }
}
