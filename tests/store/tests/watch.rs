//! Watches as clients use them: from now, from the past (also the past before a restart), filtered, told progress.

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_create_request::FilterType;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::mvccpb::Event;
use test_store::{Member, connect, put, specs};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

struct Stream {
    tx: mpsc::Sender<etcd::WatchRequest>,
    rx: Streaming<etcd::WatchResponse>,
}

impl Stream {
    async fn open(channel: &Channel) -> Result<Self> {
        let (tx, rx) = mpsc::channel(8);
        let rx = WatchClient::new(channel.clone()).watch(ReceiverStream::new(rx)).await?.into_inner();
        Ok(Self { tx, rx })
    }

    /// With a first request: etcd answers nothing before it, not even that it heard.
    async fn begin(channel: &Channel, create: etcd::WatchCreateRequest) -> Result<Self> {
        let (tx, rx) = mpsc::channel(8);
        tx.send(etcd::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }).await?;
        let rx = WatchClient::new(channel.clone()).watch(ReceiverStream::new(rx)).await?.into_inner();
        Ok(Self { tx, rx })
    }

    async fn send(&self, union: RequestUnion) -> Result<()> {
        Ok(self.tx.send(etcd::WatchRequest { request_union: Some(union) }).await?)
    }

    async fn next(&mut self) -> Result<etcd::WatchResponse> {
        let answer = tokio::time::timeout(std::time::Duration::from_secs(10), self.rx.message()).await?;
        answer?.context("the stream has ended")
    }

    async fn create(&mut self, create: etcd::WatchCreateRequest) -> Result<etcd::WatchResponse> {
        self.send(RequestUnion::CreateRequest(create)).await?;
        self.next().await
    }

    /// Collects events until there are `count`.
    async fn events(&mut self, count: usize) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        while events.len() < count {
            let answer = self.next().await?;
            ensure!(!answer.canceled, "canceled: {answer:?}");
            events.extend(answer.events);
        }
        Ok(events)
    }
}

fn prefix(start_revision: i64) -> etcd::WatchCreateRequest {
    etcd::WatchCreateRequest { key: "k".into(), range_end: "l".into(), start_revision, ..Default::default() }
}

/// What the six writes below make, as (revision, value or none).
fn expect() -> Vec<(i64, Option<&'static str>)> {
    vec![(2, Some("1")), (3, Some("2")), (4, None), (5, Some("3")), (6, Some("4")), (7, Some("5"))]
}

fn seen(events: &[Event]) -> Vec<(i64, Option<String>)> {
    let seen = |event: &Event| {
        let kv = event.kv.clone().unwrap_or_default();
        let value = (event.r#type == 0).then(|| String::from_utf8_lossy(&kv.value).into_owned());
        (kv.mod_revision, value)
    };
    events.iter().map(seen).collect()
}

#[track_caller]
fn same(events: &[Event], expect: &[(i64, Option<&str>)]) {
    let expect: Vec<_> = expect.iter().map(|(revision, value)| (*revision, value.map(str::to_owned))).collect();
    assert_eq!(seen(events), expect);
}

#[tokio::test]
async fn watches_see_every_event_once_whenever_they_begin() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let spec = specs(folder.path(), 1)?.remove(0);
    let member = Member::start(&spec)?;
    member.ready().await?;
    let channel = connect(spec.client).await?;
    let mut kv = KvClient::new(channel.clone());
    let mut live = Stream::open(&channel).await?;
    let created = live.create(etcd::WatchCreateRequest { prev_kv: true, ..prefix(0) }).await?;
    ensure!(created.created && created.watch_id == 0, "{created:?}");
    let filters = vec![FilterType::Noput as i32];
    let deletes = live.create(etcd::WatchCreateRequest { filters, watch_id: 9, ..prefix(0) }).await?;
    ensure!(deletes.watch_id == 9, "{deletes:?}");
    let twice = live.create(etcd::WatchCreateRequest { watch_id: 9, ..prefix(0) }).await?;
    ensure!(twice.canceled && twice.watch_id == -1 && twice.cancel_reason.contains("duplicate watch ID"), "{twice:?}");

    kv.put(put("k1", "1")).await?;
    kv.put(put("k1", "2")).await?;
    kv.delete_range(etcd::DeleteRangeRequest { key: "k1".into(), ..Default::default() }).await?;
    for (key, value) in [("k2", "3"), ("k1", "4"), ("k2", "5")] {
        kv.put(put(key, value)).await?;
    }
    // Both watchers of the stream: all events, and the deletion once more.
    let mut all = Vec::new();
    let mut filtered = Vec::new();
    while all.len() < 6 || filtered.is_empty() {
        let answer = live.next().await?;
        if answer.watch_id == 9 { filtered.extend(answer.events) } else { all.extend(answer.events) }
    }
    same(&all, &expect());
    same(&filtered, &[(4, None)]);
    let before: Vec<String> = all
        .iter()
        .map(|event| event.prev_kv.as_ref().map_or(String::new(), |kv| String::from_utf8_lossy(&kv.value).into_owned()))
        .collect();
    assert_eq!(before, ["", "1", "2", "", "", "3"]);

    // The stream's progress, after everything was sent.
    live.send(RequestUnion::ProgressRequest(etcd::WatchProgressRequest {})).await?;
    let progress = live.next().await?;
    assert_eq!((progress.watch_id, progress.header.context("a header")?.revision), (-1, 7));
    live.send(RequestUnion::CancelRequest(etcd::WatchCancelRequest { watch_id: 9 })).await?;
    let canceled = live.next().await?;
    ensure!(canceled.canceled && canceled.watch_id == 9, "{canceled:?}");

    // The past, from memory; then, after a restart, from the disk; then on into the present.
    let mut past = Stream::open(&channel).await?;
    past.create(prefix(3)).await?;
    same(&past.events(5).await?, &expect()[1..]);
    member.kill()?;
    let member = Member::start(&spec)?;
    member.ready().await?;
    let channel = connect(spec.client).await?;
    let mut kv = KvClient::new(channel.clone());
    let mut past = Stream::open(&channel).await?;
    past.create(etcd::WatchCreateRequest { prev_kv: true, ..prefix(2) }).await?;
    let again = past.events(6).await?;
    same(&again, &expect());
    ensure!(again[5].prev_kv.as_ref().is_some_and(|kv| kv.value == "3"), "{:?}", again[5]);
    kv.put(put("k3", "6")).await?;
    same(&past.events(1).await?, &[(8, Some("6"))]);

    // What is compacted cannot be watched; the client is told from where it can.
    kv.compact(etcd::CompactionRequest { revision: 6, physical: true }).await?;
    let mut old = Stream::open(&channel).await?;
    ensure!(old.create(prefix(3)).await?.created);
    let refused = old.next().await?;
    ensure!(refused.canceled && refused.compact_revision == 6, "{refused:?}");
    old.create(prefix(6)).await?;
    same(&old.events(3).await?, &[(6, Some("4")), (7, Some("5")), (8, Some("6"))]);

    // One revision larger than a message comes in fragments, where the client allows it.
    // On a connection of its own: streams that nobody reads any more would fill the window of the one they share.
    drop((past, old));
    let mut wide = Stream::open(&connect(spec.client).await?).await?;
    wide.create(etcd::WatchCreateRequest { fragment: true, ..prefix(0) }).await?;
    wide.create(etcd::WatchCreateRequest { watch_id: 7, fragment: true, prev_kv: true, ..prefix(0) }).await?;
    for at in 0..3 {
        kv.put(put(&format!("k/large{at}"), &"x".repeat(1_000_000))).await?;
    }
    let mut puts = 0;
    while puts < 6 {
        puts += wide.next().await?.events.len();
    }
    // The deletion carries the three values for the one that asked for them: more than a message takes.
    let all = etcd::DeleteRangeRequest { key: "k/large".into(), range_end: "k/largf".into(), ..Default::default() };
    kv.delete_range(all).await?;
    let (mut whole, mut pieces) = (0, Vec::new());
    while whole < 3 || pieces.iter().map(|(_, events)| events).sum::<usize>() < 3 {
        let answer = wide.next().await?;
        match answer.watch_id {
            7 => pieces.push((answer.fragment, answer.events.len())),
            _ => whole += answer.events.len(),
        }
    }
    ensure!(pieces.len() >= 2, "{pieces:?}");
    let (last, before) = pieces.split_last().context("a piece")?;
    ensure!(!last.0 && before.iter().all(|(fragment, _)| *fragment), "{pieces:?}");
    let mut later = Stream::open(&channel).await?;
    ensure!(
        later.create(etcd::WatchCreateRequest { start_revision: 99, ..prefix(0) }).await?.created,
        "the future is allowed"
    );
    Ok(())
}

#[tokio::test]
async fn quiet_watchers_are_told_progress_and_filters_hold_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut spec = specs(folder.path(), 1)?.remove(0);
    spec.args.push("--watch-progress-notify-interval=300ms".to_owned());
    let member = Member::start(&spec)?;
    member.ready().await?;
    let channel = connect(spec.client).await?;
    let mut kv = KvClient::new(channel.clone());
    let mut stream = Stream::open(&channel).await?;
    let filters = vec![FilterType::Nodelete as i32];
    stream.create(etcd::WatchCreateRequest { filters, watch_id: 5, ..prefix(0) }).await?;
    stream.create(etcd::WatchCreateRequest { progress_notify: true, watch_id: 6, ..prefix(0) }).await?;
    kv.put(put("k", "1")).await?;
    kv.delete_range(etcd::DeleteRangeRequest { key: "k".into(), ..Default::default() }).await?;
    kv.put(put("other", "1")).await?;
    let mut filtered = Vec::new();
    // Only the watcher that asked for it is told, with the store's revision, when it has been quiet.
    loop {
        let answer = stream.next().await?;
        match answer.watch_id {
            5 => {
                ensure!(!answer.events.is_empty(), "this watcher did not ask for progress");
                filtered.extend(answer.events);
            }
            _ if answer.events.is_empty() => {
                ensure!(answer.watch_id == 6, "{answer:?}");
                if answer.header.context("a header")?.revision == 4 {
                    break;
                }
            }
            _ => {}
        }
    }
    same(&filtered, &[(2, Some("1"))]);
    Ok(())
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_nobody_up() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let spec = specs(folder.path(), 1)?.remove(0);
    let member = Member::start(&spec)?;
    member.ready().await?;
    // Connections of their own: the windows of one that nobody reads fill up.
    let mut slow = Stream::open(&connect(spec.client).await?).await?;
    slow.create(prefix(0)).await?;
    let mut live = Stream::open(&connect(spec.client).await?).await?;
    live.create(prefix(0)).await?;
    let writers: Vec<_> = (0..10)
        .map(|writer| {
            let port = spec.client;
            tokio::spawn(async move {
                let mut kv = KvClient::new(connect(port).await?);
                for count in 0..1000 {
                    kv.put(put(&format!("k/{writer}"), &format!("{count} {}", "x".repeat(1000)))).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    ensure!(live.events(10_000).await?.len() == 10_000, "who reads gets all while the other does not");
    for writer in writers {
        writer.await??;
    }
    let late = slow.events(10_000).await?;
    let revisions: Vec<i64> = late.iter().filter_map(|event| Some(event.kv.as_ref()?.mod_revision)).collect();
    ensure!(
        revisions == (2..10_002).collect::<Vec<i64>>(),
        "the slow one gets every event once, in order, when it reads"
    );
    Ok(())
}

/// What a stream tells of requests that are no use.
async fn odd_watches(channel: &Channel) -> Result<Vec<String>> {
    let mut told = Vec::new();
    let shown = |rsp: &etcd::WatchResponse| {
        format!("id {} created {} canceled {} {:?}", rsp.watch_id, rsp.created, rsp.canceled, rsp.cancel_reason)
    };
    let plain = |watch_id| etcd::WatchCreateRequest { watch_id, ..prefix(0) };
    // 0 is "any": 0, then 1; 5 is wanted, and wanted again; 1 goes and comes not back by itself.
    let mut stream = Stream::begin(channel, plain(0)).await?;
    told.push(shown(&stream.next().await?));
    for watch_id in [0, 5, 5, 1, 0] {
        told.push(shown(&stream.create(plain(watch_id)).await?));
    }
    stream.send(RequestUnion::CancelRequest(etcd::WatchCancelRequest { watch_id: 1 })).await?;
    told.push(shown(&stream.next().await?));
    // Nobody answers for what is not there.
    stream.send(RequestUnion::CancelRequest(etcd::WatchCancelRequest { watch_id: 99 })).await?;
    told.push(shown(&stream.create(plain(0)).await?));
    told.push(shown(&stream.create(plain(1)).await?));
    let empty = etcd::WatchCreateRequest { key: "b".into(), range_end: "a".into(), ..Default::default() };
    told.push(shown(&stream.create(empty).await?));
    let everything = etcd::WatchCreateRequest { range_end: "\0".into(), ..Default::default() };
    told.push(shown(&stream.create(everything).await?));
    let later = etcd::WatchCreateRequest { start_revision: 1000, ..prefix(0) };
    told.push(shown(&stream.create(later).await?));
    Ok(told)
}

#[tokio::test]
async fn odd_watches_are_answered_as_on_etcd() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let member = Member::start(&specs(folder.path(), 1)?[0])?;
    let etcd = test_store::beside::Etcd::start(&folder.path().join("etcd"), &[]).await?;
    member.ready().await?;
    let ours = odd_watches(&connect(member.spec.client).await?).await?;
    let mut theirs = odd_watches(&connect(etcd.client).await?).await?;
    // etcd 3.6 names no watcher where 3.4 repeats the id that was asked for.
    for line in &mut theirs {
        if line.contains("created true canceled true") {
            *line = format!(
                "id -1 {}",
                line.split_once(" created").map(|(_, rest)| format!("created{rest}")).unwrap_or_default()
            );
        }
    }
    ensure!(ours == theirs, "ours:   {ours:#?}\netcd's: {theirs:#?}");
    let mut stream = Stream::open(&connect(member.spec.client).await?).await?;
    let negative = stream.create(prefix(-1)).await?;
    ensure!(negative.canceled && negative.watch_id == -1, "{negative:?}");
    ensure!(negative.cancel_reason == "etcdserver: mvcc: required revision has been compacted", "{negative:?}");
    Ok(())
}

#[tokio::test]
async fn a_client_that_asks_for_nothing_more_still_hears() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let member = Member::start(&specs(folder.path(), 1)?[0])?;
    member.ready().await?;
    let channel = connect(member.spec.client).await?;
    let union = RequestUnion::CreateRequest(prefix(0));
    let only = tokio_stream::iter([etcd::WatchRequest { request_union: Some(union) }]);
    let mut watch = WatchClient::new(channel.clone()).watch(only).await?.into_inner();
    ensure!(watch.message().await?.context("an answer")?.created);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let mut kv = KvClient::new(channel);
    kv.put(put("k", "1")).await?;
    same(&watch.message().await?.context("an event")?.events, &[(2, Some("1"))]);
    Ok(())
}

#[tokio::test]
async fn a_client_that_wants_a_leader_is_let_go_where_there_is_none() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let specs = specs(folder.path(), 2)?;
    let mut members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    for member in &members {
        member.ready().await?;
    }
    let channel = connect(specs[0].client).await?;
    let asked = |wants: bool| {
        let union = RequestUnion::CreateRequest(prefix(0));
        let first = tokio_stream::iter([etcd::WatchRequest { request_union: Some(union) }]);
        let mut request = tonic::Request::new(first);
        if wants {
            request.metadata_mut().insert("hasleader", "true".parse().expect("a value"));
        }
        request
    };
    let long = || WatchClient::new(channel.clone());
    let mut wants = long().watch(asked(true)).await?.into_inner();
    let mut waits = long().watch(asked(false)).await?.into_inner();
    ensure!(
        wants.message().await?.context("an answer")?.created && waits.message().await?.context("an answer")?.created
    );
    drop(members.pop());
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), wants.message()).await?;
    let status = ended.expect_err("no leader");
    ensure!((status.code(), status.message()) == (tonic::Code::Unavailable, "etcdserver: no leader"), "{status}");
    ensure!(tokio::time::timeout(std::time::Duration::from_millis(500), waits.message()).await.is_err());
    Ok(())
}
