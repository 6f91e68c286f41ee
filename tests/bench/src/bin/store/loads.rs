//! The loads: what clients ask for, one struct each.

use std::collections::HashMap;

use anyhow::Result;
use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;

use test_bench::calls::{Call, Heard, Load};

use crate::scan;

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const TXN: &str = "/etcdserverpb.KV/Txn";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// Keys that puts and gets choose from.
pub const KEYS: u64 = 10_000;
/// Where they lie.
const PREFIX: &str = "/registry/load/";

/// The name of a key.
pub fn key(number: u64) -> Bytes {
    format!("{PREFIX}{number:08}").into()
}

/// A value; its bytes say nothing.
pub fn value(bytes: usize) -> Bytes {
    vec![b'x'; bytes].into()
}

fn once(path: &'static str, message: &impl Message) -> Call {
    Call { path, messages: vec![message.encode_to_vec()], stays: false }
}

fn one() -> Heard {
    Heard { operations: 1, send: None }
}

/// A walk over the keys that is the same in each run and never twice the same way round.
struct Walk(u64);

impl Walk {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % KEYS
    }
}

/// Puts of random keys.
pub struct Put {
    value: Bytes,
    walk: Walk,
}

impl Put {
    pub fn new(seed: u64, bytes: usize) -> Self {
        Self { value: value(bytes), walk: Walk(seed) }
    }
}

impl Load for Put {
    fn call(&mut self, _client: usize) -> Call {
        once(PUT, &etcd::PutRequest { key: key(self.walk.next()), value: self.value.clone(), ..Default::default() })
    }

    fn heard(&mut self, _client: usize, _message: &[u8]) -> Result<Heard> {
        Ok(one())
    }
}

/// Gets of random keys.
pub struct Get {
    pub serializable: bool,
    walk: Walk,
}

impl Get {
    pub fn new(seed: u64, serializable: bool) -> Self {
        Self { serializable, walk: Walk(seed) }
    }
}

impl Load for Get {
    fn call(&mut self, _client: usize) -> Call {
        let key = key(self.walk.next());
        once(RANGE, &etcd::RangeRequest { key, serializable: self.serializable, ..Default::default() })
    }

    fn heard(&mut self, _client: usize, _message: &[u8]) -> Result<Heard> {
        Ok(one())
    }
}

/// Reads the first keys in one answer.
pub struct Range {
    pub keys: i64,
}

impl Load for Range {
    fn call(&mut self, _client: usize) -> Call {
        let range_end = Bytes::from_static(b"/registry/load0");
        once(RANGE, &etcd::RangeRequest { key: PREFIX.into(), range_end, limit: self.keys, ..Default::default() })
    }

    fn heard(&mut self, _client: usize, _message: &[u8]) -> Result<Heard> {
        Ok(one())
    }
}

/// What Kubernetes does for each update: compares the version that it read, puts, and reads where another was faster.
pub struct Update {
    value: Bytes,
    known: HashMap<usize, i64>,
}

impl Update {
    pub fn new(bytes: usize) -> Self {
        Self { value: value(bytes), known: HashMap::new() }
    }
}

impl Load for Update {
    fn call(&mut self, client: usize) -> Call {
        let op = |request| etcd::RequestOp { request: Some(request) };
        let key = Bytes::from(format!("/registry/own/{client:06}"));
        let known = self.known.get(&client).copied().unwrap_or(0);
        let compare = etcd::Compare {
            key: key.clone(),
            result: CompareResult::Equal as i32,
            target: CompareTarget::Mod as i32,
            target_union: Some(TargetUnion::ModRevision(known)),
            ..Default::default()
        };
        let put = etcd::PutRequest { key: key.clone(), value: self.value.clone(), ..Default::default() };
        let get = etcd::RangeRequest { key, ..Default::default() };
        let txn = etcd::TxnRequest {
            compare: vec![compare],
            success: vec![op(Request::RequestPut(put))],
            failure: vec![op(Request::RequestRange(get))],
        };
        once(TXN, &txn)
    }

    fn heard(&mut self, client: usize, message: &[u8]) -> Result<Heard> {
        let rsp = etcd::TxnResponse::decode(message)?;
        let known = match rsp.responses.first().and_then(|op| op.response.as_ref()) {
            Some(Response::ResponseRange(range)) => range.kvs.first().map_or(0, |kv| kv.mod_revision),
            _ => rsp.header.map_or(0, |header| header.revision),
        };
        self.known.insert(client, known);
        Ok(one())
    }
}

/// Four gets to one put.
pub struct Mixed {
    get: Get,
    put: Put,
    count: u64,
}

impl Mixed {
    pub fn new(seed: u64, bytes: usize) -> Self {
        Self { get: Get::new(seed, false), put: Put::new(seed + 1, bytes), count: 0 }
    }
}

impl Load for Mixed {
    fn call(&mut self, client: usize) -> Call {
        self.count += 1;
        match self.count % 5 {
            0 => self.put.call(client),
            _ => self.get.call(client),
        }
    }

    fn heard(&mut self, _client: usize, _message: &[u8]) -> Result<Heard> {
        Ok(one())
    }
}

/// One lease a client, kept alive as fast as the answers come.
pub struct KeepAlive {
    pub leases: Vec<i64>,
}

impl KeepAlive {
    fn message(&self, client: usize) -> Vec<u8> {
        etcd::LeaseKeepAliveRequest { id: self.leases[client] }.encode_to_vec()
    }
}

impl Load for KeepAlive {
    fn call(&mut self, client: usize) -> Call {
        Call { path: KEEP_ALIVE, messages: vec![self.message(client)], stays: true }
    }

    fn heard(&mut self, client: usize, message: &[u8]) -> Result<Heard> {
        let rsp = etcd::LeaseKeepAliveResponse::decode(message)?;
        anyhow::ensure!(rsp.ttl > 0, "lease {:x} is gone", rsp.id);
        Ok(Heard { operations: 1, send: Some(self.message(client)) })
    }
}

/// Streams with several watchers each; events are counted.
pub struct Watch {
    /// Watchers of one stream.
    pub each: usize,
    /// All watch the same prefix; else each a key of its own.
    pub prefix: bool,
}

impl Watch {
    fn create(&self, number: u64) -> Vec<u8> {
        let (key, range_end) = match self.prefix {
            true => (Bytes::from_static(PREFIX.as_bytes()), Bytes::from_static(b"/registry/load0")),
            false => (key(number % KEYS), Bytes::new()),
        };
        let create = etcd::WatchCreateRequest { key, range_end, ..Default::default() };
        let union = etcd::watch_request::RequestUnion::CreateRequest(create);
        etcd::WatchRequest { request_union: Some(union) }.encode_to_vec()
    }
}

impl Load for Watch {
    fn call(&mut self, client: usize) -> Call {
        let first = client * self.each;
        let messages = (first..first + self.each).map(|number| self.create(number as u64)).collect();
        Call { path: WATCH, messages, stays: true }
    }

    fn heard(&mut self, _client: usize, message: &[u8]) -> Result<Heard> {
        Ok(Heard { operations: scan::count(message, scan::WATCH_EVENTS)?, send: None })
    }
}
