//! openraft's values to and from `keelson.raft.v1`.

use std::collections::{BTreeMap, BTreeSet};

use openraft::entry::RaftEntry;
use openraft::{EntryPayload, entry::RaftPayload};
use proto::keelson::raft::v1 as pb;

use super::types::{Batch, Entry, LogId, Membership, Peer, SnapshotMeta, StoredMembership, Vote};

/// Bytes from outside that are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("a raft message lacks its {0}")]
    Missing(&'static str),
    #[error("a raft message holds a membership that is not valid: {0}")]
    Membership(String),
}

pub fn log_id(id: &LogId) -> pb::LogId {
    pb::LogId { term: id.leader_id.term, index: id.index }
}

pub fn log_id_back(id: pb::LogId) -> LogId {
    LogId::new_term_index(id.term, id.index)
}

pub fn vote(vote: &Vote) -> pb::Vote {
    pb::Vote { term: vote.leader_id.term, member_id: vote.leader_id.voted_for, committed: vote.committed }
}

pub fn vote_back(vote: Option<pb::Vote>) -> Result<Vote, CodecError> {
    let vote = vote.ok_or(CodecError::Missing("vote"))?;
    Ok(if vote.committed {
        Vote::new_committed(vote.term, vote.member_id)
    } else {
        Vote::new(vote.term, vote.member_id)
    })
}

pub fn membership(membership: &Membership) -> pb::Membership {
    let set = |ids: &BTreeSet<u64>| pb::MemberSet { member_ids: ids.iter().copied().collect() };
    let node = |(id, peer): (&u64, &Peer)| pb::Node {
        member_id: *id,
        peer_urls: peer.peer_urls.clone(),
        name: peer.name.clone(),
        joins_voters: peer.joins_voters,
    };
    pb::Membership {
        voters: membership.get_joint_config().iter().map(set).collect(),
        nodes: membership.nodes().map(node).collect(),
    }
}

pub fn membership_back(membership: pb::Membership) -> Result<Membership, CodecError> {
    let sets: Vec<BTreeSet<u64>> =
        membership.voters.into_iter().map(|set| set.member_ids.into_iter().collect()).collect();
    let nodes: BTreeMap<u64, Peer> = membership
        .nodes
        .into_iter()
        .map(|node| {
            let peer = Peer { name: node.name, peer_urls: node.peer_urls, joins_voters: node.joins_voters };
            (node.member_id, peer)
        })
        .collect();
    if sets.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(sets, nodes).map_err(|error| CodecError::Membership(error.to_string()))
}

pub fn entry(entry: &Entry) -> pb::Entry {
    let payload = match &entry.payload {
        EntryPayload::Blank => None,
        EntryPayload::Normal(batch) => Some(pb::entry::Payload::Batch(batch.encoded.clone())),
        EntryPayload::Membership(members) => Some(pb::entry::Payload::Membership(membership(members))),
    };
    pb::Entry { log_id: Some(log_id(&entry.log_id)), payload }
}

pub fn entry_back(entry: pb::Entry) -> Result<Entry, CodecError> {
    let id = log_id_back(entry.log_id.ok_or(CodecError::Missing("log id"))?);
    let payload = match entry.payload {
        None => EntryPayload::blank(),
        Some(pb::entry::Payload::Batch(bytes)) => EntryPayload::normal(Batch::from_encoded(bytes)),
        Some(pb::entry::Payload::Membership(members)) => EntryPayload::membership(membership_back(members)?),
    };
    Ok(Entry::new(id, payload))
}

pub fn snapshot_meta(meta: &SnapshotMeta) -> pb::SnapshotMeta {
    pb::SnapshotMeta {
        last_log_id: meta.last_log_id.as_ref().map(log_id),
        membership_log_id: meta.last_membership.log_id().as_ref().map(log_id),
        membership: Some(membership(meta.last_membership.membership())),
    }
}

pub fn snapshot_meta_back(meta: Option<pb::SnapshotMeta>) -> Result<SnapshotMeta, CodecError> {
    let meta = meta.ok_or(CodecError::Missing("snapshot meta"))?;
    let members = membership_back(meta.membership.unwrap_or_default())?;
    Ok(SnapshotMeta {
        last_log_id: meta.last_log_id.map(log_id_back),
        last_membership: StoredMembership::new(meta.membership_log_id.map(log_id_back), members),
    })
}
