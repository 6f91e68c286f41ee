//! The index against the naive model, on random histories.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::request_op::Request;

use super::model::{MemoryValues, Model};
use super::range::select;
use super::write::{Write, WriteError};
use super::{Index, Interval};
use crate::lease::Lessor;
use crate::refused::Refused;

#[derive(Default)]
struct Store {
    index: Index,
    lessor: Lessor,
    values: MemoryValues,
}

impl Store {
    fn write<T>(
        &mut self,
        run: impl FnOnce(&mut Write<'_, MemoryValues>) -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        run(&mut Write::new(&mut self.index, &mut self.lessor, &mut self.values, true))
    }

    fn range(&self, req: &etcd::RangeRequest) -> Result<etcd::RangeResponse, Refused> {
        let selection = select(&self.index, req, self.index.revision())?;
        Ok(selection.finish(|loc| super::Values::read(&self.values, loc)).expect("memory"))
    }

    /// What is sent; none where the values must be sorted first.
    fn encoded(&self, req: &etcd::RangeRequest) -> Result<Option<Bytes>, Refused> {
        let selection = select(&self.index, req, self.index.revision())?;
        let header = etcd::ResponseHeader { revision: selection.revision(), ..Default::default() };
        let Ok(encoding) = selection.encoding(&header) else { return Ok(None) };
        let (len, locs) = (encoding.len(), encoding.locs());
        let mut locs = locs.into_iter();
        let next = || super::Values::read(&self.values, locs.next().expect("as many as are wanted"));
        let bytes = encoding.write(b"", next).expect("memory").concat();
        assert_eq!((bytes.len(), locs.len()), (len, 0));
        Ok(Some(bytes.into()))
    }

    fn trim(&mut self) {
        let mut after = None;
        loop {
            after = self.index.trim(after.as_deref(), 2);
            if after.is_none() {
                return;
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8, u8),
    /// Writes two keys when the first is there, deletes a range when it is not.
    Txn(u8, u8, u8),
    Compact(u8),
    Range {
        key: u8,
        end: u8,
        back: u8,
        limit: u8,
        keys_only: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..6_u8;
    prop_oneof![
        4 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => (key.clone(), 0..8_u8).prop_map(|(key, end)| Step::Delete(key, end)),
        2 => (key.clone(), key.clone(), any::<u8>()).prop_map(|(a, b, value)| Step::Txn(a, b, value)),
        1 => (0..6_u8).prop_map(Step::Compact),
        4 => (key, 0..8_u8, 0..8_u8, 0..4_u8, any::<bool>())
            .prop_map(|(key, end, back, limit, keys_only)| Step::Range { key, end, back, limit, keys_only }),
    ]
}

fn name(key: u8) -> Bytes {
    Bytes::from(format!("key{key}"))
}

/// 0: the key alone; 7: from the key on; else up to another key.
fn end(end: u8) -> Bytes {
    match end {
        0 => Bytes::new(),
        7 => Bytes::from_static(&[0]),
        end => name(end),
    }
}

fn put(key: u8, value: u8) -> etcd::PutRequest {
    etcd::PutRequest { key: name(key), value: vec![value].into(), ..Default::default() }
}

fn run(store: &mut Store, model: &mut Model, step: Step) {
    let next = model.revision + 1;
    match step {
        Step::Put(key, value) => {
            let rsp = store.write(|write| write.put(&put(key, value))).expect("a put");
            model.put(&name(key), &[value], next);
            assert_eq!(rsp.header.expect("a header").revision, next);
        }
        Step::Delete(key, to) => {
            let (key, range_end) = (name(key), end(to));
            let req = etcd::DeleteRangeRequest { key: key.clone(), range_end: range_end.clone(), prev_kv: true };
            let before = model.range(&Interval::new(&key, &range_end), i64::MAX);
            let rsp = store.write(|write| write.delete_range(&req)).expect("a delete");
            assert_eq!(rsp.deleted, model.delete(&Interval::new(&key, &range_end), next));
            assert_eq!(rsp.prev_kvs, before);
            assert_eq!(rsp.header.expect("a header").revision, model.revision);
        }
        Step::Txn(a, b, value) => {
            let op = |request| etcd::RequestOp { request: Some(request) };
            let compare = etcd::Compare {
                key: name(a),
                result: etcd::compare::CompareResult::Greater as i32,
                target: etcd::compare::CompareTarget::Version as i32,
                ..Default::default()
            };
            let mut success = vec![op(Request::RequestPut(put(a, value)))];
            if a != b {
                success.push(op(Request::RequestPut(put(b, value))));
            }
            let delete = etcd::DeleteRangeRequest { key: name(b), range_end: end(7), ..Default::default() };
            let failure = vec![op(Request::RequestDeleteRange(delete))];
            let req = etcd::TxnRequest { compare: vec![compare], success, failure };
            let rsp = store.write(|write| write.txn(&req)).expect("a transaction");
            let there = model.get(&name(a), i64::MAX).is_some();
            assert_eq!(rsp.succeeded, there);
            if there {
                model.put(&name(a), &[value], next);
                if a != b {
                    model.put(&name(b), &[value], next);
                }
            } else {
                model.delete(&Interval::new(&name(b), &end(7)), next);
            }
            assert_eq!(rsp.header.expect("a header").revision, model.revision);
        }
        Step::Compact(back) => {
            let at = model.revision - i64::from(back);
            let expect = if at <= model.compacted { Err(Refused::Compacted) } else { Ok(()) };
            assert_eq!(store.index.compact(at), expect);
            if expect.is_ok() {
                model.compacted = at;
                store.trim();
            }
        }
        Step::Range { key, end: to, back, limit, keys_only } => {
            let at = model.revision + 1 - i64::from(back);
            let req = etcd::RangeRequest {
                key: name(key),
                range_end: end(to),
                revision: at.max(0),
                limit: i64::from(limit),
                keys_only,
                ..Default::default()
            };
            let revision = if req.revision == 0 { model.revision } else { req.revision };
            let expect = match revision {
                future if future > model.revision => Err(Refused::FutureRevision),
                past if past < model.compacted => Err(Refused::Compacted),
                revision => Ok(model.range(&Interval::new(&req.key, &req.range_end), revision)),
            };
            let found = store.range(&req);
            let Ok(mut pairs) = expect else {
                assert_eq!(found.map(|rsp| rsp.count), expect.map(|_| 0));
                return;
            };
            let found = found.expect("a range");
            assert_eq!(found.count, pairs.len() as i64);
            assert_eq!(found.more, limit > 0 && pairs.len() > limit.into());
            pairs.truncate(if limit == 0 { usize::MAX } else { limit.into() });
            if keys_only {
                pairs.iter_mut().for_each(|pair| pair.value = Bytes::new());
            }
            assert_eq!(found.kvs, pairs);
            assert_eq!(found.header.expect("a header").revision, model.revision);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..Default::default() })]
    #[test]
    fn every_history_reads_as_the_naive_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let mut store = Store::default();
        let mut model = Model::default();
        for step in steps {
            run(&mut store, &mut model, step);
        }
    }
}

fn revisions() -> impl Strategy<Value = i64> {
    prop_oneof![2 => Just(0), 1 => -1..40_i64]
}

prop_compose! {
    /// Any options, those that nobody knows as well.
    fn request()(
        (key, to) in (0..6_u8, 0..8_u8),
        (limit, revision) in (-1..5_i64, revisions()),
        (sort_order, sort_target) in (0..4_i32, 0..6_i32),
        (serializable, keys_only, count_only) in (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2)),
        (min_mod_revision, max_mod_revision) in (revisions(), revisions()),
        (min_create_revision, max_create_revision) in (revisions(), revisions()),
    ) -> etcd::RangeRequest {
        etcd::RangeRequest {
            key: name(key), range_end: end(to), limit, revision, sort_order, sort_target, serializable, keys_only, count_only,
            min_mod_revision, max_mod_revision, min_create_revision, max_create_revision,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..Default::default() })]
    #[test]
    fn any_range_is_encoded_as_protobuf_encodes_it(
        steps in prop::collection::vec(step(), 1..60),
        requests in prop::collection::vec(request(), 1..20),
    ) {
        let mut store = Store::default();
        let mut model = Model::default();
        for step in steps {
            run(&mut store, &mut model, step);
        }
        for req in requests {
            let (expect, found) = (store.range(&req), store.encoded(&req));
            match found {
                Ok(Some(bytes)) => prop_assert_eq!(&bytes[..], &expect.expect("a range").encode_to_vec()[..], "{:?}", req),
                Ok(None) => prop_assert_eq!(req.sort_target, etcd::range_request::SortTarget::Value as i32),
                Err(refused) => prop_assert_eq!(expect, Err(refused)),
            }
        }
    }
}

#[test]
fn a_refused_transaction_changes_nothing() {
    let mut store = Store::default();
    let op = |put| etcd::RequestOp { request: Some(Request::RequestPut(put)) };
    let bad = etcd::PutRequest { lease: 7, ..put(2, 2) };
    let req = etcd::TxnRequest { success: vec![op(put(1, 1)), op(bad)], ..Default::default() };
    let refused = store.write(|write| write.txn(&req));
    assert!(matches!(refused, Err(WriteError::Refused(Refused::LeaseNotFound))), "{refused:?}");
    assert_eq!(store.index.revision(), 1);
    assert!(store.index.is_empty());
}

#[test]
fn live_bytes_follow_puts_deletes_and_compactions() {
    let mut store = Store::default();
    for value in 0..10 {
        store.write(|write| write.put(&put(1, value))).expect("a put");
    }
    let ten = store.index.live_bytes();
    store.index.compact(11).expect("a compaction");
    store.trim();
    assert_eq!(store.index.live_bytes(), ten / 10);
    let all = etcd::DeleteRangeRequest { key: name(0), range_end: end(7), prev_kv: false };
    store.write(|write| write.delete_range(&all)).expect("a delete");
    store.index.compact(12).expect("a compaction");
    store.trim();
    assert_eq!(store.index.len(), 1, "a watcher may begin at the deletion");
    store.write(|write| write.put(&put(2, 1))).expect("a put");
    let with_tombstone = store.index.live_bytes();
    store.index.compact(13).expect("a compaction");
    store.trim();
    assert_eq!(store.index.len(), 1);
    assert!(store.index.live_bytes() < with_tombstone);
}

#[test]
fn what_is_read_twice_while_replaying_changes_nothing() {
    let mut store = Store::default();
    store.write(|write| write.put(&put(1, 1))).expect("a put");
    let (key, version) = (name(1), *store.index.get(&name(1)).expect("there"));
    let live = store.index.live_bytes();
    store.index.insert(&key, version);
    assert_eq!(store.index.live_bytes(), live);
    assert_eq!(store.index.history(&key).expect("there").versions().len(), 1);
}

fn put_op(key: &'static str) -> etcd::RequestOp {
    let put = etcd::PutRequest { key: key.into(), ..Default::default() };
    etcd::RequestOp { request: Some(Request::RequestPut(put)) }
}

fn nested(success: Vec<etcd::RequestOp>) -> etcd::RequestOp {
    let txn = etcd::TxnRequest { success, ..Default::default() };
    etcd::RequestOp { request: Some(Request::RequestTxn(txn)) }
}

#[test]
fn a_key_that_comes_and_goes_in_one_transaction_was_what_it_was_before() {
    let mut store = Store::default();
    let put = |value: &'static str| etcd::PutRequest { key: "a".into(), value: value.into(), ..Default::default() };
    store.write(|write| write.put(&put("1"))).expect("a put");
    let delete = etcd::DeleteRangeRequest { key: "a".into(), ..Default::default() };
    let delete = etcd::RequestOp { request: Some(Request::RequestDeleteRange(delete)) };
    let txn = etcd::TxnRequest { success: vec![nested(vec![put_op("a")]), nested(vec![delete])], ..Default::default() };
    super::check::txn(&txn, 128).expect("etcd takes it");
    let mut write = Write::new(&mut store.index, &mut store.lessor, &mut store.values, true);
    let rsp = write.txn(&txn).expect("a transaction");
    let before: Vec<i64> = write.into_events().iter().map(|event| event.prev.map_or(0, |prev| prev.main)).collect();
    assert_eq!(before, [2, 2]);
    assert_eq!(rsp.header.map(|header| header.revision), Some(3));
    let headers = rsp.responses.iter().filter_map(|op| match &op.response {
        Some(etcd::response_op::Response::ResponseTxn(rsp)) => rsp.header,
        _ => None,
    });
    assert_eq!(headers.map(|header| header.revision).collect::<Vec<_>>(), [0, 0], "a nested one's says nothing");
    let read = |revision| etcd::RangeRequest { key: "a".into(), revision, ..Default::default() };
    assert_eq!(store.range(&read(2)).expect("a range").kvs.len(), 1);
    assert_eq!(store.range(&read(3)).expect("a range").kvs.len(), 0);
}

#[test]
fn a_comparison_that_nobody_knows_holds() {
    let mut store = Store::default();
    let odd = |result, target| etcd::Compare { key: "a".into(), result, target, ..Default::default() };
    for (result, target, holds) in [(9, 0, true), (0, 9, true), (1, 9, false), (3, 9, false)] {
        let txn = etcd::TxnRequest { compare: vec![odd(result, target)], ..Default::default() };
        let rsp = store.write(|write| write.txn(&txn)).expect("a transaction");
        assert_eq!(rsp.succeeded, holds, "result {result}, target {target}");
    }
}
