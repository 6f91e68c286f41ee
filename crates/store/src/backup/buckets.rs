//! What stands in etcd's buckets beside the keys, and how a version looks in the bucket of keys.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::AlarmMember;
use proto::leasepb;
use proto::mvccpb::KeyValue;
use serde_json::json;

use crate::mvcc::Version;
use crate::mvcc::range::key_value;
use crate::raft::types::Membership;
use crate::state::State;

/// The bucket of keys, which is not among [`Buckets`].
pub const KEY: &str = "key";
pub const LEASE: &str = "lease";
pub const META: &str = "meta";
pub const AUTH: &str = "auth";
pub const AUTH_ROLES: &str = "authRoles";
pub const AUTH_USERS: &str = "authUsers";
/// Version of the storage format, and of the cluster.
const VERSION: &str = "3.6.0";

/// Entries of every bucket by name; that of keys is empty here.
pub type Buckets = BTreeMap<&'static str, BTreeMap<Vec<u8>, Vec<u8>>>;

/// etcd's buckets for a state.
pub fn of(state: &State) -> Buckets {
    let membership = state.membership.membership();
    BTreeMap::from([
        ("alarm", alarms(state)),
        (AUTH, auth(state)),
        (
            AUTH_ROLES,
            state.auth.roles().map(|(name, role)| (name.clone().into_bytes(), role.encode_to_vec())).collect(),
        ),
        (
            AUTH_USERS,
            state.auth.users().map(|(name, user)| (name.clone().into_bytes(), user.encode_to_vec())).collect(),
        ),
        ("cluster", cluster(state)),
        (KEY, BTreeMap::new()),
        (LEASE, leases(state)),
        ("members", members(state, membership)),
        ("members_removed", BTreeMap::new()),
        (META, meta(state, membership)),
    ])
}

fn auth(state: &State) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut auth = BTreeMap::from([(b"authRevision".to_vec(), state.auth.revision().to_be_bytes().to_vec())]);
    if state.auth.enabled() {
        auth.insert(b"authEnabled".to_vec(), vec![1]);
    }
    auth
}

fn alarms(state: &State) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let alarms = state.alarms.iter().map(|(member_id, alarm)| AlarmMember { member_id: *member_id, alarm: *alarm });
    alarms.map(|alarm| (alarm.encode_to_vec(), Vec::new())).collect()
}

fn leases(state: &State) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let entry = |id: i64, ttl, remaining_ttl| {
        let lease = leasepb::Lease { id, ttl, remaining_ttl };
        (id.to_be_bytes().to_vec(), lease.encode_to_vec())
    };
    state.lessor.iter().map(|(id, lease)| entry(id, lease.ttl, lease.left)).collect()
}

fn cluster(state: &State) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut entries = BTreeMap::from([(b"clusterVersion".to_vec(), VERSION.into())]);
    if let Some(target) = &state.downgrade {
        let told = json!({ "target-version": target, "enabled": true });
        entries.insert(b"downgrade".to_vec(), told.to_string().into());
    }
    entries
}

fn members(state: &State, membership: &Membership) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let voters: Vec<u64> = membership.voter_ids().collect();
    let entry = |(id, peer): (&u64, &crate::raft::types::Peer)| {
        let attributes = state.attributes.get(id);
        let mut told = json!({ "id": id, "peerURLs": peer.peer_urls });
        if !voters.contains(id) {
            told["isLearner"] = true.into();
        }
        if let Some(attributes) = attributes {
            told["name"] = attributes.name.clone().into();
            told["clientURLs"] = attributes.client_urls.clone().into();
        }
        (format!("{id:x}").into_bytes(), told.to_string().into_bytes())
    };
    membership.nodes().map(entry).collect()
}

fn meta(state: &State, membership: &Membership) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let voters: Vec<u64> = membership.voter_ids().collect();
    let learners: Vec<u64> = membership.nodes().map(|(id, _)| *id).filter(|id| !voters.contains(id)).collect();
    let mut conf = json!({ "voters": voters, "auto_leave": false });
    if !learners.is_empty() {
        conf["learners"] = learners.into();
    }
    let (index, term) = state.applied.map_or((0, 0), |applied| (applied.index, applied.leader_id.term));
    let mut entries = BTreeMap::from([
        (b"confState".to_vec(), conf.to_string().into_bytes()),
        (b"consistent_index".to_vec(), index.to_be_bytes().to_vec()),
        (b"storageVersion".to_vec(), VERSION.into()),
        (b"term".to_vec(), term.to_be_bytes().to_vec()),
    ]);
    let compacted = state.index.compacted();
    if compacted > 0 {
        let revision = revision_bytes(compacted, 0, false);
        entries.insert(b"scheduledCompactRev".to_vec(), revision.clone());
        entries.insert(b"finishedCompactRev".to_vec(), revision);
    }
    entries
}

/// A revision as a key: big endian, so that keys sort as revisions do.
pub fn revision_bytes(main: i64, sub: u32, tombstone: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(18);
    bytes.extend_from_slice(&main.to_be_bytes());
    bytes.push(b'_');
    bytes.extend_from_slice(&i64::from(sub).to_be_bytes());
    if tombstone {
        bytes.push(b't');
    }
    bytes
}

/// A revision, and whether it is a tombstone's; none for bytes that are no revision.
pub fn revision_of(bytes: &[u8]) -> Option<(i64, u32, bool)> {
    let (revision, mark) = bytes.split_at_checked(17)?;
    let tombstone = match mark {
        [] => false,
        b"t" => true,
        _ => return None,
    };
    let main = i64::from_be_bytes(revision[..8].try_into().ok()?);
    let sub = i64::from_be_bytes(revision[9..].try_into().ok()?);
    (revision[8] == b'_' && main > 0).then_some((main, u32::try_from(sub).ok()?, tombstone))
}

/// The key under which a version stands.
pub fn version_key(version: &Version) -> Vec<u8> {
    revision_bytes(version.main, version.sub, version.is_tombstone())
}

/// What stands there.
pub fn version_value(key: Bytes, version: &Version, value: Bytes) -> KeyValue {
    match version.is_tombstone() {
        true => KeyValue { key, ..Default::default() },
        false => key_value(key, version, value),
    }
}

/// How long [`version_value`] is, encoded, from its value's length.
pub fn version_value_len(key: Bytes, version: &Version) -> usize {
    let len = version.loc.len as usize;
    let without = version_value(key, version, Bytes::new()).encoded_len();
    if version.is_tombstone() || len == 0 { without } else { without + 1 + prost::length_delimiter_len(len) + len }
}
