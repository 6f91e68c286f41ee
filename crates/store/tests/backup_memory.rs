//! A backup takes little memory beside the store's own, however much it holds. Alone in its process: memory is measured.
//!
//! `KEELSON_BACKUP_KEYS=1000000` for a million keys of 1 KiB.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

use std::sync::Arc;
use std::time::Instant;

use proto::etcdserverpb as etcd;
use proto::keelson::raft::v1::Command;
use proto::keelson::raft::v1::command::Request;
use store::backup::{Moment, stream};
use store::engine::open;
use store::env::Env;
use store::raft::types::LogId;
use store::shared::Shared;

const VALUE_BYTES: usize = 1 << 10;
/// Bytes that a backup may take beside the store, and for each key of the store: an eighth of the keys is looked at at once.
const BASE_BYTES: u64 = 24 << 20;
const KEY_BYTES: u64 = 40;

fn store(folder: &std::path::Path, keys: usize) -> Arc<Shared> {
    let env = Env::os(folder).unwrap();
    let opened = open::read(&env).and_then(|found| found.finish(&env)).unwrap();
    let shared = Arc::new(Shared::new(opened.state, opened.writer));
    let mut writer = shared.writer.lock();
    let mut held = shared.held.write();
    for number in 0..keys {
        writer.begin(Some(LogId::new_term_index(1, number as u64))).unwrap();
        // Keys come in another order than revisions.
        let key = format!("/registry/things/some-namespace/thing-{:08x}", (number as u32).wrapping_mul(0x9e37_79b1));
        let put = etcd::PutRequest { key: key.into(), value: vec![7; VALUE_BYTES].into(), ..Default::default() };
        let command = Command { request: Some(Request::Put(put)), ..Default::default() };
        let applied = store::apply::apply(&mut held.state, &mut writer, 1, &command, false).unwrap();
        applied.outcome.unwrap();
        writer.finish();
        if number % 100 == 0 {
            writer.flush().unwrap();
        }
    }
    writer.flush().unwrap();
    drop((writer, held));
    shared
}

/// A line of the process's memory, in bytes.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn a_backup_takes_little_memory_beside_the_store() {
    let keys: usize = std::env::var("KEELSON_BACKUP_KEYS").ok().map_or(100_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let shared = store(folder.path(), keys);
    // From here on the peak is measured anew.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = memory("VmRSS");
    let began = Instant::now();
    let moment = Moment::take(&shared);
    let layout = stream::measure(&moment).unwrap();
    let measured = began.elapsed();
    let mut bytes = 0;
    stream::write(&moment, layout, |piece| {
        bytes += piece.len() as u64;
        Ok(())
    })
    .unwrap();
    let taken = memory("VmHWM").saturating_sub(before);
    println!(
        "{keys} keys: {} MiB of backup in {:?} (measured in {measured:?}); the store takes {} MiB, the backup {} MiB more",
        bytes >> 20,
        began.elapsed(),
        before >> 20,
        taken >> 20
    );
    assert!(bytes > (keys * VALUE_BYTES) as u64);
    assert!(taken < BASE_BYTES + KEY_BYTES * keys as u64, "{taken} bytes");
}
