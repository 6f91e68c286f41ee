//! The store's decoders on bytes that nobody wrote: seeded and bounded. They answer or refuse; they never panic and never
//! ask for memory that the bytes do not have. Damage to what was written is tried in `tests/crash.rs`, file by file.

use prost::Message;
use proto::etcdserverpb as etcd;
use proto::keelson::raft::v1 as pb;

use crate::auth::{Auth, jwt};
use crate::engine::{checkpoint, frame, open};
use crate::env::Env;
use crate::env::sim::{SimDisk, SimRandom, mix};
use crate::join;
use crate::mvcc::check;
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
        if let Ok(members) = pb::MembersResponse::decode(&*junk) {
            let _joined = join::joined(members, &std::collections::BTreeMap::new(), "me");
        }
        if let Ok(change) = pb::AuthChange::decode(&*junk) {
            Auth::default().take(change);
        }
        if let Ok(state) = pb::AuthState::decode(&*junk) {
            let _auth = Auth::from_wire(Some(state));
        }
        let _index = crate::auth::tokens::index(&String::from_utf8_lossy(&junk));
        let _vote = pb::Vote::decode(&*junk).map(|vote| codec::vote_back(Some(vote)));
    }
}

#[test]
fn a_snapshot_of_any_bytes_is_refused_and_the_old_state_stays() {
    let disk = SimDisk::default();
    let env = Env::sim(&disk, SimRandom::new(1), Default::default());
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

/// A transaction with others in it, as a client may send it; small keys, so that they meet.
fn transaction(state: &mut u64, depth: u32) -> etcd::TxnRequest {
    use etcd::request_op::Request;
    let key = |state: &mut u64| vec![b'a' + (mix(state) % 4) as u8; (mix(state) % 3) as usize].into();
    let ops = |state: &mut u64| -> Vec<etcd::RequestOp> {
        let count = mix(state) % 4;
        let one = |state: &mut u64| match mix(state) % 6 {
            0 => None,
            1 => Some(Request::RequestRange(etcd::RangeRequest {
                key: key(state),
                sort_order: (mix(state) % 5) as i32 - 1,
                sort_target: (mix(state) % 7) as i32 - 1,
                ..Default::default()
            })),
            2 => Some(Request::RequestPut(etcd::PutRequest {
                key: key(state),
                value: key(state),
                lease: (mix(state) % 2) as i64,
                ignore_lease: mix(state).is_multiple_of(2),
                ignore_value: mix(state).is_multiple_of(2),
                ..Default::default()
            })),
            3 => Some(Request::RequestDeleteRange(etcd::DeleteRangeRequest {
                key: key(state),
                range_end: key(state),
                ..Default::default()
            })),
            _ if depth > 0 => Some(Request::RequestTxn(transaction(state, depth - 1))),
            _ => None,
        };
        (0..count).map(|_| etcd::RequestOp { request: one(state) }).collect()
    };
    let compare = etcd::Compare {
        result: (mix(state) % 6) as i32 - 1,
        target: (mix(state) % 7) as i32 - 1,
        key: key(state),
        ..Default::default()
    };
    etcd::TxnRequest { compare: vec![compare], success: ops(state), failure: ops(state) }
}

/// Decodes what is there, and again what it was encoded as: both say the same.
fn again<M: Message + Default + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Option<M> {
    let message = M::decode(bytes).ok()?;
    assert!(M::decode(&*message.encode_to_vec()).as_ref() == Ok(&message), "{message:?} does not come back");
    Some(message)
}

#[test]
fn requests_of_etcds_clients_are_taken_or_refused() {
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..cases(4000) {
        let mut state = seed;
        let mut sent = transaction(&mut state, 3).encode_to_vec();
        if seed % 2 == 0 && !sent.is_empty() {
            let at = mix(&mut state) as usize % sent.len();
            sent[at] = mix(&mut state) as u8;
        }
        for sent in [sent, bytes(&mut state)] {
            if let Some(req) = again::<etcd::TxnRequest>(&sent) {
                match check::txn(&req, 8) {
                    Ok(()) => taken += 1,
                    Err(_) => refused += 1,
                }
                let _kinds = (check::is_read_only(&req), check::is_serializable(&req), check::puts(&req));
            }
            let _range = again::<etcd::RangeRequest>(&sent).map(|req| check::range(&req));
            let _put = again::<etcd::PutRequest>(&sent).map(|req| check::put(&req));
            let _delete = again::<etcd::DeleteRangeRequest>(&sent).map(|req| check::delete_range(&req));
            let _watch = again::<etcd::WatchRequest>(&sent);
            let _create = again::<etcd::WatchCreateRequest>(&sent);
            let _compaction = again::<etcd::CompactionRequest>(&sent);
            let _lease = again::<etcd::LeaseGrantRequest>(&sent);
        }
    }
    assert!(taken > 50 && refused > 50, "{taken} taken, {refused} refused: the input is one-sided");
}

/// Buckets of a database whose form is right and whose content is anything.
#[test]
fn backups_of_any_content_are_read_or_refused() {
    use bbolt::write::{Builder, Value};
    for seed in 0..cases(500) {
        let mut state = seed;
        let mut entries = std::collections::BTreeMap::new();
        for _ in 0..mix(&mut state) % 6 {
            let mut key = bytes(&mut state);
            if mix(&mut state).is_multiple_of(2) {
                let (main, sub) = (mix(&mut state) as i64 % 9, mix(&mut state) as u32 % 3);
                key = crate::backup::buckets::revision_bytes(main, sub, mix(&mut state).is_multiple_of(4));
            }
            entries.insert(key, bytes(&mut state));
        }
        let name = ["key", "lease", "meta"][(mix(&mut state) % 3) as usize];
        let tell = |mut builder: Builder| {
            for (key, value) in &entries {
                builder.entry(key, Value::Bytes(value)).expect("in order");
            }
            builder.end_bucket(name.as_bytes()).expect("the only one");
            builder.take().into_iter().chain(builder.finish().expect("as measured").1).collect::<Vec<u8>>()
        };
        let mut measuring = Builder::measuring();
        entries.iter().for_each(|(key, value)| measuring.entry(key, Value::Len(value.len())).expect("in order"));
        measuring.end_bucket(name.as_bytes()).expect("the only one");
        let file = tell(Builder::writing(measuring.finish().expect("the first").0));
        let shared = crate::backup::tests::store();
        let db = bbolt::read::Db::open(file.as_slice()).expect("a database");
        let _state = crate::restore::load::load(std::path::Path::new("fuzz"), &db, &mut shared.writer.lock());
    }
}

#[test]
fn archives_of_any_bytes_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("00000000000000000000.log");
    for seed in 0..cases(500) {
        let mut state = seed;
        let mut file = Vec::new();
        for _ in 0..mix(&mut state) % 4 {
            checkpoint::write_block(&mut file, &bytes(&mut state));
        }
        file.extend(bytes(&mut state));
        std::fs::write(&path, &file).expect("room");
        let shared = crate::backup::tests::store();
        let (mut writer, mut held) = (shared.writer.lock(), shared.held.write());
        let upto = crate::archive::read::Upto::End;
        let _replayed = crate::archive::read::replay(folder.path(), &mut held.state, &mut writer, upto);
        let owner = crate::wal::Owner { cluster_id: 1, member_id: 1 };
        let _opened = crate::archive::writer::Writer::open(folder.path().to_owned(), owner);
        std::fs::remove_file(&path).or_else(|_| std::fs::File::create(&path).map(drop)).expect("a file");
    }
}

#[test]
fn damaged_tokens_name_nobody_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, b"a secret of the members").expect("written");
    let options = jwt::Options::parse(&format!("sign-method=HS256,priv-key={}", secret.display())).expect("options");
    let jwt = jwt::Jwt::load(&options).expect("a secret is a key");
    let good = jwt.sign("alice", 7).expect("there is a key to sign");
    assert_eq!(jwt.check(&good), Some(("alice".to_owned(), 7)));
    for seed in 0..cases(2000) {
        let mut state = seed;
        let mut token = good.clone().into_bytes();
        for _ in 0..=mix(&mut state) % 3 {
            let at = mix(&mut state) as usize % token.len();
            token[at] = b"Aa0.-_=~"[mix(&mut state) as usize % 8];
        }
        token.truncate(good.len() - (mix(&mut state) % 4) as usize);
        let token = String::from_utf8(token).expect("letters");
        // The last letter of a signature has bits that say nothing: the claims are what counts.
        assert!(jwt.check(&token).is_none_or(|said| said == ("alice".to_owned(), 7)), "{token}");
    }
}
