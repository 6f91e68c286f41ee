//! The other members, as this one reaches them.

pub mod grpc;
pub mod notices;
pub mod traffic;

use async_trait::async_trait;
use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::Command;
use proto::keelson::raft::v1::reconfigure_request::Change;

use self::traffic::Traffic;
use crate::forward::Carried;
use crate::refused::Refused;

/// Calls to a leader beside openraft's own; openraft's go through its network traits.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Up to where a reader must have applied, confirmed by `leader` with a quorum.
    async fn read_index(&self, leader: u64) -> Result<Option<u64>, Refused>;
    /// Has `leader` propose commands; an outcome for each, in their order.
    async fn forward(&self, leader: u64, commands: Vec<Command>) -> Vec<Carried>;
    /// Renews a lease at `leader`; 0 when there is none such.
    async fn keep_alive(&self, leader: u64, lease: i64) -> Result<i64, Refused>;
    /// Seconds that a lease has left, as `leader`'s clock has it.
    async fn lease_left(&self, leader: u64, lease: i64) -> Result<i64, Refused>;

    /// Has `leader` change the membership.
    async fn reconfigure(&self, _leader: u64, _change: Change) -> Result<pb::ReconfigureResponse, Refused> {
        Err(Refused::NoLeader)
    }
    /// Who is in the cluster, as a leader has just confirmed to `member`.
    async fn members(&self, _member: u64) -> Result<pb::MembersResponse, Refused> {
        Err(Refused::NoLeader)
    }
    /// Where a member is reached from now on.
    fn meet(&self, _member: u64, _peer_urls: &[String]) {}
    /// The epoch with which every call is marked from now on.
    fn fence(&self, _epoch: u64) {}
    /// What went to and came from other members, where that is counted.
    fn traffic(&self) -> Option<&Traffic> {
        None
    }
}
