//! Keeps one member running: starts it, kills it as it is told or when its disk crashes, starts it again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openraft::rt::WatchReceiver;
use store::env::process::Process;
use store::env::sim::{SimDisk, SimRandom};
use store::env::{Env, Sizes};
use store::member::{Limits, Member};
use store::raft::types::Peer;
use store::rejoin;
use store::run::{Built, Tuning, build};
use store::wal::Owner;
use tokio::sync::mpsc;

use crate::net::{Live, Wire};
use crate::planted::Planted;
use crate::world::World;

const CLUSTER: u64 = 7;
/// Everything so small that a short run meets rotations, checkpoints, rewrites, purges and snapshots.
const SIZES: Sizes = Sizes { wal_segment: 4096, engine_segment: 4096, checkpoint_tail: 4096, wal_cache: 2048 };
const LIMITS: Limits = Limits { request_bytes: 1 << 20, txn_ops: 128, lease_ttl_min: 1, quota_bytes: 0 };
/// Rest before a member that could not start is started again.
const START_PAUSE: Duration = Duration::from_millis(300);

fn tuning() -> Tuning {
    // Rare heartbeats: openraft checks its whole state at each tick when it is built for development.
    Tuning { heartbeat_ms: 250, election_ms: 1200, snapshot_entries: 24, log_entries_kept: 6, ..Tuning::default() }
}

/// What is done to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The process dies; what it wrote is there.
    Kill,
    /// The machine loses its power; what was not synced may be lost.
    PowerCut,
}

/// Why a member's life ended.
enum End {
    Ordered(Order),
    /// Its disk crashed, as a power cut between two writes.
    Crashed,
    /// It ended itself.
    Stopped(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ordered(order) => write!(f, "{order:?}"),
            Self::Crashed => f.write_str("its disk crashed"),
            Self::Stopped(reason) => f.write_str(reason),
        }
    }
}

pub struct Keeper {
    pub world: Arc<World>,
    pub id: u64,
    pub orders: mpsc::UnboundedReceiver<Order>,
}

impl Keeper {
    pub async fn run(mut self) {
        loop {
            let disk = self.world.disk(self.id);
            let process = Process::default();
            let end = match self.start(&process, &disk).await {
                Ok(member) => {
                    let live = Live { process: process.clone(), member: member.clone(), disk: disk.clone() };
                    self.world.net.join(self.id, live);
                    self.world.tell(&format!("member {} runs, rejoins: {}", self.id, member.rejoin.is_active()));
                    self.live(&disk, member).await
                }
                Err(end) => end,
            };
            self.world.tell(&format!("member {} ends: {end}", self.id));
            process.kill();
            self.world.net.leave(self.id);
            let power = matches!(end, End::Crashed | End::Ordered(Order::PowerCut)) || disk.crashed();
            let next = match power {
                true => disk.after_power_cut(self.world.dice.draw()),
                false => disk.after_death(),
            };
            self.world.set_disk(self.id, next);
            let pause = match end {
                End::Stopped(_) => START_PAUSE,
                End::Crashed | End::Ordered(_) => self.world.dice.millis(50, 2500),
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn start(&mut self, process: &Process, disk: &SimDisk) -> Result<Arc<Member>, End> {
        let (world, id) = (self.world.clone(), self.id);
        let seed = world.dice.draw();
        let starting = process.spawn(begin(world.clone(), id, disk.clone(), seed));
        let built = tokio::select! {
            biased;
            order = self.orders.recv() => return Err(End::Ordered(order.unwrap_or(Order::Kill))),
            built = starting => built,
        };
        match built {
            Ok(Ok(built)) => Ok(run(&world, process, built)),
            Ok(Err(_)) if disk.crashed() => Err(End::Crashed),
            Ok(Err(error)) => {
                world.refused_start(id, &error);
                Err(End::Stopped(error))
            }
            Err(error) => {
                world.watchdog.judge("no panic", Err(format!("member {id}, at its start: {error}")));
                Err(End::Stopped(error.to_string()))
            }
        }
    }

    async fn live(&mut self, disk: &SimDisk, member: Arc<Member>) -> End {
        tokio::select! {
            biased;
            () = disk.crash() => End::Crashed,
            order = self.orders.recv() => End::Ordered(order.unwrap_or(Order::Kill)),
            reason = stopped(&member) => {
                // As the program does, for its next start. A disk that crashes now has not met what it lost.
                let _marked = rejoin::mark_rotten(&member);
                End::Stopped(reason)
            }
        }
    }
}

async fn begin(world: Arc<World>, id: u64, disk: SimDisk, seed: u64) -> Result<Built, String> {
    let env = Env::sim(&disk, SimRandom::new(seed), SIZES);
    let owner = Owner { cluster_id: CLUSTER, member_id: id };
    let wire = || Wire { net: world.net.clone(), from: id };
    let built = build(env, owner, LIMITS, tuning(), wire(), Arc::new(wire())).await;
    let built = built.map_err(|error| error.to_string())?;
    let begun = built.member.raft.is_initialized().await.map_err(|error| error.to_string())?;
    if built.member.rejoin.is_active() {
        let why = disk.contents().remove("REJOIN").unwrap_or_default();
        world.rejoined(id, String::from_utf8_lossy(&why).trim_end());
    } else if !begun && world.first_voters().any(|first| first == id) {
        let peers: BTreeMap<u64, Peer> = world.first_voters().map(|id| (id, Peer::default())).collect();
        // Refused where another member was faster.
        let _begun = built.member.raft.initialize(peers).await;
    }
    Ok(built)
}

fn run(world: &World, process: &Process, built: Built) -> Arc<Member> {
    // They end with the process.
    drop(process.spawn(built.batching.run()));
    drop(process.spawn(built.rounds.run()));
    drop(process.spawn(built.roster.run()));
    drop(process.spawn(rejoin::run(built.member.clone())));
    if world.settings.planted == Some(Planted::VotesWhileRejoining) {
        built.member.raft.runtime_config().elect(true);
    }
    match world.settings.planted {
        Some(Planted::LeasesForgotten) => {}
        Some(Planted::LeasesCutShort) => drop(process.spawn(cut_short(built.member.clone()))),
        _ => drop(process.spawn(built.expiry.run())),
    }
    built.member
}

/// What ends a program: consensus that cannot go on, or a state that cannot be trusted.
async fn stopped(member: &Member) -> String {
    let fatal = async {
        let mut metrics = member.raft.metrics();
        loop {
            if let Err(error) = &metrics.borrow_watched().running_state {
                return error.to_string();
            }
            if metrics.changed().await.is_err() {
                return "consensus has ended".to_owned();
            }
        }
    };
    tokio::select! {
        biased;
        reason = member.shared.broken() => reason,
        reason = rotten(member) => reason,
        reason = fatal => reason,
    }
}

async fn rotten(member: &Member) -> String {
    let what = member.env.rot.met().await;
    if !member.is_one_of_several() {
        std::future::pending::<()>().await;
    }
    what
}

/// A planted bug: ends leases after half of their time.
async fn cut_short(member: Arc<Member>) {
    use proto::etcdserverpb::LeaseRevokeRequest;
    let mut seen: BTreeMap<i64, tokio::time::Instant> = BTreeMap::new();
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let leases: Vec<(i64, i64)> = {
            let held = member.shared.held.read();
            held.state.lessor.iter().map(|(id, lease)| (id, lease.ttl)).collect()
        };
        for (id, ttl) in leases {
            let since = *seen.entry(id).or_insert_with(tokio::time::Instant::now);
            if member.is_leader() && since.elapsed() >= Duration::from_millis(ttl as u64 * 500) {
                drop(member.revoke(LeaseRevokeRequest { id }).await);
            }
        }
    }
}
