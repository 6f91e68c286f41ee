//! An etcd v3 server: Raft by openraft, MVCC, log and engine of our own.
//!
//! A request's way: [`serve`] > [`member`] > [`propose`] > [`raft`] (openraft) > [`wal`] > [`raft::machine`] > [`apply`]
//! > [`mvcc`] and [`engine`] > [`watcher`]; on a follower it goes through [`forward`] to the leader. Reads: [`serve`] > [`member`] > [`read_index`] > [`shared`].

pub mod apply;
pub mod archive;
pub mod ask;
pub mod auth;
pub mod backup;
pub mod compactor;
pub mod config;
mod consensus;
pub mod counts;
pub mod discovery;
pub mod downgrade;
pub mod engine;
pub mod env;
pub mod expiry;
pub mod follow;
pub mod forward;
mod forwarded;
#[cfg(test)]
mod fuzz;
pub mod handover;
pub mod history;
pub mod ids;
pub mod join;
pub mod keepsake;
pub mod lease;
pub mod member;
pub mod membership;
pub mod metrics;
pub mod mvcc;
pub mod peer;
pub mod propose;
pub mod queue;
pub mod quota;
pub mod raft;
pub mod read_index;
pub mod reconfigure;
pub mod refused;
pub mod rejoin;
pub mod removal;
pub mod renewal;
pub mod reply;
pub mod restore;
pub mod room;
pub mod roster;
pub mod run;
pub mod serve;
pub mod shared;
pub mod snapshot;
pub mod state;
pub mod status;
pub mod wal;
pub mod watcher;

/// An error with its whole chain, for logs.
pub(crate) fn report(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
