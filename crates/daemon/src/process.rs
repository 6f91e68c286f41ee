//! The life of a process: flags, logging, runtime, run, exit code.

use std::error::Error;
use std::future::Future;
use std::process::ExitCode;

use crate::cli::{self, Flags};
use crate::logging;
use crate::shutdown::Shutdown;

/// Parses flags and config file, starts logging and a runtime, and runs `run` until it returns.
///
/// A second SIGTERM or SIGINT ends the process at once. An error is logged with its whole chain; the exit code is 1
/// then, and 2 for bad flags.
pub fn main<F, Run, Fut, E>(name: &'static str, run: Run) -> ExitCode
where
    F: Flags,
    Run: FnOnce(F, Shutdown) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let flags = match cli::parse::<F>() {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    logging::init(flags.common());
    tracing::info!(version = crate::version::KEELSON, pid = std::process::id(), "{name} starts");
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("{name}: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async move {
        let shutdown = match Shutdown::on_signals() {
            Ok(shutdown) => shutdown,
            Err(error) => {
                tracing::error!("{name}: no signal handlers: {error}");
                return ExitCode::FAILURE;
            }
        };
        let force = shutdown.force.clone();
        let result = tokio::select! {
            result = run(flags, shutdown) => result.map_err(Into::into),
            () = force.cancelled() => {
                tracing::warn!("{name} ends without waiting: second signal");
                return ExitCode::FAILURE;
            }
        };
        match result {
            Ok(()) => {
                tracing::info!("{name} ends");
                ExitCode::SUCCESS
            }
            Err(error) => {
                tracing::error!("{name} failed: {}", chain(error.as_ref()));
                ExitCode::FAILURE
            }
        }
    });
    runtime.shutdown_background();
    code
}

/// An error and all its sources in one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
