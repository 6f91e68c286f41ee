//! Log matching: two entries with one index and term are the same entry, and so is everything before them.
//!
//! It is enough to compare each entry's payload and the term of the entry before it: the rest follows from index to index.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use openraft::EntryPayload;
use store::raft::types::{Entry, LogId};
use store::wal::Wal;

use super::Verdict;

#[derive(Default)]
pub struct Logs {
    /// By index and term: the payload's hash, and the term of the entry before, once somebody told.
    known: BTreeMap<(u64, u64), Known>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    payload: u64,
    /// For people.
    text: String,
    before: Option<u64>,
}

fn hash(entry: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    match &entry.payload {
        EntryPayload::Blank => 0.hash(&mut hasher),
        EntryPayload::Normal(batch) => batch.encoded.hash(&mut hasher),
        EntryPayload::Membership(membership) => format!("{membership:?}").hash(&mut hasher),
    }
    hasher.finish()
}

fn text(entry: &Entry) -> String {
    match &entry.payload {
        EntryPayload::Blank => "blank".to_owned(),
        EntryPayload::Normal(batch) => match batch.commands() {
            Ok(commands) => format!("{} commands, first {:?}", commands.len(), commands.first()),
            Err(error) => error.to_string(),
        },
        EntryPayload::Membership(membership) => format!("{membership:?}"),
    }
}

impl Logs {
    /// Entries that follow `prev`, as a leader sends them or a log holds them.
    pub fn take(&mut self, prev: Option<LogId>, entries: &[Entry]) -> Verdict {
        let mut before = prev.map(|id| id.leader_id.term);
        for entry in entries {
            let (index, term) = (entry.log_id.index, entry.log_id.leader_id.term);
            self.one(index, term, Known { payload: hash(entry), text: text(entry), before })?;
            before = Some(term);
        }
        Ok(())
    }

    fn one(&mut self, index: u64, term: u64, found: Known) -> Verdict {
        let known = self.known.entry((index, term)).or_insert_with(|| found.clone());
        if known.payload != found.payload {
            let (one, other) = (&known.text, &found.text);
            return Err(format!("entry {index} of term {term} is two different entries: {one}; {other}"));
        }
        match (known.before, found.before) {
            (Some(one), Some(other)) if one != other => {
                Err(format!("entry {index} of term {term} follows one of term {one}, and one of term {other}"))
            }
            (None, Some(_)) => {
                known.before = found.before;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Everything that a member's log holds.
    pub fn take_all(&mut self, id: u64, wal: &Wal) -> Verdict {
        let (purged, _) = wal.state();
        let first = purged.map_or(0, |purged| purged.index + 1);
        // A log that cannot be read says so to its member.
        let Ok(entries) = wal.read(first..=u64::MAX, usize::MAX) else { return Ok(()) };
        self.take(purged.filter(|purged| purged.leader_id.term > 0), &entries)
            .map_err(|text| format!("member {id}'s log: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use openraft::entry::RaftEntry;
    use store::raft::types::Batch;

    use super::*;

    fn entry(term: u64, index: u64, bytes: &'static [u8]) -> Entry {
        let batch = Batch::from_encoded(bytes::Bytes::from_static(bytes));
        Entry::new(LogId::new_term_index(term, index), EntryPayload::Normal(batch))
    }

    #[test]
    fn entries_that_differ_are_objected_to() {
        let mut logs = Logs::default();
        let one = [entry(1, 1, b"a"), entry(2, 2, b"b")];
        assert_eq!(logs.take(None, &one), Ok(()));
        assert_eq!(logs.take(None, &one), Ok(()));
        assert!(logs.take(None, &[entry(1, 1, b"other")]).is_err());
        let prev = Some(LogId::new_term_index(2, 1));
        assert!(logs.take(prev, &[entry(2, 2, b"b")]).is_err(), "the entry before it differs");
    }
}
