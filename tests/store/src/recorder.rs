//! What clients ask and are answered, in the form that the judge of histories (test-sim) reads.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use parking_lot::Mutex;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use test_sim::linear::{Answer, Call, Do, Held, Key, Op};
use tonic::transport::Channel;

/// One call and what became of it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub op: Op,
    /// The member that was asked.
    pub member: usize,
    /// What it said, where it refused or nothing came.
    pub error: Option<String>,
    pub took: Duration,
}

impl Entry {
    pub fn is_write(&self) -> bool {
        let done = |answer: &Answer| self.op.call.parts(answer.succeeded).iter().any(|part| part.is_write());
        self.op.answer.as_ref().is_some_and(done)
    }
}

/// A place in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

#[derive(Default)]
struct State {
    now: u64,
    entries: Vec<Entry>,
}

impl State {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }
}

#[derive(Default)]
pub struct Recorder(Mutex<State>);

impl Recorder {
    /// Does the call and keeps what it gave; the answer, where there is one. An answer that makes no sense is an error.
    pub async fn call(
        &self,
        client: u32,
        kv: &mut KvClient<Channel>,
        member: usize,
        call: Call,
    ) -> Result<Option<Answer>> {
        let place = {
            let mut state = self.0.lock();
            let op = Op { client, begun: state.tick(), ended: None, call: call.clone(), answer: None };
            state.entries.push(Entry { op, member, error: None, took: Duration::ZERO });
            state.entries.len() - 1
        };
        let start = Instant::now();
        let answered = ask(kv, &call).await;
        let mut state = self.0.lock();
        let ended = state.tick();
        let entry = &mut state.entries[place];
        entry.took = start.elapsed();
        match answered {
            Ok(rsp) => {
                let answer = answer(&call, rsp)?;
                entry.op.ended = Some(ended);
                entry.op.answer = Some(answer.clone());
                Ok(Some(answer))
            }
            Err(status) => {
                entry.error = Some(format!("{:?}: {}", status.code(), status.message()));
                Ok(None)
            }
        }
    }

    pub fn now(&self) -> Moment {
        Moment(self.0.lock().tick())
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().entries.clone()
    }

    /// Answered calls that began after a moment, of those that `which` takes.
    pub fn answered_since(&self, Moment(since): Moment, which: impl Fn(&Entry) -> bool) -> usize {
        let state = self.0.lock();
        let of = |entry: &&Entry| entry.op.answer.is_some() && entry.op.begun > since && which(entry);
        state.entries.iter().filter(of).count()
    }

    /// Calls that began after a moment and got no answer, only a refusal with this in it.
    pub fn refused_since(&self, Moment(since): Moment, text: &str) -> usize {
        let state = self.0.lock();
        let with = |entry: &&Entry| entry.error.as_ref().is_some_and(|error| error.contains(text));
        state.entries.iter().filter(|entry| entry.op.begun > since).filter(with).count()
    }
}

pub fn name(key: Key) -> Bytes {
    format!("k/{key:05}").into()
}

/// A call of one part is the request of its own, everything else a transaction; every answer is put as a transaction's.
async fn ask(kv: &mut KvClient<Channel>, call: &Call) -> Result<etcd::TxnResponse, tonic::Status> {
    let whole = |header, response| etcd::TxnResponse {
        header,
        succeeded: true,
        responses: vec![etcd::ResponseOp { response: Some(response) }],
    };
    if !call.compare.is_empty() || call.then.len() != 1 {
        return Ok(kv.txn(transaction(call)).await?.into_inner());
    }
    Ok(match request(&call.then[0]) {
        Request::RequestRange(req) => {
            let mut rsp = kv.range(req).await?.into_inner();
            whole(rsp.header.take(), Response::ResponseRange(rsp))
        }
        Request::RequestPut(req) => {
            let mut rsp = kv.put(req).await?.into_inner();
            whole(rsp.header.take(), Response::ResponsePut(rsp))
        }
        Request::RequestDeleteRange(req) => {
            let mut rsp = kv.delete_range(req).await?.into_inner();
            whole(rsp.header.take(), Response::ResponseDeleteRange(rsp))
        }
        Request::RequestTxn(req) => kv.txn(req).await?.into_inner(),
    })
}

fn transaction(call: &Call) -> etcd::TxnRequest {
    let compare = |(key, revision): &(Key, i64)| etcd::Compare {
        key: name(*key),
        result: CompareResult::Equal as i32,
        target: CompareTarget::Mod as i32,
        target_union: Some(TargetUnion::ModRevision(*revision)),
        ..Default::default()
    };
    let op = |part: &Do| etcd::RequestOp { request: Some(request(part)) };
    etcd::TxnRequest {
        compare: call.compare.iter().map(compare).collect(),
        success: call.then.iter().map(op).collect(),
        failure: call.otherwise.iter().map(op).collect(),
    }
}

fn request(part: &Do) -> Request {
    match *part {
        Do::Get(key) => Request::RequestRange(etcd::RangeRequest { key: name(key), ..Default::default() }),
        Do::Put(key, value) => {
            let value = value.to_string().into();
            Request::RequestPut(etcd::PutRequest { key: name(key), value, ..Default::default() })
        }
        Do::Delete(key) => {
            let req = etcd::DeleteRangeRequest { key: name(key), prev_kv: true, ..Default::default() };
            Request::RequestDeleteRange(req)
        }
    }
}

fn answer(call: &Call, rsp: etcd::TxnResponse) -> Result<Answer> {
    let held = |kvs: &[proto::mvccpb::KeyValue]| -> Result<Held> {
        let Some(kv) = kvs.first() else { return Ok(None) };
        Ok(Some((std::str::from_utf8(&kv.value)?.parse()?, kv.mod_revision)))
    };
    let mut seen = Vec::new();
    for (part, rsp) in call.parts(rsp.succeeded).iter().zip(&rsp.responses) {
        seen.push(match (part, &rsp.response) {
            (Do::Get(_), Some(Response::ResponseRange(rsp))) => held(&rsp.kvs)?,
            (Do::Put(..), Some(Response::ResponsePut(_))) => None,
            (Do::Delete(_), Some(Response::ResponseDeleteRange(rsp))) => held(&rsp.prev_kvs)?,
            other => bail!("an answer of another kind: {other:?}"),
        });
    }
    Ok(Answer { succeeded: rsp.succeeded, revision: rsp.header.context("a header")?.revision, seen })
}
