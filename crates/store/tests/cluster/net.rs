//! Members on simulated disks, and the network between them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::type_config::alias::SnapshotOf;
use proto::etcdserverpb as etcd;
use proto::keelson::raft::v1::reconfigure_request::Change;
use proto::keelson::raft::v1::{Command, ReconfigureResponse};
use store::env::sim::{SimDisk, SimRandom, mix};
use store::env::{Env, Sizes, runtime};
use store::forward::Carried;
use store::member::{Limits, Member};
use store::peer::Transport;
use store::propose::Unproposed;
use store::raft::types::{Peer, TypeConfig, Vote};
use store::read_index;
use store::refused::Refused;
use store::run::{Tuning, build};
use store::snapshot::{SnapshotData, received_name};
use store::wal::Owner;

const CLUSTER: u64 = 7;

/// Every member, and which of them are cut off.
#[derive(Clone, Default)]
pub struct Net {
    pub members: Arc<Mutex<BTreeMap<u64, Arc<Member>>>>,
    pub cut: Arc<Mutex<BTreeSet<u64>>>,
    /// How long each message takes follows from it.
    pub random: Arc<Mutex<u64>>,
    /// Milliseconds that each message takes beside that.
    pub slow: Arc<Mutex<u64>>,
    /// Commands of each call that passed writes on to a leader.
    pub forwarded: Arc<Mutex<Vec<usize>>>,
}

impl Net {
    fn reach(&self, from: u64, to: u64) -> Option<Arc<Member>> {
        let cut = self.cut.lock().unwrap();
        if cut.contains(&from) || cut.contains(&to) {
            return None;
        }
        self.members.lock().unwrap().get(&to).cloned()
    }
}

struct Wire {
    net: Net,
    from: u64,
}

struct Link {
    net: Net,
    from: u64,
    to: u64,
}

impl RaftNetworkFactory<TypeConfig> for Wire {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _node: &Peer) -> Link {
        Link { net: self.net.clone(), from: self.from, to: target }
    }
}

fn cut_off() -> Unreachable<TypeConfig> {
    Unreachable::new(&io::Error::other("cut off"))
}

fn failed(error: impl ToString) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(&io::Error::other(error.to_string())))
}

impl Link {
    async fn reach(&self) -> Result<Arc<Member>, RPCError<TypeConfig>> {
        let delay = mix(&mut self.net.random.lock().unwrap()) % 8 + *self.net.slow.lock().unwrap();
        tokio::time::sleep(Duration::from_millis(delay)).await;
        self.net.reach(self.from, self.to).ok_or_else(|| RPCError::Unreachable(cut_off()))
    }
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let with_quorum = self.net.members.lock().unwrap().get(&self.from).is_some_and(|from| from.leads_quorum());
        let member = self.reach().await?;
        member.hear(with_quorum);
        member.raft.append_entries(rpc).await.map_err(failed)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.reach().await?.raft.vote(rpc).await.map_err(failed)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.reach().await?.raft.pre_vote(rpc).await.map_err(failed)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
        _cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let Some(to) = self.net.reach(self.from, self.to) else { return Err(StreamingError::Unreachable(cut_off())) };
        let SnapshotData::Taken(taken) = snapshot.snapshot else { panic!("only taken snapshots are sent") };
        let name = received_name(1);
        let file = to.env.disk.open(&name, true).unwrap();
        file.set_size(0).unwrap();
        let mut blocks = taken.blocks();
        let mut offset = 0;
        while let Some(bytes) = blocks.next_bytes().unwrap() {
            file.write_at(offset, &bytes).unwrap();
            offset += bytes.len() as u64;
        }
        let snapshot = openraft::Snapshot { meta: snapshot.meta, snapshot: SnapshotData::Received(name) };
        let rsp = to.raft.install_full_snapshot(vote, snapshot).await;
        rsp.map_err(|error| StreamingError::Unreachable(Unreachable::new(&io::Error::other(error.to_string()))))
    }
}

#[async_trait]
impl Transport for Wire {
    async fn read_index(&self, leader: u64) -> Result<Option<u64>, Refused> {
        let to = self.net.reach(self.from, leader).ok_or(Refused::NoLeader)?;
        Ok(read_index::confirm(&to.raft).await?.1)
    }

    async fn forward(&self, leader: u64, commands: Vec<Command>) -> Vec<Carried> {
        let count = commands.len();
        self.net.forwarded.lock().unwrap().push(count);
        let outcomes = match self.net.reach(self.from, leader) {
            Some(to) => to.propose_forwarded(commands).await,
            None => Err(Unproposed::NotLeader),
        };
        match outcomes {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(why) => vec![Err(why); count],
        }
    }

    async fn keep_alive(&self, leader: u64, lease: i64) -> Result<i64, Refused> {
        self.net.reach(self.from, leader).ok_or(Refused::NoLeader)?.renew_leading(lease).await
    }

    async fn lease_left(&self, leader: u64, lease: i64) -> Result<i64, Refused> {
        Ok(self.net.reach(self.from, leader).ok_or(Refused::NoLeader)?.lease_left(lease))
    }

    async fn reconfigure(&self, leader: u64, change: Change) -> Result<ReconfigureResponse, Refused> {
        let to = self.net.reach(self.from, leader).ok_or(Refused::NoLeader)?;
        to.reconfigure_leading(&change, tokio::time::Instant::now() + Duration::from_secs(5)).await
    }
}

pub async fn start(net: &Net, id: u64, disk: &SimDisk, seed: u64) -> Arc<Member> {
    let tuning = Tuning { snapshot_entries: 8, log_entries_kept: 2, ..Default::default() };
    start_tuned(net, id, disk, seed, tuning).await
}

pub async fn start_tuned(net: &Net, id: u64, disk: &SimDisk, seed: u64, tuning: Tuning) -> Arc<Member> {
    let env = Env::sim(
        disk,
        SimRandom::new(seed + id),
        Sizes { wal_segment: 4096, engine_segment: 4096, checkpoint_tail: 4096, wal_cache: 1024 },
    );
    let owner = Owner { cluster_id: CLUSTER, member_id: id };
    let limits = Limits { request_bytes: 1 << 20, txn_ops: 128, lease_ttl_min: 1, quota_bytes: 0 };
    let wire = || Wire { net: net.clone(), from: id };
    let built = build(env, owner, limits, tuning, wire(), Arc::new(wire())).await.expect("a member");
    tokio::spawn(built.batching.run());
    tokio::spawn(built.rounds.run());
    tokio::spawn(built.roster.run());
    tokio::spawn(built.expiry.run());
    net.members.lock().unwrap().insert(id, built.member.clone());
    built.member
}

pub fn put(key: String, value: String) -> etcd::PutRequest {
    etcd::PutRequest { key: key.into(), value: value.into(), ..Default::default() }
}

pub async fn contents(member: &Member) -> Vec<(Bytes, Bytes, i64, i64)> {
    let all = etcd::RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
    let rsp = member.range(&all).await.expect("a range");
    rsp.kvs.into_iter().map(|kv| (kv.key, kv.value, kv.mod_revision, kv.version)).collect()
}

/// A member on each disk: 1, 2 and so on.
pub async fn all(net: &Net, disks: &[SimDisk], seed: u64) -> Vec<Arc<Member>> {
    let tuning = Tuning { snapshot_entries: 8, log_entries_kept: 2, ..Default::default() };
    all_tuned(net, disks, seed, &tuning).await
}

pub async fn all_tuned(net: &Net, disks: &[SimDisk], seed: u64, tuning: &Tuning) -> Vec<Arc<Member>> {
    let mut members = Vec::new();
    for (at, disk) in disks.iter().enumerate() {
        members.push(start_tuned(net, at as u64 + 1, disk, seed, tuning.clone()).await);
    }
    let peers: BTreeMap<u64, Peer> = (1..=disks.len() as u64).map(|id| (id, Peer::default())).collect();
    for member in &members {
        let _begun = member.raft.initialize(peers.clone()).await;
    }
    members
}

pub fn disks(count: usize) -> Vec<SimDisk> {
    (0..count).map(|_| SimDisk::default()).collect()
}

/// Runs in a world of its own, whose time passes when nobody has anything to do.
pub fn simulate<T>(seed: u64, run: impl AsyncFnOnce(Net) -> T) -> T {
    runtime::seed_thread(seed);
    let world =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    world.block_on(run(Net { random: Arc::new(Mutex::new(seed)), ..Net::default() }))
}
