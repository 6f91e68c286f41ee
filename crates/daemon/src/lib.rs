//! What every process shares: flags and config file, TLS identity, accept loop, tracing, metrics, health, shutdown.
//!
//! A daemon's `main.rs` is one call of [`process::main`]; its `serve.rs` builds a [`serve::Server`].

pub mod cli;
#[cfg(test)]
mod fuzz;
pub mod health;
pub mod logging;
pub mod metrics;
pub mod process;
pub mod serve;
pub mod shutdown;
pub mod tasks;
pub mod tls;
pub mod version;

pub use process::main;
