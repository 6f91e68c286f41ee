//! Executing commands: one new revision for each that changes something, one event for each change.
//!
//! Everything that can refuse a command is looked at before its first change, so a command runs wholly or not at all.

use std::cmp::Ordering;
use std::io;

use bytes::Bytes;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp,
    ResponseOp, TxnRequest, TxnResponse,
};
use proto::mvccpb::KeyValue;

use super::Values;
use super::event::Event;
use super::history::{Loc, Version};
use super::index::Index;
use super::interval::Interval;
use super::range::{key_value, select};
use crate::lease::Lessor;
use crate::refused::Refused;
use crate::reply::header;

/// Why a command was not executed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A value that the index knows cannot be read: the member cannot go on.
    #[error("reading a value")]
    Read(#[from] io::Error),
}

/// As in etcd, a nested transaction's own header says no revision.
const UNSAID: i64 = 0;

/// How values are read.
type ReadValue<'a> = &'a dyn Fn(Loc) -> io::Result<Bytes>;

/// One command at work.
pub struct Write<'a, V> {
    index: &'a mut Index,
    lessor: &'a mut Lessor,
    values: &'a mut V,
    /// The revision that the command's changes get.
    main: i64,
    events: Vec<Event>,
    /// Whether somebody waits for the answer: else ranges and previous values are not read.
    wanted: bool,
}

impl<'a, V: Values> Write<'a, V> {
    pub fn new(index: &'a mut Index, lessor: &'a mut Lessor, values: &'a mut V, wanted: bool) -> Self {
        let main = index.revision() + 1;
        Self { index, lessor, values, main, events: Vec::new(), wanted }
    }

    /// What the command changed, in order.
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// The revision as the command leaves it so far.
    pub fn revision(&self) -> i64 {
        if self.events.is_empty() { self.main - 1 } else { self.main }
    }

    pub fn put(&mut self, req: &PutRequest) -> Result<PutResponse, WriteError> {
        self.check_lease(req)?;
        self.check_kept(req)?;
        self.do_put(req)
    }

    pub fn delete_range(&mut self, req: &DeleteRangeRequest) -> Result<DeleteRangeResponse, WriteError> {
        let interval = Interval::new(&req.key, &req.range_end);
        let found: Vec<(Bytes, Version)> = self
            .index
            .scan(&interval, i64::MAX)
            .map(|(key, version)| (Bytes::copy_from_slice(key), *version))
            .collect();
        let mut prev_kvs = Vec::new();
        for (key, version) in &found {
            if req.prev_kv && self.wanted {
                prev_kvs.push(self.read(key.clone(), version)?);
            }
        }
        let deleted = found.len() as i64;
        for (key, version) in found {
            self.delete(key, version);
        }
        Ok(DeleteRangeResponse { header: header(self.revision()), deleted, prev_kvs })
    }

    pub fn txn(&mut self, req: &TxnRequest) -> Result<TxnResponse, WriteError> {
        // Every comparison, nested ones too, looks at the store before the transaction.
        let mut path = Vec::new();
        decide(self.index, &|loc| self.values.read(loc), req, &mut path)?;
        self.check_ops(req, &mut path.iter().copied())?;
        let rsp = self.do_txn(req, &mut path.into_iter())?;
        Ok(TxnResponse { header: header(self.revision()), ..rsp })
    }

    /// Deletes every key that hangs on a lease, in order of keys.
    pub fn revoke(&mut self, lease: i64) -> Result<(), Refused> {
        let keys = self.lessor.revoke(lease)?;
        for key in keys {
            if let Some(version) = self.index.get(&key).copied() {
                self.delete(key, version);
            }
        }
        Ok(())
    }

    fn check_lease(&self, req: &PutRequest) -> Result<(), Refused> {
        let known = req.lease == 0 || self.lessor.contains(req.lease);
        if known { Ok(()) } else { Err(Refused::LeaseNotFound) }
    }

    /// What is to be kept is there.
    fn check_kept(&self, req: &PutRequest) -> Result<(), Refused> {
        let keeps = req.ignore_value || req.ignore_lease;
        if keeps && self.index.get(&req.key).is_none() { Err(Refused::KeyNotFound) } else { Ok(()) }
    }

    fn do_put(&mut self, req: &PutRequest) -> Result<PutResponse, WriteError> {
        let prev = self.index.get(&req.key).copied();
        let value = match &prev {
            Some(version) if req.ignore_value => self.values.read(version.loc)?,
            _ => req.value.clone(),
        };
        let lease = match &prev {
            Some(version) if req.ignore_lease => version.lease,
            _ => req.lease,
        };
        let prev_kv = match &prev {
            Some(version) if req.prev_kv && self.wanted => Some(self.read(req.key.clone(), version)?),
            _ => None,
        };
        let mut version = Version {
            main: self.main,
            sub: self.events.len() as u32,
            create: prev.map_or(self.main, |version| version.create),
            version: prev.map_or(1, |version| version.version + 1),
            lease,
            ..Default::default()
        };
        version.loc = self.values.put(&req.key, &version, &value);
        self.index.insert(&req.key, version);
        let old_lease = prev.map_or(0, |version| version.lease);
        self.lessor.reattach(&req.key, old_lease, lease);
        self.event(req.key.clone(), version, value, prev);
        Ok(PutResponse { header: header(self.main), prev_kv })
    }

    fn delete(&mut self, key: Bytes, prev: Version) {
        let mut version = Version { main: self.main, sub: self.events.len() as u32, ..Default::default() };
        version.loc = self.values.tombstone(&key, &version);
        self.index.insert(&key, version);
        self.lessor.reattach(&key, prev.lease, 0);
        self.event(key, version, Bytes::new(), Some(prev));
    }

    /// `prev`: the version just before. Watchers are told the one before the whole command.
    fn event(&mut self, key: Bytes, version: Version, value: Bytes, prev: Option<Version>) {
        let prev = prev.and_then(|prev| match prev.main < self.main {
            true => Some(prev),
            false => self.index.history(&key)?.before(self.main, 0).copied().filter(|prev| !prev.is_tombstone()),
        });
        self.events.push(Event::new(key, version, value, prev));
    }

    fn read(&self, key: Bytes, version: &Version) -> io::Result<KeyValue> {
        Ok(key_value(key, version, self.values.read(version.loc)?))
    }

    fn range(&self, req: &RangeRequest) -> Result<RangeResponse, WriteError> {
        if !self.wanted {
            return Ok(RangeResponse::default());
        }
        let selection = select(self.index, req, self.revision())?;
        Ok(selection.finish(|loc| self.values.read(loc))?)
    }

    fn check_ops(&self, req: &TxnRequest, path: &mut impl Iterator<Item = bool>) -> Result<(), WriteError> {
        for op in branch(req, path.next().unwrap_or_default()) {
            match &op.request {
                Some(Request::RequestRange(req)) => check_range(self.index, req)?,
                // As in etcd, in the other order than a put by itself.
                Some(Request::RequestPut(req)) => {
                    self.check_kept(req)?;
                    self.check_lease(req)?;
                }
                Some(Request::RequestTxn(req)) => self.check_ops(req, path)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn do_txn(&mut self, req: &TxnRequest, path: &mut impl Iterator<Item = bool>) -> Result<TxnResponse, WriteError> {
        let succeeded = path.next().unwrap_or_default();
        let mut responses = Vec::new();
        for op in branch(req, succeeded) {
            let response = match &op.request {
                Some(Request::RequestRange(req)) => Response::ResponseRange(self.range(req)?),
                Some(Request::RequestPut(req)) => Response::ResponsePut(self.do_put(req)?),
                Some(Request::RequestDeleteRange(req)) => Response::ResponseDeleteRange(self.delete_range(req)?),
                Some(Request::RequestTxn(req)) => Response::ResponseTxn(self.do_txn(req, path)?),
                None => continue,
            };
            responses.push(ResponseOp { response: Some(response) });
        }
        Ok(TxnResponse { header: header(UNSAID), succeeded, responses })
    }
}

/// Which branch each transaction takes, outer ones first.
fn decide(index: &Index, read: ReadValue<'_>, req: &TxnRequest, path: &mut Vec<bool>) -> Result<(), WriteError> {
    let mut succeeded = true;
    for compare in &req.compare {
        if !compares(index, read, compare)? {
            succeeded = false;
            break;
        }
    }
    path.push(succeeded);
    for op in branch(req, succeeded) {
        if let Some(Request::RequestTxn(nested)) = &op.request {
            decide(index, read, nested, path)?;
        }
    }
    Ok(())
}

/// Holds for every key of the range; a key that is not there compares as zeros, and never by value.
fn compares(index: &Index, read: ReadValue<'_>, compare: &Compare) -> Result<bool, WriteError> {
    let interval = Interval::new(&compare.key, &compare.range_end);
    let by_value = compare.target == CompareTarget::Value as i32;
    let mut found = false;
    for (_, version) in index.scan(&interval, i64::MAX) {
        found = true;
        let value = if by_value { read(version.loc)? } else { Bytes::new() };
        if !holds(compare, version, &value) {
            return Ok(false);
        }
    }
    Ok(found || (!by_value && holds(compare, &Version::default(), b"")))
}

/// Runs a transaction that writes nothing.
pub fn read_txn(index: &Index, read: ReadValue<'_>, req: &TxnRequest) -> Result<TxnResponse, WriteError> {
    let mut path = Vec::new();
    decide(index, read, req, &mut path)?;
    let rsp = read_branch(index, read, req, &mut path.into_iter())?;
    Ok(TxnResponse { header: header(index.revision()), ..rsp })
}

fn read_branch(
    index: &Index,
    read: ReadValue<'_>,
    req: &TxnRequest,
    path: &mut impl Iterator<Item = bool>,
) -> Result<TxnResponse, WriteError> {
    let succeeded = path.next().unwrap_or_default();
    let mut responses = Vec::new();
    for op in branch(req, succeeded) {
        let response = match &op.request {
            Some(Request::RequestRange(req)) => {
                check_range(index, req)?;
                Response::ResponseRange(select(index, req, index.revision())?.finish(read)?)
            }
            Some(Request::RequestTxn(req)) => Response::ResponseTxn(read_branch(index, read, req, path)?),
            _ => continue,
        };
        responses.push(ResponseOp { response: Some(response) });
    }
    Ok(TxnResponse { header: header(UNSAID), succeeded, responses })
}

/// As in etcd, a transaction does not take every revision below 0 for none, as a range by itself does: as long as nothing
/// is compacted, only -1.
fn check_range(index: &Index, req: &RangeRequest) -> Result<(), Refused> {
    let first = if index.compacted() > 0 { index.compacted() } else { -1 };
    match req.revision {
        0 => Ok(()),
        revision if revision < first => Err(Refused::Compacted),
        revision => index.check_readable(revision.max(index.compacted()), index.revision()),
    }
}

fn branch(req: &TxnRequest, succeeded: bool) -> &[RequestOp] {
    if succeeded { &req.success } else { &req.failure }
}

/// As in etcd, what is compared with a target that is not known is equal, and a result that is not known holds.
fn holds(compare: &Compare, version: &Version, value: &[u8]) -> bool {
    let union = compare.target_union.as_ref();
    let ordering = match (CompareTarget::try_from(compare.target), union) {
        (Ok(CompareTarget::Value), Some(TargetUnion::Value(wanted))) => value.cmp(wanted),
        (Ok(CompareTarget::Value), _) => value.cmp(b""),
        (Ok(CompareTarget::Version), Some(TargetUnion::Version(wanted))) => version.version.cmp(wanted),
        (Ok(CompareTarget::Version), _) => version.version.cmp(&0),
        (Ok(CompareTarget::Create), Some(TargetUnion::CreateRevision(wanted))) => version.create.cmp(wanted),
        (Ok(CompareTarget::Create), _) => version.create.cmp(&0),
        (Ok(CompareTarget::Mod), Some(TargetUnion::ModRevision(wanted))) => version.main.cmp(wanted),
        (Ok(CompareTarget::Mod), _) => version.main.cmp(&0),
        (Ok(CompareTarget::Lease), Some(TargetUnion::Lease(wanted))) => version.lease.cmp(wanted),
        (Ok(CompareTarget::Lease), _) => version.lease.cmp(&0),
        (Err(_), _) => Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Err(_) => true,
    }
}
