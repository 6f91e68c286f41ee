//! When leases run out: the leader's clock, and nothing that is replicated.
//!
//! A member that becomes leader gives every lease its whole time again: no lease ends early because leadership moved.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proto::etcdserverpb::LeaseRevokeRequest;
use proto::keelson::raft::v1::command::Request;
use tokio::time::Instant;

use crate::member::Member;

/// How often the leader looks.
const TICK: Duration = Duration::from_millis(500);
/// Leases revoked at one look, so that many at once do not crowd out writers.
const REVOKE_LEN_MAX: usize = 512;

/// Deadlines of leases, while this member leads.
#[derive(Default)]
pub struct Deadlines {
    by_lease: Mutex<BTreeMap<i64, Instant>>,
}

impl Deadlines {
    /// Gives a lease its whole time; false when it has run out: it is being revoked.
    pub fn renew(&self, lease: i64, ttl: i64) -> bool {
        let now = Instant::now();
        let mut deadlines = self.by_lease.lock();
        if deadlines.get(&lease).is_some_and(|deadline| *deadline <= now) {
            return false;
        }
        deadlines.insert(lease, now + Duration::from_secs(ttl.max(0) as u64));
        true
    }

    /// Seconds left; none for a lease without a deadline yet.
    pub fn left(&self, lease: i64) -> Option<i64> {
        let deadline = *self.by_lease.lock().get(&lease)?;
        Some(deadline.saturating_duration_since(Instant::now()).as_secs() as i64)
    }

    fn clear(&self) {
        self.by_lease.lock().clear();
    }

    /// Gives leases without a deadline their whole time, forgets those that are gone, names those that ran out.
    fn look(&self, leases: &BTreeMap<i64, i64>) -> Vec<i64> {
        let now = Instant::now();
        let mut deadlines = self.by_lease.lock();
        deadlines.retain(|lease, _| leases.contains_key(lease));
        for (lease, ttl) in leases {
            deadlines.entry(*lease).or_insert_with(|| now + Duration::from_secs((*ttl).max(0) as u64));
        }
        let over = deadlines.iter().filter(|(_, deadline)| **deadline <= now);
        over.map(|(lease, _)| *lease).take(REVOKE_LEN_MAX).collect()
    }
}

/// Revokes what ran out, while this member leads.
pub struct Expiry {
    pub member: Arc<Member>,
}

impl Expiry {
    pub async fn run(self) {
        let mut led = None;
        loop {
            tokio::time::sleep(TICK).await;
            let leads = self.member.leading_term();
            // Another term: another leader may have renewed leases meanwhile, even if this one leads again.
            if leads != led {
                self.member.deadlines.clear();
            }
            led = leads;
            if leads.is_some() {
                self.look().await;
            }
        }
    }

    async fn look(&self) {
        let leases: BTreeMap<i64, i64> = {
            let held = self.member.shared.held.read();
            held.state.lessor.iter().map(|(id, lease)| (id, lease.ttl)).collect()
        };
        let over = self.member.deadlines.look(&leases);
        let revocations = over.into_iter().map(|id| {
            let member = self.member.clone();
            async move { member.propose(Request::LeaseRevoke(LeaseRevokeRequest { id })).await }
        });
        for outcome in futures::future::join_all(revocations).await {
            if let Err(refused) = outcome {
                tracing::debug!(%refused, "a lease that ran out was not revoked; trying again");
            }
        }
    }
}
