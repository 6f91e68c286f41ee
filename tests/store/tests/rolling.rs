//! A cluster whose members come and go: rolling restarts, dead and frozen leaders, members that were cut off.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use proto::etcdserverpb::kv_client::KvClient;
use test_store::traffic::{self, Traffic, total};
use test_store::{Member, Spec, connect, leader, put, specs};

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
