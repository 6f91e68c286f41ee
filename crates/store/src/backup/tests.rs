//! A backup holds what the store held when it was begun, whatever happens meanwhile, and hashes are those of etcd's rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use bbolt::read::Db;
use prost::Message;
use proto::etcdserverpb as etcd;
use proto::keelson::raft::v1::Command;
use proto::keelson::raft::v1::command::Request;
use proto::mvccpb::KeyValue;
use sha2::{Digest, Sha256};

use super::buckets::{KEY, revision_bytes, revision_of};
use super::walk::ByRevision;
use super::*;
use crate::engine::open;
use crate::env::Env;
use crate::env::sim::{SimDisk, SimRandom};
use crate::raft::types::LogId;

pub(crate) fn store() -> Arc<Shared> {
    let env = Env::sim(&SimDisk::default(), SimRandom::new(1), Default::default());
    let opened = open::read(&env).and_then(|found| found.finish(&env)).expect("an engine");
    Arc::new(Shared::new(opened.state, opened.writer))
}

pub(crate) fn apply(shared: &Shared, request: Request) {
    let mut writer = shared.writer.lock();
    let mut held = shared.held.write();
    let id = LogId::new_term_index(1, held.state.applied.map_or(0, |applied| applied.index) + 1);
    writer.begin(Some(id)).expect("room");
    let command = Command { request: Some(request), ..Default::default() };
    let applied = crate::apply::apply(&mut held.state, &mut writer, 1, &command, false).expect("a whole engine");
    applied.outcome.expect("a good request");
    writer.finish();
    writer.flush().expect("room");
    held.state.applied = Some(id);
}

pub(crate) fn put(shared: &Shared, key: &str, value: &str) {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    apply(shared, Request::Put(etcd::PutRequest { key, value, ..Default::default() }));
}

pub(crate) fn delete(shared: &Shared, key: &str) {
    apply(shared, Request::DeleteRange(etcd::DeleteRangeRequest { key: key.to_owned().into(), ..Default::default() }));
}

pub(crate) fn compact(shared: &Shared, revision: i64) {
    apply(shared, Request::Compact(etcd::CompactionRequest { revision, physical: false }));
}

pub(crate) fn bytes(moment: &Moment) -> Vec<u8> {
    let layout = stream::measure(moment).expect("a whole store");
    let mut bytes = Vec::new();
    stream::write(moment, layout, |piece| {
        bytes.extend(piece);
        Ok(())
    })
    .expect("a whole store");
    assert_eq!(bytes.len() as u64, layout.bytes() + 32);
    bytes
}

/// (revision, tombstone, key, value) of every version.
fn versions(bytes: &[u8]) -> Vec<(i64, bool, String, String)> {
    let db = Db::open(bytes).expect("a database");
    let mut entries = db.bucket(KEY.as_bytes()).expect("whole").expect("a bucket of keys");
    let mut found = Vec::new();
    while let Some((key, value)) = entries.next_entry().expect("whole") {
        let (main, _, tombstone) = revision_of(key).expect("a revision");
        let kv = KeyValue::decode(value).expect("a pair");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        found.push((main, tombstone, text(&kv.key), text(&kv.value)));
    }
    found
}

#[test]
fn a_backup_is_the_moment_it_was_begun_at() {
    let shared = store();
    put(&shared, "a", "1");
    put(&shared, "b", "2");
    delete(&shared, "a");
    let moment = Moment::take(&shared);
    put(&shared, "b", "3");
    delete(&shared, "b");
    compact(&shared, 6);
    let found = versions(&bytes(&moment));
    let expect = [(2, false, "a", "1"), (3, false, "b", "2"), (4, true, "a", "")];
    assert_eq!(found, expect.map(|(main, gone, key, value)| (main, gone, key.to_owned(), value.to_owned())));
}

#[test]
fn what_is_compacted_is_not_in_a_backup_even_before_it_is_trimmed() {
    let shared = store();
    put(&shared, "a", "1");
    put(&shared, "a", "2");
    put(&shared, "b", "3");
    delete(&shared, "b");
    compact(&shared, 5);
    put(&shared, "c", "4");
    let bytes = bytes(&Moment::take(&shared));
    let mains: Vec<i64> = versions(&bytes).into_iter().map(|(main, ..)| main).collect();
    assert_eq!(mains, [3, 5, 6], "the tombstone of the compaction point itself stays");
    let db = Db::open(bytes.as_slice()).expect("a database");
    let mut meta = db.bucket(b"meta").expect("whole").expect("a bucket");
    let mut found = BTreeMap::new();
    while let Some((key, value)) = meta.next_entry().expect("whole") {
        found.insert(key.to_vec(), value.to_vec());
    }
    assert_eq!(found[&b"finishedCompactRev".to_vec()], revision_bytes(5, 0, false));
    assert_eq!(found[&b"consistent_index".to_vec()], 6_u64.to_be_bytes());
}

#[test]
fn the_checksum_behind_a_backup_is_its_own() {
    let shared = store();
    for number in 0..300 {
        put(&shared, &format!("key-{number}"), &"value".repeat(number));
    }
    let bytes = bytes(&Moment::take(&shared));
    let (database, sum) = bytes.split_at(bytes.len() - 32);
    assert_eq!(database.len() % 512, 0, "etcd knows by it that there is a checksum");
    assert_eq!(Sha256::digest(database).as_slice(), sum);
}

#[test]
fn windows_of_any_size_give_every_version_once_in_order() {
    let shared = store();
    for number in 0..200_usize {
        put(&shared, &format!("key-{}", number * 7919 % 61), "value");
    }
    compact(&shared, 50);
    let moment = Moment::take(&shared);
    let all: Vec<i64> = versions(&bytes(&moment)).into_iter().map(|(main, ..)| main).collect();
    assert!(all.len() > 150 && all.is_sorted_by(|a, b| a < b), "{all:?}");
    for len in [1, 2, 3, 7, 61, 100, 1000] {
        let mut walk = ByRevision::with_window(&moment, len);
        let mut found = Vec::new();
        while let Some(rows) = walk.next_window().expect("a whole store") {
            assert!(rows.len() <= len.max(1) || len >= all.len(), "{} rows of {len}", rows.len());
            found.extend(rows.iter().map(|row| row.version.main));
        }
        assert_eq!(found, all, "windows of {len}");
    }
}

#[test]
fn a_moment_keeps_segments_where_they_are() {
    let shared = store();
    put(&shared, "a", "1");
    assert!(!shared.is_pinned());
    let moment = Moment::take(&shared);
    assert!(shared.is_pinned());
    drop(moment);
    assert!(!shared.is_pinned());
}
