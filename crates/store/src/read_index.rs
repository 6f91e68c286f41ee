//! Linearizable reads: one round to a quorum serves every reader that waits when it begins.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::raft::ReadPolicy;
use openraft::rt::WatchReceiver;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{RaftMetrics, ServerState};
use tokio::sync::{mpsc, oneshot};

use crate::peer::Transport;
use crate::raft::types::{Raft, TypeConfig};
use crate::refused::Refused;
use crate::shared::Shared;

const QUEUE_LEN_MAX: usize = 8192;

type Metrics = WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>;
type Reply = oneshot::Sender<Result<(), Refused>>;

#[derive(Clone)]
pub struct Reads {
    metrics: Metrics,
    shared: Arc<Shared>,
    tx: mpsc::Sender<Reply>,
    /// The term in which this member, alone in its cluster, has confirmed its log once.
    confirmed: Arc<AtomicU64>,
}

impl Reads {
    pub fn new(raft: Raft, shared: Arc<Shared>, transport: Arc<dyn Transport>) -> (Self, Rounds) {
        let (tx, rx) = mpsc::channel(QUEUE_LEN_MAX);
        let confirmed = Arc::new(AtomicU64::new(0));
        let reads = Self { metrics: raft.metrics(), shared: shared.clone(), tx, confirmed: confirmed.clone() };
        (reads, Rounds { raft, shared, transport, rx, confirmed })
    }

    /// Returns when the state holds everything that was acknowledged before the call.
    pub async fn linearize(&self) -> Result<(), Refused> {
        if self.leads_alone().is_some() {
            // Nobody else can have acknowledged anything, and this member acknowledges what it has applied.
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        self.tx.send(reply).await.map_err(|_| Refused::Stopped)?;
        answer.await.unwrap_or(Err(Refused::Stopped))
    }

    /// What Raft tells of itself, without asking it for another copy.
    pub fn metrics(&self) -> impl Deref<Target = RaftMetrics<TypeConfig>> {
        self.metrics.borrow_watched()
    }

    /// The term, if this member leads in it and is alone in its cluster, so that what it has applied is all there is.
    pub fn leads_alone(&self) -> Option<u64> {
        let confirmed = self.confirmed.load(Ordering::Acquire);
        if confirmed == 0 {
            return None;
        }
        let metrics = self.metrics();
        let alone = metrics.current_term == confirmed
            && metrics.state == ServerState::Leader
            && metrics.membership_config.membership().voter_ids().count() == 1
            && self.shared.applied().is_some_and(|applied| applied.leader_id.term == confirmed);
        alone.then_some(confirmed)
    }
}

/// Confirms rounds, one after the other.
pub struct Rounds {
    raft: Raft,
    shared: Arc<Shared>,
    transport: Arc<dyn Transport>,
    rx: mpsc::Receiver<Reply>,
    confirmed: Arc<AtomicU64>,
}

impl Rounds {
    pub async fn run(mut self) {
        while let Some(first) = self.rx.recv().await {
            let mut waiting = vec![first];
            while let Ok(reply) = self.rx.try_recv() {
                waiting.push(reply);
            }
            let result = self.round().await;
            for reply in waiting {
                // A reader that went away does not want to know.
                let _gone = reply.send(result);
            }
        }
    }

    async fn round(&self) -> Result<(), Refused> {
        let index = match confirm(&self.raft).await {
            Ok((term, index)) => {
                self.confirmed.store(term, Ordering::Release);
                index
            }
            Err(Refused::NotLeader) => {
                let leader = self.raft.current_leader().await.ok_or(Refused::NoLeader)?;
                tokio::select! {
                    biased;
                    index = self.transport.read_index(leader) => index?,
                    // A leader that stands still holds up nobody longer than the others need to elect another one.
                    () = succeeded(&self.raft, leader) => return Err(Refused::LeaderChanged),
                }
            }
            Err(refused) => return Err(refused),
        };
        match index {
            Some(index) if !self.shared.wait_applied(index).await => Err(Refused::Stopped),
            _ => Ok(()),
        }
    }
}

/// Returns when this member knows that another one than `leader` leads.
pub async fn succeeded(raft: &Raft, leader: u64) {
    let mut metrics = raft.metrics();
    while metrics.borrow_watched().current_leader.is_none_or(|known| known == leader) {
        if metrics.changed().await.is_err() {
            // The member stops: whoever waits here has other ends.
            std::future::pending::<()>().await;
        }
    }
}

/// As leader: the term, and up to where a reader must have applied.
pub async fn confirm(raft: &Raft) -> Result<(u64, Option<u64>), Refused> {
    use openraft::errors::{LinearizableReadError, RaftError};
    match raft.get_read_log_id(ReadPolicy::ReadIndex).await {
        Ok((read, _)) => Ok((raft.metrics().borrow_watched().current_term, Some(read.index()))),
        Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => Err(Refused::NotLeader),
        Err(RaftError::APIError(_)) => Err(Refused::Timeout),
        Err(RaftError::Fatal(_)) => Err(Refused::Stopped),
    }
}
