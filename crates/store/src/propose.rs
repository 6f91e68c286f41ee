//! Proposals: what many clients ask for at once becomes one entry of the log.
//!
//! While entries are on their way to the disk, new proposals gather; so the busier the member, the more share an entry
//! and its sync.

use std::sync::Arc;

use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use proto::keelson::raft::v1::Command;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::env::process;
use crate::raft::types::{Batch, Raft, TypeConfig};
use crate::refused::Refused;
use crate::reply::Outcome;

/// Proposals that may wait for a place in an entry.
const QUEUE_LEN_MAX: usize = 8192;
/// Commands after which an entry takes no further one.
const BATCH_LEN_MAX: usize = 512;
/// Bytes after which an entry takes no further command.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Entries on their way at once: one is being synced while the next is being filled.
const IN_FLIGHT_MAX: usize = 2;

/// Why a proposal has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproposed {
    /// Another member leads, as far as this one knows; nothing was logged.
    NotLeader,
    /// It may or may not have been logged.
    Lost,
}

/// Where the outcomes of what was proposed go.
type Reply<T> = oneshot::Sender<Result<T, Unproposed>>;

enum Proposal {
    One(Command, Reply<Outcome>),
    All(Vec<Command>, Reply<Vec<Outcome>>),
}

/// Who waits for the outcomes of an entry, in the order of its commands.
enum Waiting {
    One(Reply<Outcome>),
    All(usize, Reply<Vec<Outcome>>),
}

impl Waiting {
    /// Takes what is its own. Whoever went away does not want to know.
    fn take(self, outcomes: &mut impl Iterator<Item = Outcome>) {
        match self {
            Self::One(reply) => {
                if let Some(outcome) = outcomes.next() {
                    drop(reply.send(Ok(outcome)));
                }
            }
            Self::All(count, reply) => drop(reply.send(Ok(outcomes.take(count).collect()))),
        }
    }

    fn refuse(self, why: Unproposed) {
        match self {
            Self::One(reply) => drop(reply.send(Err(why))),
            Self::All(_, reply) => drop(reply.send(Err(why))),
        }
    }
}

/// Hands commands to the log of this member.
#[derive(Clone)]
pub struct Proposer {
    tx: mpsc::Sender<Proposal>,
}

impl Proposer {
    /// The handle, and the task that [`crate::run`] spawns.
    pub fn new(raft: Raft) -> (Self, Batching) {
        let (tx, rx) = mpsc::channel(QUEUE_LEN_MAX);
        (Self { tx }, Batching { raft, rx, in_flight: Arc::new(Semaphore::new(IN_FLIGHT_MAX)) })
    }

    /// Returns when the command is applied here.
    pub async fn propose(&self, command: Command) -> Result<Outcome, Unproposed> {
        let (reply, answer) = oneshot::channel();
        self.send(Proposal::One(command, reply)).await?;
        answer.await.unwrap_or(Err(Unproposed::Lost))
    }

    /// As [`Self::propose`], of several that share an entry: all of them are logged or none. There is an outcome for each.
    pub async fn propose_all(&self, commands: Vec<Command>) -> Result<Vec<Outcome>, Unproposed> {
        let (reply, answer) = oneshot::channel();
        self.send(Proposal::All(commands, reply)).await?;
        answer.await.unwrap_or(Err(Unproposed::Lost))
    }

    async fn send(&self, proposal: Proposal) -> Result<(), Unproposed> {
        self.tx.send(proposal).await.map_err(|_| Unproposed::NotLeader)
    }
}

/// Gathers proposals into entries.
pub struct Batching {
    raft: Raft,
    rx: mpsc::Receiver<Proposal>,
    in_flight: Arc<Semaphore>,
}

impl Batching {
    pub async fn run(mut self) {
        while let Some(first) = self.rx.recv().await {
            let Ok(permit) = self.in_flight.clone().acquire_owned().await else { return };
            let (commands, waiting) = self.gather(first);
            let (responder, answer) = ProgressResponder::<TypeConfig, _>::complete_only();
            let sent = self.raft.client_write_ff(Batch::new(commands), Some(responder)).await;
            if sent.is_err() {
                waiting.into_iter().for_each(|waiting| waiting.refuse(Unproposed::Lost));
                continue;
            }
            drop(process::spawn(async move {
                let answer = answer.await;
                drop(permit);
                let why = match answer {
                    Ok(Ok(response)) => {
                        let mut outcomes = response.data.0.into_iter();
                        return waiting.into_iter().for_each(|waiting| waiting.take(&mut outcomes));
                    }
                    Ok(Err(ClientWriteError::ForwardToLeader(_))) => Unproposed::NotLeader,
                    _ => Unproposed::Lost,
                };
                waiting.into_iter().for_each(|waiting| waiting.refuse(why));
            }));
        }
    }

    fn gather(&mut self, first: Proposal) -> (Vec<Command>, Vec<Waiting>) {
        let (mut commands, mut waiting, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut next = Some(first);
        while let Some(proposal) = next {
            let begin = commands.len();
            match proposal {
                Proposal::One(command, reply) => {
                    commands.push(command);
                    waiting.push(Waiting::One(reply));
                }
                Proposal::All(all, reply) => {
                    waiting.push(Waiting::All(all.len(), reply));
                    commands.extend(all);
                }
            }
            bytes += commands[begin..].iter().map(prost::Message::encoded_len).sum::<usize>();
            let has_room = commands.len() < BATCH_LEN_MAX && bytes < BATCH_BYTES_MAX;
            next = if has_room { self.rx.try_recv().ok() } else { None };
        }
        (commands, waiting)
    }
}

impl From<Unproposed> for Refused {
    fn from(unproposed: Unproposed) -> Self {
        match unproposed {
            Unproposed::NotLeader => Self::NoLeader,
            Unproposed::Lost => Self::LeaderChanged,
        }
    }
}
