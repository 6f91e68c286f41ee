//! Space comes back by itself, the quota warns before it refuses, and history is compacted unasked.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use test_store::{Member, connect, get, put, specs};

/// Bytes that the files below a folder take.
fn bytes_of(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        // A file may go while it is looked at.
        sum += match path.metadata() {
            Ok(found) if found.is_dir() => bytes_of(&path)?,
            Ok(found) => found.len(),
            Err(_) => 0,
        };
    }
    Ok(sum)
}

/// Bytes of the engine's files; the log has a bound of its own.
fn engine_bytes(data: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(data)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("engine-")) {
            sum += bytes_of(&path)?;
        }
    }
    Ok(sum)
}

/// The value of a metric.
async fn metric(port: u16, name: &str) -> Result<f64> {
    let text = http_get(port, "/metrics").await?;
    let line = text.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}: {text}"))?;
    Ok(line.rsplit(' ').next().context("a value")?.parse()?)
}

async fn http_get(port: u16, path: &str) -> Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

async fn until(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !look().await? {
        ensure!(start.elapsed() < limit, "{what} does not come");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

#[tokio::test]
async fn deleted_and_compacted_data_gives_its_space_back_by_itself() -> Result<()> {
    const VALUE_BYTES: usize = 64 << 10;
    const KEYS: usize = 4800;
    let folder = tempfile::tempdir()?;
    let member = Member::start(&specs(folder.path(), 1)?[0])?;
    member.ready().await?;
    let mut kv = KvClient::new(connect(member.spec.client).await?);
    let value = "x".repeat(VALUE_BYTES);
    for number in 0..KEYS {
        kv.put(put(&format!("key-{number:05}"), &value)).await?;
    }
    let data = member.spec.data_dir();
    let full = engine_bytes(&data)?;
    ensure!(full > (KEYS * VALUE_BYTES) as u64, "{full} bytes");
    // Every tenth key stays.
    for number in (0..KEYS).filter(|number| number % 10 != 0) {
        let key = format!("key-{number:05}").into();
        kv.delete_range(etcd::DeleteRangeRequest { key, ..Default::default() }).await?;
    }
    let revision = kv.range(get("none")).await?.into_inner().header.context("a header")?.revision;
    kv.compact(etcd::CompactionRequest { revision, physical: true }).await?;
    let live = (KEYS / 10 * VALUE_BYTES) as u64;
    // What stays, less than as much again of dead bytes, and the segments that the newest checkpoint has not passed.
    let bound = 2 * live + (128 << 20);
    until("the space", Duration::from_secs(60), async || Ok(engine_bytes(&data)? < bound)).await?;
    println!("engine: {} MiB, then {} MiB with {} MiB alive", full >> 20, engine_bytes(&data)? >> 20, live >> 20);
    // Entries of the log go when four segments are full, whatever they hold.
    let log = data.join("wal");
    until("the log's bound", Duration::from_secs(30), async || Ok(bytes_of(&log)? <= 5 * (64 << 20))).await?;
    println!("log: {} MiB", bytes_of(&log)? >> 20);
    let kept = kv.range(get("key-00010")).await?.into_inner();
    assert_eq!(kept.kvs[0].value.len(), VALUE_BYTES);
    Ok(())
}

#[tokio::test]
async fn the_quota_warns_before_it_refuses_and_lets_go_by_itself() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut spec = specs(folder.path(), 1)?.remove(0);
    spec.args = vec!["--quota-backend-bytes=1000000".to_owned()];
    let member = Member::start(&spec)?;
    member.ready().await?;
    let mut kv = KvClient::new(connect(spec.client).await?);
    let ratio = "keelson_store_quota_used_ratio";
    assert!(metric(spec.client, ratio).await? < 0.1);
    for number in 0..85 {
        kv.put(put(&format!("key-{number}"), &"x".repeat(10_000))).await?;
    }
    let used = metric(spec.client, ratio).await?;
    assert!((0.8..0.95).contains(&used), "{used}");
    let warned = "of --quota-backend-bytes are used";
    until("the warning", Duration::from_secs(20), async || Ok(member.log().contains(warned))).await?;
    for number in 0..40 {
        // Somewhere here there is no room any more.
        let _answer = kv.put(put(&format!("more-{number}"), &"x".repeat(10_000))).await;
    }
    let refused = kv.put(put("one", "more")).await.expect_err("no room");
    assert_eq!(refused.message(), "etcdserver: mvcc: database space exceeded");
    // Deletes and compactions are let through, and then there is room.
    let all = etcd::DeleteRangeRequest { key: "key-".into(), range_end: "key.".into(), ..Default::default() };
    let rsp = kv.delete_range(all).await?.into_inner();
    assert_eq!(rsp.deleted, 85);
    let revision = rsp.header.context("a header")?.revision;
    kv.compact(etcd::CompactionRequest { revision, physical: true }).await?;
    kv.put(put("one", "more")).await?;
    let calm = "is used of --quota-backend-bytes again";
    until("the end of the warning", Duration::from_secs(20), async || Ok(member.log().contains(calm))).await?;
    assert_eq!(member.log().matches(warned).count(), 1, "it is said once");
    Ok(())
}

#[tokio::test]
async fn history_is_compacted_by_age_and_by_number_unasked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (flags, at_least) in [
        (["--auto-compaction-mode=periodic", "--auto-compaction-retention=1s"], 50),
        (["--auto-compaction-mode=revision", "--auto-compaction-retention=20"], 30),
    ] {
        let mut spec = specs(&folder.path().join(flags[0]), 1)?.remove(0);
        let member = Member::start(&spec)?;
        member.ready().await?;
        let mut kv = KvClient::new(connect(spec.client).await?);
        for number in 0..50 {
            kv.put(put("key", &number.to_string())).await?;
        }
        // Revisions are counted at the start and every five minutes: this is a start.
        spec = member.kill()?;
        spec.args = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let member = Member::start(&spec)?;
        member.ready().await?;
        let compacted = "etcd_debugging_mvcc_compact_revision";
        let port = spec.client;
        until("the compaction", Duration::from_secs(40), async || {
            Ok(metric(port, compacted).await? >= f64::from(at_least))
        })
        .await?;
        let mut kv = KvClient::new(connect(port).await?);
        let old = kv.range(etcd::RangeRequest { revision: 5, ..get("key") }).await.expect_err("compacted");
        assert_eq!(old.message(), "etcdserver: mvcc: required revision has been compacted");
        assert_eq!(kv.range(get("key")).await?.into_inner().kvs[0].value, "49");
    }
    Ok(())
}
