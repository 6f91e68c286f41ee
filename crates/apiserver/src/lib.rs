//! The Kubernetes API: verbs, admission, watch cache, on an etcd v3 store.
//!
//! A request enters by [`serve`] and one of the front doors ([`grpc`], [`rest`]), passes [`authenticate`], [`fairness`] and
//! [`authorize`], and becomes a call in [`verbs`]: default, [`admit`], prepare ([`registry`]), validate, [`storage`].
//! What it changed comes back from the store's watch into [`watch_cache`], and from there to every watcher.

pub mod admit;
pub mod aggregate;
pub mod allocate;
pub mod audit;
pub mod authenticate;
pub mod authorize;
pub mod bootstrap;
pub mod budget;
pub mod components;
pub mod config;
pub mod custom;
pub mod discovery;
pub mod document;
pub mod fairness;
#[cfg(test)]
mod fuzz;
pub mod grpc;
pub mod hold;
pub mod metrics;
pub mod openapi;
pub mod outbound;
pub mod passage;
pub mod proxied;
pub mod registry;
pub mod relay;
pub mod rest;
pub mod rest_streams;
pub mod run;
pub mod serve;
pub mod server;
pub mod status;
pub mod storage;
pub mod verbs;
pub mod watch_cache;
pub mod webhook;
