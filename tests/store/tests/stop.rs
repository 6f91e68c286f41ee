//! Starting and stopping: an orderly end is quick, and one folder has one member.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::watch_client::WatchClient;
use test_store::{Member, connect, get, put, specs};

#[tokio::test]
async fn an_orderly_stop_waits_for_no_watcher_and_keeps_everything() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let spec = specs(folder.path(), 1)?.remove(0);
    let member = Member::start(&spec)?;
    member.ready().await?;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", member.endpoint()))?.connect().await?;
    let create = etcd::WatchCreateRequest { key: "k".into(), ..Default::default() };
    let union = etcd::watch_request::RequestUnion::CreateRequest(create);
    // The sender stays: the watcher ends only when the server ends it.
    let (tx, rx) = tokio::sync::mpsc::channel(1);
    tx.send(etcd::WatchRequest { request_union: Some(union) }).await?;
    let requests = tokio_stream::wrappers::ReceiverStream::new(rx);
    let mut watch = WatchClient::new(channel.clone()).watch(requests).await?.into_inner();
    ensure!(watch.message().await?.context("an answer")?.created);
    let mut kv = KvClient::new(channel);
    kv.put(put("k", "v")).await?;
    let event = watch.message().await?.context("an event")?;
    ensure!(event.events.len() == 1 && event.watch_id == 0, "{event:?}");
    let took = tokio::task::spawn_blocking(move || member.stop()).await??;
    ensure!(took < Duration::from_secs(5), "the stop took {took:?}");
    drop(tx);

    let member = Member::start(&spec)?;
    member.ready().await?;
    let kept = KvClient::new(connect(spec.client).await?).range(get("k")).await?.into_inner();
    ensure!(kept.kvs.len() == 1, "the key is there after the restart");

    let mut second = test_store::Spec { client: test_store::free_port()?, peer: spec.peer, ..spec.clone() };
    second.cluster = spec.cluster.clone();
    let second = Member::start(&second)?;
    let ended = tokio::task::spawn_blocking(move || second.wait()).await??;
    ensure!(!ended.success(), "a second member in the same folder does not run");
    ensure!(member.log().contains("another process uses the data folder"), "{}", member.log());
    Ok(())
}
