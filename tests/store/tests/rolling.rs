//! A cluster whose members come and go: rolling restarts, dead and frozen leaders, members that were cut off.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb::kv_client::KvClient;
use test_store::clients::Load;
use test_store::recorder::Recorder;
use test_store::traffic::{self, Traffic, total};
use test_store::{Member, Spec, connect, get, leader, put, specs, verdict};

async fn three(folder: &std::path::Path) -> Result<(Vec<Spec>, Vec<Member>)> {
    let specs = specs(folder, 3)?;
    let members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    for member in &members {
        member.ready().await?;
    }
    Ok((specs, members))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_request_of_a_client_with_retries() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (specs, mut members) = three(folder.path()).await?;
    leader(&members).await?;
    let ports: Vec<u16> = specs.iter().map(|spec| spec.client).collect();
    let traffic = Traffic::start(&ports, 6)?;
    let mut handed_over = 0;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        // The one that leads, each time: that is what hurts most.
        let led = leader(&members).await?;
        let member = members.remove(led);
        let spec = member.spec.clone();
        tokio::task::spawn_blocking(move || member.stop()).await??;
        let log = std::fs::read_to_string(spec.folder.join("log"))?;
        handed_over += usize::from(log.contains("leadership is handed over"));
        let back = Member::start(&spec)?;
        back.ready().await?;
        members.push(back);
    }
    let tallies = traffic.finish(ports[0]).await?;
    let (done, slowest) = total(&tallies);
    println!("{done} writes during a rolling restart of every leader; the slowest took {slowest:?}");
    ensure!(handed_over == 3, "leadership was handed over {handed_over} times of 3");
    ensure!(done > 100 && slowest < Duration::from_secs(3), "{done} writes, the slowest took {slowest:?}");
    Ok(())
}

/// Members are stopped, given another program file, and started on the data that they have, as an upgrade does it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_upgrade_fails_no_request_and_keeps_the_history_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (specs, mut members) = three(folder.path()).await?;
    let newer = folder.path().join("newer-keelson-store");
    std::fs::copy(test_store::binary()?, &newer)?;
    leader(&members).await?;
    let ports: Vec<u16> = specs.iter().map(|spec| spec.client).collect();
    let traffic = Traffic::start(&ports, 3)?;
    let recorder = Arc::new(Recorder::default());
    let urls: Vec<String> = specs.iter().map(Spec::client_url).collect();
    let load = Load::start(&recorder, &urls)?;
    for at in 0..3 {
        // Followers first, as docs/store.md has it: the old leader goes last.
        let led = leader(&members).await?;
        let next = (0..3).filter(|next| members[*next].spec.program.is_none()).max_by_key(|next| *next != led);
        let next = next.context("a member that runs the old program")?;
        ensure!((next == led) == (at == 2), "the leader is upgraded last");
        let old = members.remove(next);
        let mut spec = old.spec.clone();
        tokio::task::spawn_blocking(move || old.stop()).await??;
        spec.program = Some(newer.clone());
        let new = Member::start(&spec)?;
        new.ready().await?;
        let runs = std::fs::read_link(format!("/proc/{}/exe", new.pid()))?;
        ensure!(runs == newer, "{} runs {}", spec.name, runs.display());
        members.insert(next, new);
        let upgraded = recorder.now();
        let start = Instant::now();
        while recorder.answered_since(upgraded, |entry| entry.member == next) < 10 {
            ensure!(start.elapsed() < Duration::from_secs(60), "{} does nothing after its upgrade", spec.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    load.finish()?;
    let (done, slowest) = total(&traffic.finish(ports[0]).await?);
    let told = verdict::give(&members.iter().collect::<Vec<_>>(), &recorder).await?;
    println!("{done} writes during a rolling upgrade; the slowest took {slowest:?}; beside them {told}");
    ensure!(done > 100 && slowest < Duration::from_secs(5), "{done} writes, the slowest took {slowest:?}");
    Ok(())
}

/// kill -9 of the leader, with the timeouts that a member has without flags: heartbeat 100 ms, election 1000 ms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_on_soon_after_the_leader_was_killed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (_, mut members) = three(folder.path()).await?;
    let mut took = Vec::new();
    for round in 0..5 {
        let led = leader(&members).await?;
        let dead = members.remove(led).kill()?;
        let start = Instant::now();
        let mut at = 0;
        loop {
            let mut kv = KvClient::new(traffic::channel(members[at].spec.client)?);
            if kv.put(put("round", &round.to_string())).await.is_ok() {
                break;
            }
            at = (at + 1) % members.len();
            ensure!(start.elapsed() < Duration::from_secs(20), "no member takes a write");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        took.push(start.elapsed());
        let back = Member::start(&dead)?;
        back.ready().await?;
        members.push(back);
    }
    took.sort();
    println!("writes again after kill -9 of the leader: {took:?}");
    ensure!(took[2] < Duration::from_millis(1500), "the failovers took {took:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_member_that_comes_back_deposes_nobody() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (_, members) = three(folder.path()).await?;
    let led = leader(&members).await?;
    let before = members[led].status().await?;
    let frozen = &members[(led + 1) % 3];
    frozen.signal("STOP")?;
    let mut kv = KvClient::new(connect(members[led].spec.client).await?);
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < Duration::from_secs(4) {
        count += 1;
        kv.put(put("meanwhile", &count.to_string())).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    frozen.signal("CONT")?;
    frozen.ready().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for member in &members {
        let status = member.status().await?;
        ensure!(
            (status.leader, status.raft_term) == (before.leader, before.raft_term),
            "{}: leader {:x} in term {}, before {:x} in term {}",
            member.spec.name,
            status.leader,
            status.raft_term,
            before.leader,
            before.raft_term
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_leader_holds_up_no_client_of_the_others() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (_, members) = three(folder.path()).await?;
    let led = leader(&members).await?;
    members[led].signal("STOP")?;
    let start = Instant::now();
    let mut asked = tokio::task::JoinSet::new();
    for follower in [(led + 1) % 3, (led + 2) % 3] {
        let (port, key) = (members[follower].spec.client, format!("at/{follower}"));
        asked.spawn(async move {
            let mut kv = KvClient::new(traffic::channel(port)?);
            // What the frozen one was asked is lost; a client tries again.
            while kv.put(put(&key, "1")).await.is_err() {
                ensure!(start.elapsed() < Duration::from_secs(60), "no write at a follower");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(start.elapsed())
        });
        asked.spawn(async move {
            connect(port).await.map(KvClient::new)?.range(get("at")).await?;
            Ok(start.elapsed())
        });
    }
    let mut took = Vec::new();
    while let Some(answered) = asked.join_next().await {
        took.push(answered??);
    }
    members[led].signal("CONT")?;
    println!("answered by the others after the leader was frozen: {took:?}");
    // A call between members may take 5 s.
    ensure!(took.iter().all(|took| *took < Duration::from_secs(4)), "answered after {took:?}");
    Ok(())
}
