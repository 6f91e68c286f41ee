use std::collections::BTreeMap;

use super::*;
use crate::engine::open;
use crate::env::sim::{SimDisk, SimRandom};
use crate::env::{Env, Sizes};
use crate::mvcc::Values;
use crate::raft::types::{LogId, SnapshotMeta};
use crate::snapshot::{self, SnapshotData};

fn env(disk: &SimDisk) -> Env {
    Env::sim(
        disk,
        SimRandom::new(1),
        Sizes { wal_segment: 4096, engine_segment: 1024, checkpoint_tail: 1024, wal_cache: 1024 },
    )
}

fn opened(disk: &SimDisk) -> Arc<Shared> {
    let found = open::read(&env(disk)).expect("an engine");
    found.check(None).expect("a whole engine");
    let opened = found.finish(&env(disk)).expect("an engine");
    Arc::new(Shared::new(opened.state, opened.writer))
}

/// Writes `count` versions of one key, a frame each.
fn fill(shared: &Shared, key: &str, count: i64) {
    let mut writer = shared.writer.lock();
    let mut held = shared.held.write();
    for _ in 0..count {
        let main = held.state.index.revision() + 1;
        let applied = LogId::new_term_index(1, main as u64);
        writer.begin(Some(applied)).expect("room");
        let mut version = Version { main, create: main, version: 1, ..Default::default() };
        version.loc = writer.put(key.as_bytes(), &version, format!("{key} {main} {}", "x".repeat(100)).as_bytes());
        held.state.index.insert(key.as_bytes(), version);
        held.state.applied = Some(applied);
        writer.finish();
    }
    writer.flush().expect("room");
}

/// The snapshot of another member, as it lies on this one's disk.
fn receive(env: &Env, from: &Arc<Shared>, name: &str) -> SnapshotMeta {
    let (meta, snapshot) = snapshot::take(from);
    let SnapshotData::Taken(taken) = snapshot else { panic!("a snapshot that was taken") };
    let file = env.disk.open(name, true).expect("a file");
    let mut blocks = taken.blocks();
    let mut offset = 0;
    while let Some(bytes) = blocks.next_bytes().expect("a block") {
        file.write_at(offset, &bytes).expect("room");
        offset += bytes.len() as u64;
    }
    meta
}

fn compacted(disk: &SimDisk) -> (Arc<Shared>, Maintainer, Arc<Engine>, u32) {
    let shared = opened(disk);
    fill(&shared, "kept", 1);
    fill(&shared, "old", 40);
    let maintainer = Maintainer::new(shared.clone());
    let engine = shared.held.read().engine.clone();
    maintainer.checkpoint(&engine).expect("a checkpoint");
    {
        let mut writer = shared.writer.lock();
        let mut held = shared.held.write();
        let revision = held.state.index.revision();
        held.state.index.compact(revision).expect("a compaction");
        while held.state.index.trim(None, usize::MAX).is_some() {}
        writer.begin(held.state.applied).expect("room");
        writer.effect(&crate::state::Effect::Compacted(revision));
        writer.finish();
        writer.flush().expect("room");
    }
    let segment = maintainer.sparse_segment(&engine).expect("a sparse segment");
    (shared, maintainer, engine, segment)
}

#[test]
fn a_segment_is_copied_out_and_given_back() {
    let disk = SimDisk::default();
    let (shared, maintainer, engine, segment) = compacted(&disk);
    let before = snapshot::contents(&shared).expect("values");
    maintainer.copy_out(&engine, segment).expect("a copy");
    assert!(maintainer.give_back(&engine, segment).expect("room"));
    assert_eq!(snapshot::contents(&shared).expect("values"), before);
    assert_eq!(snapshot::contents(&opened(&disk)).expect("values"), before, "after a restart");
}

#[test]
fn a_snapshot_that_is_installed_during_a_rewrite_keeps_its_segments() {
    let other = SimDisk::default();
    let leader = opened(&other);
    fill(&leader, "new", 100);
    let expect = snapshot::contents(&leader).expect("values");

    // The snapshot comes before, between and after the steps of a rewrite and of a checkpoint.
    for when in 0..4 {
        let disk = SimDisk::default();
        let (shared, maintainer, engine, segment) = compacted(&disk);
        let install = || {
            let meta = receive(&env(&disk), &leader, "snapshot.received-1");
            let received = SnapshotData::Received("snapshot.received-1".to_owned());
            snapshot::install(&env(&disk), &shared, &meta, received).expect("a snapshot");
        };
        if when == 0 {
            install();
        }
        maintainer.copy_out(&engine, segment).expect("a copy, or none");
        if when == 1 {
            install();
        }
        let gave = maintainer.give_back(&engine, segment).expect("room");
        assert_eq!(gave, when > 1, "the segment of an engine that is gone is not ours to remove");
        if when == 2 {
            install();
        }
        maintainer.checkpoint(&engine).expect("a checkpoint, or none");
        if when == 3 {
            install();
        }
        assert_eq!(snapshot::contents(&shared).expect("values"), expect, "{when}");
        assert_eq!(snapshot::contents(&opened(&disk)).expect("values"), expect, "{when}, after a restart");
    }
}

#[test]
fn a_failed_sync_is_not_forgotten() {
    let disk = SimDisk::default();
    let shared = opened(&disk);
    fill(&shared, "key", 40);
    let mut maintainer = Maintainer::new(shared.clone());
    disk.fail_sync(".seg");
    maintainer.due().expect_err("the checkpoint needs a sync");
    // The disk has forgotten that it lost something; the member has not.
    let (tx, mut rx) = oneshot::channel();
    maintainer.take(Job::Sync(tx)).expect_err("the log must not be purged");
    assert!(rx.try_recv().expect("an answer").is_err());
    assert!(shared.select(None, &Default::default()).is_err(), "the member ends");
}

#[test]
fn a_trim_that_a_snapshot_holds_up_says_so() {
    let disk = SimDisk::default();
    let shared = opened(&disk);
    fill(&shared, "key", 5);
    shared.held.write().state.index.compact(4).expect("a compaction");
    let mut maintainer = Maintainer::new(shared.clone());
    let mut trim = || {
        let (tx, mut rx) = oneshot::channel();
        maintainer.take(Job::Trim(Some(tx))).expect("room");
        rx.try_recv().expect("an answer").expect("room")
    };
    let pin = shared.pin();
    assert!(!trim());
    drop(pin);
    assert!(trim());
}

#[test]
fn damage_is_refused_with_everything_still_there() {
    let disk = SimDisk::default();
    let shared = opened(&disk);
    fill(&shared, "key", 60);
    let engine = shared.held.read().engine.clone();
    Maintainer::new(shared.clone()).checkpoint(&engine).expect("a checkpoint");
    let (at, _) = engine.checkpoint();
    fill(&shared, "key", 60);
    let files = disk.contents();
    let segment = |number: u32| format!("engine-1/{number:08x}.seg");
    let last = *engine.sizes.read().last_key_value().expect("segments").0;
    assert!(at.segment > 1 && last > at.segment + 1, "{at:?}, {last}");

    // The log holds everything: a frame that cannot be read is cut, and comes again.
    let whole = open::read(&env(&disk)).expect("an engine");
    whole.check(Some(120)).expect("all of it");
    for (path, offset) in [(segment(at.segment + 1), 40), (segment(at.segment + 1), 0), (segment(last), 30)] {
        disk.flip(&path, offset);
        let found = open::read(&env(&disk)).expect("what is whole");
        found.check(Some(60)).expect("the log holds the rest");
        let refused = found.check(Some(121)).expect_err("the log does not hold the rest").to_string();
        assert!(refused.contains(&path) && refused.contains("is damaged at byte"), "{refused}");
        disk.flip(&path, offset);
        assert_eq!(disk.contents(), files, "nothing was changed");
    }
    // A checkpoint has no second copy.
    disk.flip("engine-1/checkpoint", 100);
    let refused = open::read(&env(&disk)).err().expect("a damaged checkpoint").to_string();
    assert!(refused.contains("engine-1/checkpoint is damaged"), "{refused}");
    disk.flip("engine-1/checkpoint", 100);
    // Values behind the checkpoint are not read at start; a damaged one is never served.
    let place = shared.held.read().state.index.history(b"key").expect("there").versions()[3].loc;
    assert!(place.segment < at.segment);
    disk.flip(&segment(place.segment), place.offset as usize + 20);
    let again = opened(&disk);
    let error = again.held.read().engine.view().read(place).expect_err("a damaged value");
    assert!(crate::report(&error).contains("engine segment"), "{error}");
    disk.flip(&segment(place.segment), place.offset as usize + 20);
    // A segment with values is missing.
    let copy: BTreeMap<String, Vec<u8>> =
        files.into_iter().filter(|(name, _)| *name != segment(place.segment)).collect();
    let gone = SimDisk::with_contents(&copy);
    let refused = open::read(&env(&gone)).expect("what is there").check(None).expect_err("values are missing");
    assert!(refused.to_string().contains(&format!("{} is missing", segment(place.segment))), "{refused}");
}

#[test]
fn what_follows_a_lost_end_of_a_segment_does_not_count() {
    let disk = SimDisk::default();
    fill(&opened(&disk), "key", 40);
    let mut files = disk.contents();
    let names: Vec<String> = files.keys().filter(|name| name.ends_with(".seg")).cloned().collect();
    assert!(names.len() > 2, "several segments: {names:?}");
    // The second was not synced, and lost its last frame; the third was written out.
    let second = files.get_mut(&names[1]).expect("a segment");
    second.truncate(second.len() - 10);
    let torn = opened(&SimDisk::with_contents(&files));
    second_ends_at_a_frame(&mut files, &names[1]);
    let disk = SimDisk::with_contents(&files);
    let whole = opened(&disk);
    let applied = |shared: &Shared| shared.held.read().state.applied;
    assert_eq!(applied(&whole), applied(&torn), "as if it were torn there");
    let left = disk.contents();
    assert_eq!(left[&names[2]].len() as u64, crate::engine::frame::SEGMENT_HEADER_LEN, "the log has it");
    assert!(names[3..].iter().all(|name| !left.contains_key(name)), "the log has it: {:?}", left.keys());
}

/// Cuts what is left of the frame that was torn.
fn second_ends_at_a_frame(files: &mut BTreeMap<String, Vec<u8>>, name: &str) {
    let again = SimDisk::with_contents(files);
    drop(opened(&again));
    let cut = again.contents().remove(name).expect("a segment");
    files.insert(name.to_owned(), cut);
}
