//! What must hold in every run, one file each; [`Watchdog`] shows them what happens and keeps what they object to.

pub mod durability;
pub mod election_safety;
pub mod leader_completeness;
pub mod lease;
pub mod linearizability;
pub mod log_matching;
pub mod state_machine_safety;
pub mod watch;

use std::sync::Arc;

use openraft::raft::AppendEntriesRequest;
use parking_lot::Mutex;
use store::raft::types::TypeConfig;

use crate::net::{Live, Net};

/// Objections kept of one run: the first ones tell.
const KEPT: usize = 20;

#[derive(Clone, Default)]
pub struct Watchdog {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    elections: election_safety::Elections,
    logs: log_matching::Logs,
    committed: leader_completeness::Committed,
    states: state_machine_safety::States,
    objections: Vec<String>,
}

/// What an invariant objects to.
pub type Verdict = Result<(), String>;

impl Watchdog {
    /// Takes a verdict; the name of its invariant goes before it.
    pub fn judge(&self, invariant: &str, verdict: Verdict) {
        let Err(text) = verdict else { return };
        let mut inner = self.inner.lock();
        if inner.objections.len() < KEPT {
            inner.objections.push(format!("{invariant}: {text}"));
        }
    }

    pub fn objections(&self) -> Vec<String> {
        self.inner.lock().objections.clone()
    }

    /// Terms that had a leader.
    pub fn terms(&self) -> u64 {
        self.inner.lock().elections.terms()
    }

    /// The last entry that some leader said was committed.
    pub fn committed(&self) -> Option<(u64, u64)> {
        self.inner.lock().committed.last()
    }

    /// A leader sends entries: it says that it leads, what its log holds, and what is committed.
    pub fn append(&self, net: &Net, from: u64, rpc: &AppendEntriesRequest<TypeConfig>) {
        let term = rpc.vote.leader_id.term;
        let mut inner = self.inner.lock();
        let elected = inner.elections.leads(term, from);
        let first = elected == Ok(true);
        let matches = inner.logs.take(rpc.prev_log_id, &rpc.entries);
        let complete = match net.live(from).filter(|_| first) {
            Some(live) => inner.committed.check(term, from, &live.member.wal),
            None => Ok(()),
        };
        if let Some(id) = rpc.leader_commit {
            inner.committed.advance(id.leader_id.term, id.index);
        }
        drop(inner);
        self.judge("election safety", elected.map(|_| ()));
        self.judge("log matching", matches);
        self.judge("leader completeness", complete);
    }

    /// Looks at a member as it is: its state, its log, whether it leads.
    pub fn look(&self, id: u64, live: &Live) {
        let member = &live.member;
        let mut inner = self.inner.lock();
        let elected = match member.leading_term() {
            Some(term) => inner.elections.leads(term, id).map(|_| ()),
            None => Ok(()),
        };
        let same = inner.states.take(id, &member.shared.held.read().state);
        drop(inner);
        self.judge("election safety", elected);
        self.judge("state machine safety", same);
    }

    /// Looks at a member's whole log.
    pub fn look_at_log(&self, id: u64, live: &Live) {
        let matches = self.inner.lock().logs.take_all(id, &live.member.wal);
        self.judge("log matching", matches);
    }
}
