//! A member's first start beside others: who it is, in a cluster that is there already.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon::tls::ClientIdentity;
use proto::keelson::raft::v1 as pb;
use tokio::time::Instant;

use crate::config::Ids;
use crate::peer::grpc;
use crate::raft::codec;
use crate::raft::types::{Membership, Peer};

/// How long a member that joins tries to reach the others.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a member that begins a cluster listens for a sign that the cluster is there already.
const GREET_TIMEOUT: Duration = Duration::from_millis(1500);
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("no member of --initial-cluster tells who is in the cluster (asked: {asked}): {reason}")]
    NoAnswer { asked: String, reason: String },
    #[error(
        "--initial-cluster does not fit the cluster: member count is unequal ({flag} members there, {cluster} in the cluster: {urls})"
    )]
    Count { flag: usize, cluster: usize, urls: String },
    #[error(
        "--initial-cluster does not fit the cluster: unmatched member while checking PeerURLs: {urls} belongs to no member that it names; add this member first (etcdctl member add)"
    )]
    Unmatched { urls: String },
    #[error(
        "member {id:x} has its vote already, and this data folder is empty: what it voted and acknowledged is lost. Remove the member and add it again; it comes back with another id"
    )]
    Voter { id: u64 },
    #[error(
        "member {id:x} has already been bootstrapped: its cluster is there, and this data folder is empty. Remove the member and add it again, then start it with --initial-cluster-state existing"
    )]
    Bootstrapped { id: u64 },
    #[error("a member of the cluster gives an answer that makes no sense: {0}")]
    Malformed(#[from] codec::CodecError),
}

/// Who a member is that joins, and the cluster as it found it.
#[derive(Debug)]
pub struct Joined {
    pub ids: Ids,
    pub epoch: u64,
}

/// Asks the members of --initial-cluster; `names` are the names and URLs there, `own` is this member's name.
pub async fn join(
    names: &BTreeMap<String, Vec<String>>,
    own: &str,
    identity: Option<&Arc<ClientIdentity>>,
) -> Result<Joined, JoinError> {
    let others: Vec<&String> = names.iter().filter(|(name, _)| *name != own).flat_map(|(_, urls)| urls).collect();
    let deadline = Instant::now() + JOIN_TIMEOUT;
    let mut reason = "there is nobody to ask".to_owned();
    loop {
        for url in &others {
            match ask(url, true, CALL_TIMEOUT, identity).await {
                Ok(members) => return joined(members, names, own),
                Err(error) => reason = format!("{url}: {error}"),
            }
        }
        if others.is_empty() || Instant::now() >= deadline {
            let asked = others.iter().map(|url| url.as_str()).collect::<Vec<_>>().join(", ");
            return Err(JoinError::NoAnswer { asked, reason });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Refuses to begin a cluster that knows this member already: its data folder was lost.
pub async fn check_new(ids: &Ids, identity: Option<&Arc<ClientIdentity>>) -> Result<(), JoinError> {
    let others = ids.members.iter().filter(|(id, _)| **id != ids.member_id).flat_map(|(_, peer)| &peer.peer_urls);
    let answers = futures::future::join_all(others.map(|url| ask(url, false, GREET_TIMEOUT, identity))).await;
    let started = |members: &pb::MembersResponse| {
        members.cluster_id == ids.cluster_id && members.attributes.iter().any(|of| of.member_id == ids.member_id)
    };
    match answers.iter().flatten().any(started) {
        true => Err(JoinError::Bootstrapped { id: ids.member_id }),
        false => Ok(()),
    }
}

async fn ask(
    url: &str,
    linearizable: bool,
    limit: Duration,
    identity: Option<&Arc<ClientIdentity>>,
) -> Result<pb::MembersResponse, String> {
    let channel = grpc::dial(url, identity).map_err(|error| error.to_string())?;
    let mut client = grpc::client(channel);
    match tokio::time::timeout(limit, client.members(pb::MembersRequest { linearizable })).await {
        Ok(Ok(rsp)) => Ok(rsp.into_inner()),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// Finds this member among those of the cluster, by its peer URLs.
pub(crate) fn joined(
    members: pb::MembersResponse,
    names: &BTreeMap<String, Vec<String>>,
    own: &str,
) -> Result<Joined, JoinError> {
    let stored = members.membership.unwrap_or_default();
    let membership: Membership = codec::membership_back(stored.membership.unwrap_or_default())?;
    let known: BTreeMap<u64, Peer> = membership.nodes().map(|(id, peer)| (*id, peer.clone())).collect();
    if known.len() != names.len() {
        let urls = known.values().flat_map(|peer| peer.peer_urls.clone()).collect::<Vec<_>>().join(",");
        return Err(JoinError::Count { flag: names.len(), cluster: known.len(), urls });
    }
    let mut member_id = 0;
    for (id, peer) in &known {
        let name = names.iter().find(|(_, urls)| same(urls, &peer.peer_urls)).map(|(name, _)| name);
        let name = name.ok_or_else(|| JoinError::Unmatched { urls: peer.peer_urls.join(",") })?;
        if name == own {
            member_id = *id;
        }
    }
    if membership.voter_ids().any(|id| id == member_id) {
        return Err(JoinError::Voter { id: member_id });
    }
    let ids = Ids { cluster_id: members.cluster_id, member_id, members: known };
    Ok(Joined { ids, epoch: members.epoch })
}

fn same(a: &[String], b: &[String]) -> bool {
    let sorted = |urls: &[String]| {
        let mut urls = urls.to_vec();
        urls.sort();
        urls
    };
    sorted(a) == sorted(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(members: &[(u64, &str, bool)]) -> pb::MembersResponse {
        let voters = members.iter().filter(|(_, _, votes)| *votes).map(|(id, _, _)| *id).collect();
        let node = |(id, url, _): &(u64, &str, bool)| pb::Node {
            member_id: *id,
            peer_urls: vec![(*url).to_owned()],
            ..Default::default()
        };
        let membership = pb::Membership {
            voters: vec![pb::MemberSet { member_ids: voters }],
            nodes: members.iter().map(node).collect(),
        };
        let membership = Some(pb::StoredMembership { log_id: None, membership: Some(membership) });
        pb::MembersResponse { cluster_id: 7, epoch: 3, membership, attributes: Vec::new() }
    }

    fn names(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
        pairs.iter().map(|(name, url)| ((*name).to_owned(), vec![(*url).to_owned()])).collect()
    }

    #[test]
    fn a_member_that_joins_finds_its_id_by_its_urls() {
        let there = cluster(&[(1, "http://a:1", true), (2, "http://b:1", false)]);
        let found = joined(there, &names(&[("x", "http://a:1"), ("me", "http://b:1")]), "me").unwrap();
        assert_eq!((found.ids.cluster_id, found.ids.member_id, found.epoch), (7, 2, 3));
    }

    #[test]
    fn a_list_that_does_not_fit_the_cluster_is_refused() {
        let there = || cluster(&[(1, "http://a:1", true), (2, "http://b:1", false)]);
        let refused = |pairs: &[(&str, &str)]| joined(there(), &names(pairs), "me").unwrap_err().to_string();
        assert!(refused(&[("me", "http://b:1")]).contains("member count is unequal"));
        assert!(refused(&[("x", "http://a:1"), ("me", "http://c:1")]).contains("unmatched member"));
        assert!(refused(&[("x", "http://b:1"), ("me", "http://a:1")]).contains("has its vote already"));
    }
}
