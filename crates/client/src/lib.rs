//! API client, informers, work queue, leader election, event recorder.
//!
//! [`Config`] reads a kubeconfig, [`Client`] is the connection, [`Api`] the typed verbs of one resource and
//! [`DynApi`] the same for a resource that is only known at run time. [`informer`] keeps a local copy of a resource,
//! [`queue`] orders the work that its changes cause, [`leader`] lets one of several processes do it, and
//! [`recorder`] writes Events about it.

pub mod api;
pub mod backoff;
pub mod client;
pub mod config;
pub mod connect;
pub mod dynamic;
pub mod error;
pub mod informer;
pub mod leader;
pub mod params;
pub mod queue;
pub mod recorder;
mod refused;
pub mod resource;
mod tls;
pub mod watch;

#[cfg(test)]
mod fake;

pub use api::{Api, List};
pub use client::Client;
pub use config::Config;
pub use dynamic::{DynApi, DynObject};
pub use error::Error;
pub use params::{DeleteParams, ListParams, Patch, WatchParams, WriteParams};
pub use resource::Resource;
pub use watch::Event;
