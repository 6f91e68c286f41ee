//! Makes up requests, valid and invalid, that are worth asking where the servers stand now.
//!
//! The same seed makes the same requests, as long as the servers give the same answers.

mod auth;
mod kv;
mod rest;
mod watch;

use bytes::Bytes;
use proto::etcdserverpb as etcd;

use super::case::Case;
use super::random::Random;
use super::world::World;

/// Few keys, so that requests meet. At most six of them begin with `a`: Go sorts up to six in place, larger lists not
/// always, and what compares equal may then come in another order.
const KEYS: &[&[u8]] = &[b"a0", b"a1", b"a2", b"a3", b"a4", b"a5", b"b0", b"b1", b"\0", b"\xff\xfe"];
const SORTED_KEYS: &[&[u8]] = &[b"a", b"a0", b"a1", b"a3", b"a5"];
const SORTED_ENDS: &[&[u8]] = &[b"", b"a2", b"a4", b"a5\0", b"b"];
const STARTS: &[&[u8]] = &[b"a", b"a0", b"a1", b"a2", b"a3", b"a5", b"b0", b"b1", b"\0", b"\xff\xfe", b"a3\0", b"zz"];
const ENDS: &[&[u8]] = &[b"", b"", b"\0", b"a2", b"a4", b"b", b"b1", b"c", b"\xff", b"a", b"\0\0"];
const VALUES: &[&[u8]] = &[b"", b"v0", b"v1", b"v2", b"\x00\xff\x80", b"longer than the others are"];
/// No name of anything in any enumeration.
pub const NO_SUCH: i32 = 7;
/// Reads that are asked at once.
const READS: u64 = 6;
/// Asks for more than the default --max-request-bytes, and for more than gRPC takes from a client.
const LARGE: &[usize] = &[1_600_000, 2_200_000];

#[derive(Clone, Debug)]
pub struct Generator {
    random: Random,
    pub world: World,
    /// What the servers' --max-txn-ops says.
    ops_max: usize,
    /// A request follows which the last one made necessary.
    next: Vec<Case>,
}

impl Generator {
    pub fn new(seed: u64, streams: usize, ops_max: usize) -> Self {
        Self { random: Random::new(seed), world: World::new(streams), ops_max, next: Vec::new() }
    }

    /// What to ask next: one request, or several reads at once.
    pub fn batch(&mut self) -> Vec<Case> {
        let batch = self.choose();
        match (&batch[..], self.world.watched.behind()) {
            ([Case::Compact(_)], Some((stream, watch_id))) => {
                self.next.extend(batch);
                vec![Case::WatchCancel { stream, watch_id, known: true }]
            }
            _ => batch,
        }
    }

    fn choose(&mut self) -> Vec<Case> {
        if let Some(case) = self.next.pop() {
            return vec![case];
        }
        match self.random.below(100) {
            0..40 => (0..=self.random.below(READS)).map(|_| self.read()).collect(),
            40..64 => vec![self.write()],
            64..78 => vec![Case::Txn(self.txn())],
            78..80 => vec![self.compact()],
            80..88 => vec![self.lease()],
            88..95 => vec![self.watch()],
            95..97 => vec![Case::Auth(self.auth())],
            _ => vec![self.rare()],
        }
    }

    fn read(&mut self) -> Case {
        match self.random.below(20) {
            0..13 => Case::Range(self.range(true)),
            // Where a reader sees nothing, etcd counts what a compaction has not come to yet.
            13..15 if !self.world.is_compacting => Case::HashKv { revision: self.odd_revision() },
            15 => {
                let id = self.lease_id();
                let keys = self.random.coin();
                Case::LeaseTimeToLive(etcd::LeaseTimeToLiveRequest { id, keys })
            }
            16 => Case::LeaseLeases,
            17 => Case::Status,
            18 => Case::MemberList { linearizable: self.random.coin() },
            19 => Case::Auth(self.auth_read()),
            _ => Case::Range(self.range(true)),
        }
    }

    fn write(&mut self) -> Case {
        if self.random.once_in(150) {
            return self.large();
        }
        match self.random.below(3) {
            0 => Case::DeleteRange(self.delete_range()),
            _ => Case::Put(self.put()),
        }
    }

    /// Any revision that the store has or had, or will have, or never has.
    fn odd_revision(&mut self) -> i64 {
        let (revision, compacted) = (self.world.revision, self.world.compacted);
        match self.random.below(8) {
            0..2 => 0,
            2..5 => self.random.between(compacted, revision),
            5 => self.random.between((compacted - 5).max(0), compacted + 2),
            6 => revision + self.random.between(0, 3),
            _ => self.random.pick(&[-1, -2, i64::MIN, i64::MAX, 1]),
        }
    }

    /// Mostly 0, as most requests have it.
    fn some_revision(&mut self) -> i64 {
        if self.random.once_in(4) { self.odd_revision() } else { 0 }
    }

    fn key(&mut self) -> Bytes {
        if self.random.once_in(40) { Bytes::new() } else { self.random.bytes(KEYS) }
    }

    fn start(&mut self) -> Bytes {
        if self.random.once_in(40) { Bytes::new() } else { self.random.bytes(STARTS) }
    }

    fn lease_id(&mut self) -> i64 {
        if self.world.leases.is_empty() || self.random.once_in(5) {
            return self.random.pick(&[0, -5, 77, i64::MAX, i64::MIN]);
        }
        let leases = self.world.leases.clone();
        self.random.pick(&leases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_requests() {
        let made = |seed| {
            let mut generator = Generator::new(seed, 2, 6);
            (0..500).flat_map(|_| generator.batch()).collect::<Vec<_>>()
        };
        assert_eq!(made(3), made(3));
        assert_ne!(made(3), made(4));
    }
}
