//! Backups go from the store to real etcds and back: the same keys, revisions, leases and hashes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use test_store::real::Release;
use test_store::{Member, Spec, binary, connect, etcdctl, get, put, specs};
use tonic::transport::Channel;

fn kept() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// A few hundred revisions of every kind: puts, deletions, transactions, leases, a compaction.
async fn history(port: u16) -> Result<()> {
    let channel = connect(port).await?;
    let mut kv = KvClient::new(channel.clone());
    let mut leases = LeaseClient::new(channel);
    leases.lease_grant(etcd::LeaseGrantRequest { ttl: 3600, id: 77 }).await?;
    leases.lease_grant(etcd::LeaseGrantRequest { ttl: 3600, id: 78 }).await?;
    for number in 0..150_usize {
        let mut req = put(&format!("key-{}", number % 40), &"value ".repeat(number * 3));
        req.lease = if number % 10 == 0 { 77 + (number as i64 / 10) % 2 } else { 0 };
        kv.put(req).await?;
        if number % 7 == 0 {
            let key = format!("key-{}", number % 13).into();
            kv.delete_range(etcd::DeleteRangeRequest { key, ..Default::default() }).await?;
        }
        if number % 11 == 0 {
            kv.txn(test_store::put_both("both-a", "both-b", &number.to_string())).await?;
        }
    }
    // Several tombstones of one revision, and one at the compaction point itself.
    let range = etcd::DeleteRangeRequest { key: "key-2".into(), range_end: "key-3".into(), ..Default::default() };
    let at = kv.delete_range(range).await?.into_inner().header.context("a header")?.revision;
    kv.compact(etcd::CompactionRequest { revision: at, physical: true }).await?;
    leases.lease_revoke(etcd::LeaseRevokeRequest { id: 78 }).await?;
    kv.put(put("key-1", "after the compaction")).await?;
    kv.put(put("big", &"x".repeat(1_000_000))).await?;
    Ok(())
}

async fn maintenance(port: u16) -> Result<MaintenanceClient<Channel>> {
    Ok(MaintenanceClient::new(connect(port).await?))
}

/// (hash, revision, compaction point) or the refusal, at a revision; 0: now.
async fn hash_at(port: u16, revision: i64) -> Result<Result<(u32, i64), String>> {
    let asked = maintenance(port).await?.hash_kv(etcd::HashKvRequest { revision }).await;
    Ok(asked.map_err(|status| status.message().to_owned()).map(|rsp| {
        let rsp = rsp.into_inner();
        (rsp.hash, rsp.compact_revision)
    }))
}

/// Everything that clients see: pairs with their numbers, the revision, and the leases.
async fn seen(port: u16) -> Result<String> {
    let mut kv = KvClient::new(connect(port).await?);
    let all = etcd::RangeRequest { range_end: "\0".into(), ..get("\0") };
    let rsp = kv.range(all).await?.into_inner();
    let leases = LeaseClient::new(connect(port).await?).lease_leases(etcd::LeaseLeasesRequest {}).await?.into_inner();
    let mut ids: Vec<i64> = leases.leases.iter().map(|lease| lease.id).collect();
    ids.sort_unstable();
    Ok(format!("{} {ids:?} {:?}", rsp.header.context("a header")?.revision, rsp.kvs))
}

async fn current(port: u16) -> Result<i64> {
    let rsp = KvClient::new(connect(port).await?).range(get("none")).await?.into_inner();
    Ok(rsp.header.context("a header")?.revision)
}

fn keelson(args: &[&str]) -> Result<String> {
    let output = Command::new(binary()?).args(args).stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "keelson-store {args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

/// A member on a folder that was restored.
async fn serve(folder: &Path, data_dir: PathBuf) -> Result<Member> {
    let spec = Spec { data: Some(data_dir), ..specs(folder, 1)?.remove(0) };
    let member = Member::start(&spec)?;
    member.ready().await?;
    Ok(member)
}

#[tokio::test]
async fn hashes_are_etcds() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let member = Member::start(&specs(folder.path(), 1)?[0])?;
    member.ready().await?;
    let debian = Release::debian().start(&folder.path().join("debian")).await?;
    let distro = Release::distro(kept())?.start(&folder.path().join("distro")).await?;
    assert_eq!(hash_at(member.spec.client, 0).await?, hash_at(debian.client, 0).await?, "nothing was ever written");
    for port in [member.spec.client, debian.client, distro.client] {
        history(port).await?;
    }
    let newest = current(member.spec.client).await?;
    let mut hashed = 0;
    for revision in (0..=newest + 1).rev() {
        let ours = hash_at(member.spec.client, revision).await?;
        if matches!(ours, Ok((_, compacted)) if compacted == revision) {
            // etcd 3.6 gives it, as we do; the older ones refuse the compaction point itself.
            hash_at(debian.client, revision).await?.expect_err("an older etcd");
            continue;
        }
        assert_eq!(ours, hash_at(debian.client, revision).await?, "etcd 3.4 at {revision}");
        assert_eq!(ours, hash_at(distro.client, revision).await?, "etcd 3.5 at {revision}");
        hashed += usize::from(ours.is_ok());
    }
    assert!(hashed > 3, "only {hashed} revisions have a hash");
    // All keys are gone: then, and only then, what the compaction has left counts.
    for port in [member.spec.client, debian.client, distro.client] {
        let all = etcd::DeleteRangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
        KvClient::new(connect(port).await?).delete_range(all).await?;
    }
    assert_eq!(hash_at(member.spec.client, 0).await?, hash_at(debian.client, 0).await?, "nothing is left");
    Ok(())
}

#[tokio::test]
async fn members_hash_everything_alike() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut members = Vec::new();
    for spec in specs(folder.path(), 3)? {
        members.push(Member::start(&spec)?);
    }
    for member in &members {
        member.ready().await?;
    }
    history(members[0].spec.client).await?;
    let mut hashes = Vec::new();
    for member in &members {
        // A linearizable read: the member has applied everything.
        current(member.spec.client).await?;
        hashes.push(maintenance(member.spec.client).await?.hash(etcd::HashRequest {}).await?.into_inner().hash);
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:x?}");
    KvClient::new(connect(members[0].spec.client).await?).put(put("one", "more")).await?;
    let other = maintenance(members[0].spec.client).await?.hash(etcd::HashRequest {}).await?.into_inner().hash;
    assert_ne!(other, hashes[0]);
    Ok(())
}

/// Saves with etcdctl, under writes; restores with the release's own tool; compares.
async fn into_etcd(release: Release) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let member = Member::start(&specs(folder.path(), 1)?[0])?;
    member.ready().await?;
    history(member.spec.client).await?;
    let (file, data) = (folder.path().join("backup.db"), folder.path().join("restored"));
    etcdctl(&member.endpoint(), &["snapshot", "save", text(&file)])?;
    let theirs = release.snapshot(&["status", text(&file)])?;
    let ours = keelson(&["snapshot", "status", "--write-out=simple", text(&file)])?;
    assert_eq!(ours, theirs, "hash, revision, keys and size");
    release.snapshot(&["restore", text(&file), "--data-dir", text(&data)])?;
    let etcd = release.start(&data).await?;
    assert_eq!(seen(etcd.client).await?, seen(member.spec.client).await?);
    let newest = current(member.spec.client).await?;
    for revision in newest - 2..=newest {
        assert_eq!(
            hash_at(etcd.client, revision).await?,
            hash_at(member.spec.client, revision).await?,
            "at {revision}"
        );
    }
    // It goes on from there, through its own writes, which rewrite our pages.
    for number in 0..500 {
        KvClient::new(connect(etcd.client).await?).put(put(&format!("more-{number}"), "value")).await?;
    }
    let left = etcdctl(&etcd.endpoint(), &["lease", "timetolive", "--keys", "4d"])?;
    assert!(left.contains("granted with TTL(3600s)") && left.contains("key-"), "{left}");
    // And back: what etcd made of it is ours again.
    let (again, back) = (folder.path().join("again.db"), folder.path().join("back"));
    etcdctl(&etcd.endpoint(), &["snapshot", "save", text(&again)])?;
    keelson(&["snapshot", "restore", text(&again), "--data-dir", text(&back)])?;
    let returned = serve(&folder.path().join("r"), back).await?;
    assert_eq!(seen(returned.spec.client).await?, seen(etcd.client).await?);
    assert_eq!(hash_at(returned.spec.client, 0).await?, hash_at(etcd.client, 0).await?);
    Ok(())
}

#[tokio::test]
async fn etcdctl_of_debian_saves_and_restores_our_backup() -> Result<()> {
    into_etcd(Release::debian()).await
}

#[tokio::test]
async fn etcdutl_restores_our_backup() -> Result<()> {
    into_etcd(Release::distro(kept())?).await
}

#[tokio::test]
async fn a_backup_is_one_moment_while_writes_go_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let member = Member::start(&specs(folder.path(), 1)?[0])?;
    member.ready().await?;
    let port = member.spec.client;
    for number in 0..200 {
        KvClient::new(connect(port).await?).put(put(&format!("fill-{number}"), &"x".repeat(20_000))).await?;
    }
    let writer = tokio::spawn(async move {
        let mut kv = KvClient::new(connect(port).await?);
        for number in 0..3000 {
            kv.txn(test_store::put_both("left", "right", &number.to_string())).await?;
        }
        anyhow::Ok(())
    });
    for round in 0..5 {
        let (file, data) = (folder.path().join(format!("{round}.db")), folder.path().join(format!("data-{round}")));
        let (endpoint, saved) = (member.endpoint(), file.clone());
        tokio::task::spawn_blocking(move || etcdctl(&endpoint, &["snapshot", "save", text(&saved)])).await??;
        keelson(&["snapshot", "restore", text(&file), "--data-dir", text(&data)])?;
        let restored = serve(&folder.path().join(format!("m-{round}")), data).await?;
        let mut kv = KvClient::new(connect(restored.spec.client).await?);
        let left = test_store::number(&mut kv, "left").await?;
        assert_eq!(left, test_store::number(&mut kv, "right").await?, "half of a transaction");
    }
    writer.await??;
    Ok(())
}

#[tokio::test]
async fn three_members_begin_from_one_backup() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let member = Member::start(&specs(&folder.path().join("old"), 1)?[0])?;
    member.ready().await?;
    history(member.spec.client).await?;
    let file = folder.path().join("backup.db");
    etcdctl(&member.endpoint(), &["snapshot", "save", text(&file)])?;
    let new = specs(&folder.path().join("new"), 3)?;
    let mut members = Vec::new();
    for spec in &new {
        std::fs::create_dir_all(&spec.folder)?;
        keelson(&[
            "snapshot",
            "restore",
            text(&file),
            "--data-dir",
            text(&spec.data_dir()),
            "--name",
            &spec.name,
            "--initial-cluster",
            &spec.cluster,
            "--initial-advertise-peer-urls",
            &format!("http://127.0.0.1:{}", spec.peer),
        ])?;
        members.push(Member::start(spec)?);
    }
    for restored in &members {
        restored.ready().await?;
        assert_eq!(seen(restored.spec.client).await?, seen(member.spec.client).await?);
    }
    KvClient::new(connect(new[1].client).await?).put(put("new", "write")).await?;
    // A restart finds what was restored and what came after.
    let spec = members.remove(1).kill()?;
    let again = Member::start(&spec)?;
    again.ready().await?;
    assert_eq!(seen(new[1].client).await?, seen(new[2].client).await?);
    Ok(())
}

#[tokio::test]
async fn a_backup_of_etcd_3_6_is_served() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/kubernetes-api/storage/etcd-3.6-snapshot.db");
    ensure!(file.exists(), "the facts of the Kubernetes API are expected beside the checkout: {}", file.display());
    let data = folder.path().join("data");
    keelson(&["snapshot", "restore", text(&file), "--data-dir", text(&data)])?;
    let member = serve(&folder.path().join("m"), data).await?;
    let mut kv = KvClient::new(connect(member.spec.client).await?);
    let found = kv.range(get("/registry/namespaces/kube-system")).await?.into_inner();
    assert!(found.kvs[0].value.starts_with(b"k8s\0"));
    // A real etcd that restores the same file sees the same.
    let theirs = folder.path().join("theirs");
    let release = Release::distro(kept())?;
    release.snapshot(&["restore", text(&file), "--data-dir", text(&theirs)])?;
    let etcd = release.start(&theirs).await?;
    assert_eq!(seen(member.spec.client).await?, seen(etcd.client).await?);
    assert_eq!(hash_at(member.spec.client, 0).await?, hash_at(etcd.client, 0).await?);
    Ok(())
}

#[tokio::test]
async fn a_running_etcd_is_imported() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let etcd = Release::debian().start(&folder.path().join("debian")).await?;
    history(etcd.client).await?;
    let data = folder.path().join("data");
    keelson(&["snapshot", "import", "--from-etcd", &etcd.endpoint(), "--data-dir", text(&data)])?;
    let member = serve(&folder.path().join("m"), data).await?;
    assert_eq!(seen(member.spec.client).await?, seen(etcd.client).await?);
    assert_eq!(hash_at(member.spec.client, 0).await?, hash_at(etcd.client, 0).await?);
    let left = etcdctl(&member.endpoint(), &["lease", "timetolive", "--keys", "4d"])?;
    assert!(left.contains("granted with TTL(3600s)") && left.contains("key-"), "{left}");
    Ok(())
}

#[tokio::test]
async fn keelctl_saves_tells_restores_and_imports() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let member = Member::start(&specs(folder.path(), 1)?[0])?;
    member.ready().await?;
    history(member.spec.client).await?;
    let endpoint = member.endpoint();
    let program = binary()?.with_file_name("keelctl");
    let keelctl = |args: &[&str]| -> Result<String> {
        let output = Command::new(&program).args(["store", "--endpoints", &endpoint]).args(args).output();
        let output = output.context("keelctl does not start; `cargo build -p keelctl` makes it")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "keelctl {args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        Ok(text)
    };
    let (file, restored, imported) =
        (folder.path().join("backup.db"), folder.path().join("restored"), folder.path().join("imported"));
    keelctl(&["snapshot", "save", text(&file)])?;
    let told = keelctl(&["snapshot", "status", text(&file), "--write-out=simple"])?;
    assert_eq!(told, Release::debian().snapshot(&["status", text(&file)])?);
    keelctl(&["snapshot", "restore", text(&file), "--data-dir", text(&restored)])?;
    keelctl(&["import", "--from-etcd", &endpoint, "--data-dir", text(&imported)])?;
    for (name, data) in [("r", restored), ("i", imported.clone())] {
        let served = serve(&folder.path().join(name), data).await?;
        assert_eq!(seen(served.spec.client).await?, seen(member.spec.client).await?, "{name}");
    }
    let again = keelctl(&["import", "--from-etcd", &endpoint, "--data-dir", text(&imported)]);
    let error = again.expect_err("it is there").to_string();
    assert!(error.contains("not empty"), "{error}");
    Ok(())
}

#[tokio::test]
async fn downgrades_are_judged_as_etcd_judges_them() -> Result<()> {
    use etcd::downgrade_request::DowngradeAction::{Cancel, Enable, Validate};
    let folder = tempfile::tempdir()?;
    let spec = specs(folder.path(), 1)?.remove(0);
    let member = Member::start(&spec)?;
    member.ready().await?;
    let mut client = maintenance(spec.client).await?;
    for (action, version, expect) in [
        (Validate, "3.5.0", Ok("3.6")),
        (Validate, "3.4.0", Err("etcdserver: invalid downgrade target version")),
        (Validate, "five", Err("etcdserver: wrong downgrade target version format")),
        (Cancel, "", Err("etcdserver: no inflight downgrade job")),
        (Enable, "3.5.0", Ok("3.6")),
        (Enable, "3.5.0", Err("etcdserver: cluster has a downgrade job in progress")),
    ] {
        let req = etcd::DowngradeRequest { action: action.into(), version: version.to_owned() };
        let answer = client.downgrade(req).await;
        let answer = answer.map(|rsp| rsp.into_inner().version).map_err(|status| status.message().to_owned());
        assert_eq!(answer, expect.map(str::to_owned).map_err(str::to_owned), "{action:?} {version}");
    }
    let again = Member::start(&member.kill()?)?;
    again.ready().await?;
    let info = again.status().await?.downgrade_info.context("it is told")?;
    assert_eq!((info.enabled, info.target_version.as_str()), (true, "3.5.0"), "it outlives a restart");
    let req = etcd::DowngradeRequest { action: Cancel.into(), version: String::new() };
    maintenance(spec.client).await?.downgrade(req).await?;
    assert!(!again.status().await?.downgrade_info.context("it is told")?.enabled);
    Ok(())
}
