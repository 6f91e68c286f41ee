//! Turns SIGTERM and SIGINT into a token that every task watches.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What ends a process: `drain` asks for an orderly end, `force` (a second signal) for an immediate one.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled by the first signal: accept nothing new, finish what runs.
    pub drain: CancellationToken,
    /// Cancelled by the second signal: stop waiting.
    pub force: CancellationToken,
}

impl Shutdown {
    /// Listens to SIGTERM and SIGINT from now on. Must be called inside a runtime.
    pub fn on_signals() -> io::Result<Self> {
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        let shutdown = Self::default();
        let tokens = shutdown.clone();
        tokio::spawn(async move {
            for token in [tokens.drain, tokens.force] {
                let name = tokio::select! {
                    _ = term.recv() => "SIGTERM",
                    _ = int.recv() => "SIGINT",
                };
                tracing::info!(signal = name, "shutting down");
                token.cancel();
            }
        });
        Ok(shutdown)
    }
}
