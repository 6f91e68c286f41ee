//! Changes of the membership: the leader makes them, one after the other.
//!
//! Whoever is added learns first and counts in no quorum. One that was added as a voter gets its vote by itself as soon
//! as it has caught up ([`crate::roster`]), so a member that never comes costs nobody anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::rt::{Instant as _, WatchReceiver};
use proto::etcdserverpb as etcd;
use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::reconfigure_request::Change;
use tokio::time::Instant;

use crate::ids;
use crate::member::{Member, REQUEST_TIMEOUT};
use crate::membership::{self, Cluster, Known};
use crate::raft::types::{Membership, Peer};
use crate::refused::Refused;

/// Entries that a member in sync may lack.
const LAG_MAX: u64 = 5000;
/// Rest before a change is tried again while another is under way.
const RETRY: Duration = Duration::from_millis(20);

impl Member {
    /// Changes the membership, here or through the leader.
    pub async fn reconfigure(&self, change: Change) -> Result<pb::ReconfigureResponse, Refused> {
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        loop {
            let leader = self.leader(deadline).await?;
            let result = match leader == self.owner.member_id {
                true => self.reconfigure_leading(&change, deadline).await,
                false => self.transport.reconfigure(leader, change.clone()).await,
            };
            match result {
                Err(Refused::NotLeader) if Instant::now() < deadline => tokio::time::sleep(RETRY).await,
                Err(Refused::NotLeader) => return Err(Refused::NoLeader),
                result => return result,
            }
        }
    }

    /// As leader: changes the membership; returns when the change is applied here.
    pub async fn reconfigure_leading(
        &self,
        change: &Change,
        deadline: Instant,
    ) -> Result<pb::ReconfigureResponse, Refused> {
        let work = async {
            let _turn = self.changing.lock().await;
            if !self.is_leader() {
                return Err(Refused::NotLeader);
            }
            let member_id = self.check_and_change(change).await?;
            Ok(pb::ReconfigureResponse { refusal: None, member_id, members: self.members() })
        };
        tokio::time::timeout_at(deadline, work).await.unwrap_or(Err(Refused::Timeout))
    }

    async fn check_and_change(&self, change: &Change) -> Result<u64, Refused> {
        let cluster = self.cluster();
        match change {
            Change::Add(req) => self.add(&cluster, req).await,
            Change::Remove(req) => self.remove(&cluster, req.id).await,
            Change::Update(req) => {
                cluster.check_update(req.id, &req.peer_urls)?;
                let peer_urls = membership::peer_urls(&req.peer_urls)?;
                let known = self.standing().membership.get_node(&req.id).cloned().unwrap_or_default();
                let peer = Peer { peer_urls, ..known };
                self.change(ChangeMembers::SetNodes(BTreeMap::from([(req.id, peer)]))).await?;
                Ok(req.id)
            }
            Change::Promote(req) => {
                cluster.check_promote(req.id)?;
                self.change(ChangeMembers::AddVoterIds(BTreeSet::from([req.id]))).await?;
                Ok(req.id)
            }
        }
    }

    async fn add(&self, cluster: &Cluster, req: &etcd::MemberAddRequest) -> Result<u64, Refused> {
        let peer_urls = membership::peer_urls(&req.peer_urls)?;
        cluster.check_add(&peer_urls, req.is_learner)?;
        let id = ids::member(&peer_urls, &self.rules.cluster_token, Some(self.env.random.next()));
        if cluster.members.iter().any(|member| member.id == id) {
            return Err(Refused::MemberExists);
        }
        let peer = Peer { name: String::new(), peer_urls, joins_voters: !req.is_learner };
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(id, peer)]))).await?;
        tracing::info!(member = format!("{id:x}"), learner = req.is_learner, "a member was added");
        Ok(id)
    }

    async fn remove(&self, cluster: &Cluster, id: u64) -> Result<u64, Refused> {
        cluster.check_remove(id)?;
        let gone = BTreeSet::from([id]);
        let votes = self.standing().membership.voter_ids().any(|voter| voter == id);
        self.change(if votes { ChangeMembers::RemoveVoters(gone) } else { ChangeMembers::RemoveNodes(gone) }).await?;
        tracing::info!(member = format!("{id:x}"), "a member was removed");
        Ok(id)
    }

    /// One change, by way of a joint membership where voters change. To be called with `changing` locked.
    pub(crate) async fn change(&self, change: ChangeMembers<u64, Peer>) -> Result<(), Refused> {
        loop {
            // Removed voters do not stay as learners.
            match self.raft.change_membership(change.clone(), false).await {
                Ok(_) => return Ok(()),
                Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => return Err(Refused::NotLeader),
                Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => match error {
                    // One of the leader before this one, or of one whose caller gave up: it will end.
                    ChangeMembershipError::InProgress(_) => tokio::time::sleep(RETRY).await,
                    ChangeMembershipError::EmptyMembership(_) => return Err(Refused::MemberNotEnoughStarted),
                    error => {
                        tracing::warn!(%error, "the membership was not changed");
                        return Err(Refused::MemberNotFound);
                    }
                },
                Err(RaftError::APIError(_)) => return Err(Refused::LeaderChanged),
                Err(RaftError::Fatal(_)) => return Err(Refused::Stopped),
            }
        }
    }

    /// The members as the leader sees them.
    pub(crate) fn cluster(&self) -> Cluster {
        let own = self.owner.member_id;
        let attributes = self.shared.held.read().state.attributes.clone();
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let answers = |id: &u64| {
            let heard = metrics.heartbeat.as_ref().and_then(|heard| heard.get(id).cloned().flatten());
            heard.is_some_and(|heard| heard.into_inner().elapsed() < self.rules.answer_within)
        };
        let last = metrics.last_log_index.unwrap_or(0);
        let in_sync = |id: &u64| {
            let matched = metrics.replication.as_ref().and_then(|matched| matched.get(id).copied().flatten());
            matched
                .is_some_and(|id| id.index.saturating_mul(10) >= last * 9 && last.saturating_sub(id.index) <= LAG_MAX)
        };
        let known = |(id, peer): (&u64, &Peer)| Known {
            id: *id,
            peer_urls: peer.peer_urls.clone(),
            voter: peer.joins_voters || voters.contains(id),
            started: *id == own || answers(id) || attributes.get(id).is_some_and(|of| !of.name.is_empty()),
            answers: *id == own || answers(id),
            in_sync: *id == own || (answers(id) && in_sync(id)),
        };
        Cluster {
            members: membership.nodes().map(known).collect(),
            strict: self.rules.strict_reconfig,
            learners_max: self.rules.learners_max,
        }
    }

    /// The members as they are applied here, in order of their ids.
    pub fn members(&self) -> Vec<etcd::Member> {
        let held = self.shared.held.read();
        let applied = &held.state.membership;
        let membership = match applied.log_id() {
            Some(_) => applied.membership().clone(),
            None => self.standing().membership,
        };
        let member = |(id, peer): (&u64, &Peer)| {
            let attributes = held.state.attributes.get(id);
            etcd::Member {
                id: *id,
                name: attributes.map(|of| of.name.clone()).unwrap_or_default(),
                peer_urls: peer.peer_urls.clone(),
                client_urls: attributes.map(|of| of.client_urls.clone()).unwrap_or_default(),
                is_learner: is_learner(&membership, *id),
            }
        };
        membership.nodes().map(member).collect()
    }
}

/// Whether a member of the cluster waits to be promoted.
pub fn is_learner(membership: &Membership, id: u64) -> bool {
    let waits = |peer: &Peer| !peer.joins_voters && !membership.voter_ids().any(|voter| voter == id);
    membership.get_node(&id).is_some_and(waits)
}
