//! Leader completeness: a leader's log holds every entry that was committed before its term.

use store::wal::Wal;

use super::Verdict;

#[derive(Default)]
pub struct Committed {
    /// Term and index of the last entry that was said to be committed.
    last: Option<(u64, u64)>,
}

impl Committed {
    pub fn advance(&mut self, term: u64, index: u64) {
        self.last = self.last.max(Some((term, index)));
    }

    pub fn last(&self) -> Option<(u64, u64)> {
        self.last
    }

    /// A member begins to lead: where its log has the last committed entry, it has, by log matching, those before it.
    pub fn check(&self, term: u64, leader: u64, log: &Wal) -> Verdict {
        let Some((of, index)) = self.last.filter(|(of, _)| *of < term) else { return Ok(()) };
        let (purged, last) = log.state();
        let found = match purged {
            Some(purged) if purged.index >= index => Some(of),
            _ => log.read(index..=index, usize::MAX).ok().and_then(|found| Some(found.first()?.log_id.leader_id.term)),
        };
        if found == Some(of) {
            return Ok(());
        }
        Err(format!(
            "member {leader} leads in term {term}; entry {index} of term {of} was committed, but its log ends at {last:?}, \
             with an entry of term {found:?} there"
        ))
    }
}
