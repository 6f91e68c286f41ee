//! Ranges, puts, deletions, transactions, compactions.

use bytes::Bytes;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::compare::TargetUnion;
use proto::etcdserverpb::request_op::Request;

use super::{ENDS, Generator, KEYS, LARGE, NO_SUCH, SORTED_ENDS, SORTED_KEYS, VALUES};
use crate::beside::case::Case;

/// Nested transactions in nested transactions.
const DEPTH: usize = 2;

/// What the operations of one transaction may be.
#[derive(Clone, Copy)]
struct Manner {
    depth: usize,
    /// Something is deleted from a key on. etcd ends when such a transaction also keeps the value or lease of a key that
    /// it has deleted, so the two do not come together.
    open_ends: bool,
}

impl Generator {
    /// `odd`: also options that no enumeration has.
    pub(super) fn range(&mut self, odd: bool) -> etcd::RangeRequest {
        let random = &mut self.random;
        let (sort_order, mut sort_target) = (random.below(3) as i32, 0);
        if random.once_in(3) {
            sort_target = random.below(5) as i32;
        }
        let sorted = sort_order != 0 || sort_target != 0;
        let (key, range_end) = match sorted {
            true => (random.bytes(SORTED_KEYS), random.bytes(SORTED_ENDS)),
            false => (self.start(), self.random.bytes(ENDS)),
        };
        let limit = if self.random.coin() { 0 } else { self.random.pick(&[1, 2, 3, 4, 100, -1, i64::MIN, i64::MAX]) };
        let mut range = etcd::RangeRequest {
            key,
            range_end,
            limit,
            revision: self.some_revision(),
            sort_order,
            sort_target,
            serializable: self.random.coin(),
            keys_only: self.random.once_in(4),
            count_only: self.random.once_in(6),
            ..Default::default()
        };
        if self.random.once_in(3) {
            range.min_mod_revision = self.some_revision();
            range.max_mod_revision = self.some_revision();
            range.min_create_revision = self.some_revision();
            range.max_create_revision = self.some_revision();
        }
        if odd && self.random.once_in(60) {
            match self.random.coin() {
                true => range.sort_order = NO_SUCH,
                false => range.sort_target = NO_SUCH,
            }
        }
        range
    }

    pub(super) fn put(&mut self) -> etcd::PutRequest {
        let mut put = etcd::PutRequest {
            key: self.key(),
            value: self.random.bytes(VALUES),
            prev_kv: self.random.coin(),
            ..Default::default()
        };
        if self.random.once_in(3) {
            put.lease = self.lease_id();
        }
        if self.random.once_in(6) {
            put.ignore_value = true;
            if self.random.coin() {
                put.value = Bytes::new();
            }
        }
        if self.random.once_in(6) {
            put.ignore_lease = true;
            if self.random.coin() {
                put.lease = 0;
            }
        }
        put
    }

    pub(super) fn delete_range(&mut self) -> etcd::DeleteRangeRequest {
        let range_end = if self.random.coin() { Bytes::new() } else { self.random.bytes(ENDS) };
        etcd::DeleteRangeRequest { key: self.start(), range_end, prev_kv: self.random.coin() }
    }

    pub(super) fn txn(&mut self) -> etcd::TxnRequest {
        if self.random.once_in(30) {
            return self.wide_txn();
        }
        let manner = Manner { depth: DEPTH, open_ends: self.random.once_in(4) };
        self.nested(manner)
    }

    fn nested(&mut self, manner: Manner) -> etcd::TxnRequest {
        let compare = (0..self.random.below(3)).map(|_| self.compare()).collect();
        etcd::TxnRequest { compare, success: self.ops(manner), failure: self.ops(manner) }
    }

    /// Around the bound of operations, on this level or on a lower one, where what the levels above took counts.
    fn wide_txn(&mut self) -> etcd::TxnRequest {
        let wide = |count: usize| -> etcd::TxnRequest {
            let op = |at: usize| {
                let range = etcd::RangeRequest { key: Bytes::from(format!("w{at}")), ..Default::default() };
                etcd::RequestOp { request: Some(Request::RequestRange(range)) }
            };
            etcd::TxnRequest { success: (0..count).map(op).collect(), ..Default::default() }
        };
        let count = |generator: &mut Self| generator.ops_max - 3 + generator.random.below(5) as usize;
        let below = count(self);
        let mut txn = match self.random.below(3) {
            0 => wide(count(self)),
            1 => etcd::TxnRequest { compare: (0..count(self)).map(|_| self.compare()).collect(), ..Default::default() },
            _ => {
                let mut outer = wide(self.random.below(3) as usize);
                outer.success.push(etcd::RequestOp { request: Some(Request::RequestTxn(wide(below))) });
                outer
            }
        };
        if self.random.coin() {
            std::mem::swap(&mut txn.success, &mut txn.failure);
        }
        txn
    }

    fn compare(&mut self) -> etcd::Compare {
        let number = self.odd_revision();
        let target = self.random.below(5) as i32;
        // Now and then a union that is not the target's, or none.
        let of = if self.random.once_in(12) { self.random.below(6) as i32 } else { target };
        let target_union = match of {
            0 => Some(TargetUnion::Version(self.random.between(-1, 3))),
            1 => Some(TargetUnion::CreateRevision(number)),
            2 => Some(TargetUnion::ModRevision(number)),
            3 => Some(TargetUnion::Value(self.random.bytes(VALUES))),
            4 => Some(TargetUnion::Lease(self.lease_id())),
            _ => None,
        };
        let mut compare = etcd::Compare {
            result: self.random.below(4) as i32,
            target,
            key: self.start(),
            range_end: if self.random.coin() { Bytes::new() } else { self.random.bytes(ENDS) },
            target_union,
        };
        match self.random.below(60) {
            0 => compare.result = NO_SUCH,
            1 => compare.target = NO_SUCH,
            _ => {}
        }
        compare
    }

    fn ops(&mut self, manner: Manner) -> Vec<etcd::RequestOp> {
        let count = self.random.below(4);
        (0..count).map(|_| etcd::RequestOp { request: self.op(manner) }).collect()
    }

    fn op(&mut self, manner: Manner) -> Option<Request> {
        Some(match self.random.below(20) {
            0..8 => {
                let mut put = self.put();
                if manner.open_ends {
                    (put.ignore_value, put.ignore_lease) = (false, false);
                }
                Request::RequestPut(put)
            }
            8..12 => {
                let mut delete = self.delete_range();
                if !manner.open_ends && delete.range_end == "\0" {
                    delete.range_end = Bytes::from_static(b"b");
                }
                Request::RequestDeleteRange(delete)
            }
            12..17 => Request::RequestRange(self.range(false)),
            17..19 if manner.depth > 0 => {
                Request::RequestTxn(self.nested(Manner { depth: manner.depth - 1, ..manner }))
            }
            19 if self.random.coin() => return None,
            _ => Request::RequestRange(self.range(false)),
        })
    }

    pub(super) fn compact(&mut self) -> Case {
        let (revision, compacted) = (self.world.revision, self.world.compacted);
        let wanted = match self.random.below(8) {
            0 => self.random.pick(&[-1, i64::MIN, 1, i64::MAX]),
            1 => revision + 1,
            2 => compacted,
            3 => revision,
            // Most of the history stays, for the sake of reads and watches of the past.
            _ => compacted + (revision - compacted) / 4,
        };
        Case::Compact(etcd::CompactionRequest { revision: wanted, physical: !self.random.once_in(4) })
    }

    /// More than a server takes; or much at once, that a watcher who allows it gets in pieces.
    pub(super) fn large(&mut self) -> Case {
        let value = |len: usize| Bytes::from(vec![b'x'; len]);
        if self.random.coin() {
            let put = etcd::PutRequest { key: self.key(), value: value(self.random.pick(LARGE)), ..Default::default() };
            return Case::Put(put);
        }
        // Twice, so that the previous values come beside the new ones to those who want them.
        let put = |key: &'static [u8]| {
            let put = etcd::PutRequest { key: key.into(), value: value(700_000), ..Default::default() };
            etcd::RequestOp { request: Some(Request::RequestPut(put)) }
        };
        let both = etcd::TxnRequest { success: KEYS[6..8].iter().map(|key| put(key)).collect(), ..Default::default() };
        let all = etcd::DeleteRangeRequest { key: KEYS[6].into(), range_end: "c".into(), prev_kv: false };
        self.next.extend([Case::DeleteRange(all), Case::Txn(both.clone())]);
        Case::Txn(both)
    }
}
