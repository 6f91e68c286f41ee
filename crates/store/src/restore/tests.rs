//! What is restored is what was saved, whoever saved it; what makes no sense leaves nothing behind.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::command::{RestoreArgs, member_args, restore};
use super::*;
use crate::backup::tests::{bytes, compact, delete, put, store};
use crate::backup::{Moment, hash};
use crate::engine::open;
use crate::env::Env;
use crate::shared::Shared;

/// A real database of etcd 3.6.
pub(crate) fn real() -> PathBuf {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/kubernetes-api/storage/etcd-3.6-snapshot.db");
    assert!(path.exists(), "the facts of the Kubernetes API are expected beside the checkout: {}", path.display());
    path
}

fn args(file: &Path, data_dir: &Path) -> RestoreArgs {
    RestoreArgs {
        file: Some(file.to_owned()),
        member: member_args(data_dir),
        skip_hash_check: false,
        archive_dir: None,
        to_revision: None,
        to_time: None,
    }
}

/// A data folder as its member would read it.
fn opened(data_dir: &Path) -> Arc<Shared> {
    let env = Env::os(data_dir).expect("a folder");
    let owner = crate::wal::owner(&env).expect("a whole log").expect("a log");
    let log = crate::wal::read(&env, owner).expect("a whole log");
    let engine = open::read(&env).expect("a whole engine");
    engine.check(log.purged()).expect("engine and log agree");
    log.check(&engine.state).expect("log and engine agree");
    let opened = engine.finish(&env).expect("a whole engine");
    Arc::new(Shared::new(opened.state, opened.writer))
}

#[test]
fn what_is_restored_is_what_was_saved() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, data_dir) = (folder.path().join("backup.db"), folder.path().join("data"));
    let shared = store();
    for number in 0..50 {
        put(&shared, &format!("key-{}", number % 7), &"v".repeat(number * 100));
    }
    delete(&shared, "key-3");
    put(&shared, "key-3", "again");
    delete(&shared, "key-4");
    compact(&shared, 30);
    let moment = Moment::take(&shared);
    std::fs::write(&file, bytes(&moment)).expect("room");
    let said = restore(&args(&file, &data_dir)).expect("a whole backup");
    assert!(said.contains("restored revision 54"), "{said}");
    let restored = opened(&data_dir);
    let theirs = Moment::take(&restored);
    assert_eq!((theirs.revision, theirs.compacted), (moment.revision, moment.compacted));
    for revision in 30..=54 {
        let hashes = [&moment, &theirs].map(|moment| hash::of_keys(moment, revision).expect("whole"));
        assert_eq!(hashes[0], hashes[1], "at revision {revision}");
    }
}

#[test]
fn a_backup_of_etcd_3_6_is_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    restore(&args(&real(), &data_dir)).expect("a real backup");
    let shared = opened(&data_dir);
    let held = shared.held.read();
    let version = *held.state.index.get(b"/registry/namespaces/kube-system").expect("it is there");
    assert!(shared.value(version.loc).expect("a value").starts_with(b"k8s\0"));
    assert_eq!(held.state.lessor.iter().count(), 3);
    assert_eq!(held.state.index.compacted(), 0x195);
}

#[test]
fn a_bumped_revision_is_ahead_and_everything_before_is_compacted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, data_dir) = (folder.path().join("backup.db"), folder.path().join("data"));
    let shared = store();
    put(&shared, "a", "1");
    put(&shared, "a", "2");
    std::fs::write(&file, bytes(&Moment::take(&shared))).expect("room");
    let mut args = args(&file, &data_dir);
    args.member.bump_revision = 1_000_000;
    let error = restore(&args).expect_err("half of what belongs together").to_string();
    assert!(error.contains("--mark-compacted"), "{error}");
    args.member.mark_compacted = true;
    restore(&args).expect("a whole backup");
    let shared = opened(&data_dir);
    let held = shared.held.read();
    assert_eq!((held.state.index.revision(), held.state.index.compacted()), (1_000_003, 1_000_003));
    assert_eq!(held.state.index.get(b"a").expect("it lives").main, 3);
}

#[test]
fn a_changed_backup_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, data_dir) = (folder.path().join("backup.db"), folder.path().join("data"));
    let mut bytes = std::fs::read(real()).expect("a real backup");
    bytes[200_000] ^= 1;
    std::fs::write(&file, &bytes).expect("room");
    let error = restore(&args(&file, &data_dir)).expect_err("changed").to_string();
    assert!(error.contains("checksum should be"), "{error}");
    bytes.truncate(bytes.len() - 32);
    std::fs::write(&file, &bytes).expect("room");
    let error = restore(&args(&file, &data_dir)).expect_err("no checksum").to_string();
    assert!(error.contains("--skip-hash-check"), "{error}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(left.len(), 1, "only the backup: {left:?}");
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("mine"), "mine").expect("room");
    let error = restore(&args(&real(), folder.path())).expect_err("not empty").to_string();
    assert!(error.contains("not empty"), "{error}");
    assert_eq!(std::fs::read(folder.path().join("mine")).expect("still there"), b"mine");
}

#[test]
fn status_has_etcd_s_numbers() {
    let path = real();
    let status = status::of(&path, &file::open(&path, false).expect("a real backup")).expect("a whole one");
    assert_eq!((status.total_size, status.total_key), (417_792, 374));
    assert_eq!(status.version, "3.6.0");
    let table = status.table();
    assert!(table.contains("TOTAL KEYS") && table.contains("418 kB"), "{table}");
}
