//! Services to nftables: watch, decide ([`ruleset`]), compare ([`diff`]), act ([`nft`]).
//!
//! The path of a change: an informer marks a Service -> [`service`] and [`endpoint`] read it -> [`ruleset::fragment`]
//! says what the tables must hold for it -> [`diff::Ruleset::replace`] gives the steps -> [`render`] and [`nft`] make them in
//! one transaction -> [`conntrack`] forgets UDP flows to endpoints that are gone.

pub mod diff;
pub mod endpoint;
pub mod fake;
pub mod kernel;
pub mod listing;
pub mod nft;
pub mod render;
pub mod ruleset;
pub mod service;
pub mod table;

#[cfg(test)]
mod testing;
