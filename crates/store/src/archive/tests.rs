//! Archives go on after a crash at any byte, and give back what was applied, up to any revision and time.

use std::path::Path;

use openraft::entry::{RaftEntry, RaftPayload};
use proto::etcdserverpb as etcd;
use proto::keelson::raft::v1::Command;
use proto::keelson::raft::v1::command::Request;

use super::read::{Upto, find, replay};
use super::writer::Writer;
use super::*;
use crate::backup::tests::store;
use crate::raft::types::{Batch, Entry, LogId};

const OWNER: Owner = Owner { cluster_id: 7, member_id: 9 };

fn put(key: &str, value: &str) -> Command {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    Command { request: Some(Request::Put(etcd::PutRequest { key, value, ..Default::default() })), ..Default::default() }
}

/// Entry `index` puts two keys: revisions 2 * index + 2 and 2 * index + 3.
fn entry(index: u64) -> Entry {
    let batch = Batch::new(vec![put("a", &index.to_string()), put(&format!("key-{index}"), "value")]);
    Entry::new(LogId::new_term_index(1, index), openraft::EntryPayload::normal(batch))
}

fn entries(range: std::ops::Range<u64>) -> Vec<Entry> {
    range.map(entry).collect()
}

/// The revision that a replay reaches, and the value of `a` there.
fn replayed(folder: &Path, upto: Upto) -> Result<(i64, String), ArchiveError> {
    let shared = store();
    let mut writer = shared.writer.lock();
    let mut held = shared.held.write();
    replay(folder, &mut held.state, &mut writer, upto)?;
    let value = match held.state.index.get(b"a") {
        Some(version) => String::from_utf8(writer.engine().view().read(version.loc).expect("a value").to_vec()),
        None => Ok(String::new()),
    };
    Ok((held.state.index.revision(), value.expect("text")))
}

#[test]
fn a_replay_reaches_any_revision_and_any_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = Writer::open(folder.path().to_owned(), OWNER).expect("a new archive").with_file_bytes(300);
    for index in 0..20 {
        writer.append(&[entry(index)], 1000 + index as i64).expect("room");
    }
    assert!(files(folder.path()).expect("a folder").len() > 3, "small files");
    assert_eq!(replayed(folder.path(), Upto::End).expect("whole"), (41, "19".to_owned()));
    for revision in 1..=41 {
        let (reached, value) = replayed(folder.path(), Upto::Revision(revision)).expect("whole");
        let expect = if revision == 1 { String::new() } else { ((revision - 2) / 2).to_string() };
        assert_eq!((reached, value), (revision, expect));
    }
    assert_eq!(replayed(folder.path(), Upto::Time(1004)).expect("whole"), (11, "4".to_owned()));
    assert_eq!(replayed(folder.path(), Upto::Time(999)).expect("whole"), (1, String::new()));
    let short = replayed(folder.path(), Upto::Revision(42)).expect_err("never archived").to_string();
    assert!(short.contains("ends at revision 41"), "{short}");
}

#[test]
fn a_crash_at_any_byte_loses_only_what_was_not_finished() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = folder.path().join("whole");
    let mut writer = Writer::open(whole.clone(), OWNER).expect("a new archive");
    writer.append(&entries(0..4), 1).expect("room");
    let (_, path) = files(&whole).expect("a folder").remove(0);
    let bytes = std::fs::read(&path).expect("a file");
    for cut in 0..bytes.len() {
        let torn = folder.path().join(format!("torn-{cut}"));
        std::fs::create_dir(&torn).expect("a folder");
        std::fs::write(torn.join(path.file_name().expect("a name")), &bytes[..cut]).expect("a file");
        // What is whole is read, and the archive goes on behind it.
        let mut writer = Writer::open(torn.clone(), OWNER).expect("a torn archive is one");
        let next = writer.last().map_or(0, |last| last.index + 1);
        writer.append(&entries(next..6), 2).expect("room");
        assert_eq!(replayed(&torn, Upto::End).expect("whole").0, 13, "cut at {cut}");
    }
}

#[test]
fn what_was_never_archived_is_a_gap_and_not_skipped() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = Writer::open(folder.path().to_owned(), OWNER).expect("a new archive");
    writer.append(&entries(0..3), 1).expect("room");
    writer.append(&entries(5..8), 2).expect("room");
    assert_eq!(replayed(folder.path(), Upto::Revision(7)).expect("before the gap").0, 7);
    let gap = replayed(folder.path(), Upto::End).expect_err("a gap").to_string();
    assert!(gap.contains("entries 3 to 4"), "{gap}");
}

#[test]
fn damage_in_the_middle_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = Writer::open(folder.path().to_owned(), OWNER).expect("a new archive").with_file_bytes(10);
    writer.append(&entries(0..3), 1).expect("room");
    writer.append(&entries(3..6), 2).expect("room");
    let (_, path) = files(folder.path()).expect("a folder").remove(0);
    let mut bytes = std::fs::read(&path).expect("a file");
    let at = bytes.len() - 5;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).expect("a file");
    let damaged = replayed(folder.path(), Upto::End).expect_err("damage").to_string();
    assert!(damaged.contains(path.to_str().expect("text")), "{damaged}");
}

#[test]
fn another_clusters_archive_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = Writer::open(folder.path().to_owned(), OWNER).expect("a new archive");
    writer.append(&entries(0..3), 1).expect("room");
    let shared = store();
    let mut engine = shared.writer.lock();
    let mut held = shared.held.write();
    held.state.applied = Some(LogId::new_term_index(4, 1));
    let error = replay(folder.path(), &mut held.state, &mut engine, Upto::End).expect_err("another term").to_string();
    assert!(error.contains("another cluster"), "{error}");
}

#[test]
fn the_folder_of_an_archive_is_found_where_there_is_only_one() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(find(folder.path()), Err(ArchiveError::Empty(_))));
    for (member_id, expect) in [(1, true), (2, false)] {
        let below = super::folder(folder.path(), Owner { cluster_id: 7, member_id });
        let mut writer = Writer::open(below.clone(), OWNER).expect("a new archive");
        writer.append(&entries(0..1), 1).expect("room");
        assert_eq!(find(&below).expect("the folder itself"), below);
        assert_eq!(find(folder.path()).is_ok(), expect);
    }
}
