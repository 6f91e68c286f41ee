//! A member in a simulated world: a crash at every change of its disk loses nothing that was acknowledged, and the same
//! seed gives the same run.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use openraft::network::RaftNetworkFactory;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::request_op::Request as Op;
use proto::keelson::raft::v1::Command;
use store::env::sim::{SimDisk, SimRandom};
use store::env::{Env, Sizes, runtime};
use store::forward::Carried;
use store::member::{Limits, Member};
use store::peer::Transport;
use store::peer::grpc::{GrpcTransport, Network};
use store::raft::types::{Peer, TypeConfig};
use store::refused::Refused;
use store::run::{Tuning, build};
use store::wal::Owner;

/// A member alone calls nobody.
struct Alone;

#[async_trait]
impl Transport for Alone {
    async fn read_index(&self, _leader: u64) -> Result<Option<u64>, Refused> {
        Err(Refused::NoLeader)
    }

    async fn forward(&self, _leader: u64, _commands: Vec<Command>) -> Vec<Carried> {
        Vec::new()
    }

    async fn keep_alive(&self, _leader: u64, _lease: i64) -> Result<i64, Refused> {
        Err(Refused::NoLeader)
    }

    async fn lease_left(&self, _leader: u64, _lease: i64) -> Result<i64, Refused> {
        Err(Refused::NoLeader)
    }
}

/// Never dials: a member alone has no peer.
struct NoNetwork(GrpcTransport);

impl RaftNetworkFactory<TypeConfig> for NoNetwork {
    type Network = Network;

    async fn new_client(&mut self, target: u64, node: &Peer) -> Network {
        self.0.new_client(target, node).await
    }
}

const OWNER: Owner = Owner { cluster_id: 7, member_id: 1 };

/// A member on `disk`, with everything so small that a short history meets every rotation, checkpoint and purge.
async fn member(disk: &SimDisk, seed: u64) -> Result<Arc<Member>, String> {
    let env = Env::sim(
        disk,
        SimRandom::new(seed),
        Sizes { wal_segment: 2048, engine_segment: 1024, checkpoint_tail: 1024, wal_cache: 1024 },
    );
    let limits = Limits { request_bytes: 1 << 20, txn_ops: 128, lease_ttl_min: 1, quota_bytes: 0 };
    let tuning = Tuning { snapshot_entries: 8, log_entries_kept: 2, ..Default::default() };
    let network = NoNetwork(GrpcTransport::new(OWNER.cluster_id, None));
    let built = build(env, OWNER, limits, tuning, network, Arc::new(Alone)).await.map_err(|error| error.to_string())?;
    tokio::spawn(built.batching.run());
    tokio::spawn(built.rounds.run());
    let members = BTreeMap::from([(OWNER.member_id, Peer::default())]);
    // Refused when there is a log already.
    let _begun = built.member.raft.initialize(members).await;
    Ok(built.member)
}

/// One step of the history.
#[derive(Clone, Debug)]
enum Step {
    Put(String, String),
    Delete(String),
    /// Two keys or none.
    Both(String, String, String),
    Compact,
}

type Model = BTreeMap<String, String>;

fn history() -> Vec<Step> {
    let mut steps = Vec::new();
    for round in 0..12 {
        let value = format!("value {round} {}", "x".repeat(100));
        steps.push(Step::Put(format!("key{}", round % 4), value.clone()));
        steps.push(Step::Both("left".into(), "right".into(), value));
        if round % 3 == 2 {
            steps.push(Step::Delete(format!("key{}", round % 4)));
            steps.push(Step::Compact);
        }
    }
    steps
}

fn model(model: &mut Model, step: &Step) {
    match step {
        Step::Put(key, value) => {
            model.insert(key.clone(), value.clone());
        }
        Step::Delete(key) => {
            model.remove(key);
        }
        Step::Both(a, b, value) => {
            model.insert(a.clone(), value.clone());
            model.insert(b.clone(), value.clone());
        }
        Step::Compact => {}
    }
}

fn put(key: &str, value: &str) -> etcd::PutRequest {
    etcd::PutRequest { key: Bytes::from(key.to_owned()), value: Bytes::from(value.to_owned()), ..Default::default() }
}

/// Whether the step was acknowledged.
async fn run(member: &Member, step: &Step) -> bool {
    match step {
        Step::Put(key, value) => member.put(put(key, value)).await.is_ok(),
        Step::Delete(key) => {
            let req = etcd::DeleteRangeRequest { key: Bytes::from(key.clone()), ..Default::default() };
            member.delete_range(req).await.is_ok()
        }
        Step::Both(a, b, value) => {
            let op = |key| etcd::RequestOp { request: Some(Op::RequestPut(put(key, value))) };
            let req = etcd::TxnRequest { success: vec![op(a), op(b)], ..Default::default() };
            member.txn(req).await.is_ok()
        }
        Step::Compact => {
            let revision = member.shared.revision();
            member.compact(etcd::CompactionRequest { revision, physical: true }).await.is_ok()
        }
    }
}

async fn contents(member: &Member) -> Result<Model, String> {
    let all =
        etcd::RangeRequest { key: Bytes::from_static(&[0]), range_end: Bytes::from_static(&[0]), ..Default::default() };
    let rsp = member.range(&all).await.map_err(|error| error.to_string())?;
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok(rsp.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect())
}

/// A world of its own: one thread, paused time, seeded randomness.
fn world<T>(seed: u64, run: impl Future<Output = T>) -> T {
    runtime::seed_thread(seed);
    let world =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    world.block_on(run)
}

/// Runs the history until it ends or the disk crashes; gives how many steps were acknowledged.
fn live(disk: &SimDisk, seed: u64) -> usize {
    world(seed, async {
        let Ok(member) = member(disk, seed).await else { return 0 };
        let mut acknowledged = 0;
        for step in history() {
            if !run(&member, &step).await {
                break;
            }
            acknowledged += 1;
        }
        acknowledged
    })
}

fn models() -> Vec<Model> {
    let mut now = Model::new();
    let mut all = vec![now.clone()];
    for step in history() {
        model(&mut now, &step);
        all.push(now.clone());
    }
    all
}

#[test]
fn a_crash_at_any_change_of_the_disk_loses_nothing_acknowledged() {
    let whole = SimDisk::default();
    assert_eq!(live(&whole, 1), history().len(), "the history runs without a crash");
    let changes = whole.changes();
    assert!(changes > 100, "the history changes the disk often enough: {changes}");
    let models = models();
    for crash in 0..changes {
        let disk = SimDisk::default();
        disk.crash_at(crash);
        let acknowledged = live(&disk, 1);
        assert!(disk.crashed(), "change {crash} was met");
        disk.restart(crash);
        world(2, async {
            let member = member(&disk, 2)
                .await
                .unwrap_or_else(|error| panic!("crash at change {crash}: {error}\n{:?}", disk.dump()));
            let found = contents(&member).await.unwrap_or_else(|error| panic!("crash at change {crash}: {error}"));
            let with_next = (acknowledged + 1).min(models.len() - 1);
            assert!(
                found == models[acknowledged] || found == models[with_next],
                "crash at change {crash}, {acknowledged} steps acknowledged: found {found:?}"
            );
            assert!(
                run(&member, &Step::Put("after".into(), "crash".into())).await,
                "crash at change {crash}: writes go on"
            );
        });
        // And once more, from what the restart left.
        world(3, async {
            let member =
                member(&disk, 3).await.unwrap_or_else(|error| panic!("second restart after crash {crash}: {error}"));
            let found =
                contents(&member).await.unwrap_or_else(|error| panic!("second restart after crash {crash}: {error}"));
            assert_eq!(found.get("after").map(String::as_str), Some("crash"), "second restart after crash {crash}");
        });
    }
    println!("crashed at each of {changes} changes of the disk");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let trace = |seed| {
        let disk = SimDisk::default();
        live(&disk, seed);
        (disk.trace(), disk.changes())
    };
    for seed in [1, 42] {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
}

/// A flipped bit anywhere in the member's files: the member refuses to start, names the file and leaves everything as it
/// is; or it starts and has everything that was acknowledged, or says which value it cannot read.
#[test]
fn a_flipped_bit_loses_nothing_in_silence() {
    let whole = SimDisk::default();
    live(&whole, 1);
    let expect = models().pop().expect("a history");
    let files = whole.contents();
    let (mut refused, mut told, mut unharmed) = (BTreeMap::<String, usize>::new(), 0, 0);
    for (name, bytes) in &files {
        // Every byte of what is short, and of the rest as many as there is time for.
        for offset in (0..bytes.len()).step_by(bytes.len() / 200 + 1) {
            let disk = SimDisk::with_contents(&files);
            disk.flip(name, offset);
            let damaged = disk.contents();
            world(2, async {
                match member(&disk, 2).await {
                    Err(error) => {
                        let stem = name.split('/').next().unwrap_or(name);
                        assert!(error.contains(stem) || error.contains("engine"), "{name}, byte {offset}: {error}");
                        assert_eq!(disk.contents(), damaged, "{name}, byte {offset}: nothing is changed: {error}");
                        *refused.entry(stem.to_owned()).or_default() += 1;
                    }
                    Ok(member) => match contents(&member).await {
                        Ok(found) => {
                            assert_eq!(found, expect, "{name}, byte {offset}");
                            unharmed += 1;
                        }
                        Err(error) => {
                            assert!(error.contains("reading a value"), "{name}, byte {offset}: {error}");
                            told += 1;
                        }
                    },
                }
            });
        }
    }
    println!("refused {refused:?}, values told damaged {told}, unharmed {unharmed}");
    assert!(refused.get("wal").is_some_and(|count| *count > 100), "damage in the log is seen: {refused:?}");
    assert!(refused.len() > 1, "damage in the engine is seen: {refused:?}");
}
