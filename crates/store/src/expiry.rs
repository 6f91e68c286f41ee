//! When leases run out: the leader's clock, and now and then a note of it in the log.
//!
//! A member that becomes leader gives every lease the time that was last noted, or its whole time: no lease ends early
//! because leadership moved, and a long one gains five minutes at most. A renewal of a lease that was noted takes the note
//! back before it is answered.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use proto::etcdserverpb::{LeaseCheckpoint, LeaseCheckpointRequest, LeaseRevokeRequest};
use proto::keelson::raft::v1::command::Request;
use tokio::sync::RwLock;
use tokio::time::Instant;

use crate::member::Member;
use crate::refused::Refused;

/// How often the leader looks.
const TICK: Duration = Duration::from_millis(500);
/// Leases revoked at one look, so that many at once do not crowd out writers.
const REVOKE_LEN_MAX: usize = 512;
/// A lease with more time left than this is noted this often, as in etcd.
const NOTE_INTERVAL: Duration = Duration::from_secs(300);
/// Leases noted at one look.
const NOTE_LEN_MAX: usize = 1000;

#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    /// When its time left is to be noted.
    note: Option<Instant>,
    /// A note was sent, whether or not it has been applied.
    noted: bool,
}

impl Deadline {
    fn new(now: Instant, seconds: i64) -> Self {
        let left = Duration::from_secs(seconds.max(0) as u64);
        let note = (left > NOTE_INTERVAL).then(|| now + NOTE_INTERVAL);
        Self { at: now + left, note, noted: false }
    }
}

/// Deadlines of leases, while this member leads. Those of one term mean nothing in another: a leader between may have renewed
/// leases.
#[derive(Default)]
pub struct Deadlines {
    held: Mutex<Held>,
    /// Held while notes are on their way to the log: a renewal must not come between a note and what it takes back.
    noting: RwLock<()>,
}

#[derive(Default)]
struct Held {
    term: u64,
    by_lease: BTreeMap<i64, Deadline>,
}

impl Deadlines {
    fn of(&self, term: u64) -> MappedMutexGuard<'_, BTreeMap<i64, Deadline>> {
        let mut held = self.held.lock();
        if held.term != term {
            *held = Held { term, ..Held::default() };
        }
        MutexGuard::map(held, |held| &mut held.by_lease)
    }

    /// Gives a lease its whole time; false when it has run out: it is being revoked.
    pub fn renew(&self, term: u64, lease: i64, ttl: i64) -> bool {
        let now = Instant::now();
        let mut deadlines = self.of(term);
        match deadlines.entry(lease) {
            Entry::Occupied(known) if known.get().at <= now => return false,
            Entry::Occupied(mut known) => *known.get_mut() = Deadline::new(now, ttl),
            Entry::Vacant(unknown) => {
                unknown.insert(Deadline::new(now, ttl));
            }
        }
        true
    }

    /// Whether a note of the lease's time left may be in the log.
    fn is_noted(&self, term: u64, lease: i64) -> bool {
        self.of(term).get(&lease).is_some_and(|deadline| deadline.noted)
    }

    /// Seconds left; none for a lease without a deadline yet.
    pub fn left(&self, term: u64, lease: i64) -> Option<i64> {
        let deadline = *self.of(term).get(&lease)?;
        Some(deadline.at.saturating_duration_since(Instant::now()).as_secs() as i64)
    }

    /// Puts leases, each with the seconds that are due to it, in the order in which they end, as far as this member knows.
    pub fn sort(&self, leases: &mut [(i64, i64)]) {
        let now = Instant::now();
        let held = self.held.lock();
        leases.sort_by_key(|(lease, due)| {
            held.by_lease.get(lease).map_or_else(|| Deadline::new(now, *due).at, |deadline| deadline.at)
        });
    }

    /// Gives leases without a deadline the time that is due to them, forgets those that are gone, names those that ran out.
    fn look(&self, term: u64, leases: &BTreeMap<i64, i64>) -> Vec<i64> {
        let now = Instant::now();
        let mut deadlines = self.of(term);
        deadlines.retain(|lease, _| leases.contains_key(lease));
        for (lease, due) in leases {
            deadlines.entry(*lease).or_insert_with(|| Deadline::new(now, *due));
        }
        let over = deadlines.iter().filter(|(_, deadline)| deadline.at <= now);
        over.map(|(lease, _)| *lease).take(REVOKE_LEN_MAX).collect()
    }

    /// What is to be noted now; each is named once in an interval.
    fn notes(&self, term: u64) -> Vec<LeaseCheckpoint> {
        let now = Instant::now();
        let mut notes = Vec::new();
        for (lease, deadline) in self.of(term).iter_mut() {
            if deadline.note.is_none_or(|note| note > now) {
                continue;
            }
            let left = deadline.at.saturating_duration_since(now);
            deadline.note = (left > NOTE_INTERVAL).then(|| now + NOTE_INTERVAL);
            deadline.noted = true;
            // Rounded up: no lease ends early.
            let remaining_ttl = left.as_secs() as i64 + i64::from(left.subsec_nanos() > 0);
            notes.push(LeaseCheckpoint { id: *lease, remaining_ttl });
            if notes.len() == NOTE_LEN_MAX {
                break;
            }
        }
        notes
    }
}

impl Member {
    /// As leader: renews a lease of which no note can be in the log; none for one that may have one.
    pub fn renew_unnoted(&self, term: u64, lease: i64) -> Option<i64> {
        let ttl = self.shared.held.read().state.lessor.get(lease).map_or(0, |lease| lease.ttl);
        (Duration::from_secs(ttl.max(0) as u64) <= NOTE_INTERVAL).then(|| self.renew_for(term, lease, ttl))
    }

    /// As leader: renews a lease; the note of its time left, if there is one, is taken back first: it would end the lease
    /// early under the next leader.
    pub async fn renew_noted(&self, term: u64, lease: i64) -> Result<i64, Refused> {
        if let Some(ttl) = self.renew_unnoted(term, lease) {
            return Ok(ttl);
        }
        let left = self.shared.held.read().state.lessor.get(lease).map_or(0, |lease| lease.left);
        let _renewing = self.deadlines.noting.read().await;
        if left > 0 || self.deadlines.is_noted(term, lease) {
            let checkpoints = vec![LeaseCheckpoint { id: lease, remaining_ttl: 0 }];
            self.propose(Request::LeaseCheckpoint(LeaseCheckpointRequest { checkpoints })).await?;
        }
        Ok(self.renew(term, lease))
    }
}

/// Revokes what ran out, while this member leads.
pub struct Expiry {
    pub member: Arc<Member>,
}

impl Expiry {
    pub async fn run(self) {
        loop {
            tokio::time::sleep(TICK).await;
            if let Some(term) = self.member.leading_term() {
                self.look(term).await;
            }
        }
    }

    /// What this leader decides by its clock holds in its term only: the next one may have renewed the lease.
    async fn look(&self, term: u64) {
        let leases: BTreeMap<i64, i64> = {
            let held = self.member.shared.held.read();
            held.state.lessor.iter().map(|(id, lease)| (id, lease.due())).collect()
        };
        let over = self.member.deadlines.look(term, &leases);
        let revocations = over.into_iter().map(|id| {
            let member = self.member.clone();
            let revoke = Request::LeaseRevoke(LeaseRevokeRequest { id });
            async move { member.propose_leading(term, revoke).await }
        });
        for outcome in futures::future::join_all(revocations).await {
            if outcome.is_ok() {
                self.member.shared.counts.leases_expired.one();
            } else if let Err(refused) = outcome {
                tracing::debug!(%refused, "a lease that ran out was not revoked; trying again");
            }
        }
        let _noting = self.member.deadlines.noting.write().await;
        let checkpoints = self.member.deadlines.notes(term);
        if checkpoints.is_empty() {
            return;
        }
        let note = Request::LeaseCheckpoint(LeaseCheckpointRequest { checkpoints });
        if let Err(refused) = self.member.propose_leading(term, note).await {
            tracing::debug!(%refused, "the time left of leases was not noted; it is at the next interval");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_lives_longer_than_an_interval_is_noted_and_once_in_each() {
        let deadlines = Deadlines::default();
        let leases = BTreeMap::from([(1, 300), (2, 1000)]);
        assert!(deadlines.look(1, &leases).is_empty());
        let mut noted = Vec::new();
        for _ in 0..1000 {
            tokio::time::advance(Duration::from_secs(1)).await;
            noted.extend(deadlines.notes(1).into_iter().map(|note| (note.id, note.remaining_ttl)));
        }
        assert_eq!(noted, [(2, 700), (2, 400), (2, 100)]);
        assert_eq!(deadlines.look(1, &leases), [1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_first_comes_first() {
        let deadlines = Deadlines::default();
        deadlines.look(1, &BTreeMap::from([(1, 300), (2, 100), (3, 200)]));
        tokio::time::advance(Duration::from_secs(50)).await;
        assert!(deadlines.renew(1, 2, 1000));
        let mut leases = [(1, 300), (2, 1000), (3, 200), (4, 200), (5, 10)];
        deadlines.sort(&mut leases);
        assert_eq!(leases.map(|(lease, _)| lease), [5, 3, 4, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_ran_out_is_not_renewed() {
        let deadlines = Deadlines::default();
        deadlines.look(1, &BTreeMap::from([(1, 10)]));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(deadlines.renew(1, 1, 10));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!deadlines.renew(1, 1, 10));
        assert_eq!(deadlines.left(1, 1), Some(0));
        assert!(deadlines.renew(3, 1, 10), "somebody else may have renewed it between the terms");
    }
}
