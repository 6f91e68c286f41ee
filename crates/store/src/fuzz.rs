//! The store's decoders on bytes that nobody wrote: seeded and bounded. They answer or refuse; they never panic and never
//! ask for memory that the bytes do not have. Damage to what was written is tried in `tests/crash.rs`, file by file.

use prost::Message;
use proto::keelson::raft::v1 as pb;

use crate::engine::{checkpoint, frame, open};
use crate::env::Env;
use crate::env::sim::{SimDisk, SimRandom, mix};
use crate::raft::codec;
use crate::raft::types::SnapshotMeta;
use crate::shared::Shared;
use crate::snapshot::{SnapshotData, install};

/// `KEELSON_FUZZ_CASES` makes a run longer.
fn cases(usual: u64) -> u64 {
    std::env::var("KEELSON_FUZZ_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Up to 300 bytes, small numbers more often than chance would have them: lengths and tags.
fn bytes(state: &mut u64) -> Vec<u8> {
    let len = mix(state) % 300;
    (0..len).map(|_| if mix(state).is_multiple_of(3) { (mix(state) % 10) as u8 } else { mix(state) as u8 }).collect()
}

#[test]
fn frames_and_checkpoints_of_any_bytes_end() {
    for seed in 0..cases(3000) {
        let mut state = seed;
        let junk = bytes(&mut state);
        let _whole = frame::payload(&junk, 7);
        if let Some((_, mut reader)) = frame::Reader::new(&junk, 1, 24) {
            while !reader.is_empty() && reader.next_effect().is_some() {}
        }
        let _checkpoint = checkpoint::read(&junk);
        // With checksums that agree, as another member could send them.
        let mut blocks = Vec::new();
        checkpoint::write_block(&mut blocks, &pb::CheckpointHead::default().encode_to_vec());
        checkpoint::write_block(&mut blocks, &junk);
        checkpoint::write_block(&mut blocks, &[]);
        let _checkpoint = checkpoint::read(&blocks);
    }
}

#[test]
fn raft_messages_of_any_bytes_end() {
    for seed in 0..cases(3000) {
        let junk = bytes(&mut seed.clone());
        if let Ok(entry) = pb::Entry::decode(&*junk) {
            let _entry = codec::entry_back(entry);
        }
        if let Ok(meta) = pb::SnapshotMeta::decode(&*junk) {
            let _meta = codec::snapshot_meta_back(Some(meta));
        }
        if let Ok(membership) = pb::Membership::decode(&*junk) {
            let _membership = codec::membership_back(membership);
        }
        let _vote = pb::Vote::decode(&*junk).map(|vote| codec::vote_back(Some(vote)));
    }
}

#[test]
fn a_snapshot_of_any_bytes_is_refused_and_the_old_state_stays() {
    let disk = SimDisk::default();
    let env = Env {
        disk: std::sync::Arc::new(disk),
        random: std::sync::Arc::new(SimRandom::new(1)),
        threads: false,
        sizes: Default::default(),
    };
    let opened = open::read(&env).and_then(|found| found.finish(&env)).expect("an engine");
    let shared = std::sync::Arc::new(Shared::new(opened.state, opened.writer));
    for seed in 0..cases(200) {
        let mut state = seed;
        let mut sent = Vec::new();
        if seed % 2 == 0 {
            checkpoint::write_block(&mut sent, &pb::CheckpointHead::default().encode_to_vec());
        }
        let mut junk = bytes(&mut state);
        // An empty block would be an orderly end.
        junk.push(0xff);
        checkpoint::write_block(&mut sent, &junk);
        // A length that promises 4 GiB.
        sent.extend([0xff; 8]);
        let file = env.disk.open("snapshot.received-1", true).expect("a file");
        file.set_size(0).and_then(|()| file.write_at(0, &sent)).expect("room");
        let meta = SnapshotMeta::default();
        let received = SnapshotData::Received("snapshot.received-1".to_owned());
        install(&env, &shared, &meta, received).expect_err("no snapshot");
        assert_eq!(shared.revision(), 1);
    }
}
