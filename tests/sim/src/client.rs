//! Clients: each does one call after another on some member and writes down what it asked and what it was answered.

pub mod lease;
pub mod watch;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use proto::mvccpb::KeyValue;
use store::member::Member;
use store::refused::Refused;
use store::shared::ReadError;

use crate::dice::Dice;
use crate::history::key_text;
use crate::linear::{Answer, Call, Do, Held, Key};
use crate::net::Live;
use crate::planted::Planted;
use crate::world::World;

/// Keys that clients fight over; the first two also change together.
pub const KEYS: Key = 5;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Values are as long as makes segments fill up.
const PADDING: usize = 90;

pub fn value_text(value: u64) -> Vec<u8> {
    format!("{value} {}", "x".repeat(PADDING)).into_bytes()
}

fn value_of(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    let whole = text.split_once(' ').filter(|(_, rest)| rest.len() == PADDING && rest.bytes().all(|byte| byte == b'x'));
    // A damaged value is one that nobody wrote.
    whole.and_then(|(number, _)| number.parse().ok()).unwrap_or(u64::MAX)
}

fn held(kv: Option<&KeyValue>) -> Held {
    kv.map(|kv| (value_of(&kv.value), kv.mod_revision))
}

pub struct Client {
    pub world: Arc<World>,
    pub id: u32,
    pub dice: Dice,
}

/// What became of a call.
enum Fate {
    Answered(Answer),
    /// It did nothing.
    Refused,
    /// Nobody knows.
    Unknown,
}

impl Client {
    pub async fn run(self) {
        let mut at = 1 + u64::from(self.id) % self.world.size();
        let mut known: Vec<i64> = vec![0; KEYS as usize];
        while !self.world.is_over() {
            // Once all is healed, a call now and then shows that the store answers.
            let calls = if self.world.is_calm() { (300, 900) } else { (10, 120) };
            tokio::time::sleep(self.dice.millis(calls.0, calls.1)).await;
            if self.dice.one_in(12) {
                at = 1 + self.dice.below(self.world.size());
            }
            if self.dice.one_in(60) {
                self.compact(at).await;
            }
            let call = self.choose(&known);
            let fate = self.call(at, call.clone()).await;
            match &fate {
                Fate::Answered(answer) => learn(&mut known, &call, answer),
                _ => at = 1 + self.dice.below(self.world.size()),
            }
        }
    }

    fn choose(&self, known: &[i64]) -> Call {
        let key = self.dice.below(u64::from(KEYS)) as Key;
        let value = || self.world.history.lock().value();
        match self.dice.below(20) {
            0..=6 => Call::get(key),
            7..=12 => Call::put(key, value()),
            13..=16 => Call::swap(key, known[key as usize], value()),
            17 => Call { then: vec![Do::Put(0, value()), Do::Put(1, value())], ..Call::default() },
            18 => Call { then: vec![Do::Get(0), Do::Get(1)], ..Call::default() },
            _ => Call::delete(key),
        }
    }

    /// One call, written down.
    async fn call(&self, at: u64, call: Call) -> Fate {
        let op = self.world.history.lock().begin(self.id, call.clone());
        let fate = self.ask(at, &call).await;
        let mut history = self.world.history.lock();
        match &fate {
            Fate::Answered(answer) => history.end(op, answer.clone()),
            Fate::Refused => history.refuse(op),
            Fate::Unknown => {}
        }
        fate
    }

    async fn ask(&self, at: u64, call: &Call) -> Fate {
        let Some(live) = self.world.net.live(at) else { return Fate::Refused };
        let serializable = self.world.settings.planted == Some(Planted::ReadsNotConfirmed);
        match self.send(live, call.clone(), serializable).await {
            Fate::Unknown if self.world.settings.planted == Some(Planted::SentTwice) => {
                let other = 1 + self.dice.below(self.world.size());
                let Some(live) = self.world.net.live(other) else { return Fate::Unknown };
                self.send(live, call.clone(), serializable).await
            }
            fate => fate,
        }
    }

    async fn send(&self, live: Live, call: Call, serializable: bool) -> Fate {
        let member = live.member.clone();
        let doing = live.process.spawn(async move { once(&member, &call, serializable).await });
        match tokio::time::timeout(PATIENCE, doing).await {
            Ok(Ok(Ok(answer))) => Fate::Answered(answer),
            Ok(Ok(Err(error))) => self.judge(error),
            // The member died, or the client waited long enough.
            _ => Fate::Unknown,
        }
    }

    fn judge(&self, error: ReadError) -> Fate {
        use Refused::{DiskFull, NoLeader, NoSpace, NotLeader};
        match error {
            ReadError::Refused(NoLeader | NotLeader | NoSpace | DiskFull) => Fate::Refused,
            _ => Fate::Unknown,
        }
    }

    async fn compact(&self, at: u64) {
        let Some(live) = self.world.net.live(at) else { return };
        let member = live.member.clone();
        let physical = self.dice.one_in(2);
        let doing = live.process.spawn(async move {
            let revision = member.shared.revision() - 8;
            member.compact(etcd::CompactionRequest { revision, physical }).await.is_ok()
        });
        if let Ok(Ok(true)) = tokio::time::timeout(PATIENCE, doing).await {
            self.world.count("compaction");
        }
    }

    /// Reads every key at a member, for the end.
    pub async fn read_all(&self, at: u64) {
        for key in 0..KEYS {
            self.call(at, Call::get(key)).await;
        }
    }
}

/// What a client remembers of the keys' revisions, for its next comparisons.
fn learn(known: &mut [i64], call: &Call, answer: &Answer) {
    for (part, seen) in call.parts(answer.succeeded).iter().zip(&answer.seen) {
        known[part.key() as usize] = match part {
            Do::Put(..) => answer.revision,
            Do::Get(_) => seen.map_or(0, |(_, revision)| revision),
            Do::Delete(_) => 0,
        };
    }
}

fn key_bytes(key: Key) -> Bytes {
    key_text(key).into()
}

fn put(key: Key, value: u64) -> etcd::PutRequest {
    etcd::PutRequest { key: key_bytes(key), value: value_text(value).into(), ..Default::default() }
}

fn get(key: Key, serializable: bool) -> etcd::RangeRequest {
    etcd::RangeRequest { key: key_bytes(key), serializable, ..Default::default() }
}

fn delete(key: Key) -> etcd::DeleteRangeRequest {
    etcd::DeleteRangeRequest { key: key_bytes(key), prev_kv: true, ..Default::default() }
}

fn op(part: Do, serializable: bool) -> etcd::RequestOp {
    let request = match part {
        Do::Get(key) => Request::RequestRange(get(key, serializable)),
        Do::Put(key, value) => Request::RequestPut(put(key, value)),
        Do::Delete(key) => Request::RequestDeleteRange(delete(key)),
    };
    etcd::RequestOp { request: Some(request) }
}

fn compare(key: Key, revision: i64) -> etcd::Compare {
    etcd::Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Mod as i32,
        key: key_bytes(key),
        target_union: Some(TargetUnion::ModRevision(revision)),
        ..Default::default()
    }
}

fn revision(header: Option<&etcd::ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

/// Asks a member; simple calls by the simple requests, everything else by a transaction.
async fn once(member: &Member, call: &Call, serializable: bool) -> Result<Answer, ReadError> {
    use store::reply::Answer as Reply;
    let one = |revision, seen| Answer { succeeded: true, revision, seen: vec![seen] };
    match (call.compare.as_slice(), call.then.as_slice()) {
        ([], [Do::Get(key)]) => {
            let rsp = member.range(&get(*key, serializable)).await?;
            Ok(one(revision(rsp.header.as_ref()), held(rsp.kvs.first())))
        }
        ([], [Do::Put(key, value)]) => match member.put(put(*key, *value)).await? {
            Reply::Put(rsp) => Ok(one(revision(rsp.header.as_ref()), None)),
            _ => Err(Refused::Stopped.into()),
        },
        ([], [Do::Delete(key)]) => match member.delete_range(delete(*key)).await? {
            Reply::DeleteRange(rsp) => Ok(one(revision(rsp.header.as_ref()), held(rsp.prev_kvs.first()))),
            _ => Err(Refused::Stopped.into()),
        },
        _ => {
            let ops = |parts: &[Do]| parts.iter().map(|part| op(*part, serializable)).collect();
            let req = etcd::TxnRequest {
                compare: call.compare.iter().map(|(key, revision)| compare(*key, *revision)).collect(),
                success: ops(&call.then),
                failure: ops(&call.otherwise),
            };
            let rsp = member.txn(req).await?;
            let seen = rsp.responses.iter().map(seen).collect();
            Ok(Answer { succeeded: rsp.succeeded, revision: revision(rsp.header.as_ref()), seen })
        }
    }
}

fn seen(op: &etcd::ResponseOp) -> Held {
    match &op.response {
        Some(Response::ResponseRange(rsp)) => held(rsp.kvs.first()),
        Some(Response::ResponseDeleteRange(rsp)) => held(rsp.prev_kvs.first()),
        _ => None,
    }
}
