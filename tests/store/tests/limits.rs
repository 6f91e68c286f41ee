//! What is refused, with etcd's codes and texts: asked of Debian's etcd with the same requests; and every limit by its flag.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::auth_client::AuthClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::request_op::Request as Op;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use test_store::beside::Etcd;
use test_store::{Member, connect, get, put, specs};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

fn op(request: Op) -> etcd::RequestOp {
    etcd::RequestOp { request: Some(request) }
}

fn txn(success: Vec<etcd::RequestOp>) -> etcd::TxnRequest {
    etcd::TxnRequest { success, ..Default::default() }
}

fn delete(key: &str, end: &str) -> etcd::DeleteRangeRequest {
    etcd::DeleteRangeRequest {
        key: bytes::Bytes::copy_from_slice(key.as_bytes()),
        range_end: bytes::Bytes::copy_from_slice(end.as_bytes()),
        prev_kv: false,
    }
}

fn told<T>(what: &str, answer: Result<Response<T>, Status>) -> String {
    match answer {
        Ok(_) => format!("{what}: OK"),
        Err(status) => format!("{what}: {:?}: {}", status.code(), status.message()),
    }
}

fn long_user() -> etcd::AuthUserAddRequest {
    etcd::AuthUserAddRequest { name: "x".repeat(2_200_000), password: "x".to_owned(), ..Default::default() }
}

/// What becomes of a stream that is asked for too much after it was asked for something.
async fn long_watch(channel: &Channel) -> Result<Response<()>, Status> {
    let create = |key: String| etcd::WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(etcd::WatchCreateRequest {
            key: key.into(),
            ..Default::default()
        })),
    };
    let requests = tokio_stream::iter([create("a".to_owned()), create("x".repeat(2_200_000))]);
    let mut stream = WatchClient::new(channel.clone()).watch(requests).await?.into_inner();
    while stream.message().await?.is_some() {}
    Ok(Response::new(()))
}

async fn refusals(port: u16) -> Result<Vec<String>> {
    let channel = connect(port).await?;
    let mut kv = KvClient::new(channel.clone()).max_decoding_message_size(64 << 20);
    let mut lease = LeaseClient::new(channel.clone());
    let mut auth = AuthClient::new(channel.clone());
    let mut told_all = Vec::new();
    let mut note = |line: String| told_all.push(line);
    for value in ["1", "2", "3"] {
        kv.put(put("a", value)).await?;
    }
    kv.compact(etcd::CompactionRequest { revision: 3, physical: true }).await?;
    lease.lease_grant(etcd::LeaseGrantRequest { id: 7, ttl: 100 }).await?;

    let range = |change: fn(&mut etcd::RangeRequest)| {
        let mut range = get("a");
        change(&mut range);
        range
    };
    for (what, req) in [
        ("range without key", get("")),
        ("range of the future", range(|range| range.revision = 99)),
        ("range of what is compacted", range(|range| range.revision = 2)),
        ("range before the beginning", range(|range| range.revision = -5)),
        ("range of less than nothing", range(|range| range.limit = -5)),
    ] {
        note(told(what, kv.range(req).await));
    }
    for (what, req) in [
        ("put without key", put("", "1")),
        ("put with a value to ignore", etcd::PutRequest { ignore_value: true, ..put("a", "1") }),
        ("put with a lease to ignore", etcd::PutRequest { ignore_lease: true, lease: 7, ..put("a", "1") }),
        ("put of no value on nothing", etcd::PutRequest { ignore_value: true, ..put("none", "") }),
        ("put of no lease on nothing", etcd::PutRequest { ignore_lease: true, ..put("none", "1") }),
        ("put on no lease", etcd::PutRequest { lease: 99, ..put("a", "1") }),
        ("put of too much", put("a", &"x".repeat(1_600_000))),
        ("put of more than gRPC takes", put("a", &"x".repeat(2_200_000))),
    ] {
        note(told(what, kv.put(req).await));
    }
    note(told("delete without key", kv.delete_range(delete("", "")).await));
    note(told("delete of nothing", kv.delete_range(delete("b", "a")).await));
    let compare =
        |key: &str| etcd::Compare { key: bytes::Bytes::copy_from_slice(key.as_bytes()), ..Default::default() };
    let many = |count: usize| (0..count).map(|at| op(Op::RequestPut(put(&format!("m{at}"), "")))).collect::<Vec<_>>();
    for (what, req) in [
        ("txn of nothing", txn(vec![])),
        ("txn with an empty operation", txn(vec![etcd::RequestOp { request: None }])),
        ("txn with a put without key", txn(vec![op(Op::RequestPut(put("", "")))])),
        ("txn with a range without key", txn(vec![op(Op::RequestRange(get("")))])),
        ("txn with a delete without key", txn(vec![op(Op::RequestDeleteRange(delete("", "")))])),
        ("txn comparing no key", etcd::TxnRequest { compare: vec![compare("")], ..Default::default() }),
        ("txn that puts twice", txn(vec![op(Op::RequestPut(put("a", ""))), op(Op::RequestPut(put("a", "")))])),
        (
            "txn that puts and deletes",
            txn(vec![op(Op::RequestPut(put("a", ""))), op(Op::RequestDeleteRange(delete("a", "b")))]),
        ),
        (
            "txn that nests a double",
            txn(vec![
                op(Op::RequestPut(put("a", ""))),
                op(Op::RequestTxn(txn(vec![op(Op::RequestPut(put("a", "")))]))),
            ]),
        ),
        ("txn that nests an empty key", txn(vec![op(Op::RequestTxn(txn(vec![op(Op::RequestPut(put("", "")))])))])),
        ("txn on no lease", txn(vec![op(Op::RequestPut(etcd::PutRequest { lease: 99, ..put("a", "") }))])),
        ("txn that reads the future", txn(vec![op(Op::RequestRange(range(|range| range.revision = 99)))])),
        ("txn that reads what is compacted", txn(vec![op(Op::RequestRange(range(|range| range.revision = 2)))])),
        ("txn of 128", txn(many(128))),
        ("txn of 129", txn(many(129))),
        ("txn that nests 129", txn(vec![op(Op::RequestTxn(txn(many(129))))])),
    ] {
        note(told(what, kv.txn(req).await));
    }
    for (what, revision) in [("compaction of the future", 999), ("compaction of the past", 2), ("again", 3)] {
        note(told(what, kv.compact(etcd::CompactionRequest { revision, physical: false }).await));
    }
    for (what, id, ttl) in
        [("lease that exists", 7, 100), ("lease for ever", 8, 9_000_000_001), ("lease of no time", 9, 0)]
    {
        note(told(what, lease.lease_grant(etcd::LeaseGrantRequest { id, ttl }).await));
    }
    note(told("revocation of nothing", lease.lease_revoke(etcd::LeaseRevokeRequest { id: 99 }).await));
    note(told("user of more than gRPC takes", auth.user_add(long_user()).await));
    note(told("watch of more than gRPC takes", long_watch(&channel).await));
    let left = lease.lease_time_to_live(etcd::LeaseTimeToLiveRequest { id: 99, keys: true }).await?.into_inner();
    note(format!("time of nothing: {} {}", left.ttl, left.granted_ttl));
    let renewed = tokio_stream::iter([etcd::LeaseKeepAliveRequest { id: 99 }]);
    let renewed = lease.lease_keep_alive(renewed).await?.into_inner().message().await?.context("an answer")?;
    note(format!("renewal of nothing: {} {}", renewed.id, renewed.ttl));
    Ok(told_all)
}

#[tokio::test]
async fn what_etcd_refuses_is_refused_in_its_words() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let member = Member::start(&specs(folder.path(), 1)?[0])?;
    let etcd = Etcd::start(&folder.path().join("etcd"), &[]).await?;
    member.ready().await?;
    let (ours, theirs) = (refusals(member.spec.client).await?, refusals(etcd.client).await?);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        ensure!(ours == theirs, "ours:   {ours}\netcd's: {theirs}");
    }
    // Debian's etcd ends at a sort target that it does not know.
    let mut kv = KvClient::new(connect(member.spec.client).await?);
    for odd in [
        etcd::RangeRequest { sort_order: 9, ..get("a") },
        etcd::RangeRequest { sort_target: 9, sort_order: 1, ..get("a") },
    ] {
        let told = told("odd", kv.range(odd).await);
        ensure!(told == "odd: InvalidArgument: etcdserver: invalid sort option", "{told}");
    }
    let refused = ours.iter().filter(|line| line.contains("etcdserver: ")).count();
    ensure!(refused >= 26, "{refused} were refused: {ours:#?}");
    let long = ours.iter().filter(|line| line.contains("ResourceExhausted: grpc: received message larger than max ("));
    ensure!(long.count() == 3, "more than gRPC takes: {ours:#?}");
    Ok(())
}

#[tokio::test]
async fn limits_are_where_their_flags_say() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut spec = specs(folder.path(), 1)?.remove(0);
    for flag in ["--max-request-bytes=1000", "--max-txn-ops=2", "--max-concurrent-streams=1"] {
        spec.args.push(flag.to_owned());
    }
    let member = Member::start(&spec)?;
    member.ready().await?;
    let mut kv = KvClient::new(connect(spec.client).await?);
    kv.put(put("a", &"x".repeat(900))).await?;
    let large = kv.put(put("a", &"x".repeat(1100))).await.expect_err("too large");
    ensure!((large.code(), large.message()) == (Code::InvalidArgument, "etcdserver: request is too large"), "{large}");
    let puts = |count: usize| txn((0..count).map(|at| op(Op::RequestPut(put(&at.to_string(), "")))).collect());
    kv.txn(puts(2)).await?;
    let many = kv.txn(puts(3)).await.expect_err("too many");
    ensure!(many.message() == "etcdserver: too many operations in txn request", "{many}");

    // The one stream of this connection is a watch: a put waits for it to end.
    let channel = connect(spec.client).await?;
    let create = etcd::WatchCreateRequest { key: "a".into(), ..Default::default() };
    let union = RequestUnion::CreateRequest(create);
    let requests = tokio_stream::iter([etcd::WatchRequest { request_union: Some(union) }]);
    let mut watch = WatchClient::new(channel.clone()).watch(requests).await?.into_inner();
    ensure!(watch.message().await?.context("an answer")?.created);
    let mut same = KvClient::new(channel);
    let waiting = tokio::time::timeout(Duration::from_millis(500), same.put(put("a", "1"))).await;
    ensure!(waiting.is_err(), "a second stream was let in");
    drop(watch);
    same.put(put("a", "1")).await?;
    Ok(())
}

/// Speaks just enough HTTP/2 to see pings, and answers none.
fn silent(port: u16) -> Result<(bool, Duration)> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
    let start = std::time::Instant::now();
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    // A connection that is reset has ended, too.
    while let Ok(read) = stream.read(&mut buffer) {
        if read == 0 {
            break;
        }
        seen.extend_from_slice(&buffer[..read]);
    }
    let (mut at, mut pinged) = (0, false);
    while let Some(head) = seen.get(at..at + 9) {
        pinged |= head[3] == 6 && head[4] & 1 == 0;
        at += 9 + usize::from(head[0]) * 65536 + usize::from(head[1]) * 256 + usize::from(head[2]);
    }
    Ok((pinged, start.elapsed()))
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_let_go() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut spec = specs(folder.path(), 1)?.remove(0);
    spec.args.extend(["--grpc-keepalive-interval=300ms".to_owned(), "--grpc-keepalive-timeout=300ms".to_owned()]);
    let member = Member::start(&spec)?;
    member.ready().await?;
    let port = spec.client;
    let (pinged, took) = tokio::task::spawn_blocking(move || silent(port)).await??;
    ensure!(pinged && took < Duration::from_secs(5), "pinged: {pinged}, ended after {took:?}");
    Ok(())
}

/// Begins a call as bytes of HTTP/2, and takes it back at once.
fn given_up(stream: u32) -> Vec<u8> {
    // POST, http, a path by its name's index, and no authority: enough for a call that is never looked at.
    let path = b"/etcdserverpb.KV/Put";
    let block = [&[0x83, 0x86, 0x04, path.len() as u8][..], path].concat();
    let mut frames = vec![0, 0, block.len() as u8, 1, 4];
    frames.extend(stream.to_be_bytes());
    frames.extend(block);
    frames.extend([0, 0, 4, 3, 0]);
    frames.extend(stream.to_be_bytes());
    frames.extend(8u32.to_be_bytes());
    frames
}

/// One connection may carry the calls of many, as an apiserver's does, or another member's: those who stay keep theirs.
#[tokio::test]
async fn a_caller_that_gives_up_many_calls_at_once_keeps_its_connection() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let member = Member::start(&specs(folder.path(), 1)?.remove(0))?;
    member.ready().await?;
    for port in [member.spec.client, member.spec.peer] {
        let mut socket = std::net::TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec();
        (0..500).for_each(|call| bytes.extend(given_up(2 * call + 1)));
        let ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00stillon?";
        bytes.extend(ping);
        socket.write_all(&bytes)?;
        let mut answer: Vec<u8> = Vec::new();
        while !answer.windows(8).any(|window| window == b"stillon?") {
            let mut some = [0; 4096];
            let read = socket.read(&mut some)?;
            ensure!(read > 0, "port {port}: the connection was ended: {answer:?}");
            answer.extend(&some[..read]);
        }
    }
    Ok(())
}
