//! Three members elect a leader, survive its death, and take it back.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use test_store::{Member, Spec, connect, get, leader, number, put, specs};

/// Writes through whichever member takes it; gives how long that took.
async fn write(members: &[Member], key: &str, value: &str) -> Result<Duration> {
    let start = Instant::now();
    loop {
        for member in members {
            let Ok(channel) = connect(member.spec.client).await else { continue };
            if KvClient::new(channel).put(put(key, value)).await.is_ok() {
                return Ok(start.elapsed());
            }
        }
        if start.elapsed() > Duration::from_secs(20) {
            bail!("no member takes a write");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_survive_the_death_of_their_leader() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let specs: Vec<Spec> = specs(folder.path(), 3)?;
    let mut members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    for member in &members {
        member.ready().await?;
    }
    let led = leader(&members).await?;

    // Every member takes writes and gives linearizable reads of the others' writes.
    for at in 0..3 {
        let mut writer = KvClient::new(connect(members[at].spec.client).await?);
        let mut reader = KvClient::new(connect(members[(at + 1) % 3].spec.client).await?);
        for count in 1..=50 {
            writer.put(put(&format!("count/{at}"), &count.to_string())).await?;
            ensure!(number(&mut reader, &format!("count/{at}")).await? == count, "member {at}, write {count}");
        }
    }
    // Leases and refusals pass through a follower.
    let follower = &members[(led + 1) % 3];
    let mut leases = LeaseClient::new(connect(follower.spec.client).await?);
    let granted = leases.lease_grant(etcd::LeaseGrantRequest { ttl: 60, id: 0 }).await?.into_inner();
    let left =
        leases.lease_time_to_live(etcd::LeaseTimeToLiveRequest { id: granted.id, keys: false }).await?.into_inner();
    ensure!(left.ttl > 50 && left.granted_ttl == 60, "{left:?}");
    let mut kv = KvClient::new(connect(follower.spec.client).await?);
    let refused = kv.put(etcd::PutRequest { lease: 12345, ..put("a", "b") }).await.expect_err("no such lease");
    ensure!(refused.message() == "etcdserver: requested lease not found", "{refused}");

    let dead = members.remove(led).kill()?;
    let took = write(&members, "after", "the leader's death").await?;
    println!("writes again {took:?} after the leader was killed");
    ensure!(took < Duration::from_secs(8), "the failover took {took:?}");
    leader(&members).await?;
    for at in 0..3 {
        let mut reader = KvClient::new(connect(members[0].spec.client).await?);
        ensure!(number(&mut reader, &format!("count/{at}")).await? == 50, "count/{at} after the failover");
    }

    // The dead member comes back and catches up.
    let back = Member::start(&dead)?;
    back.ready().await?;
    let mut reader = KvClient::new(connect(back.spec.client).await?);
    let rsp = reader.range(get("after")).await?.into_inner();
    ensure!(rsp.kvs.len() == 1, "the member that came back has what was written meanwhile");
    members.push(back);
    let listed = test_store::etcdctl(&members[0].endpoint(), &["member", "list"])?;
    ensure!(listed.matches("started").count() == 3, "{listed}");
    Ok(())
}

/// The leader rests between its attempts to reach it, and says so once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_member_costs_its_leader_little() -> Result<()> {
    const WATCHED: Duration = Duration::from_secs(5);
    let folder = tempfile::tempdir()?;
    let specs: Vec<Spec> = specs(folder.path(), 3)?;
    let mut members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    for member in &members {
        member.ready().await?;
    }
    let led = leader(&members).await?;
    let dead = members.remove((led + 1) % 3).kill()?;
    let led = leader(&members).await?;
    let pid = i32::try_from(members[led].pid())?;
    let ticks = || testkit::process::stat(pid).map(|stat| stat.cpu_ticks).context("it runs");
    let before = ticks()?;
    tokio::time::sleep(WATCHED).await;
    let used = ticks()? - before;
    let log = members[led].log();
    let said = log.lines().filter(|line| line.contains("does not answer")).count();
    println!("{used} ticks of CPU in {WATCHED:?}, {} lines of log", log.lines().count());
    // A hundred ticks are a second of one core.
    ensure!(used < 200.0, "the leader used {used} ticks in {WATCHED:?}");
    ensure!((1..5).contains(&said) && log.lines().count() < 50, "it is said, and not for ever:\n{log}");

    let back = Member::start(&dead)?;
    back.ready().await?;
    let start = Instant::now();
    while !members[led].log().contains("answers again") {
        ensure!(start.elapsed() < Duration::from_secs(60), "{}", members[led].log());
        write(&members, "after", "it came back").await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
