//! The types with which openraft is instantiated.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use openraft::impls::leader_id_std::LeaderId;
use openraft::type_config::alias::{CommittedLeaderIdOf, EntryOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};
use proto::keelson::raft::v1 as pb;

use super::machine::Machine;
use crate::env::runtime::Runtime;
use crate::reply::Outcome;

openraft::declare_raft_types!(
    pub TypeConfig:
        D = Batch,
        R = Outcomes,
        NodeId = u64,
        Node = Peer,
        LeaderId = LeaderId<u64, u64>,
        AsyncRuntime = Runtime,
);

pub type Raft = openraft::Raft<TypeConfig, Machine>;
pub type LogId = LogIdOf<TypeConfig>;
pub type Vote = VoteOf<TypeConfig>;
pub type Entry = EntryOf<TypeConfig>;
pub type Membership = openraft::Membership<u64, Peer>;
pub type StoredMembership = StoredMembershipOf<TypeConfig>;
pub type SnapshotMeta = SnapshotMetaOf<TypeConfig>;
pub type CommittedLeader = CommittedLeaderIdOf<TypeConfig>;

/// Where a member is reached by the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    pub name: String,
    pub peer_urls: Vec<String>,
    /// It gets its vote by itself as soon as it has caught up.
    pub joins_voters: bool,
}

/// Commands that share one entry of the log. The proposer keeps them decoded; a reader of the log decodes on demand.
#[derive(Clone)]
pub struct Batch {
    /// An encoded `keelson.raft.v1.Batch`.
    pub encoded: Bytes,
    decoded: Option<Arc<Vec<pb::Command>>>,
}

impl Batch {
    pub fn new(commands: Vec<pb::Command>) -> Self {
        let batch = pb::Batch { commands };
        let encoded = Bytes::from(prost::Message::encode_to_vec(&batch));
        Self { encoded, decoded: Some(Arc::new(batch.commands)) }
    }

    pub fn from_encoded(encoded: Bytes) -> Self {
        Self { encoded, decoded: None }
    }

    pub fn commands(&self) -> Result<Arc<Vec<pb::Command>>, prost::DecodeError> {
        match &self.decoded {
            Some(commands) => Ok(commands.clone()),
            None => {
                let batch: pb::Batch = prost::Message::decode(self.encoded.clone())?;
                Ok(Arc::new(batch.commands))
            }
        }
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch of {} bytes", self.encoded.len())
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What each command of a batch gave, in order; empty for entries that carry none.
#[derive(Clone, Debug, Default)]
pub struct Outcomes(pub Vec<Outcome>);
