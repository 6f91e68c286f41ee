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
/// Commands of one entry.
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

struct Proposal {
    command: Command,
    bytes: usize,
    reply: oneshot::Sender<Result<Outcome, Unproposed>>,
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
        let bytes = prost::Message::encoded_len(&command);
        let (reply, answer) = oneshot::channel();
        if self.tx.send(Proposal { command, bytes, reply }).await.is_err() {
            return Err(Unproposed::NotLeader);
        }
        answer.await.unwrap_or(Err(Unproposed::Lost))
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
            let (commands, replies) = self.gather(first);
            let (responder, answer) = ProgressResponder::<TypeConfig, _>::complete_only();
            let sent = self.raft.client_write_ff(Batch::new(commands), Some(responder)).await;
            if sent.is_err() {
                replies.into_iter().for_each(|reply| drop(reply.send(Err(Unproposed::Lost))));
                continue;
            }
            drop(process::spawn(async move {
                let answer = answer.await;
                drop(permit);
                match answer {
                    Ok(Ok(response)) => {
                        for (reply, outcome) in replies.into_iter().zip(response.data.0) {
                            // A client that went away does not want to know.
                            drop(reply.send(Ok(outcome)));
                        }
                    }
                    Ok(Err(ClientWriteError::ForwardToLeader(_))) => {
                        replies.into_iter().for_each(|reply| drop(reply.send(Err(Unproposed::NotLeader))));
                    }
                    _ => replies.into_iter().for_each(|reply| drop(reply.send(Err(Unproposed::Lost)))),
                }
            }));
        }
    }

    fn gather(&mut self, first: Proposal) -> (Vec<Command>, Vec<oneshot::Sender<Result<Outcome, Unproposed>>>) {
        let mut bytes = first.bytes;
        let mut commands = vec![first.command];
        let mut replies = vec![first.reply];
        while commands.len() < BATCH_LEN_MAX && bytes < BATCH_BYTES_MAX {
            let Ok(proposal) = self.rx.try_recv() else { break };
            bytes += proposal.bytes;
            commands.push(proposal.command);
            replies.push(proposal.reply);
        }
        (commands, replies)
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
