//! Leases as the log knows them: which exist, for how long they were granted, which keys hang on them. Pure.
//!
//! When a lease runs out is not in here: only the leader's clock says so ([`crate::expiry`]), and it proposes the
//! revocation like any client. For long leases the leader notes now and then how long they have left, so that the next
//! leader does not begin anew.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::refused::Refused;

/// Longest time to live, in seconds, as etcd has it.
pub const TTL_MAX: i64 = 9_000_000_000;

#[derive(Clone, Debug, Default)]
pub struct Lease {
    /// Seconds granted.
    pub ttl: i64,
    /// Seconds left when that was last noted; 0: its whole time. A leader that is new to it goes on from there.
    pub left: i64,
    pub keys: BTreeSet<Bytes>,
}

#[derive(Clone, Debug, Default)]
pub struct Lessor {
    leases: BTreeMap<i64, Lease>,
}

impl Lease {
    /// Seconds that a leader which knows nothing newer must give it.
    pub fn due(&self) -> i64 {
        if self.left > 0 { self.left } else { self.ttl }
    }
}

impl Lessor {
    pub fn grant(&mut self, id: i64, ttl: i64) -> Result<(), Refused> {
        if self.leases.contains_key(&id) {
            return Err(Refused::LeaseExists);
        }
        self.leases.insert(id, Lease { ttl, left: 0, keys: BTreeSet::new() });
        Ok(())
    }

    /// Ends a lease; gives the keys that hung on it, in order.
    pub fn revoke(&mut self, id: i64) -> Result<BTreeSet<Bytes>, Refused> {
        let lease = self.leases.remove(&id).ok_or(Refused::LeaseNotFound)?;
        Ok(lease.keys)
    }

    pub fn contains(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    pub fn get(&self, id: i64) -> Option<&Lease> {
        self.leases.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, &Lease)> {
        self.leases.iter().map(|(id, lease)| (*id, lease))
    }

    /// A key moves from one lease to another; 0 is none. A lease that is gone holds nothing.
    pub fn reattach(&mut self, key: &Bytes, from: i64, to: i64) {
        if from == to {
            return;
        }
        if let Some(lease) = self.leases.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.leases.get_mut(&to) {
            lease.keys.insert(Bytes::copy_from_slice(key));
        }
    }

    /// Puts a lease back as a checkpoint has it; its keys follow from the index.
    pub fn restore(&mut self, id: i64, ttl: i64) {
        self.leases.entry(id).or_default().ttl = ttl;
    }

    /// Notes how long a lease has left; a lease that is gone has nothing.
    pub fn set_left(&mut self, id: i64, left: i64) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.left = left.clamp(0, lease.ttl.max(0));
        }
    }

    pub fn forget(&mut self, id: i64) {
        self.leases.remove(&id);
    }

    /// Hangs a key on a lease while reading back.
    pub fn attach(&mut self, key: &[u8], id: i64) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.keys.insert(Bytes::copy_from_slice(key));
        }
    }
}
