//! A restored cluster and the one that its backup came from have the same ids and the same addresses, when the flags are the
//! same. Members of the two refuse each other, say why, and neither cluster is harmed.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use test_store::{Member, Spec, binary, connect, get, keelctl, leader, put, specs, verdict};

const LIMIT: Duration = Duration::from_secs(60);
/// What either side says of the other.
const WHY: &str = "one of the two was restored from a snapshot";
/// More than any timeout of an election.
const QUIET: Duration = Duration::from_secs(5);

/// The cluster as it was, stopped, and the folders that were restored from its backup; both have the same flags.
struct Fork {
    old: Vec<Spec>,
    new: Vec<Spec>,
    ids: Vec<u64>,
    _folder: tempfile::TempDir,
}

fn start(specs: &[Spec]) -> Result<Vec<Member>> {
    specs.iter().map(Member::start).collect()
}

async fn ready(members: &[Member]) -> Result<()> {
    for member in members {
        member.ready().await?;
    }
    Ok(())
}

async fn write(member: &Member, prefix: &str, count: usize) -> Result<()> {
    let mut kv = KvClient::new(connect(member.spec.client).await?);
    for number in 0..count {
        kv.put(put(&format!("{prefix}/{number:03}"), "x")).await?;
    }
    Ok(())
}

impl Fork {
    async fn make() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let old = specs(&folder.path().join("old"), 3)?;
        let mut members = start(&old)?;
        ready(&members).await?;
        write(&members[0], "kept", 50).await?;
        let backup = folder.path().join("backup.db");
        let endpoint = format!("--endpoints={}", members[0].endpoint());
        keelctl(&["store", "snapshot", "save", &backup.display().to_string(), &endpoint])?;
        // The old cluster goes on: its log is longer and its term higher than those of the new one.
        let led = leader(&members).await?;
        let dead = members.remove(led).kill()?;
        leader(&members).await?;
        members.push(Member::start(&dead)?);
        ready(&members).await?;
        write(&members[0], "late", 200).await?;
        members.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        let mut ids = Vec::new();
        for member in &members {
            ids.push(member.id().await?);
        }
        for member in members {
            member.kill()?;
        }
        let new: Vec<Spec> = old.iter().map(|spec| restored(spec, &backup, folder.path())).collect::<Result<_>>()?;
        Ok(Self { old, new, ids, _folder: folder })
    }
}

/// The same member, on a folder that was made of the backup.
fn restored(old: &Spec, backup: &Path, folder: &Path) -> Result<Spec> {
    let spec = Spec { folder: folder.join("new").join(&old.name), ..old.clone() };
    let output = Command::new(binary()?)
        .args(["snapshot", "restore"])
        .arg(backup)
        .args(["--name", &spec.name, "--initial-cluster", &spec.cluster])
        .args(["--initial-advertise-peer-urls", &spec.peer_url()])
        .arg("--data-dir")
        .arg(spec.data_dir())
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(spec)
}

/// Returns when a member's log says why it does not hear the others.
async fn says_why(member: &Member) -> Result<()> {
    let start = Instant::now();
    while !member.log().contains(WHY) {
        ensure!(start.elapsed() < LIMIT, "{} does not say why:\n{}", member.spec.name, member.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// The two that are a cluster go on as if the third were not there, which serves nobody.
async fn are_left_alone(cluster: &[Member], stranger: &Member) -> Result<()> {
    let before = cluster[0].status().await?;
    says_why(stranger).await?;
    let start = Instant::now();
    while start.elapsed() < QUIET {
        write(&cluster[0], "meanwhile", 1).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for member in cluster {
        let now = member.status().await?;
        ensure!(
            (now.leader, now.raft_term) == (before.leader, before.raft_term),
            "{}: leader {:x} in term {}, before {:x} in {}",
            member.spec.name,
            now.leader,
            now.raft_term,
            before.leader,
            before.raft_term
        );
        says_why(member).await?;
    }
    let mut kv = KvClient::new(connect(stranger.spec.client).await?);
    let refused = kv.range(get("kept/000")).await.expect_err("it has no quorum");
    ensure!(refused.code() == tonic::Code::Unavailable, "{refused}");
    let refused = kv.put(put("stray", "x")).await.expect_err("it has no quorum");
    ensure!(refused.code() == tonic::Code::Unavailable, "{refused}");
    ensure!(!stranger.spec.data_dir().join("REMOVED").exists(), "nobody removed it");
    Ok(())
}

/// Whether a member has a key, in its own state.
async fn has(member: &Member, key: &str) -> Result<bool> {
    let own = etcd::RangeRequest { serializable: true, ..get(key) };
    let found = KvClient::new(connect(member.spec.client).await?).range(own).await?.into_inner();
    Ok(!found.kvs.is_empty())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_member_is_refused_by_the_restored_cluster() -> Result<()> {
    let fork = Fork::make().await?;
    let mut new = start(&fork.new[..2])?;
    ready(&new).await?;
    for (member, id) in new.iter().zip(&fork.ids) {
        ensure!(member.id().await? == *id, "the ids are the old ones: nothing but the epoch tells them apart");
    }
    let old = Member::start(&fork.old[2])?;
    are_left_alone(&new, &old).await?;
    ensure!(has(&old, "late/000").await? && !has(&old, "meanwhile/000").await?, "it has what it had");
    for member in &new {
        ensure!(!has(member, "late/000").await?, "{}: what is not in the backup", member.spec.name);
    }

    // The new third member takes its place, and the cluster is whole.
    old.kill()?;
    new.push(Member::start(&fork.new[2])?);
    ready(&new).await?;
    write(&new[2], "whole", 20).await?;
    let revision = verdict::agree(&new.iter().collect::<Vec<_>>()).await?;
    println!("the restored cluster agrees at revision {revision}");
    ensure!(has(&new[2], "meanwhile/000").await? && !has(&new[2], "late/000").await?, "it has what the others have");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_member_is_refused_by_the_old_cluster() -> Result<()> {
    let fork = Fork::make().await?;
    let old = start(&fork.old[..2])?;
    ready(&old).await?;
    let new = Member::start(&fork.new[2])?;
    are_left_alone(&old, &new).await?;
    ensure!(has(&new, "kept/049").await? && !has(&new, "late/000").await?, "it has the backup, and nothing else");
    for member in &old {
        ensure!(has(member, "late/199").await?, "{}: nothing was lost", member.spec.name);
    }
    let term = old[0].status().await?.raft_term;
    ensure!(term > 1, "an old cluster whose term is not higher proves less: {term}");
    let header = old[1].status().await?.header.context("a header")?;
    ensure!(header.member_id == fork.ids[1], "the same member as before");
    Ok(())
}
