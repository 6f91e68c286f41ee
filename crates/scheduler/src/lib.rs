//! Filter, score, bind; every node's reason kept.
//!
//! The path of a pod: an informer brings it -> [`queue`] -> [`plan`] over the [`snapshot`] (plugins in [`filter`] and [`score`]) ->
//! assumed in the snapshot -> bound through the API. What was refused is said in [`message`]'s words, kept as [`reason`]s, and woken by
//! events that concern them. [`simulate`] runs the same decisions over a file.

pub mod act;
pub mod config;
pub mod explain;
pub mod filter;
pub mod message;
pub mod metrics;
pub mod plan;
pub mod pod;
pub mod preempt;
pub mod queue;
pub mod reason;
pub mod run;
pub mod score;
pub mod simulate;
pub mod snapshot;
pub mod state;

pub use api::scheduling::{resource, selector};

#[cfg(test)]
mod testing;
