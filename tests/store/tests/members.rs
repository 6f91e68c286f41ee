//! The members of a cluster change while it works: added, taught, promoted, moved, removed, replaced.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::raft_client::RaftClient;
use test_store::traffic::{Traffic, total};
use test_store::{Member, Spec, cluster, connect, etcdctl, get, keelctl, leader, put, specs};

const PATIENCE: Duration = Duration::from_secs(20);

/// Returns when `check` holds.
async fn until(what: &str, mut check: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !check().await? {
        if start.elapsed() > PATIENCE {
            bail!("it never happened that {what}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn list(member: &Member) -> Result<Vec<etcd::Member>> {
    let mut client = ClusterClient::new(connect(member.spec.client).await?);
    Ok(client.member_list(etcd::MemberListRequest { linearizable: true }).await?.into_inner().members)
}

async fn add(through: &Member, spec: &Spec, is_learner: bool) -> Result<u64> {
    let request = etcd::MemberAddRequest { peer_urls: vec![spec.peer_url()], is_learner };
    let rsp = ClusterClient::new(connect(through.spec.client).await?).member_add(request).await?.into_inner();
    let member = rsp.member.context("the member that was added")?;
    ensure!(rsp.members.iter().any(|listed| listed.id == member.id), "{:?}", rsp.members);
    Ok(member.id)
}

/// How a member that joins `there` starts.
fn joining(mut spec: Spec, there: &[&Spec]) -> Spec {
    let all: Vec<Spec> = there.iter().map(|spec| (*spec).clone()).chain([spec.clone()]).collect();
    spec.cluster = cluster(&all);
    spec.state = "existing";
    spec
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_becomes_three_and_one_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let first = specs(folder.path(), 1)?.remove(0);
    let mut members = vec![Member::start(&first)?];
    members[0].ready().await?;
    let mut kv = KvClient::new(connect(first.client).await?);
    kv.put(put("before", "anybody came")).await?;

    for name in ["m1", "m2"] {
        let spec = Spec::new(folder.path(), name)?;
        let through = members.last().context("a member")?;
        let id = add(through, &spec, false).await?;
        // The one that is still to come costs no quorum, and counts as a voter all the same.
        kv.put(put("meanwhile", name)).await?;
        ensure!(list(&members[0]).await?.iter().any(|member| member.id == id && !member.is_learner));
        let there: Vec<&Spec> = members.iter().map(|member| &member.spec).collect();
        let member = Member::start(&joining(spec, &there))?;
        member.ready().await?;
        ensure!(member.id().await? == id, "{name} has found its id");
        let mut reader = KvClient::new(connect(member.spec.client).await?);
        ensure!(reader.range(get("before")).await?.into_inner().kvs.len() == 1, "{name} has what was there before");
        members.push(member);
        until("it votes and has told its name", async || {
            let listed = etcdctl(&members[0].endpoint(), &["member", "list"])?;
            Ok(listed.matches("started").count() == members.len())
        })
        .await?;
    }
    // With three voters one may go without notice.
    until("the third has its vote", async || Ok(members[0].log().matches("gets its vote").count() == 2)).await?;
    let led = leader(&members).await?;
    let dead = members.remove((led + 1) % 3);
    let (dead_id, dead) = (dead.id().await?, dead.kill()?);
    kv = KvClient::new(connect(members[0].spec.client).await?);
    kv.put(put("with", "two of three")).await?;

    // A dead one is removed, and then one that lives: it ends, and does not start again.
    let remove = async |through: &Member, id: u64| -> Result<()> {
        let mut client = ClusterClient::new(connect(through.spec.client).await?);
        client.member_remove(etcd::MemberRemoveRequest { id }).await?;
        Ok(())
    };
    remove(&members[0], dead_id).await?;
    let back = Member::start(&dead)?;
    let ended = back.ended().await?;
    ensure!(!ended.success(), "the dead member is told that it was removed");
    let removed = members.remove(1);
    let id = removed.id().await?;
    remove(&members[0], id).await?;
    let spec = removed.spec.clone();
    let ended = removed.ended().await?;
    ensure!(!ended.success(), "the removed member ends: {ended}");
    let again = Member::start(&spec)?;
    let log = || std::fs::read_to_string(spec.folder.join("log")).unwrap_or_default();
    let ended = again.ended().await?;
    ensure!(!ended.success(), "and does not start again");
    ensure!(log().matches("the member has been permanently removed from the cluster").count() >= 2, "{}", log());

    kv = KvClient::new(connect(members[0].spec.client).await?);
    kv.put(put("alone", "again")).await?;
    ensure!(list(&members[0]).await?.len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_learns_and_is_promoted_when_it_is_in_sync() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let specs = specs(folder.path(), 3)?;
    let members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    for member in &members {
        member.ready().await?;
    }
    let led = leader(&members).await?;
    // A follower takes changes as well.
    let asked = &members[(led + 1) % 3];
    let mut kv = KvClient::new(connect(asked.spec.client).await?);
    for count in 0..50 {
        kv.put(put(&format!("key{count}"), "value")).await?;
    }
    let spec = Spec::new(folder.path(), "learner")?;
    let id = add(asked, &spec, true).await?;
    let text = format!("{id:x}");
    let refused = |args: &[&str]| etcdctl(&asked.endpoint(), args).expect_err("refused").to_string();
    let unready = refused(&["member", "promote", &text]);
    ensure!(unready.contains("can only promote a learner member which is in sync with leader"), "{unready}");
    let second = Spec::new(folder.path(), "second")?;
    let crowd = refused(&["member", "add", "second", "--learner", "--peer-urls", &second.peer_url()]);
    ensure!(crowd.contains("etcdserver: too many learner members in cluster"), "{crowd}");
    let twice = refused(&["member", "add", "twice", "--peer-urls", &spec.peer_url()]);
    ensure!(twice.contains("etcdserver: Peer URLs already exists"), "{twice}");
    let nobody = refused(&["member", "remove", "1234"]);
    ensure!(nobody.contains("etcdserver: member not found"), "{nobody}");

    let learner = Member::start(&joining(spec, &specs.iter().collect::<Vec<_>>()))?;
    let stale = etcd::RangeRequest { serializable: true, ..get("key49") };
    until("the learner has everything", async || {
        let Ok(channel) = connect(learner.spec.client).await else { return Ok(false) };
        let read = KvClient::new(channel).range(stale.clone()).await;
        Ok(read.is_ok_and(|rsp| rsp.into_inner().kvs.len() == 1))
    })
    .await?;
    ensure!(learner.status().await?.is_learner, "it says what it is");
    let mut kv = KvClient::new(connect(learner.spec.client).await?);
    let unsupported = kv.put(put("a", "b")).await.expect_err("a learner takes no writes");
    ensure!(unsupported.message() == "etcdserver: rpc not supported for learner", "{unsupported}");
    let unsupported = kv.range(get("key1")).await.expect_err("nor reads that need a leader");
    ensure!(unsupported.message() == "etcdserver: rpc not supported for learner", "{unsupported}");
    let mut maintenance = MaintenanceClient::new(connect(members[led].spec.client).await?);
    let refused = maintenance.move_leader(etcd::MoveLeaderRequest { target_id: id }).await.expect_err("a learner");
    ensure!(refused.message() == "etcdserver: bad leader transferee", "{refused}");

    let listed = etcdctl(&asked.endpoint(), &["member", "list"])?;
    ensure!(listed.lines().any(|line| line.starts_with(&text) && line.ends_with("true")), "{listed}");
    until("it is promoted", async || Ok(etcdctl(&asked.endpoint(), &["member", "promote", &text]).is_ok())).await?;
    until("the promoted member takes writes", async || Ok(kv.put(put("a", "b")).await.is_ok())).await?;
    let again = etcdctl(&asked.endpoint(), &["member", "promote", &text]).expect_err("promoted").to_string();
    ensure!(again.contains("etcdserver: can only promote a learner member"), "{again}");
    ensure!(list(asked).await?.iter().all(|member| !member.is_learner));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_moves_when_asked_and_etcdctl_and_keelctl_see_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let specs = specs(folder.path(), 3)?;
    let members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    for member in &members {
        member.ready().await?;
    }
    let all = members.iter().map(Member::endpoint).collect::<Vec<_>>().join(",");
    let led = leader(&members).await?;
    let next = (led + 1) % 3;
    let target = format!("{:x}", members[next].id().await?);

    let mut follower = MaintenanceClient::new(connect(members[next].spec.client).await?);
    let request = etcd::MoveLeaderRequest { target_id: members[next].id().await? };
    let refused = follower.move_leader(request).await.expect_err("no leader");
    ensure!(refused.message() == "etcdserver: not leader", "{refused}");
    let mut at_leader = MaintenanceClient::new(connect(members[led].spec.client).await?);
    let refused = at_leader.move_leader(etcd::MoveLeaderRequest { target_id: 7 }).await.expect_err("nobody");
    ensure!(refused.message() == "etcdserver: bad leader transferee", "{refused}");

    let moved = etcdctl(&all, &["move-leader", &target])?;
    ensure!(moved.contains("Leadership transferred from"), "{moved}");
    ensure!(leader(&members).await? == next);
    let health = etcdctl(&all, &["endpoint", "health"]);
    ensure!(health.is_ok(), "{health:?}");
    let status = etcdctl(&all, &["endpoint", "status"])?;
    ensure!(status.lines().count() == 3 && status.matches(", true, false,").count() == 1, "{status}");

    let endpoints = format!("--endpoints={all}");
    let back = members[led].spec.name.clone();
    let moved = keelctl(&["store", "leader", "move", &back, &endpoints])?;
    ensure!(moved.contains("leadership moved from"), "{moved}");
    ensure!(leader(&members).await? == led);
    let status = keelctl(&["store", "status", &endpoints])?;
    ensure!(status.matches("leader").count() == 1 && status.matches("follower").count() == 2, "{status}");
    let table = keelctl(&["store", "member", "list", &endpoints])?;
    ensure!(specs.iter().all(|spec| table.contains(&spec.peer_url())) && table.contains("started"), "{table}");
    let json = keelctl(&["store", "member", "list", "-o", "json", &endpoints])?;
    ensure!(json.contains("\"clusterId\"") && json.contains(&target), "{json}");

    // A member moves to another address: it is told first, and then starts there.
    let moving = &members[(led + 2) % 3];
    let mut spec = moving.spec.clone();
    (spec.peer, spec.advertised_peer) = {
        let port = test_store::free_port()?;
        (port, port)
    };
    keelctl(&["store", "member", "update", &spec.name, "--peer-urls", &spec.peer_url(), &endpoints])?;
    let listed = etcdctl(&all, &["member", "list"])?;
    ensure!(listed.contains(&spec.peer_url()), "{listed}");
    let mut members = members;
    members.remove((led + 2) % 3).kill()?;
    let moved = Member::start(&spec)?;
    moved.ready().await?;
    let mut kv = KvClient::new(connect(moved.spec.client).await?);
    kv.put(put("from", "the new address")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_lost_its_disk_is_replaced_under_load() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let specs = specs(folder.path(), 3)?;
    let mut members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    for member in &members {
        member.ready().await?;
    }
    let led = leader(&members).await?;
    let lost = (led + 1) % 3;
    let ports: Vec<u16> = specs.iter().enumerate().filter(|(at, _)| *at != lost).map(|(_, spec)| spec.client).collect();
    let traffic = Traffic::start(&ports, 8)?;
    tokio::time::sleep(Duration::from_secs(1)).await;

    let member = members.remove(lost);
    let id = member.id().await?;
    let spec = member.kill()?;
    std::fs::remove_dir_all(spec.data_dir())?;
    // Just starting it would let it vote twice in one term: it is refused.
    let amnesiac = Member::start(&spec)?;
    let ended = amnesiac.ended().await?;
    ensure!(!ended.success(), "a member without its data is no member");
    let log = std::fs::read_to_string(spec.folder.join("log"))?;
    ensure!(log.contains("has already been bootstrapped"), "{log}");

    let mut client = ClusterClient::new(connect(members[0].spec.client).await?);
    client.member_remove(etcd::MemberRemoveRequest { id }).await?;
    add(&members[0], &spec, false).await?;
    let there: Vec<Spec> = members.iter().map(|member| member.spec.clone()).collect();
    // A removed member's folder is not used again, even an empty one is: the flags only say "existing" now.
    std::fs::remove_dir_all(spec.data_dir()).ok();
    let replaced = Member::start(&joining(spec, &there.iter().collect::<Vec<_>>()))?;
    replaced.ready().await?;
    until("the new member votes", async || Ok(members.iter().any(|member| member.log().contains("it gets its vote"))))
        .await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let tallies = traffic.finish(replaced.spec.client).await?;
    let (done, slowest) = total(&tallies);
    println!("{done} writes while a member was replaced; the slowest took {slowest:?}");
    ensure!(done > 100 && slowest < Duration::from_secs(3), "{done} writes, the slowest took {slowest:?}");
    Ok(())
}

#[tokio::test]
async fn calls_of_another_cluster_member_or_epoch_are_refused_and_say_why() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let spec = specs(folder.path(), 1)?.remove(0);
    let member = Member::start(&spec)?;
    member.ready().await?;
    let header = member.status().await?.header.context("a header")?;
    let own = pb::Target { cluster_id: header.cluster_id, member_id: header.member_id, epoch: 0 };
    let mut raft = RaftClient::new(connect(spec.peer).await?);
    raft.read_index(pb::ReadIndexRequest { target: Some(own) }).await?;
    for (target, text) in [
        (pb::Target { cluster_id: 1, ..own }, "the call is for cluster 1, this is cluster"),
        (pb::Target { member_id: 1, ..own }, "the call is for member 1, this is member"),
        (pb::Target { epoch: 9, ..own }, "one of the two was restored from a snapshot"),
    ] {
        let refused = raft.read_index(pb::ReadIndexRequest { target: Some(target) }).await.expect_err("not for it");
        ensure!(refused.code() == tonic::Code::FailedPrecondition && refused.message().contains(text), "{refused}");
        let append = pb::AppendRequest { target: Some(target), ..Default::default() };
        let mut answers = raft.append(tokio_stream::iter([append])).await?.into_inner();
        let refused = answers.message().await.expect_err("not for it");
        ensure!(refused.message().contains(text), "an append is told as well: {refused}");
    }
    Ok(())
}
