//! State machine safety: members that have applied the same entries have the same state.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use prost::Message;
use store::engine::{Position, checkpoint};
use store::state::State;

use super::Verdict;

/// Entries whose states are remembered: no member is further behind but one that gets a snapshot.
const REMEMBERED: usize = 4096;

#[derive(Default)]
pub struct States {
    /// By the last entry that was applied: the state's hash, and who had it first.
    by_entry: BTreeMap<u64, (u64, u64)>,
    /// Where each member stood.
    last: BTreeMap<u64, u64>,
}

/// Everything that applying the log changes, places of values aside: the same for the same entries. Versions that are
/// compacted may be there or not.
pub fn hash(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    checkpoint::head(state, Position::default()).encode_to_vec().hash(&mut hasher);
    let compacted = state.index.compacted();
    for (key, history) in state.index.histories_after(None, usize::MAX) {
        let versions = history.versions();
        let old = versions.partition_point(|version| version.main <= compacted);
        let seen = versions[..old].last().filter(|last| !last.is_tombstone());
        for version in seen.into_iter().chain(&versions[old..]) {
            key.hash(&mut hasher);
            (version.main, version.sub, version.create, version.version, version.lease).hash(&mut hasher);
            version.loc.len.hash(&mut hasher);
        }
    }
    for (id, lease) in state.lessor.iter() {
        (id, lease.ttl, &lease.keys).hash(&mut hasher);
    }
    hasher.finish()
}

impl States {
    pub fn take(&mut self, member: u64, state: &State) -> Verdict {
        let Some(applied) = state.applied.map(|id| id.index) else { return Ok(()) };
        if self.last.insert(member, applied) == Some(applied) {
            return Ok(());
        }
        let found = hash(state);
        let (known, by) = *self.by_entry.entry(applied).or_insert((found, member));
        while self.by_entry.len() > REMEMBERED {
            self.by_entry.pop_first();
        }
        match known == found {
            true => Ok(()),
            false => Err(format!("after entry {applied}, members {by} and {member} have different states")),
        }
    }
}
