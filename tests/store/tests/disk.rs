//! A full disk: writers are told what to mend, readers are served, nothing acknowledged is lost, and it mends itself.
//!
//! The data folder lies on a small file system of its own, which needs root (mount).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use test_store::disk::Tmpfs;
use test_store::{Member, Spec, connect, get, put, specs};
use tonic::transport::Channel;

const PATIENCE: Duration = Duration::from_secs(30);
/// What a client reads, and where it learns what to do.
const MEND: &str = "no room on the disk of --data-dir";

struct World {
    member: Option<Member>,
    disk: Tmpfs,
    spec: Spec,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start(size: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let spec = specs(folder.path(), 1)?.remove(0);
        let disk = Tmpfs::mount(&spec.data_dir(), size)?;
        let member = Some(Member::start(&spec)?);
        let world = Self { member, disk, spec, _folder: folder };
        world.member()?.ready().await?;
        Ok(world)
    }

    fn member(&self) -> Result<&Member> {
        self.member.as_ref().context("a running member")
    }

    async fn restart(&mut self) -> Result<()> {
        self.member.take().context("a running member")?.kill()?;
        self.member = Some(Member::start(&self.spec)?);
        self.member()?.ready().await
    }

    async fn kv(&self) -> Result<KvClient<Channel>> {
        Ok(KvClient::new(connect(self.spec.client).await?))
    }
}

/// Puts until one is refused; gives the refusal, and notes what was acknowledged.
async fn put_until_refused(
    kv: &mut KvClient<Channel>,
    kept: &mut BTreeMap<String, String>,
    value: &str,
) -> Result<String> {
    for count in 0..20_000 {
        let key = format!("key/{count:05}");
        match kv.put(put(&key, value)).await {
            Ok(_) => drop(kept.insert(key, value.to_owned())),
            Err(refused) => return Ok(refused.message().to_owned()),
        }
    }
    anyhow::bail!("the disk is never full")
}

async fn check(kv: &mut KvClient<Channel>, kept: &BTreeMap<String, String>) -> Result<()> {
    for (key, value) in kept {
        let found = kv.range(get(key)).await?.into_inner().kvs;
        ensure!(found.len() == 1 && found[0].value == value.as_bytes(), "{key} was acknowledged");
    }
    Ok(())
}

/// Returns when a write is taken again.
async fn writes_again(world: &World) -> Result<()> {
    let start = Instant::now();
    loop {
        let refused = match world.kv().await?.put(put("again", "x")).await {
            Ok(_) => return Ok(()),
            Err(refused) => refused,
        };
        ensure!(start.elapsed() < PATIENCE, "writes stay refused: {refused}\n{}", world.member()?.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_others_fill_refuses_writers_and_serves_readers() -> Result<()> {
    let mut world = World::start("24m").await?;
    let mut kv = world.kv().await?;
    let mut kept = BTreeMap::new();
    for count in 0..200 {
        let key = format!("before/{count}");
        kv.put(put(&key, "value")).await?;
        kept.insert(key, "value".to_owned());
    }

    // Nearly full: data is refused, what makes room is not.
    let ballast = world.disk.fill(1 << 20)?;
    tokio::time::sleep(Duration::from_millis(150)).await;
    let refused = kv.put(put("refused", "x")).await.expect_err("no room");
    ensure!(refused.message().contains(MEND) && refused.code() == tonic::Code::ResourceExhausted, "{refused}");
    check(&mut kv, &kept).await?;
    kept.remove("before/0");
    kv.delete_range(etcd::DeleteRangeRequest { key: "before/0".into(), ..Default::default() }).await?;
    let status = world.member()?.status().await?;
    ensure!(status.errors.iter().any(|error| error.contains(MEND)), "{status:?}");

    // Room again: it goes on by itself.
    std::fs::remove_file(&ballast)?;
    writes_again(&world).await?;

    // Filled while writers are at it: what they were told is done is done.
    let port = world.spec.client;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            tokio::spawn(async move {
                let mut done = BTreeMap::new();
                let Ok(channel) = connect(port).await else { return (done, String::new()) };
                let mut kv = KvClient::new(channel);
                for count in 0.. {
                    let (key, value) = (format!("during/{writer}/{count}"), "y".repeat(2000));
                    match kv.put(put(&key, &value)).await {
                        Ok(_) => drop(done.insert(key, value)),
                        Err(refused) => return (done, refused.message().to_owned()),
                    }
                }
                (done, String::new())
            })
        })
        .collect();
    world.disk.fill(0)?;
    for writer in writers {
        let (done, refused) = writer.await?;
        ensure!(refused.contains(MEND), "a writer is told what to mend: {refused:?}");
        kept.extend(done);
    }
    check(&mut kv, &kept).await?;

    // A restart on the full disk serves what is there.
    world.restart().await?;
    check(&mut world.kv().await?, &kept).await?;
    let refused = world.kv().await?.put(put("refused", "x")).await.expect_err("no room");
    ensure!(refused.message().contains(MEND), "{refused}");

    std::fs::remove_file(&ballast)?;
    writes_again(&world).await?;
    check(&mut world.kv().await?, &kept).await?;
    world.restart().await?;
    check(&mut world.kv().await?, &kept).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_the_store_itself_fills_is_freed_by_deletion_and_compaction() -> Result<()> {
    let world = World::start("32m").await?;
    let mut kv = world.kv().await?;
    let mut kept = BTreeMap::new();
    let refused = put_until_refused(&mut kv, &mut kept, &"z".repeat(20_000)).await?;
    ensure!(refused.contains(MEND), "{refused}");
    ensure!(kept.len() > 300, "a good part of the disk was used: {}", kept.len());
    check(&mut kv, &kept).await?;

    let all = etcd::DeleteRangeRequest { key: "key/".into(), range_end: "key0".into(), ..Default::default() };
    let revision = kv.delete_range(all).await?.into_inner().header.context("a header")?.revision;
    kv.compact(etcd::CompactionRequest { revision, physical: true }).await?;
    writes_again(&world).await?;
    Ok(())
}
