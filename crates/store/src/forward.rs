//! Writes on their way to the leader.
//!
//! While calls to the leader are under way, further writes gather, and go together in the next: the busier the member, the
//! more share a call. Each gets its own outcome. A write that waits was not sent: when another leader is known by then, it
//! goes to that one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proto::keelson::raft::v1::Command;
use tokio::sync::oneshot;

use crate::env::process;
use crate::peer::Transport;
use crate::propose::Unproposed;
use crate::raft::types::Raft;
use crate::read_index;
use crate::reply::Outcome;

/// Calls to a leader at once: one is being carried out while the next is on its way.
const CALLS_MAX: usize = 2;
/// Commands of one call.
const CALL_LEN_MAX: usize = 512;
/// Bytes after which a call takes no further command.
const CALL_BYTES_MAX: usize = 1 << 20;
/// How long a leader that another one has followed may still answer what it was asked before.
const LAST_WORDS: Duration = Duration::from_millis(500);

pub type Carried = Result<Outcome, Unproposed>;

struct Waiting {
    command: Command,
    reply: oneshot::Sender<Carried>,
}

/// What goes to one leader.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
    calls: usize,
}

/// Hands commands to the log of the leader. As many wait as there are callers who wait for them.
pub struct Forwarder {
    raft: Raft,
    transport: Arc<dyn Transport>,
    lanes: Mutex<BTreeMap<u64, Lane>>,
}

impl Forwarder {
    pub fn new(raft: Raft, transport: Arc<dyn Transport>) -> Arc<Self> {
        Arc::new(Self { raft, transport, lanes: Mutex::default() })
    }

    /// Has `leader` propose a command. Without an answer it may or may not have been logged; one whose caller went away before
    /// it was sent is not.
    pub fn forward(self: &Arc<Self>, leader: u64, command: Command) -> oneshot::Receiver<Carried> {
        let (reply, answer) = oneshot::channel();
        let mut lanes = self.lanes.lock();
        let lane = lanes.entry(leader).or_default();
        lane.waiting.push_back(Waiting { command, reply });
        if lane.calls < CALLS_MAX {
            lane.calls += 1;
            let forwarder = self.clone();
            drop(process::spawn(async move { forwarder.carry(leader).await }));
        }
        answer
    }

    /// Makes one call after the other until nothing waits.
    async fn carry(&self, leader: u64) {
        while let Some((commands, replies)) = self.next(leader) {
            let outcomes = tokio::select! {
                biased;
                outcomes = self.transport.forward(leader, commands) => outcomes,
                // It stands still, or is cut off: what it did with the commands stays unknown.
                () = self.deposed(leader) => {
                    self.recall(leader);
                    Vec::new()
                }
            };
            // What has no outcome is lost, which its caller learns by the end of the channel.
            for (reply, outcome) in replies.into_iter().zip(outcomes) {
                drop(reply.send(outcome));
            }
        }
    }

    /// What goes in the next call; ends the caller's turn where there is nothing.
    fn next(&self, leader: u64) -> Option<(Vec<Command>, Vec<oneshot::Sender<Carried>>)> {
        let mut lanes = self.lanes.lock();
        let lane = lanes.get_mut(&leader)?;
        let (commands, replies) = lane.gather();
        if !commands.is_empty() {
            return Some((commands, replies));
        }
        lane.calls -= 1;
        if lane.calls == 0 {
            lanes.remove(&leader);
        }
        None
    }

    /// Gives back what was not sent.
    fn recall(&self, leader: u64) {
        let waiting = self.lanes.lock().get_mut(&leader).map(|lane| std::mem::take(&mut lane.waiting));
        for waiting in waiting.into_iter().flatten() {
            drop(waiting.reply.send(Err(Unproposed::NotLeader)));
        }
    }

    /// Returns when another member leads and the old leader had its time to answer.
    async fn deposed(&self, leader: u64) {
        read_index::succeeded(&self.raft, leader).await;
        tokio::time::sleep(LAST_WORDS).await;
    }
}

impl Lane {
    fn gather(&mut self) -> (Vec<Command>, Vec<oneshot::Sender<Carried>>) {
        let (mut commands, mut replies, mut bytes) = (Vec::new(), Vec::new(), 0);
        while commands.len() < CALL_LEN_MAX && bytes < CALL_BYTES_MAX {
            let Some(Waiting { command, reply }) = self.waiting.pop_front() else { break };
            if reply.is_closed() {
                continue;
            }
            bytes += prost::Message::encoded_len(&command);
            commands.push(command);
            replies.push(reply);
        }
        (commands, replies)
    }
}

#[cfg(test)]
mod tests {
    use proto::etcdserverpb as etcd;
    use proto::keelson::raft::v1::command::Request;

    use super::*;

    fn put(bytes: usize) -> Command {
        let put = etcd::PutRequest { key: "k".into(), value: vec![0; bytes].into(), ..Default::default() };
        Command { request: Some(Request::Put(put)), ..Default::default() }
    }

    fn lane(sizes: impl IntoIterator<Item = usize>) -> (Lane, Vec<oneshot::Receiver<Carried>>) {
        let (mut lane, mut answers) = (Lane::default(), Vec::new());
        for bytes in sizes {
            let (reply, answer) = oneshot::channel();
            lane.waiting.push_back(Waiting { command: put(bytes), reply });
            answers.push(answer);
        }
        (lane, answers)
    }

    #[test]
    fn a_call_takes_what_waits_up_to_its_bounds() {
        let (mut many, _answers) = lane(std::iter::repeat_n(1, CALL_LEN_MAX + 3));
        assert_eq!((many.gather().0.len(), many.gather().0.len(), many.gather().0.len()), (CALL_LEN_MAX, 3, 0));
        let (mut large, _answers) = lane([CALL_BYTES_MAX / 2, CALL_BYTES_MAX / 2, 1]);
        assert_eq!((large.gather().0.len(), large.gather().0.len()), (2, 1));
    }

    #[test]
    fn a_call_leaves_out_whose_caller_is_gone_and_keeps_the_order() {
        let (mut lane, mut answers) = lane([1, 2, 3, 4]);
        drop(answers.remove(1));
        assert_eq!(lane.gather().0, [put(1), put(3), put(4)]);
    }
}
