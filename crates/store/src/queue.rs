//! Keys that stand in line: the recipe that etcd's locks and elections are made of.
//!
//! Whoever comes puts NAME/LEASE, in hex; the key that was created first has its turn. A key goes with its lease, so a
//! place in the line lives as long as its holder.

use std::sync::Arc;

use bytes::Bytes;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::request_op::Request as Op;
use proto::etcdserverpb::response_op::Response as Done;
use proto::mvccpb::KeyValue;

use crate::ask::{Asked, Credentials};
use crate::follow::Follow;
use crate::member::Member;
use crate::refused::Refused;
use crate::reply::Answer;
use crate::shared::ReadError;
use crate::watcher::Spec;

/// Seconds of a lease that is made for somebody who brings none, as etcd has it.
const LEASE_TTL: i64 = 60;

/// A line, as one client stands in it.
#[derive(Clone)]
pub struct Line {
    member: Arc<Member>,
    by: Credentials,
    /// With the slash.
    prefix: Bytes,
}

/// A place in a line.
#[derive(Clone, Debug)]
pub struct Place {
    pub key: Bytes,
    /// The revision at which the key was created: it decides whose turn it is.
    pub created: i64,
    pub lease: i64,
    /// The value that was there already, where the caller stood in the line before.
    pub found: Option<Bytes>,
}

/// The end of everything that begins with `prefix`; such a prefix ends with a slash.
fn after(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end.into()
}

fn created(key: &Bytes, revision: i64) -> etcd::Compare {
    etcd::Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Create as i32,
        key: key.clone(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        ..Default::default()
    }
}

fn op(request: Op) -> etcd::RequestOp {
    etcd::RequestOp { request: Some(request) }
}

fn io_is_damage(error: ReadError) -> Refused {
    match error {
        ReadError::Refused(refused) => refused,
        ReadError::Io(_) => Refused::Corrupt,
    }
}

impl Line {
    pub fn new(member: Arc<Member>, by: Credentials, name: &[u8]) -> Self {
        Self { member, by, prefix: [name, b"/"].concat().into() }
    }

    fn asked(&self) -> Asked<'_> {
        self.member.asked(&self.by)
    }

    /// Takes a place, or finds the one that the lease has. Lease 0: one is made, and ends by itself.
    pub async fn join(&self, lease: i64, value: Bytes) -> Result<Place, Refused> {
        let lease = if lease == 0 { self.lease().await? } else { lease };
        let key: Bytes = [&self.prefix[..], format!("{lease:x}").as_bytes()].concat().into();
        let put = etcd::PutRequest { key: key.clone(), value, lease, ..Default::default() };
        let get = etcd::RangeRequest { key: key.clone(), ..Default::default() };
        let txn = etcd::TxnRequest {
            compare: vec![created(&key, 0)],
            success: vec![op(Op::RequestPut(put))],
            failure: vec![op(Op::RequestRange(get))],
        };
        let rsp = self.asked().txn(txn).await.map_err(io_is_damage)?;
        if rsp.succeeded {
            let created = rsp.header.map_or(0, |header| header.revision);
            return Ok(Place { key, created, lease, found: None });
        }
        match rsp.responses.into_iter().next().and_then(|rsp| rsp.response) {
            Some(Done::ResponseRange(rsp)) if rsp.kvs.len() == 1 => {
                let kv = &rsp.kvs[0];
                Ok(Place { key, created: kv.create_revision, lease, found: Some(kv.value.clone()) })
            }
            _ => Err(Refused::Stopped),
        }
    }

    async fn lease(&self) -> Result<i64, Refused> {
        match self.asked().grant(etcd::LeaseGrantRequest { ttl: LEASE_TTL, id: 0 }).await? {
            Answer::LeaseGrant(rsp) => Ok(rsp.id),
            _ => Err(Refused::Stopped),
        }
    }

    /// Returns when nobody who came before is there any more.
    pub async fn wait_turn(&self, place: &Place) -> Result<(), Refused> {
        while let Some((key, revision)) = self.before(place.created).await? {
            let spec = Spec { key, range_end: Bytes::new(), puts: false, deletes: true, prev_kv: false };
            Follow::new(self.member.clone(), spec, revision + 1).next().await?;
        }
        Ok(())
    }

    /// The last who came before, and the revision at which that was looked at.
    async fn before(&self, created: i64) -> Result<Option<(Bytes, i64)>, Refused> {
        let last = etcd::RangeRequest { max_create_revision: created - 1, ..self.sorted(SortOrder::Descend) };
        let rsp = self.asked().range(&last).await.map_err(io_is_damage)?;
        let revision = rsp.header.map_or(0, |header| header.revision);
        Ok(rsp.kvs.into_iter().next().map(|kv| (kv.key, revision)))
    }

    fn sorted(&self, order: SortOrder) -> etcd::RangeRequest {
        etcd::RangeRequest {
            key: self.prefix.clone(),
            range_end: after(&self.prefix),
            limit: 1,
            sort_order: order as i32,
            sort_target: SortTarget::Create as i32,
            ..Default::default()
        }
    }

    /// Whose turn it is, and the revision at which that was so.
    pub async fn first(&self) -> Result<(Option<KeyValue>, i64), Refused> {
        let rsp = self.asked().range(&self.sorted(SortOrder::Ascend)).await.map_err(io_is_damage)?;
        Ok((rsp.kvs.into_iter().next(), rsp.header.map_or(0, |header| header.revision)))
    }

    /// Whether the place is still there; the revision at which that was looked at.
    pub async fn holds(&self, place: &Place) -> Result<Option<i64>, Refused> {
        let get = etcd::RangeRequest { key: place.key.clone(), ..Default::default() };
        let rsp = self.asked().range(&get).await.map_err(io_is_damage)?;
        Ok((rsp.count > 0).then(|| rsp.header.map_or(0, |header| header.revision)))
    }

    /// Changes the value of a place that is still the same; the revision, none when it is another's by now.
    pub async fn set(&self, key: &Bytes, revision: i64, lease: i64, value: Bytes) -> Result<Option<i64>, Refused> {
        let put = etcd::PutRequest { key: key.clone(), value, lease, ..Default::default() };
        self.if_same(key, revision, Op::RequestPut(put)).await
    }

    /// Gives a place up, if it is still the same; the revision.
    pub async fn leave(&self, key: &Bytes, revision: i64) -> Result<Option<i64>, Refused> {
        let delete = etcd::DeleteRangeRequest { key: key.clone(), ..Default::default() };
        self.if_same(key, revision, Op::RequestDeleteRange(delete)).await
    }

    async fn if_same(&self, key: &Bytes, revision: i64, request: Op) -> Result<Option<i64>, Refused> {
        let txn =
            etcd::TxnRequest { compare: vec![created(key, revision)], success: vec![op(request)], failure: Vec::new() };
        let rsp = self.asked().txn(txn).await.map_err(io_is_damage)?;
        Ok(rsp.succeeded.then(|| rsp.header.map_or(0, |header| header.revision)))
    }

    /// Follows one key, or the line with an empty `key`, from a revision on.
    pub fn follow(&self, key: Option<&Bytes>, start: i64) -> Follow {
        let (key, range_end) = match key {
            Some(key) => (key.clone(), Bytes::new()),
            None => (self.prefix.clone(), after(&self.prefix)),
        };
        Follow::new(self.member.clone(), Spec { key, range_end, puts: true, deletes: true, prev_kv: false }, start)
    }
}

/// Gives a place up when whoever waits for its turn goes away.
pub struct Waiting {
    pub line: Line,
    /// Taken when the turn has come.
    pub place: Option<Place>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let line = self.line.clone();
        // The caller's task ends here: this one outlives it by one request.
        tokio::spawn(async move {
            if let Err(refused) = line.leave(&place.key, place.created).await {
                tracing::debug!(%refused, "a place in a line stays until its lease ends");
            }
        });
    }
}
