//! Leases: none ends before its time, as the clock of the one who granted or renewed it has it; each ends some time after;
//! its keys go with it.
//!
//! The simulation has one clock, so time counted from the call that granted or renewed is time counted early: a lease may
//! not end before the beginning of that call plus its time to live.

use std::collections::BTreeMap;

use tokio::time::{Duration, Instant};

use super::Verdict;

/// What clients know of one lease.
#[derive(Clone, Debug)]
pub struct Known {
    /// Seconds granted.
    pub ttl: u64,
    /// The beginning of the last call that was answered with its time to live.
    pub renewed: Instant,
    /// A client asked for its end: it may end at once.
    pub revoked: bool,
}

#[derive(Default)]
pub struct Leases {
    pub known: BTreeMap<i64, Known>,
}

impl Leases {
    pub fn granted(&mut self, id: i64, ttl: u64, begun: Instant) {
        self.known.insert(id, Known { ttl, renewed: begun, revoked: false });
    }

    pub fn renewed(&mut self, id: i64, begun: Instant) {
        if let Some(known) = self.known.get_mut(&id) {
            known.renewed = known.renewed.max(begun);
        }
    }

    pub fn revoked(&mut self, id: i64) {
        if let Some(known) = self.known.get_mut(&id) {
            known.revoked = true;
        }
    }

    /// A lease, or a key that hung on it, is seen to be gone.
    pub fn gone(&self, id: i64, now: Instant) -> Verdict {
        let Some(known) = self.known.get(&id) else { return Ok(()) };
        let ends = known.renewed + Duration::from_secs(known.ttl);
        if known.revoked || now >= ends {
            return Ok(());
        }
        Err(format!("lease {id:x} of {} s ended {:?} before its time", known.ttl, ends - now))
    }

    /// At the end, when no lease may be left: those that members still hold, and keys that hang on leases.
    pub fn all_gone(member: u64, leases: &[i64], keys: &[(Vec<u8>, i64)]) -> Verdict {
        match (leases, keys) {
            ([], []) => Ok(()),
            _ => Err(format!("member {member} still has leases {leases:x?} and keys {keys:x?} long after their time")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_ends_early_is_objected_to() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut leases = Leases::default();
        leases.granted(1, 5, start);
        assert!(leases.gone(1, after(4)).is_err());
        assert_eq!(leases.gone(1, after(5)), Ok(()));
        leases.renewed(1, after(3));
        assert!(leases.gone(1, after(7)).is_err(), "renewed");
        leases.revoked(1);
        assert_eq!(leases.gone(1, after(7)), Ok(()), "a client ended it");
        assert!(Leases::all_gone(1, &[1], &[]).is_err());
        assert!(Leases::all_gone(1, &[], &[(b"key".to_vec(), 1)]).is_err());
    }
}
