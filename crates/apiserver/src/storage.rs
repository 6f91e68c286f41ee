//! The store as the apiserver uses it: an etcd v3 client with the handful of operations that objects need.
//!
//! Every write is a transaction conditional on the version it was decided from. Reads are linearizable unless a
//! revision is named, and paged. Several endpoints may be given; see [`endpoint`].

pub mod codec;
pub mod compact;
pub mod endpoint;
mod error;
pub mod version;
pub mod watch;

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse, compare, range_request,
    request_op, response_op,
};
use proto::mvccpb::KeyValue;
use tonic::transport::Channel;

pub use error::StorageError;

/// Largest message of a watch: all changes that came at once.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Largest page of a range; one that would be larger is asked for again with fewer keys.
const PAGE_BYTES_MAX: usize = 16 << 20;
/// Keys asked for in the first page of a range; later pages adapt to the size of the values.
const PAGE_LEN: i64 = 500;
/// Where paging aims to keep one answer.
const PAGE_BYTES: usize = 2 << 20;
const PAGE_LEN_MAX: i64 = 10_000;
/// What a write is in errors.
const OPERATION: &str = "a transaction";

/// Access to the store.
#[derive(Debug)]
pub struct Store {
    endpoints: endpoint::Endpoints,
    /// Whether progress notifications can be trusted; see [`version`].
    ordered_progress: AtomicBool,
}

/// A key with its value and version.
#[derive(Debug, Clone)]
pub struct Record {
    /// The key.
    pub key: Bytes,
    /// The stored bytes.
    pub value: Bytes,
    /// Revision of the last change.
    pub rev: i64,
}

/// A part of a range.
#[derive(Debug)]
pub struct Page {
    /// In key order.
    pub records: Vec<Record>,
    /// Whether more follow.
    pub more: bool,
    /// How many keys the range holds from its start on.
    pub count: i64,
    /// The store's revision at the read.
    pub revision: i64,
}

/// How a conditional write ended.
#[derive(Debug)]
pub enum Written {
    /// Done, at this revision.
    Done(i64),
    /// The condition did not hold; what is there instead.
    Conflict(Option<Record>),
}

impl Store {
    /// Prepares access; nothing is sent yet.
    pub fn new(config: &endpoint::EndpointConfig) -> anyhow::Result<Self> {
        Ok(Self { endpoints: endpoint::Endpoints::new(config)?, ordered_progress: AtomicBool::new(false) })
    }

    /// How many members it has, as the flags say.
    pub fn members(&self) -> usize {
        self.endpoints.count()
    }

    /// How each member is, in the order of the flags.
    pub async fn look(&self) -> Vec<endpoint::Seen> {
        self.endpoints.look().await
    }

    /// Whether a progress notification never overtakes the events it covers. False until every endpoint that answers
    /// has told so by its version.
    pub fn has_ordered_progress(&self) -> bool {
        self.ordered_progress.load(Ordering::Relaxed)
    }

    /// The newest value of a key, and the store's revision.
    pub async fn get(&self, key: &str) -> Result<(Option<Record>, i64), StorageError> {
        let request = RangeRequest { key: key_bytes(key), ..Default::default() };
        let page = self.range_request(request).await?;
        Ok((page.records.into_iter().next(), page.revision))
    }

    /// The store's current revision, linearizable.
    pub async fn revision(&self, prefix: &str) -> Result<i64, StorageError> {
        let request = RangeRequest { key: key_bytes(prefix), limit: 1, keys_only: true, ..Default::default() };
        Ok(self.range_request(request).await?.revision)
    }

    /// Keys from `start` up to the end of `prefix`, at most `limit`, at `revision` (0: the newest). Fewer where so many
    /// do not fit into one message.
    pub async fn page(&self, prefix: &str, start: &str, limit: i64, revision: i64) -> Result<Page, StorageError> {
        let mut limit = limit;
        loop {
            let request = RangeRequest {
                key: key_bytes(start),
                range_end: prefix_end(prefix),
                limit,
                revision,
                ..Default::default()
            };
            match self.range_request(request).await {
                Err(StorageError::TooLarge { .. }) if limit > 1 => limit /= 2,
                outcome => return outcome,
            }
        }
    }

    /// The highest revision among the keys below `prefix`; 0 where there are none.
    pub async fn newest_below(&self, prefix: &str) -> Result<i64, StorageError> {
        let request = RangeRequest {
            key: key_bytes(prefix),
            range_end: prefix_end(prefix),
            limit: 1,
            sort_order: range_request::SortOrder::Descend as i32,
            sort_target: range_request::SortTarget::Mod as i32,
            keys_only: true,
            ..Default::default()
        };
        let page = self.range_request(request).await?;
        Ok(page.records.first().map_or(0, |record| record.rev))
    }

    /// Everything below `prefix` at one revision, read in pages; `take` gets each page, while the next one is on its way.
    pub async fn scan(
        &self,
        prefix: &str,
        revision: i64,
        mut take: impl FnMut(Vec<Record>) + Send,
    ) -> Result<i64, StorageError> {
        let mut limit = PAGE_LEN;
        let mut page = self.page(prefix, prefix, limit, revision).await?;
        let revision = if revision == 0 { page.revision } else { revision };
        loop {
            let bytes: usize = page.records.iter().map(|record| record.value.len()).sum();
            limit = next_limit(limit, bytes);
            let next = page.records.last().filter(|_| page.more).map(|record| after(&record.key));
            let Some(next) = next else {
                take(page.records);
                return Ok(revision);
            };
            // The first is polled first: its request is sent before this page is worked on.
            let taken = async { take(page.records) };
            let (following, ()) = futures::join!(self.page(prefix, &next, limit, revision), taken);
            page = following?;
        }
    }

    /// Writes a key that must not exist. Nobody else writes these bytes there: they hold the uid of a new object.
    pub async fn create(&self, key: &str, value: Bytes) -> Result<Written, StorageError> {
        self.write_if(key, vec![compare_version(key, 0)], Some(value), true).await
    }

    /// As [`Self::create`], with bytes that others may write alike.
    pub async fn create_common(&self, key: &str, value: Bytes) -> Result<Written, StorageError> {
        self.write_if(key, vec![compare_version(key, 0)], Some(value), false).await
    }

    /// Writes a key that must not exist, while `guard` is at revision `rev`. A conflict without a record says that
    /// the guard is not.
    pub async fn create_beside(
        &self,
        key: &str,
        value: Bytes,
        (guard, rev): (&str, i64),
    ) -> Result<Written, StorageError> {
        self.write_if(key, vec![compare_version(key, 0), compare_rev(guard, rev)], Some(value), true).await
    }

    /// Replaces a key that must be at revision `rev`.
    pub async fn replace(&self, key: &str, rev: i64, value: Bytes) -> Result<Written, StorageError> {
        self.write_if(key, vec![compare_rev(key, rev)], Some(value), false).await
    }

    /// Deletes a key that must be at revision `rev`.
    pub async fn remove(&self, key: &str, rev: i64) -> Result<Written, StorageError> {
        self.write_if(key, vec![compare_rev(key, rev)], None, false).await
    }

    /// `unique`: nobody else writes this value.
    async fn write_if(
        &self,
        key: &str,
        when: Vec<Compare>,
        value: Option<Bytes>,
        unique: bool,
    ) -> Result<Written, StorageError> {
        let bytes = value.as_ref().map_or(0, Bytes::len);
        let write = match value.clone() {
            Some(value) => put(key, value),
            None => delete(key),
        };
        let txn = TxnRequest { compare: when, success: vec![write], failure: vec![read(key)] };
        // Its condition no longer holds once it is done: it can be sent again when an answer is lost.
        let answered = self
            .endpoints
            .write_once(OPERATION, bytes, |channel| {
                let txn = txn.clone();
                async move { Ok(kv(channel).txn(txn).await?.into_inner()) }
            })
            .await?;
        let answer = answered.answer;
        if answer.succeeded {
            return Ok(Written::Done(answer.header.map_or(0, |header| header.revision)));
        }
        let found = answer.responses.into_iter().find_map(|response| match response.response {
            Some(response_op::Response::ResponseRange(range)) => range.kvs.into_iter().next(),
            _ => None,
        });
        let found = found.map(record);
        if !answered.uncertain {
            return Ok(Written::Conflict(found));
        }
        // The attempt that was lost may be what is in the way now.
        match found {
            Some(found) if unique && value.as_ref() == Some(&found.value) => Ok(Written::Done(found.rev)),
            _ => {
                let source = Box::new(tonic::Status::unavailable("the object has changed since"));
                Err(StorageError::Unknown { operation: OPERATION, source })
            }
        }
    }

    async fn txn(&self, txn: TxnRequest, bytes: usize) -> Result<TxnResponse, StorageError> {
        self.endpoints
            .write(OPERATION, bytes, |channel| {
                let txn = txn.clone();
                async move { Ok(kv(channel).txn(txn).await?.into_inner()) }
            })
            .await
    }

    async fn range_request(&self, request: RangeRequest) -> Result<Page, StorageError> {
        let answer = self
            .endpoints
            .read("a read", request.revision, |channel| {
                let request = request.clone();
                async move { Ok(kv(channel).range(request).await?.into_inner()) }
            })
            .await?;
        Ok(Page {
            more: answer.more,
            count: answer.count,
            revision: answer.header.map_or(0, |header| header.revision),
            records: answer.kvs.into_iter().map(record).collect(),
        })
    }
}

fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(PAGE_BYTES_MAX).max_encoding_message_size(PAGE_BYTES_MAX)
}

fn record(kv: KeyValue) -> Record {
    Record { key: kv.key, value: kv.value, rev: kv.mod_revision }
}

fn key_bytes(key: &str) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}

fn put(key: &str, value: Bytes) -> RequestOp {
    let put = PutRequest { key: key_bytes(key), value, ..Default::default() };
    RequestOp { request: Some(request_op::Request::RequestPut(put)) }
}

fn delete(key: &str) -> RequestOp {
    let delete = DeleteRangeRequest { key: key_bytes(key), ..Default::default() };
    RequestOp { request: Some(request_op::Request::RequestDeleteRange(delete)) }
}

fn read(key: &str) -> RequestOp {
    let read = RangeRequest { key: key_bytes(key), ..Default::default() };
    RequestOp { request: Some(request_op::Request::RequestRange(read)) }
}

fn compare_rev(key: &str, rev: i64) -> Compare {
    Compare {
        result: compare::CompareResult::Equal as i32,
        target: compare::CompareTarget::Mod as i32,
        key: key_bytes(key),
        target_union: Some(compare::TargetUnion::ModRevision(rev)),
        ..Default::default()
    }
}

fn compare_version(key: &str, version: i64) -> Compare {
    Compare {
        result: compare::CompareResult::Equal as i32,
        target: compare::CompareTarget::Version as i32,
        key: key_bytes(key),
        target_union: Some(compare::TargetUnion::Version(version)),
        ..Default::default()
    }
}

/// The first key after every key that begins with `prefix`.
fn prefix_end(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(&[0])
}

/// The first key after this one.
fn after(key: &[u8]) -> String {
    let mut next = String::from_utf8_lossy(key).into_owned();
    next.push('\0');
    next
}

fn next_limit(limit: i64, bytes: usize) -> i64 {
    if bytes > PAGE_BYTES { (limit / 2).max(1) } else { (limit * 2).min(PAGE_LEN_MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_next_sibling() {
        assert_eq!(prefix_end("/registry/pods/"), Bytes::from_static(b"/registry/pods0"));
        assert_eq!(prefix_end(""), Bytes::from_static(&[0]));
    }

    #[test]
    fn pages_shrink_with_large_values_and_grow_with_small_ones() {
        assert_eq!(next_limit(500, PAGE_BYTES + 1), 250);
        assert_eq!(next_limit(500, 10), 1000);
        assert_eq!(next_limit(1, usize::MAX), 1);
        assert_eq!(next_limit(PAGE_LEN_MAX, 0), PAGE_LEN_MAX);
    }
}
