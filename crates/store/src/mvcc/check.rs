//! Refuses malformed requests before they are proposed: the same way on every member, without looking at the store.

use std::collections::BTreeSet;

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

/// `ops_max` bounds compares, successes and failures each; what is nested has what its level leaves of it.
pub fn txn(req: &TxnRequest, ops_max: usize) -> Result<(), Refused> {
    operands(req, ops_max)?;
    touched(&req.success)?;
    touched(&req.failure)?;
    Ok(())
}

fn operands(req: &TxnRequest, ops_max: usize) -> Result<(), Refused> {
    let widest = req.compare.len().max(req.success.len()).max(req.failure.len());
    let left = ops_max.checked_sub(widest).ok_or(Refused::TooManyOps)?;
    if req.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Refused::EmptyKey);
    }
    for op in req.success.iter().chain(&req.failure) {
        match &op.request {
            Some(Request::RequestRange(req)) => range(req)?,
            Some(Request::RequestPut(req)) => put(req)?,
            Some(Request::RequestDeleteRange(req)) => delete_range(req)?,
            Some(Request::RequestTxn(req)) => operands(req, left)?,
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
    /// As in etcd, a deletion from a key on meets nothing, and what is nested only what is deleted on its level or in
    /// nested transactions before it.
    fn delete(&mut self, req: &'a DeleteRangeRequest) {
        let interval = Interval::new(&req.key, &req.range_end);
        if !interval.is_open() {
            self.deletes.push(interval);
        }
    }

    fn put(&mut self, key: &'a [u8]) -> Result<(), Refused> {
        let deleted = self.deletes.iter().any(|interval| interval.contains(key));
        if deleted || !self.puts.insert(key) { Err(Refused::DuplicateKey) } else { Ok(()) }
    }

    /// Adds a nested transaction, of which one branch runs.
    fn nest(&mut self, then: Touched<'a>, otherwise: Touched<'a>) -> Result<(), Refused> {
        for key in &then.puts {
            self.put(key)?;
        }
        for key in otherwise.puts.difference(&then.puts) {
            self.put(key)?;
        }
        self.deletes.extend(then.deletes);
        self.deletes.extend(otherwise.deletes);
        Ok(())
    }
}

fn touched(ops: &[RequestOp]) -> Result<Touched<'_>, Refused> {
    let mut all = Touched::default();
    for op in ops {
        if let Some(Request::RequestDeleteRange(req)) = &op.request {
            all.delete(req);
        }
    }
    for op in ops {
        if let Some(Request::RequestTxn(req)) = &op.request {
            all.nest(touched(&req.success)?, touched(&req.failure)?)?;
        }
    }
    for op in ops {
        if let Some(Request::RequestPut(req)) = &op.request {
            all.put(&req.key)?;
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
            vec![txn_op(vec![delete_op("a", "")], vec![]), txn_op(vec![put_op("a")], vec![])],
            Err(Refused::DuplicateKey),
        );
        check(vec![txn_op(vec![put_op("a")], vec![put_op("b")]), put_op("b")], Err(Refused::DuplicateKey));
    }

    #[test]
    fn what_etcd_does_not_see_is_let_through() {
        check(vec![delete_op("a", "\0"), put_op("b")], Ok(()));
        check(vec![txn_op(vec![put_op("a")], vec![]), txn_op(vec![delete_op("a", "")], vec![])], Ok(()));
    }

    #[test]
    fn what_is_nested_may_have_as_many_operations_as_its_level_leaves() {
        let puts = |count: usize| (0..count).map(|at| put_op(&at.to_string())).collect::<Vec<_>>();
        check(vec![txn_op(puts(127), vec![])], Ok(()));
        check(vec![txn_op(puts(128), vec![])], Err(Refused::TooManyOps));
        check(vec![txn_op(vec![], puts(127)), put_op("x")], Err(Refused::TooManyOps));
    }

    #[test]
    fn an_operation_without_request_or_key_is_refused() {
        check(vec![RequestOp { request: None }], Err(Refused::KeyNotFound));
        check(vec![put_op("")], Err(Refused::EmptyKey));
        check((0..129).map(|i| put_op(&i.to_string())).collect(), Err(Refused::TooManyOps));
    }
}
