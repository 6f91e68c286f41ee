//! What a member has done since it started: numbers that only grow, and how long things took. Writers pay one relaxed
//! addition; [`crate::metrics`] reads.

pub mod calls;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn one(&self) {
        self.add(1);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many are under way.
#[derive(Debug, Default)]
pub struct Pending(AtomicI64);

impl Pending {
    /// One more, until the guard goes.
    pub fn enter(&self) -> Entered<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Entered(self)
    }

    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub struct Entered<'a>(&'a Pending);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Buckets of [`Times`]: the first ends here, each other at twice the one before.
const FIRST_BUCKET: Duration = Duration::from_micros(1000);
const BUCKETS: usize = 14;

/// How long something took, in buckets of 1 ms, 2 ms and so on up to 8 s, as etcd has them for its disk.
#[derive(Debug, Default)]
pub struct Times {
    buckets: [AtomicU64; BUCKETS],
    longer: AtomicU64,
    sum_us: AtomicU64,
}

impl Times {
    pub fn observe(&self, took: Duration) {
        let us = took.as_micros() as u64;
        let at = (0..BUCKETS).find(|at| us <= bound_us(*at));
        at.map_or(&self.longer, |at| &self.buckets[at]).fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Seconds in sum, how many, and the buckets: upper bound in seconds, how many in it.
    pub fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let mut buckets = Vec::with_capacity(BUCKETS + 1);
        for (at, bucket) in self.buckets.iter().enumerate() {
            buckets.push((bound_us(at) as f64 / 1e6, bucket.load(Ordering::Relaxed)));
        }
        buckets.push((f64::INFINITY, self.longer.load(Ordering::Relaxed)));
        let count = buckets.iter().map(|(_, count)| count).sum();
        (self.sum_us.load(Ordering::Relaxed) as f64 / 1e6, count, buckets)
    }
}

fn bound_us(at: usize) -> u64 {
    (FIRST_BUCKET.as_micros() as u64) << at
}

/// All numbers of a member.
#[derive(Debug, Default)]
pub struct Counts {
    pub puts: Count,
    pub put_bytes: Count,
    pub deletes: Count,
    pub txns: Count,
    pub ranges: Count,
    /// Events told to watchers.
    pub events: Count,
    pub leases_granted: Count,
    pub leases_revoked: Count,
    pub leases_renewed: Count,
    pub leases_expired: Count,
    pub leader_changes: Count,
    pub learners_promoted: Count,
    pub learners_not_promoted: Count,
    pub proposals_pending: Pending,
    pub proposals_failed: Count,
    pub reads_failed: Count,
    pub reads_slow: Count,
    pub applies_slow: Count,
    /// Applying what was committed, in pieces.
    pub applies: Times,
    /// Writing applied changes to the engine's file.
    pub commits: Times,
    pub snapshots: Times,
    pub calls: calls::Calls,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_the_bucket_that_holds_them() {
        let times = Times::default();
        for us in [10, 1000, 1001, 9_000_000] {
            times.observe(Duration::from_micros(us));
        }
        let (sum, count, buckets) = times.read();
        assert_eq!((count, buckets.len()), (4, BUCKETS + 1));
        assert!((sum - 9.002_011).abs() < 1e-9, "{sum}");
        assert_eq!((buckets[0], buckets[1]), ((0.001, 2), (0.002, 1)));
        assert_eq!(buckets[BUCKETS - 1].0, 8.192);
        assert_eq!(buckets[BUCKETS].1, 1);
    }

    #[test]
    fn what_is_under_way_is_counted_until_it_ends() {
        let pending = Pending::default();
        let one = pending.enter();
        assert_eq!(pending.get(), 1);
        drop(one);
        assert_eq!(pending.get(), 0);
    }
}
