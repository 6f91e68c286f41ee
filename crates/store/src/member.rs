//! One member of the store: what the edges (gRPC, HTTP, the expiry of leases) call.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openraft::raft::{VoteRequest, VoteResponse};
use openraft::rt::Instant as _;
use proto::etcdserverpb as etcd;
use proto::keelson::raft::v1::command::Request;
use proto::keelson::raft::v1::{Caller, Command};
use tokio_util::sync::CancellationToken;

use crate::ask::{self, Credentials};
use crate::auth::login::Login;
use crate::engine::maintain;
use crate::env::{Env, WorkerHandle};
use crate::expiry::Deadlines;
use crate::forward::Forwarder;
use crate::lease::Lease;
use crate::peer::Transport;
use crate::peer::notices::Notices;
use crate::propose::{Proposer, Unproposed};
use crate::raft::types::{Membership, Raft, TypeConfig};
use crate::read_index::Reads;
use crate::refused::Refused;
use crate::rejoin::Rejoin;
use crate::reply::Outcome;
use crate::room::Room;
use crate::shared::{ReadError, Shared};
use crate::wal::{Owner, Wal};

/// How long a request waits, for a leader, for its turn and for a quorum, before it is refused.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(7);

/// A read that is confirmed later counts as slow.
const SLOW_READ: Duration = Duration::from_millis(500);

/// Bounds that the flags set.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub request_bytes: usize,
    pub txn_ops: usize,
    /// Shortest lease, in seconds.
    pub lease_ttl_min: i64,
    /// Live bytes; 0: none.
    pub quota_bytes: u64,
}

/// The fence of a member without data: it takes calls of any epoch.
pub const UNFENCED: u64 = u64::MAX;

/// How carefully the membership is changed.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Refuse what could cost the quorum.
    pub strict_reconfig: bool,
    pub learners_max: usize,
    /// A member that was not heard of for so long does not answer.
    pub answer_within: Duration,
    /// Goes into the ids of new members.
    pub cluster_token: String,
}

pub struct Member {
    pub env: Env,
    pub owner: Owner,
    pub raft: Raft,
    pub shared: Arc<Shared>,
    pub wal: Wal,
    pub maintenance: WorkerHandle<maintain::Job>,
    pub transport: Arc<dyn Transport>,
    pub proposer: Proposer,
    pub forwarder: Arc<Forwarder>,
    pub reads: Reads,
    pub deadlines: Arc<Deadlines>,
    pub limits: Limits,
    pub room: Room,
    pub rules: Rules,
    /// Held by whoever changes the membership.
    pub changing: tokio::sync::Mutex<()>,
    /// Whether this member waits to be promoted; the roster keeps it.
    pub learner: AtomicBool,
    /// See [`Member::epoch`]; the roster keeps it.
    pub fence: AtomicU64,
    pub heard: parking_lot::Mutex<Heard>,
    /// What was said of calls that are not for this member.
    pub strangers: Notices,
    /// How callers are known, once the flags have said it.
    pub login: OnceLock<Login>,
    pub rejoin: Rejoin,
    /// Cancelled when the member stops: streams without an end of their own end then.
    pub stopping: CancellationToken,
}

/// The last call of a leader.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub at: tokio::time::Instant,
    /// Whether a quorum followed that leader then, as far as it said.
    pub with_quorum: bool,
}

/// Where this member stands in the cluster.
pub struct Standing {
    pub term: u64,
    /// Who is known to lead; whether that still holds, [`Member::reached_leader`] says.
    pub leader: Option<u64>,
    pub committed_index: u64,
    pub applied_index: u64,
    pub membership: Membership,
}

impl Member {
    pub fn standing(&self) -> Standing {
        let metrics = self.reads.metrics();
        let applied_index = self.shared.applied().map_or(0, |id| id.index);
        Standing {
            term: metrics.current_term,
            leader: metrics.current_leader,
            committed_index: metrics.last_log_index.unwrap_or(0).max(applied_index),
            applied_index,
            membership: metrics.membership_config.membership().clone(),
        }
    }

    /// Notes that a leader has called, and whether a quorum follows it.
    pub fn hear(&self, with_quorum: bool) {
        *self.heard.lock() = Heard { at: tokio::time::Instant::now(), with_quorum };
    }

    /// Whether this member leads, and a quorum has answered it lately. openraft's leaders stay leaders without one; etcd's step
    /// down.
    pub fn leads_quorum(&self) -> bool {
        self.reached_leader() == Some(self.owner.member_id)
    }

    /// The leader, as long as it is heard of and has its quorum; this member leads only while a quorum answers it.
    pub fn reached_leader(&self) -> Option<u64> {
        let metrics = self.reads.metrics();
        let leader = metrics.current_leader?;
        let lately = |silence: Duration| silence < self.rules.answer_within;
        let reached = match leader == self.owner.member_id {
            true => {
                let alone = metrics.membership_config.membership().voter_ids().eq([leader]);
                alone || metrics.last_quorum_acked.is_some_and(|acked| lately(acked.into_inner().elapsed()))
            }
            false => {
                let heard = *self.heard.lock();
                heard.with_quorum && lately(heard.at.elapsed())
            }
        };
        reached.then_some(leader)
    }

    /// Which restore the cluster's data came from (0: none); nothing while this member has no data.
    pub fn epoch(&self) -> Option<u64> {
        let known = self.fence.load(Ordering::Relaxed);
        if known != UNFENCED {
            return Some(known);
        }
        let held = self.shared.held.read();
        held.state.applied.map(|_| held.state.epoch).inspect(|epoch| self.fence.store(*epoch, Ordering::Relaxed))
    }

    pub fn login(&self) -> &Login {
        self.login.get_or_init(Login::default)
    }

    pub fn is_leader(&self) -> bool {
        self.leading_term().is_some()
    }

    /// Answers a candidate; a member that comes back with nothing does not ([`crate::rejoin`]).
    pub async fn vote(&self, rpc: VoteRequest<TypeConfig>) -> Result<VoteResponse<TypeConfig>, Refused> {
        self.check_votes()?;
        self.raft.vote(rpc).await.map_err(|_| Refused::Stopped)
    }

    /// Answers who asks whether it could become a candidate.
    pub async fn pre_vote(&self, rpc: VoteRequest<TypeConfig>) -> Result<VoteResponse<TypeConfig>, Refused> {
        self.check_votes()?;
        self.raft.pre_vote(rpc).await.map_err(|_| Refused::Stopped)
    }

    /// Refuses to take part in elections while this member comes back with nothing.
    pub fn check_votes(&self) -> Result<(), Refused> {
        if self.rejoin.is_active() { Err(Refused::Unhealthy) } else { Ok(()) }
    }

    /// Whether others vote in this member's cluster.
    pub fn is_one_of_several(&self) -> bool {
        self.shared.held.read().state.membership.membership().voter_ids().count() > 1
    }

    /// A header for an answer at `revision`.
    pub fn header(&self, revision: i64) -> etcd::ResponseHeader {
        etcd::ResponseHeader {
            cluster_id: self.owner.cluster_id,
            member_id: self.owner.member_id,
            revision,
            raft_term: self.reads.metrics().current_term,
        }
    }

    /// Has a command applied that nobody in particular asks for.
    pub async fn propose(&self, request: Request) -> Outcome {
        self.propose_as(None, request).await
    }

    /// Has a command applied, here or through the leader.
    pub async fn propose_as(&self, caller: Option<Caller>, request: Request) -> Outcome {
        let command = Command { caller, request: Some(request), term: 0 };
        if prost::Message::encoded_len(&command) > self.limits.request_bytes {
            return Err(Refused::RequestTooLarge);
        }
        let _pending = self.shared.counts.proposals_pending.enter();
        let deadline = tokio::time::Instant::now() + REQUEST_TIMEOUT;
        let outcome = self.carry(command, deadline).await;
        let lost =
            matches!(outcome, Err(Refused::Timeout | Refused::NoLeader | Refused::DiskStalled | Refused::Stopped));
        if lost {
            self.shared.counts.proposals_failed.one();
        }
        outcome
    }

    /// As leader of `term`: has something applied that holds in this term only.
    pub async fn propose_leading(&self, term: u64, request: Request) -> Outcome {
        let command = Command { caller: Some(ask::store()), request: Some(request), term };
        match tokio::time::timeout(REQUEST_TIMEOUT, self.proposer.propose(command)).await {
            Ok(outcome) => outcome?,
            Err(_) => Err(Refused::Timeout),
        }
    }

    async fn carry(&self, command: Command, deadline: tokio::time::Instant) -> Outcome {
        loop {
            let leader = self.leader(deadline).await?;
            let result = if leader == self.owner.member_id {
                // Without a quorum, or while the disk hangs, it may stay in the log for long.
                match tokio::time::timeout_at(deadline, self.proposer.propose(command.clone())).await {
                    Ok(result) => result,
                    Err(_) if self.wal.is_stalled() => return Err(Refused::DiskStalled),
                    Err(_) => return Err(Refused::Timeout),
                }
            } else {
                match tokio::time::timeout_at(deadline, self.forwarder.forward(leader, command.clone())).await {
                    Ok(carried) => carried.unwrap_or(Err(Unproposed::Lost)),
                    Err(_) => return Err(Refused::Timeout),
                }
            };
            match result {
                Ok(outcome) => return outcome,
                Err(Unproposed::Lost) => return Err(Refused::Timeout),
                Err(Unproposed::NotLeader) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(Unproposed::NotLeader) => return Err(Refused::NoLeader),
            }
        }
    }

    /// The leader, waited for.
    pub(crate) async fn leader(&self, deadline: tokio::time::Instant) -> Result<u64, Refused> {
        loop {
            let leader = self.reads.metrics().current_leader;
            match leader {
                Some(leader) => return Ok(leader),
                None if tokio::time::Instant::now() >= deadline => return Err(Refused::NoLeader),
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    pub async fn range(&self, req: &etcd::RangeRequest) -> Result<etcd::RangeResponse, ReadError> {
        self.asked(Credentials::NOBODY).range(req).await
    }

    /// Returns when the state holds everything that was acknowledged before.
    pub async fn linearize(&self) -> Result<(), Refused> {
        if self.reads.leads_alone().is_some() {
            return Ok(());
        }
        let start = tokio::time::Instant::now();
        let result = self.confirm_reads().await;
        if result.is_err() {
            self.shared.counts.reads_failed.one();
        } else if start.elapsed() > SLOW_READ {
            self.shared.counts.reads_slow.one();
        }
        result
    }

    async fn confirm_reads(&self) -> Result<(), Refused> {
        let deadline = tokio::time::Instant::now() + REQUEST_TIMEOUT;
        loop {
            match tokio::time::timeout_at(deadline, self.reads.linearize()).await {
                Ok(Err(Refused::NoLeader | Refused::NotLeader | Refused::LeaderChanged))
                    if tokio::time::Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(result) => return result,
                Err(_) => return Err(Refused::Timeout),
            }
        }
    }

    pub async fn put(&self, req: etcd::PutRequest) -> Outcome {
        self.asked(Credentials::NOBODY).put(req).await
    }

    pub async fn delete_range(&self, req: etcd::DeleteRangeRequest) -> Outcome {
        self.asked(Credentials::NOBODY).delete_range(req).await
    }

    pub async fn txn(&self, req: etcd::TxnRequest) -> Result<etcd::TxnResponse, ReadError> {
        self.asked(Credentials::NOBODY).txn(req).await
    }

    pub async fn compact(&self, req: etcd::CompactionRequest) -> Outcome {
        self.asked(Credentials::NOBODY).compact(req).await
    }

    /// Returns when what is compacted is gone.
    pub async fn trim(&self) -> Result<(), Refused> {
        let deadline = tokio::time::Instant::now() + REQUEST_TIMEOUT;
        loop {
            let (tx, rx) = tokio::sync::oneshot::channel();
            self.maintenance.send(maintain::Job::Trim(Some(tx))).await.map_err(|_| Refused::Stopped)?;
            match rx.await {
                Ok(Ok(true)) => return Ok(()),
                // A snapshot that is being read keeps it.
                Ok(Ok(false)) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Ok(Ok(false)) => return Err(Refused::Timeout),
                Ok(Err(error)) => return Err(no_space(&error).unwrap_or(Refused::Stopped)),
                Err(_) => return Err(Refused::Stopped),
            }
        }
    }

    pub async fn grant(&self, req: etcd::LeaseGrantRequest) -> Outcome {
        self.asked(Credentials::NOBODY).grant(req).await
    }

    pub async fn revoke(&self, req: etcd::LeaseRevokeRequest) -> Outcome {
        self.asked(Credentials::NOBODY).revoke(req).await
    }

    /// Renews a lease at the leader's clock; 0 when there is none such.
    pub async fn keep_alive(&self, lease: i64) -> Result<i64, Refused> {
        self.renewal().await?.renew(lease).await
    }

    /// As leader: renews a lease once a quorum has confirmed that this member leads: a leader that was cut off must not
    /// tell a client that its lease lives.
    pub async fn renew_leading(&self, lease: i64) -> Result<i64, Refused> {
        let term = self.confirm_leading().await?;
        self.renew_noted(term, lease).await
    }

    /// The term, if this member leads. One that was started again and led before knows itself as its term's leader, and leads
    /// nobody.
    pub fn leading_term(&self) -> Option<u64> {
        let metrics = self.reads.metrics();
        metrics.state.is_leader().then_some(metrics.current_term)
    }

    /// As leader of `term`: renews a lease.
    pub fn renew(&self, term: u64, lease: i64) -> i64 {
        let ttl = self.shared.held.read().state.lessor.get(lease).map_or(0, |lease| lease.ttl);
        self.renew_for(term, lease, ttl)
    }

    /// As leader of `term`: renews a lease whose time to live is known.
    pub(crate) fn renew_for(&self, term: u64, lease: i64, ttl: i64) -> i64 {
        if ttl > 0 && !self.deadlines.renew(term, lease, ttl) {
            return 0;
        }
        if ttl > 0 {
            self.shared.counts.leases_renewed.one();
        }
        ttl
    }

    /// As leader: seconds that a lease has left, -1 when there is none such.
    pub fn lease_left(&self, lease: i64) -> i64 {
        let ttl = self.shared.held.read().state.lessor.get(lease).map(Lease::due);
        let left = self.leading_term().and_then(|term| self.deadlines.left(term, lease));
        ttl.map_or(-1, |ttl| left.unwrap_or(ttl))
    }

    /// Seconds that a lease has left, wherever the leader is.
    pub async fn time_to_live(&self, lease: i64) -> Result<i64, Refused> {
        let leader = self.leader(tokio::time::Instant::now() + REQUEST_TIMEOUT).await?;
        match leader == self.owner.member_id {
            true => Ok(self.lease_left(lease)),
            false => self.transport.lease_left(leader, lease).await,
        }
    }

    /// Whether the disk has too little room for more data.
    pub fn is_disk_full(&self) -> bool {
        self.wal.is_stalled() || self.room.is_low()
    }

    /// Refuses writes over the quota or on a full disk; deletes and compactions are always let through. That the data is said
    /// to be corrupt comes first, as it does in etcd.
    pub fn check_space(&self) -> Result<(), Refused> {
        let quota = self.limits.quota_bytes;
        let held = self.shared.held.read();
        held.state.check_corrupt()?;
        if self.is_disk_full() {
            return Err(Refused::DiskFull);
        }
        if (quota > 0 && held.state.index.live_bytes() > quota) || held.state.alarms.iter().any(|held| held.1 == 1) {
            return Err(Refused::NoSpace);
        }
        Ok(())
    }
}

/// The refusal for an error that means a full disk.
fn no_space(error: &std::io::Error) -> Option<Refused> {
    crate::env::is_full(error).then_some(Refused::DiskFull)
}
