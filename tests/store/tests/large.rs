//! Large answers: many pieces on one connection, with small answers between them, in the clear and over TLS.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use daemon::tls::ClientIdentity;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use test_store::{Member, Spec, connect, get, put, specs};
use testkit::pki::{Authority, Identity, Pki};
use tonic::transport::Channel;

const KEYS: usize = 400;
/// No, short, longer and very long values: some larger than a piece of an answer.
const SIZES: [usize; 5] = [0, 1, 3_000, 20_000, 300_000];
const READERS: usize = 6;
const ROUNDS: usize = 4;

fn key(at: usize) -> String {
    format!("key{at:04}")
}

fn value(at: usize) -> String {
    let byte = char::from(b'a' + (at % 26) as u8);
    // Few of the longest.
    let size = if at.is_multiple_of(40) { SIZES[4] } else { SIZES[at % 4] };
    byte.to_string().repeat(size)
}

fn everything() -> etcd::RangeRequest {
    etcd::RangeRequest { key: "key".into(), range_end: "kez".into(), ..Default::default() }
}

/// Writes, and reads all of it many times at once over one connection.
async fn check(channel: Channel) -> Result<()> {
    let kv = KvClient::new(channel).max_decoding_message_size(64 << 20);
    for at in 0..KEYS {
        kv.clone().put(put(&key(at), &value(at))).await?;
    }
    let mut readers = tokio::task::JoinSet::new();
    for reader in 0..READERS {
        let mut kv = kv.clone();
        readers.spawn(async move {
            for round in 0..ROUNDS {
                // Every third sorts by value, which needs all of them first.
                let sorted = (reader + round) % 3 == 2;
                let target = if sorted { etcd::range_request::SortTarget::Value } else { Default::default() };
                let order = etcd::range_request::SortOrder::Ascend;
                let req = etcd::RangeRequest { sort_order: order as i32, sort_target: target as i32, ..everything() };
                let mut rsp = kv.range(req).await?.into_inner();
                if sorted {
                    ensure!(rsp.kvs.is_sorted_by(|a, b| a.value <= b.value), "in order of their values");
                    rsp.kvs.sort_by(|a, b| a.key.cmp(&b.key));
                }
                ensure!((rsp.kvs.len(), rsp.count, rsp.more) == (KEYS, KEYS as i64, false));
                for (at, kv) in rsp.kvs.iter().enumerate() {
                    ensure!(kv.key == key(at) && kv.value == value(at) && kv.version == 1, "{}", key(at));
                }
                let few =
                    kv.range(etcd::RangeRequest { limit: 3, keys_only: true, ..everything() }).await?.into_inner();
                ensure!(few.kvs.len() == 3 && few.more && few.kvs.iter().all(|kv| kv.value.is_empty()));
            }
            Ok(())
        });
    }
    while let Some(reader) = readers.join_next().await {
        reader??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_ranges_come_whole() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let member = Member::start(&specs(folder.path(), 1)?[0])?;
    member.ready().await?;
    check(connect(member.spec.client).await?).await
}

fn encrypted(spec: &mut Spec, pki: &Pki) {
    spec.scheme = "https";
    spec.cluster = spec.cluster.replace("http:", "https:");
    for prefix in ["", "peer-"] {
        spec.args.extend([
            format!("--{prefix}cert-file={}", pki.certificate("server").display()),
            format!("--{prefix}key-file={}", pki.key("server").display()),
            format!("--{prefix}trusted-ca-file={}", pki.authority(Authority::Store).display()),
        ]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_ranges_come_whole_over_tls() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pki = Pki::new(folder.path().join("pki"));
    pki.ensure(&[Identity {
        file: "server".to_owned(),
        common_name: "server".to_owned(),
        organization: None,
        names: vec!["127.0.0.1".to_owned()],
        authority: Authority::Store,
    }])?;
    let mut spec = specs(folder.path(), 1)?.remove(0);
    encrypted(&mut spec, &pki);
    let member = Member::start(&spec)?;
    let pair = Some((pki.certificate("server"), pki.key("server")));
    let channel = ClientIdentity::load(pki.authority(Authority::Store), pair)?.channel(&spec.client_url(), None)?;
    let start = Instant::now();
    while let Err(status) = KvClient::new(channel.clone()).range(get("k")).await {
        ensure!(start.elapsed() < Duration::from_secs(20), "{status}\n{}", member.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    check(channel).await
}
