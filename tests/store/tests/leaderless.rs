//! A member whose leader or whose quorum is gone: callers that want a leader (metadata `hasleader`) are refused at once, on every
//! service; the member says that it has no leader; and everything is back when the others are.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::auth_client::AuthClient;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::v3lockpb::LockRequest;
use proto::v3lockpb::lock_client::LockClient;
use test_store::{Member, get, leader, put, specs};
use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

const PATIENCE: Duration = Duration::from_secs(60);
/// A refusal that waited for nothing; a request that waits for a leader takes seven seconds.
const AT_ONCE: Duration = Duration::from_secs(3);

fn wanting<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("hasleader", "true".parse().expect("a value"));
    request
}

fn is_refused(status: &Status) -> bool {
    (status.code(), status.message()) == (Code::Unavailable, "etcdserver: no leader")
}

fn unrefused<T>(what: &str, answer: Result<Response<T>, Status>, took: Duration) -> Option<String> {
    match answer {
        Err(status) if is_refused(&status) && took < AT_ONCE => None,
        Err(status) => Some(format!("{what}: {status} after {took:?}")),
        Ok(_) => Some(format!("{what} is answered")),
    }
}

/// A read that this member could answer by itself.
fn own_read() -> etcd::RangeRequest {
    etcd::RangeRequest { serializable: true, ..get("k") }
}

fn create() -> impl tokio_stream::Stream<Item = etcd::WatchRequest> {
    let union = RequestUnion::CreateRequest(etcd::WatchCreateRequest { key: "k".into(), ..Default::default() });
    tokio_stream::iter([etcd::WatchRequest { request_union: Some(union) }]).chain(tokio_stream::pending())
}

/// What is not refused, or not at once, of calls to every service.
async fn served(channel: &Channel) -> Vec<String> {
    let mut kv = KvClient::new(channel.clone());
    let mut lease = LeaseClient::new(channel.clone());
    let mut maintenance = MaintenanceClient::new(channel.clone());
    let mut served = Vec::new();
    macro_rules! ask {
        ($what:literal, $answer:expr) => {{
            let start = Instant::now();
            let answer = $answer.await;
            served.extend(unrefused($what, answer, start.elapsed()));
        }};
    }
    ask!("put", kv.put(wanting(put("k", "v"))));
    ask!("range", kv.range(wanting(own_read())));
    ask!("delete", kv.delete_range(wanting(etcd::DeleteRangeRequest { key: "k".into(), ..Default::default() })));
    ask!("txn", kv.txn(wanting(etcd::TxnRequest::default())));
    ask!("compact", kv.compact(wanting(etcd::CompactionRequest { revision: 1, physical: false })));
    ask!("grant", lease.lease_grant(wanting(etcd::LeaseGrantRequest { ttl: 60, id: 7 })));
    ask!("leases", lease.lease_leases(wanting(etcd::LeaseLeasesRequest {})));
    ask!("renew", lease.lease_keep_alive(wanting(tokio_stream::pending())));
    ask!("watch", WatchClient::new(channel.clone()).watch(wanting(create())));
    ask!("status", maintenance.status(wanting(etcd::StatusRequest {})));
    ask!("alarm", maintenance.alarm(wanting(etcd::AlarmRequest::default())));
    ask!("members", ClusterClient::new(channel.clone()).member_list(wanting(etcd::MemberListRequest::default())));
    ask!("users", AuthClient::new(channel.clone()).user_list(wanting(etcd::AuthUserListRequest {})));
    ask!("lock", LockClient::new(channel.clone()).lock(wanting(LockRequest { name: b"l".to_vec(), lease: 7 })));
    served
}

/// Renewals of a lease: the first is answered before this returns.
async fn renewing(channel: &Channel, wants: bool) -> Result<tonic::Streaming<etcd::LeaseKeepAliveResponse>> {
    let requests = tokio_stream::iter([etcd::LeaseKeepAliveRequest { id: 7 }]).chain(tokio_stream::pending());
    let request = if wants { wanting(requests) } else { Request::new(requests) };
    let mut stream = LeaseClient::new(channel.clone()).lease_keep_alive(request).await?.into_inner();
    ensure!(stream.message().await?.context("an answer")?.ttl > 0, "the lease is there");
    Ok(stream)
}

/// A channel whose calls may wait.
async fn patient(port: u16) -> Result<Channel> {
    Ok(tonic::transport::Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?.connect().await?)
}

async fn until_refused(channel: &Channel) -> Result<()> {
    let start = Instant::now();
    loop {
        match KvClient::new(channel.clone()).range(wanting(own_read())).await {
            Err(status) if is_refused(&status) => return Ok(()),
            other => ensure!(start.elapsed() < PATIENCE, "still: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn has_leader(port: u16) -> Result<bool> {
    let server = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let page = tokio::task::spawn_blocking(move || testkit::http::get(None, server, "/metrics")).await??;
    let value = page.body.lines().find_map(|line| line.strip_prefix("etcd_server_has_leader "));
    Ok(value.context("the metric")?.trim().parse::<f64>()? == 1.0)
}

async fn until_led(port: u16) -> Result<()> {
    let start = Instant::now();
    while !has_leader(port).await? {
        ensure!(start.elapsed() < PATIENCE, "no leader at {port}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn alone(keeps_leader: bool) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let specs = specs(folder.path(), 3)?;
    let mut members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    for member in &members {
        member.ready().await?;
    }
    let led = leader(&members).await?;
    let kept = members.remove(if keeps_leader { led } else { (led + 1) % 3 });
    let channel = patient(kept.spec.client).await?;
    LeaseClient::new(channel.clone()).lease_grant(etcd::LeaseGrantRequest { ttl: 600, id: 7 }).await?;
    KvClient::new(channel.clone()).put(wanting(put("k", "v"))).await?;
    let (mut wants, mut waits) = (renewing(&channel, true).await?, renewing(&channel, false).await?);
    // Longer than a leader may be silent: heartbeats alone keep it known.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    for member in members.iter().chain([&kept]) {
        until_led(member.spec.client).await?;
    }

    let gone = members.into_iter().map(Member::kill).collect::<Result<Vec<_>>>()?;
    until_refused(&channel).await?;
    let served = served(&channel).await;
    ensure!(served.is_empty(), "keeps its leader: {keeps_leader}: {served:#?}");
    ensure!(KvClient::new(channel.clone()).range(own_read()).await?.into_inner().count == 1, "who does not care reads");
    let status = kept.status().await?;
    ensure!(status.leader == 0 && status.errors == ["etcdserver: no leader"], "{status:?}");
    ensure!(!has_leader(kept.spec.client).await?, "no leader");
    let ended = tokio::time::timeout(PATIENCE, wants.message()).await?.expect_err("no leader");
    ensure!(is_refused(&ended), "renewals: {ended}");
    ensure!(
        tokio::time::timeout(Duration::from_millis(500), waits.message()).await.is_err(),
        "who does not care waits"
    );

    let _back: Vec<Member> = gone.iter().map(Member::start).collect::<Result<_>>()?;
    let start = Instant::now();
    while let Err(status) = KvClient::new(channel.clone()).put(wanting(put("k", "w"))).await {
        ensure!(start.elapsed() < PATIENCE, "still: {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until_led(kept.spec.client).await
}

/// Two of five are left, the leader and one that still hears it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_of_a_leader_without_its_quorum_refuses_who_wants_a_leader() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let specs = specs(folder.path(), 5)?;
    let mut members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    for member in &members {
        member.ready().await?;
    }
    let led = leader(&members).await?;
    let leads = members.remove(led);
    let follows = members.remove(0);
    let channel = patient(follows.spec.client).await?;
    KvClient::new(channel.clone()).put(wanting(put("k", "v"))).await?;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    for member in [&leads, &follows] {
        ensure!(has_leader(member.spec.client).await?, "a leader that has its quorum is known");
    }

    let gone = members.into_iter().map(Member::kill).collect::<Result<Vec<_>>>()?;
    let start = Instant::now();
    until_refused(&channel).await?;
    println!("refused {:?} after three of five were killed", start.elapsed());
    // The leader does not step down, and calls as ever.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let served = served(&channel).await;
    ensure!(served.is_empty(), "{served:#?}");
    ensure!(KvClient::new(channel.clone()).range(own_read()).await?.into_inner().count == 1, "who does not care reads");
    let status = follows.status().await?;
    ensure!(status.leader == 0 && status.errors == ["etcdserver: no leader"], "{status:?}");

    let _back: Vec<Member> = gone.iter().map(Member::start).collect::<Result<_>>()?;
    until_led(follows.spec.client).await?;
    KvClient::new(channel).put(wanting(put("k", "w"))).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_its_quorum_refuses_who_wants_a_leader() -> Result<()> {
    alone(true).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_without_its_leader_refuses_who_wants_a_leader() -> Result<()> {
    alone(false).await
}
