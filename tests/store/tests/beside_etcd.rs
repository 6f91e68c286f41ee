//! The same random requests to the store and to Debian's etcd: the answers are the same, revisions and errors included.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::request_op::Request;
use test_store::{Member, connect, free_port, specs};
use tonic::transport::Channel;

const SEEDS: u64 = 4;
const STEPS: usize = 400;

struct Etcd(Child);

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _waited = self.0.wait();
    }
}

fn start_etcd(folder: &std::path::Path, client: u16) -> Result<Etcd> {
    let peer = format!("http://127.0.0.1:{}", free_port()?);
    let client = format!("http://127.0.0.1:{client}");
    let child = Command::new("etcd")
        .arg("--data-dir")
        .arg(folder)
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("etcd does not start; install it: apt-get install etcd-server")?;
    Ok(Etcd(child))
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn chance(&mut self) -> bool {
        self.below(2) == 0
    }

    fn key(&mut self) -> bytes::Bytes {
        format!("k{}", self.below(6)).into()
    }

    fn end(&mut self) -> bytes::Bytes {
        match self.below(4) {
            0 => "\0".into(),
            1 => "k4".into(),
            2 => "l".into(),
            _ => Default::default(),
        }
    }

    fn put(&mut self) -> etcd::PutRequest {
        etcd::PutRequest {
            key: self.key(),
            value: format!("v{}", self.below(5)).into(),
            prev_kv: self.chance(),
            ..Default::default()
        }
    }

    fn delete(&mut self) -> etcd::DeleteRangeRequest {
        etcd::DeleteRangeRequest { key: self.key(), range_end: self.end(), prev_kv: self.chance() }
    }

    fn range(&mut self, revision: i64) -> etcd::RangeRequest {
        let some = |random: &mut Self| if random.below(4) == 0 { random.below(revision as u64 + 2) as i64 } else { 0 };
        etcd::RangeRequest {
            key: self.key(),
            range_end: self.end(),
            limit: self.below(4) as i64,
            revision: some(self),
            sort_order: self.below(3) as i32,
            sort_target: self.below(5) as i32,
            serializable: self.chance(),
            keys_only: self.below(4) == 0,
            count_only: self.below(6) == 0,
            min_mod_revision: some(self),
            max_mod_revision: some(self),
            min_create_revision: some(self),
            max_create_revision: some(self),
        }
    }

    fn compare(&mut self, revision: i64) -> etcd::Compare {
        let number = self.below(revision as u64 + 1) as i64;
        let (target, union) = match self.below(4) {
            0 => (CompareTarget::Version, TargetUnion::Version(self.below(4) as i64)),
            1 => (CompareTarget::Create, TargetUnion::CreateRevision(number)),
            2 => (CompareTarget::Mod, TargetUnion::ModRevision(number)),
            _ => (CompareTarget::Value, TargetUnion::Value(format!("v{}", self.below(5)).into())),
        };
        let results = [CompareResult::Equal, CompareResult::Greater, CompareResult::Less, CompareResult::NotEqual];
        etcd::Compare {
            result: results[self.below(4) as usize] as i32,
            target: target as i32,
            key: self.key(),
            range_end: self.end(),
            target_union: Some(union),
        }
    }

    fn ops(&mut self) -> Vec<etcd::RequestOp> {
        let count = self.below(4);
        let mut ops = Vec::new();
        for _ in 0..count {
            let request = match self.below(3) {
                0 => Request::RequestPut(self.put()),
                1 => {
                    // etcd does not see that a deletion from a key on meets a put of the same transaction; ours refuses it.
                    let mut delete = self.delete();
                    if delete.range_end == "\0" {
                        delete.range_end = "l".into();
                    }
                    Request::RequestDeleteRange(delete)
                }
                _ => Request::RequestRange(self.range(0)),
            };
            ops.push(etcd::RequestOp { request: Some(request) });
        }
        ops
    }
}

/// An answer without what differs between any two clusters.
fn shown<T: std::fmt::Debug>(answer: Result<tonic::Response<T>, tonic::Status>) -> String {
    match answer {
        Ok(answer) => {
            let text = format!("{:?}", answer.into_inner());
            let mut kept = String::new();
            let mut rest = text.as_str();
            while let Some(at) =
                ["cluster_id: ", "member_id: ", "raft_term: "].iter().filter_map(|name| rest.find(name)).min()
            {
                kept.push_str(&rest[..at]);
                rest = rest[at..].trim_start_matches(|c: char| c != ' ').trim_start();
                rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            }
            kept + rest
        }
        Err(status) => format!("{:?}: {}", status.code(), status.message()),
    }
}

async fn ready(port: u16) -> Result<KvClient<Channel>> {
    let start = std::time::Instant::now();
    loop {
        if let Ok(channel) = connect(port).await {
            let mut kv = KvClient::new(channel);
            if kv.range(test_store::get("ready")).await.is_ok() {
                return Ok(kv);
            }
        }
        ensure!(start.elapsed().as_secs() < 30, "etcd does not serve");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn random_requests_are_answered_as_etcd_answers_them() -> Result<()> {
    for seed in 0..SEEDS {
        let folder = tempfile::tempdir()?;
        let spec = specs(folder.path(), 1)?.remove(0);
        let member = Member::start(&spec)?;
        let port = free_port()?;
        let _etcd = start_etcd(&folder.path().join("etcd"), port)?;
        member.ready().await?;
        let (mut ours, mut theirs) = (ready(spec.client).await?, ready(port).await?);
        let mut random = Random(seed);
        let mut revision = 1;
        for step in 0..STEPS {
            let (what, left, right) = match random.below(12) {
                0..4 => {
                    let req = random.put();
                    (format!("{req:?}"), shown(ours.put(req.clone()).await), shown(theirs.put(req).await))
                }
                4..6 => {
                    let req = random.delete();
                    let asked = (ours.delete_range(req.clone()).await, theirs.delete_range(req.clone()).await);
                    (format!("{req:?}"), shown(asked.0), shown(asked.1))
                }
                6..9 => {
                    let req = random.range(revision);
                    (format!("{req:?}"), shown(ours.range(req.clone()).await), shown(theirs.range(req).await))
                }
                9..11 => {
                    let compare = (0..random.below(3)).map(|_| random.compare(revision)).collect();
                    let req = etcd::TxnRequest { compare, success: random.ops(), failure: random.ops() };
                    (format!("{req:?}"), shown(ours.txn(req.clone()).await), shown(theirs.txn(req).await))
                }
                _ => {
                    // Revision 0, which etcd takes as long as nothing was compacted, is refused here.
                    let wanted = random.below(revision as u64 + 2) as i64 - random.below(20) as i64;
                    let req = etcd::CompactionRequest { revision: wanted.max(1), physical: true };
                    (format!("{req:?}"), shown(ours.compact(req).await), shown(theirs.compact(req).await))
                }
            };
            ensure!(left == right, "seed {seed}, step {step}: {what}\nours:   {left}\netcd's: {right}");
            let now = ours.range(test_store::get("none")).await?.into_inner();
            revision = now.header.context("a header")?.revision;
        }
    }
    Ok(())
}
