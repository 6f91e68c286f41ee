//! Services to nftables: watch, decide ([`ruleset`]), compare ([`diff`]), act ([`nft`]).
//!
//! The path of a change: an informer marks a Service -> [`service`] and [`endpoint`] read it -> [`ruleset::fragment`]
//! says what the tables must hold for it -> [`diff::Ruleset::replace`] gives the steps -> [`render`] and [`nft`] make them in
//! one transaction -> [`conntrack`] forgets UDP flows to endpoints that are gone.

pub mod config;
pub mod conntrack;
pub mod diff;
pub mod endpoint;
#[cfg(any(test, feature = "testing"))]
pub mod fake;
#[cfg(test)]
mod fuzz;
pub mod health_check;
pub mod kernel;
pub mod listing;
pub mod metrics;
pub mod nft;
pub mod render;
pub mod ruleset;
pub mod run;
pub mod service;
pub mod state;
pub mod table;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
