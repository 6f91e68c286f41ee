//! The other members, as this one reaches them.

pub mod grpc;

use async_trait::async_trait;
use proto::keelson::raft::v1::Command;

use crate::propose::Unproposed;
use crate::refused::Refused;
use crate::reply::Outcome;

/// Calls to a leader beside openraft's own; openraft's go through its network traits.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Up to where a reader must have applied, confirmed by `leader` with a quorum.
    async fn read_index(&self, leader: u64) -> Result<Option<u64>, Refused>;
    /// Has `leader` propose a command.
    async fn forward(&self, leader: u64, command: Command) -> Result<Outcome, Unproposed>;
    /// Renews a lease at `leader`; 0 when there is none such.
    async fn keep_alive(&self, leader: u64, lease: i64) -> Result<i64, Refused>;
    /// Seconds that a lease has left, as `leader`'s clock has it.
    async fn lease_left(&self, leader: u64, lease: i64) -> Result<i64, Refused>;
}
