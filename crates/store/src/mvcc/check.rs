//! Refuses malformed requests before they are proposed: the same way on every member, without looking at the store.

use std::collections::BTreeSet;

use proto::etcdserverpb::compare::{CompareResult, CompareTarget};
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};

use super::interval::Interval;
use crate::refused::Refused;

pub fn range(req: &RangeRequest) -> Result<(), Refused> {
    if req.key.is_empty() {
        return Err(Refused::EmptyKey);
    }
    if SortOrder::try_from(req.sort_order).is_err() || SortTarget::try_from(req.sort_target).is_err() {
        return Err(Refused::InvalidSortOption);
    }
    Ok(())
}

pub fn put(req: &PutRequest) -> Result<(), Refused> {
    if req.key.is_empty() {
        return Err(Refused::EmptyKey);
    }
    if req.ignore_value && !req.value.is_empty() {
        return Err(Refused::ValueProvided);
    }
    if req.ignore_lease && req.lease != 0 {
        return Err(Refused::LeaseProvided);
    }
    Ok(())
}

pub fn delete_range(req: &DeleteRangeRequest) -> Result<(), Refused> {
    if req.key.is_empty() { Err(Refused::EmptyKey) } else { Ok(()) }
}

/// `ops_max` bounds compares, successes and failures each, nested transactions each for themselves.
pub fn txn(req: &TxnRequest, ops_max: usize) -> Result<(), Refused> {
    operands(req, ops_max)?;
    touched(&req.success)?;
    touched(&req.failure)?;
    Ok(())
}

fn operands(req: &TxnRequest, ops_max: usize) -> Result<(), Refused> {
    if req.compare.len().max(req.success.len()).max(req.failure.len()) > ops_max {
        return Err(Refused::TooManyOps);
    }
    for compare in &req.compare {
        if compare.key.is_empty() {
            return Err(Refused::EmptyKey);
        }
        if CompareResult::try_from(compare.result).is_err() || CompareTarget::try_from(compare.target).is_err() {
            return Err(Refused::InvalidSortOption);
        }
    }
    for op in req.success.iter().chain(&req.failure) {
        match &op.request {
            Some(Request::RequestRange(req)) => range(req)?,
            Some(Request::RequestPut(req)) => put(req)?,
            Some(Request::RequestDeleteRange(req)) => delete_range(req)?,
            Some(Request::RequestTxn(req)) => operands(req, ops_max)?,
            None => return Err(Refused::KeyNotFound),
        }
    }
    Ok(())
}

fn any_op(req: &TxnRequest, check: &impl Fn(&Request) -> bool) -> bool {
    req.success.iter().chain(&req.failure).any(|op| match &op.request {
        Some(Request::RequestTxn(nested)) => any_op(nested, check),
        Some(other) => check(other),
        None => false,
    })
}

/// Such a transaction needs no entry of the log.
pub fn is_read_only(req: &TxnRequest) -> bool {
    !any_op(req, &|op| matches!(op, Request::RequestPut(_) | Request::RequestDeleteRange(_)))
}

/// Every range of it may be answered from this member alone, and there is one.
pub fn is_serializable(req: &TxnRequest) -> bool {
    any_op(req, &|_| true) && !any_op(req, &|op| matches!(op, Request::RequestRange(range) if !range.serializable))
}

pub fn puts(req: &TxnRequest) -> bool {
    any_op(req, &|op| matches!(op, Request::RequestPut(_)))
}

/// What a list of operations may write: keys put, ranges deleted.
#[derive(Default)]
struct Touched<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Vec<Interval<'a>>,
}

impl<'a> Touched<'a> {
    fn deletes_key(&self, key: &[u8]) -> bool {
        self.deletes.iter().any(|interval| interval.contains(key))
    }

    /// Adds what runs beside `self` in one transaction: no key may be put twice, or put and deleted.
    fn join(&mut self, other: Touched<'a>) -> Result<(), Refused> {
        if other.puts.iter().any(|key| self.puts.contains(key) || self.deletes_key(key)) {
            return Err(Refused::DuplicateKey);
        }
        if self.puts.iter().any(|key| other.deletes_key(key)) {
            return Err(Refused::DuplicateKey);
        }
        self.merge(other);
        Ok(())
    }

    /// Adds what runs instead of `self`: the other branch of a nested transaction.
    fn merge(&mut self, other: Touched<'a>) {
        self.puts.extend(other.puts);
        self.deletes.extend(other.deletes);
    }
}

fn touched(ops: &[RequestOp]) -> Result<Touched<'_>, Refused> {
    let mut all = Touched::default();
    for op in ops {
        if let Some(Request::RequestDeleteRange(req)) = &op.request {
            all.deletes.push(Interval::new(&req.key, &req.range_end));
        }
    }
    for op in ops {
        match &op.request {
            Some(Request::RequestPut(req)) => {
                let put = Touched { puts: BTreeSet::from([&*req.key]), deletes: Vec::new() };
                all.join(put)?;
            }
            Some(Request::RequestTxn(req)) => {
                let mut either = touched(&req.success)?;
                either.merge(touched(&req.failure)?);
                all.join(either)?;
            }
            _ => {}
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn put_op(key: &str) -> RequestOp {
        let put = PutRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..Default::default() };
        RequestOp { request: Some(Request::RequestPut(put)) }
    }

    fn delete_op(key: &str, end: &str) -> RequestOp {
        let delete = DeleteRangeRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            range_end: Bytes::copy_from_slice(end.as_bytes()),
            prev_kv: false,
        };
        RequestOp { request: Some(Request::RequestDeleteRange(delete)) }
    }

    fn txn_op(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        RequestOp { request: Some(Request::RequestTxn(TxnRequest { compare: Vec::new(), success, failure })) }
    }

    #[track_caller]
    fn check(success: Vec<RequestOp>, expect: Result<(), Refused>) {
        assert_eq!(txn(&TxnRequest { success, ..Default::default() }, 128), expect);
    }

    #[test]
    fn a_key_is_written_once_in_a_transaction() {
        check(vec![put_op("a"), put_op("b")], Ok(()));
        check(vec![put_op("a"), put_op("a")], Err(Refused::DuplicateKey));
        check(vec![put_op("a"), delete_op("a", "")], Err(Refused::DuplicateKey));
        check(vec![delete_op("a", "c"), put_op("b")], Err(Refused::DuplicateKey));
        check(vec![delete_op("a", "c"), put_op("c")], Ok(()));
        check(vec![delete_op("a", "c"), delete_op("b", "d")], Ok(()));
    }

    #[test]
    fn branches_of_a_nested_transaction_may_write_the_same_key() {
        check(vec![txn_op(vec![put_op("a")], vec![put_op("a")])], Ok(()));
        check(vec![put_op("a"), txn_op(vec![], vec![put_op("a")])], Err(Refused::DuplicateKey));
        check(
            vec![txn_op(vec![put_op("a")], vec![]), txn_op(vec![delete_op("a", "")], vec![])],
            Err(Refused::DuplicateKey),
        );
    }

    #[test]
    fn an_operation_without_request_or_key_is_refused() {
        check(vec![RequestOp { request: None }], Err(Refused::KeyNotFound));
        check(vec![put_op("")], Err(Refused::EmptyKey));
        check((0..129).map(|i| put_op(&i.to_string())).collect(), Err(Refused::TooManyOps));
    }
}
