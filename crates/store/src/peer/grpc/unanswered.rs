//! Which appends of a stream have no answer yet.
//!
//! openraft takes the answer to one append for an answer to every append whose entries it covers, and believes that a
//! quorum was there when the last of them was sent. An append without entries (it tells how far the leader has
//! committed) is covered by the answer to the one before it: a leader that was deposed meanwhile would serve a stale read.
//! Such an answer is kept back: the next one says the same of later appends.

use std::collections::VecDeque;

use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use openraft::type_config::alias::LogIdOf;
use parking_lot::Mutex;

use super::Rpc;
use crate::raft::types::TypeConfig;

/// The last entry that each append without an answer covers, in the order in which they were sent.
#[derive(Default)]
pub struct Unanswered(Mutex<VecDeque<Option<LogIdOf<TypeConfig>>>>);

impl Unanswered {
    pub fn sent(&self, rpc: &AppendEntriesRequest<TypeConfig>) {
        let last = rpc.entries.last().map(|entry| entry.log_id).or(rpc.prev_log_id);
        self.0.lock().push_back(last);
    }

    /// Takes the next answer; tells whether it is one for no more than has been answered.
    pub fn is_whole(&self, answer: &Rpc<StreamAppendResult<TypeConfig>>) -> bool {
        let mut waiting = self.0.lock();
        waiting.pop_front();
        match (answer, waiting.front()) {
            (Ok(Ok(matched)), Some(next)) => next > matched,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use openraft::Vote;

    use super::*;
    use crate::raft::codec;

    fn append(prev: u64, entries: u64) -> AppendEntriesRequest<TypeConfig> {
        let id = |index| codec::log_id_back(proto::keelson::raft::v1::LogId { term: 1, index });
        let entries = (prev + 1..=prev + entries)
            .map(|index| openraft::Entry { log_id: id(index), payload: openraft::EntryPayload::Blank });
        AppendEntriesRequest {
            vote: Vote::new(1, 1),
            prev_log_id: Some(id(prev)),
            entries: entries.collect(),
            leader_commit: None,
        }
    }

    fn matched(index: u64) -> Rpc<StreamAppendResult<TypeConfig>> {
        Ok(Ok(Some(codec::log_id_back(proto::keelson::raft::v1::LogId { term: 1, index }))))
    }

    #[test]
    fn an_answer_that_covers_what_was_sent_later_is_kept_back() {
        let unanswered = Unanswered::default();
        unanswered.sent(&append(0, 5));
        unanswered.sent(&append(5, 0));
        assert!(!unanswered.is_whole(&matched(5)), "the append without entries has no answer yet");
        assert!(unanswered.is_whole(&matched(5)));
        unanswered.sent(&append(5, 2));
        unanswered.sent(&append(7, 1));
        assert!(unanswered.is_whole(&matched(7)) && unanswered.is_whole(&matched(8)));
    }
}
