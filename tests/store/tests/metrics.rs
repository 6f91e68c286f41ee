//! /metrics, /health and /version: each metric under etcd's name, and each moves when what it counts happens.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::watch_client::WatchClient;
use test_store::beside::Etcd;
use test_store::{Member, connect, get, put, put_both, specs};

fn http(port: u16, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(15)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).context("a status")?.parse()?;
    let body = answer.split_once("\r\n\r\n").context("a body")?.1;
    Ok((status, body.to_owned()))
}

/// Values by name with labels.
fn metrics(port: u16) -> Result<BTreeMap<String, f64>> {
    let (status, text) = http(port, "/metrics")?;
    ensure!(status == 200, "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.rsplit_once(' '));
    Ok(pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
}

/// name => type.
fn types(port: u16) -> Result<BTreeMap<String, String>> {
    let (_, text) = http(port, "/metrics")?;
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    Ok(lines.filter_map(|line| line.split_once(' ')).map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect())
}

fn of(metrics: &BTreeMap<String, f64>, name: &str) -> f64 {
    *metrics.get(name).unwrap_or_else(|| panic!("there is no {name} in {:#?}", metrics.keys()))
}

/// What grows when everything was done once.
const GROWING: &[&str] = &[
    "etcd_mvcc_put_total",
    "etcd_mvcc_delete_total",
    "etcd_mvcc_txn_total",
    "etcd_mvcc_range_total",
    "etcd_mvcc_total_put_size_in_bytes",
    "etcd_mvcc_db_total_size_in_bytes",
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "etcd_debugging_mvcc_keys_total",
    "etcd_debugging_mvcc_current_revision",
    "etcd_debugging_mvcc_compact_revision",
    "etcd_debugging_mvcc_watch_stream_total",
    "etcd_debugging_mvcc_watcher_total",
    "etcd_debugging_mvcc_events_total",
    "etcd_debugging_lease_active_total",
    "etcd_debugging_lease_granted_total",
    "etcd_debugging_lease_revoked_total",
    "etcd_debugging_lease_renewed_total",
    "etcd_debugging_server_lease_expired_total",
    "etcd_server_proposals_committed_total",
    "etcd_server_proposals_applied_total",
    "etcd_server_apply_duration_seconds_count",
    "etcd_server_apply_duration_seconds_sum",
    "etcd_disk_wal_fsync_duration_seconds_count",
    "etcd_disk_wal_fsync_duration_seconds_sum",
    "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"}",
    "etcd_disk_wal_write_bytes_total",
    "etcd_disk_backend_commit_duration_seconds_count",
];

fn handled(service: &str, method: &str, kind: &str, code: &str) -> String {
    format!(
        "grpc_server_handled_total{{grpc_type=\"{kind}\",grpc_service=\"etcdserverpb.{service}\",grpc_method=\"{method}\",grpc_code=\"{code}\"}}"
    )
}

/// Every kind of request once.
async fn provoke(port: u16) -> Result<()> {
    let channel = connect(port).await?;
    let (mut kv, mut lease) = (KvClient::new(channel.clone()), LeaseClient::new(channel.clone()));
    let create = etcd::WatchCreateRequest { key: "a".into(), ..Default::default() };
    let union = etcd::watch_request::RequestUnion::CreateRequest(create);
    let requests = tokio_stream::iter([etcd::WatchRequest { request_union: Some(union) }]);
    let mut watch = WatchClient::new(channel).watch(requests).await?.into_inner();
    ensure!(watch.message().await?.context("an answer")?.created);
    kv.put(put("a", "1")).await?;
    kv.put(put("b", "1")).await?;
    ensure!(watch.message().await?.context("an event")?.events.len() == 1);
    // It goes on: its stream is counted at the end of the test.
    tokio::spawn(async move { while let Ok(Some(_)) = watch.message().await {} });
    kv.txn(put_both("c", "d", "1")).await?;
    kv.delete_range(etcd::DeleteRangeRequest { key: "b".into(), ..Default::default() }).await?;
    kv.range(get("a")).await?;
    kv.range(get("")).await.expect_err("no key");
    kv.compact(etcd::CompactionRequest { revision: 3, physical: true }).await?;
    for (id, ttl) in [(7, 100), (8, 100), (9, 1)] {
        lease.lease_grant(etcd::LeaseGrantRequest { id, ttl }).await?;
    }
    lease.lease_revoke(etcd::LeaseRevokeRequest { id: 7 }).await?;
    let renew = tokio_stream::iter([etcd::LeaseKeepAliveRequest { id: 8 }]);
    ensure!(lease.lease_keep_alive(renew).await?.into_inner().message().await?.context("an answer")?.ttl == 100);
    let start = std::time::Instant::now();
    while lease.lease_leases(etcd::LeaseLeasesRequest {}).await?.into_inner().leases.len() > 1 {
        ensure!(start.elapsed().as_secs() < 20, "the lease does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut maintenance = MaintenanceClient::new(connect(port).await?);
    maintenance.status(etcd::StatusRequest {}).await?;
    Ok(())
}

#[tokio::test]
async fn every_metric_moves_when_what_it_counts_happens() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let member = Member::start(&specs(folder.path(), 1)?[0])?;
    member.ready().await?;
    let port = member.spec.client;
    let before = metrics(port)?;
    provoke(port).await?;
    let after = metrics(port)?;
    for name in GROWING {
        ensure!(of(&after, name) > of(&before, name), "{name}: {} to {}", of(&before, name), of(&after, name));
    }
    for (name, expect) in [
        ("etcd_server_has_leader", 1.0),
        ("etcd_server_is_leader", 1.0),
        ("etcd_server_is_learner", 0.0),
        ("etcd_server_leader_changes_seen_total", 1.0),
        ("etcd_server_proposals_pending", 0.0),
        ("etcd_server_proposals_failed_total", 0.0),
        ("etcd_server_read_indexes_failed_total", 0.0),
        ("etcd_server_quota_backend_bytes", f64::from(2 << 29) * 2.0),
        ("etcd_debugging_auth_revision", 1.0),
        ("etcd_server_version{server_version=\"3.6.0\"}", 1.0),
        ("etcd_cluster_version{cluster_version=\"3.6\"}", 1.0),
    ] {
        ensure!(of(&after, name) == expect, "{name}: {}", of(&after, name));
    }
    for (service, method, kind, code) in [
        ("KV", "Put", "unary", "OK"),
        ("KV", "Range", "unary", "OK"),
        ("KV", "Range", "unary", "InvalidArgument"),
        ("KV", "Txn", "unary", "OK"),
        ("KV", "DeleteRange", "unary", "OK"),
        ("KV", "Compact", "unary", "OK"),
        ("Lease", "LeaseGrant", "unary", "OK"),
        ("Lease", "LeaseRevoke", "unary", "OK"),
        ("Lease", "LeaseKeepAlive", "bidi_stream", "OK"),
        ("Maintenance", "Status", "unary", "OK"),
    ] {
        let name = handled(service, method, kind, code);
        ensure!(of(&after, &name) > before.get(&name).copied().unwrap_or_default(), "{name}");
    }
    let types = types(port)?;
    for (name, kind) in &types {
        let counter = kind == "counter";
        let grows = name.ends_with("_total");
        // etcd itself has gauges that end like counters.
        let gauges = ["etcd_debugging_", "etcd_disk_wal_write_bytes_total"];
        ensure!(!counter || grows || kind == "counter", "{name} is a {kind}");
        let fine = counter || !grows || gauges.iter().any(|gauge| name.starts_with(gauge));
        ensure!(fine, "{name} is a {kind}");
    }
    Ok(())
}

/// Applied entries that took longer than the flag says are counted, and said in the log.
#[tokio::test]
async fn an_entry_that_takes_long_to_apply_is_counted() -> Result<()> {
    const SLOW: &str = "etcd_server_slow_apply_total";
    let folder = tempfile::tempdir()?;
    let mut patient = specs(folder.path(), 1)?.remove(0);
    patient.args.extend(["--warning-apply-duration".to_owned(), "60s".to_owned()]);
    let mut hasty = specs(&folder.path().join("hasty"), 1)?.remove(0);
    hasty.args.extend(["--warning-apply-duration".to_owned(), "1ms".to_owned()]);
    let members = [Member::start(&patient)?, Member::start(&hasty)?];
    // More than a millisecond's work: a hundred values of 10 kB are checksummed and written.
    let value = "v".repeat(10_000);
    let op = |at: usize| etcd::RequestOp {
        request: Some(etcd::request_op::Request::RequestPut(put(&format!("key{at}"), &value))),
    };
    let large = etcd::TxnRequest { success: (0..100).map(op).collect(), ..Default::default() };
    for member in &members {
        member.ready().await?;
        let before = of(&metrics(member.spec.client)?, SLOW);
        let mut kv = KvClient::new(connect(member.spec.client).await?);
        for _ in 0..10 {
            kv.txn(large.clone()).await?;
        }
        let slow = of(&metrics(member.spec.client)?, SLOW) - before;
        let is_hasty = member.spec.client == hasty.client;
        ensure!((slow > 0.0) == is_hasty, "{slow} of {}", member.spec.name);
        ensure!(member.log().contains("applying took long") == is_hasty, "{}", member.log());
    }
    Ok(())
}

/// etcd's metrics that mean something here are all here: asked of Debian's etcd, but for what only Go, bbolt or v2 have.
#[tokio::test]
async fn what_etcd_measures_is_measured_here_or_has_no_meaning() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let member = Member::start(&specs(folder.path(), 1)?[0])?;
    let etcd = Etcd::start(&folder.path().join("etcd"), &[]).await?;
    member.ready().await?;
    provoke(etcd.client).await?;
    provoke(member.spec.client).await?;
    let base = |name: &str| name.split('{').next().unwrap_or_default().trim_end_matches("_total").to_owned();
    let ours: Vec<String> = types(member.spec.client)?.keys().map(|name| base(name)).collect();
    let mut missing: Vec<String> = types(etcd.client)?.keys().map(|name| base(name)).collect();
    missing.retain(|name| !ours.contains(name) && !MEANINGLESS.iter().any(|prefix| name.starts_with(prefix)));
    ensure!(missing.is_empty(), "{missing:#?}");
    Ok(())
}

/// Beginnings of names, each with its reason.
const MEANINGLESS: &[&str] = &[
    // Go's runtime and its HTTP library.
    "go_",
    "promhttp_",
    "process_virtual_memory_max_bytes",
    // v2 is not there.
    "etcd_debugging_store_",
    // bbolt's own work.
    "etcd_disk_backend_defrag_",
    "etcd_disk_defrag_inflight",
    "etcd_debugging_disk_backend_commit_",
    "etcd_mvcc_db_open_read_transactions",
    "etcd_debugging_mvcc_db_compaction_",
    "etcd_debugging_mvcc_index_compaction_",
    // Files of snapshots beside the log: here the engine is the snapshot.
    "etcd_snap_",
    "etcd_debugging_snap_",
    "etcd_server_snapshot_apply_in_progress",
    // Names that 3.5 dropped for those without `debugging`.
    "etcd_debugging_mvcc_put",
    "etcd_debugging_mvcc_delete",
    "etcd_debugging_mvcc_range",
    "etcd_debugging_mvcc_txn",
    "etcd_debugging_mvcc_db_total_size",
    "etcd_debugging_mvcc_total_put_size",
    // Hashes are counted as calls of gRPC.
    "etcd_mvcc_hash_",
    // The gateway for JSON, and the proxy.
    "etcd_grpc_proxy_",
    "etcd_network_client_grpc_",
    // Messages of a stream are not counted one by one.
    "grpc_server_msg_",
    // Heartbeats are appends.
    "etcd_server_heartbeat_send_failures",
    // How etcd's own parts do.
    "etcd_server_go_version",
    "etcd_server_health_",
    "etcd_server_client_requests",
    "etcd_server_apply_duration",
    "etcd_debugging_lease_ttl",
    "etcd_debugging_mvcc_pending_events",
    "etcd_disk_wal_write_duration",
    "os_fd_",
];

#[tokio::test]
async fn what_members_say_to_each_other_is_counted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let specs = specs(folder.path(), 3)?;
    let mut members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    for member in &members {
        member.ready().await?;
    }
    KvClient::new(connect(specs[0].client).await?).put(put("a", "1")).await?;
    let mut leader = 0;
    for (at, spec) in specs.iter().enumerate() {
        if of(&metrics(spec.client)?, "etcd_server_is_leader") == 1.0 {
            leader = at;
        }
    }
    let sum = |metrics: &BTreeMap<String, f64>, name: &str| -> f64 {
        metrics.iter().filter(|(key, _)| key.starts_with(name)).map(|(_, value)| value).sum()
    };
    let first = metrics(specs[leader].client)?;
    ensure!(sum(&first, "etcd_network_peer_sent_bytes_total") > 0.0);
    ensure!(sum(&first, "etcd_network_peer_round_trip_time_seconds_count") > 0.0);
    ensure!(sum(&first, "etcd_network_active_peers") == 2.0, "{first:#?}");
    let follower = metrics(specs[(leader + 1) % 3].client)?;
    ensure!(sum(&follower, "etcd_network_peer_received_bytes_total") > 0.0);
    drop(members.remove((leader + 1) % 3));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let second = metrics(specs[leader].client)?;
    ensure!(
        sum(&second, "etcd_network_peer_sent_failures_total") > sum(&first, "etcd_network_peer_sent_failures_total")
    );
    ensure!(sum(&second, "etcd_network_active_peers") == 1.0);
    Ok(())
}

#[test]
fn health_and_version_are_etcd_s() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let folder = tempfile::tempdir()?;
    let specs = specs(folder.path(), 2)?;
    let mut members = Vec::new();
    for spec in &specs {
        members.push(Member::start(spec)?);
    }
    runtime.block_on(async {
        for member in &members {
            member.ready().await?;
        }
        anyhow::Ok(())
    })?;
    let port = specs[0].client;
    let (status, text) = http(port, "/health")?;
    ensure!((status, text.contains(r#""health":"true""#)) == (200, true), "{status}: {text}");
    let (status, text) = http(port, "/version")?;
    ensure!(status == 200 && text.contains(r#""etcdserver":"3.6"#) && text.contains("etcdcluster"), "{text}");
    // Without a quorum it cannot promise anything; that it answers at all it can.
    drop(members.pop());
    let (status, text) = http(port, "/health")?;
    ensure!((status, text.contains(r#""health":"false""#)) == (503, true), "{status}: {text}");
    let (status, _) = http(port, "/health?serializable=true")?;
    ensure!(status == 200);
    let metrics = metrics(port)?;
    ensure!(of(&metrics, "etcd_server_read_indexes_failed_total") >= 1.0);
    Ok(())
}
