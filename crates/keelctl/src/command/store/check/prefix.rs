//! Where a check writes: nothing may be there before, and nothing is there afterwards.

use anyhow::Context;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;

use crate::command::store::remote::{Remote, Service, failed};
use crate::error::Exit;

/// Keys that one request may delete: more would hold the store up.
const DELETED_AT_ONCE: u64 = 20_000;
/// Into so many parts a larger range is cut, by two hexadecimal digits.
const PARTS: u32 = 256;
/// As etcdctl ends.
const INVALID_INPUT: u8 = 3;

/// A prefix that had no keys when the check began.
pub struct Prefix(String);

async fn kv(remote: &Remote) -> anyhow::Result<KvClient<Service>> {
    Ok(KvClient::new(remote.service(remote.endpoints()).await?))
}

impl Prefix {
    pub async fn unused(remote: &Remote, prefix: &str) -> anyhow::Result<Self> {
        if prefix.is_empty() {
            let message = "--prefix is empty: it would be the whole store that is deleted at the end".to_owned();
            return Err(Exit { code: INVALID_INPUT, message }.into());
        }
        let (key, range_end) = (prefix.to_owned().into(), end(prefix).into());
        let any = etcd::RangeRequest { key, range_end, limit: 1, keys_only: true, ..Default::default() };
        let found = kv(remote).await?.range(any).await.map_err(|status| remote.failed(status))?.into_inner();
        if found.kvs.is_empty() {
            return Ok(Self(prefix.to_owned()));
        }
        let message = format!(
            "error: prefix {prefix:?} has keys: give another --prefix, or delete them (etcdctl del --prefix {prefix})"
        );
        Err(Exit { code: INVALID_INPUT, message }.into())
    }

    /// Deletes everything below it; gives the store's revision then.
    pub async fn delete(&self, remote: &Remote, written: u64) -> anyhow::Result<i64> {
        let mut kv = kv(remote).await?;
        let mut revision = 0;
        for (key, range_end) in parts(&self.0, written) {
            let range = etcd::DeleteRangeRequest { key: key.into(), range_end: range_end.into(), prev_kv: false };
            let answer = kv.delete_range(range).await.map_err(|status| remote.failed(status));
            let answer = answer.with_context(|| format!("the keys below {} stay: delete them", self.0))?;
            revision = answer.into_inner().header.map_or(0, |header| header.revision);
        }
        Ok(revision)
    }
}

pub async fn compact(remote: &Remote, revision: i64) -> anyhow::Result<()> {
    crate::say!("Compacting with revision {revision}");
    let request = etcd::CompactionRequest { revision, physical: false };
    kv(remote).await?.compact(request).await.map_err(|status| remote.failed(status))?;
    Ok(())
}

pub async fn defragment(remote: &Remote) -> anyhow::Result<()> {
    for endpoint in remote.endpoints() {
        crate::say!("Defragmenting {endpoint}");
        let answer = remote.maintenance(&endpoint).await?.defragment(etcd::DefragmentRequest {}).await;
        answer.map_err(|status| failed(&endpoint, &status))?;
    }
    Ok(())
}

/// The first key that does not begin with `prefix`.
fn end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    // Everything from the prefix on.
    vec![0]
}

/// Ranges that together are all below the prefix.
fn parts(prefix: &str, written: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    if written <= DELETED_AT_ONCE {
        return vec![(prefix.as_bytes().to_vec(), end(prefix))];
    }
    let begin = |part: u32| match part {
        0 => prefix.as_bytes().to_vec(),
        PARTS => end(prefix),
        part => format!("{prefix}{part:02x}").into_bytes(),
    };
    (0..PARTS).map(|part| (begin(part), begin(part + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_whole() {
        assert_eq!(parts("/a/", 5), [(b"/a/".to_vec(), b"/a0".to_vec())]);
        let many = parts("/a/", DELETED_AT_ONCE + 1);
        assert_eq!((many[0].0.as_slice(), many[255].1.as_slice()), (&b"/a/"[..], &b"/a0"[..]));
        assert!(many.windows(2).all(|pair| pair[0].1 == pair[1].0 && pair[0].0 < pair[0].1));
    }
}
