//! Builds a member and runs it until it is told to stop: every long-lived task is spawned here.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use daemon::health::{Health, Scope};
use daemon::metrics::Metrics;
use daemon::serve::{Limits as ServeLimits, Server};
use daemon::shutdown::Shutdown;
use daemon::tls::{Allowed, ClientCerts, ClientIdentity, ServerIdentity};
use openraft::errors::{InitializeError, RaftError};
use openraft::network::NetSnapshot;
use openraft::network::RaftNetworkFactory;
use proto::keelson::raft::v1::MemberAttributes;
use proto::keelson::raft::v1::command::Request;
use proto::keelson::raft::v1::raft_server::RaftServer;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::archive::keep::Archiver;
use crate::compactor::Compactor;
use crate::config::{self, Config, ConfigError, Ids};
use crate::consensus::Consensus;
use crate::discovery::{self, DiscoveryError};
use crate::engine::{EngineError, maintain, open};
use crate::env::{Env, WorkerHandle};
use crate::expiry::{Deadlines, Expiry};
use crate::forward::Forwarder;
use crate::join::{self, JoinError, Joined};
use crate::keepsake::{self, Keepsake};
use crate::member::{Heard, Limits, Member, Rules, UNFENCED};
use crate::peer::Transport;
use crate::peer::grpc::{GrpcTransport, MESSAGE_BYTES_MAX};
use crate::peer::notices::Notices;
use crate::propose::{Batching, Proposer};
use crate::quota;
use crate::raft::machine::Machine;
use crate::raft::types::{Raft, TypeConfig};
use crate::read_index::{Reads, Rounds};
use crate::rejoin::{self, Rejoin};
use crate::removal::{self, Removal};
use crate::room::Room;
use crate::roster::Roster;
use crate::serve::direct::DirectCalls;
use crate::serve::lease::LeaseService;
use crate::serve::watch::WatchService;
use crate::serve::{self, kv};
use crate::shared::Shared;
use crate::snapshot::SnapshotData;
use crate::wal::{self, Owner, Wal, WalError};

/// Segments' worth of log after which it is cut, whatever the number of entries.
const LOG_SEGMENTS_MAX: u64 = 4;
/// How often the disk is looked after.
const TEND_INTERVAL: Duration = Duration::from_secs(2);
/// Room in a gRPC message beside the request itself.
const MESSAGE_SLACK: usize = 512 << 10;
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Rest between two looks at consensus.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the data folder {path}")]
    DataDir {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Wal(#[from] WalError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("starting a worker")]
    Worker(#[source] std::io::Error),
    #[error("raft: {0}")]
    Raft(String),
    #[error(transparent)]
    Tls(#[from] daemon::tls::Error),
    #[error(transparent)]
    Restore(#[from] crate::restore::RestoreError),
    #[error(transparent)]
    Archive(#[from] crate::archive::ArchiveError),
    #[error(transparent)]
    Bind(#[from] daemon::serve::BindError),
    #[error("another process uses the data folder {0}; one member, one folder")]
    Locked(String),
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(
        "the member has been permanently removed from the cluster; its data folder {0} is of no use any more. To come back it is added again and starts with an empty one"
    )]
    Removed(String),
    #[error("the member stopped: {0}")]
    Stopped(String),
    #[error("the member stopped, and gets everything from the others when it is started again: {0}")]
    Rotten(String),
    #[error("keeping what this member must not forget")]
    Rejoin(#[source] std::io::Error),
    #[error(
        "this member's files are damaged, and so is its vote in MEMBER: remove it from the cluster and add a new one"
    )]
    Forgotten,
}

impl RunError {
    /// Whether what was written is not there any more.
    fn is_damage(&self) -> bool {
        match self {
            Self::Wal(error) => error.is_damage(),
            Self::Engine(error) => error.is_damage(),
            _ => false,
        }
    }
}

/// A member and the tasks that it needs; [`run`] spawns them, and so does a simulation.
pub struct Built {
    pub member: Arc<Member>,
    pub batching: Batching,
    pub rounds: Rounds,
    pub expiry: Expiry,
    pub roster: Roster,
}

/// Settings of consensus.
#[derive(Clone)]
pub struct Tuning {
    pub heartbeat_ms: u64,
    pub election_ms: u64,
    /// Applied entries after which the log is cut, and how many stay for followers that are a little behind.
    pub snapshot_entries: u64,
    pub log_entries_kept: u64,
    /// Refuse changes of the membership that could cost the quorum.
    pub strict_reconfig: bool,
    pub learners_max: usize,
    /// Goes into the ids of new members.
    pub cluster_token: String,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            heartbeat_ms: 100,
            election_ms: 1000,
            snapshot_entries: 10_000,
            log_entries_kept: 5_000,
            strict_reconfig: true,
            learners_max: 1,
            cluster_token: String::new(),
        }
    }
}

/// Opens what is on disk and starts consensus. `network` and `transport` are the same thing twice: openraft's view of
/// it and ours.
pub async fn build<N>(
    env: Env,
    owner: Owner,
    limits: Limits,
    tuning: Tuning,
    network: N,
    transport: Arc<dyn Transport>,
) -> Result<Built, RunError>
where
    N: RaftNetworkFactory<TypeConfig>,
    N::Network: NetSnapshot<TypeConfig, SnapshotData = SnapshotData>,
{
    let (log, engine, keepsake, rejoins) = read(&env, owner)?;
    let opened = engine.finish(&env)?;
    let wal = Wal::open(&env, log, keepsake.clone())?;
    let shared = Arc::new(Shared::new(opened.state, opened.writer));
    let maintainer = maintain::Maintainer::new(shared.clone());
    let maintenance = WorkerHandle::spawn(&env, "engine", maintainer).map_err(RunError::Worker)?;
    let machine = Machine::new(env.clone(), shared.clone(), maintenance.clone(), keepsake);
    let raft =
        openraft::Raft::new(owner.member_id, raft_config(owner, &tuning, rejoins)?, network, wal.clone(), machine);
    let raft: Raft = raft.await.map_err(|error| RunError::Raft(error.to_string()))?;
    if shared.held.read().state.membership.membership().voter_ids().eq([owner.member_id]) {
        // Nobody else can lead: there is nothing to wait for.
        raft.trigger().elect(true).await.map_err(|error| RunError::Raft(error.to_string()))?;
    }
    let (proposer, batching) = Proposer::new(raft.clone());
    let forwarder = Forwarder::new(raft.clone(), transport.clone());
    let (reads, rounds) = Reads::new(raft.clone(), shared.clone(), transport.clone());
    let deadlines = Arc::new(Deadlines::default());
    let disk = env.disk.clone();
    let fence = {
        let state = &shared.held.read().state;
        state.applied.map_or(UNFENCED, |_| state.epoch)
    };
    let member = Arc::new(Member {
        env,
        owner,
        raft,
        shared,
        wal,
        maintenance,
        transport,
        proposer,
        forwarder,
        reads,
        deadlines,
        limits,
        room: Room::new(disk),
        rules: tuning.rules(),
        changing: tokio::sync::Mutex::default(),
        learner: AtomicBool::new(false),
        fence: AtomicU64::new(fence),
        heard: parking_lot::Mutex::new(Heard { at: tokio::time::Instant::now(), with_quorum: true }),
        strangers: Notices::default(),
        login: OnceLock::new(),
        rejoin: Rejoin::new(rejoins),
        stopping: CancellationToken::new(),
    });
    let expiry = Expiry { member: member.clone() };
    let roster = Roster { member: member.clone() };
    Ok(Built { member, batching, rounds, expiry, roster })
}

impl Tuning {
    fn rules(&self) -> Rules {
        Rules {
            strict_reconfig: self.strict_reconfig,
            learners_max: self.learners_max,
            answer_within: Duration::from_millis(2 * self.election_ms),
            cluster_token: self.cluster_token.clone(),
        }
    }

    /// openraft's shortest and longest timeout. A follower waits for the leader's lease to end, which is the longest, and
    /// for a timeout between the two: together 0.9 to 1.2 times --election-timeout, so that a dead leader is replaced soon
    /// and followers still do not all stand at once.
    fn timeouts(&self) -> (u64, u64) {
        let shortest = (self.election_ms * 3 / 10).max(self.heartbeat_ms + 1);
        (shortest, (self.election_ms * 3 / 5).max(shortest + 1))
    }
}

/// Reads log and engine, and compares them, before either is changed. Where one is damaged, a member of several begins with
/// nothing; one alone ends here, with everything as it is.
fn read(env: &Env, owner: Owner) -> Result<(wal::Found, open::Found, Arc<Keepsake>, bool), RunError> {
    let io = RunError::Rejoin;
    let keepsake = Arc::new(Keepsake::open(env, owner).map_err(io)?);
    let mut rejoins = rejoin::prepare(env).map_err(io)?;
    let (mut log, engine) = match read_both(env, owner) {
        Err(error) if error.is_damage() && keepsake.is_whole() && keepsake.voters() > 1 => {
            let error = crate::report(&error);
            tracing::error!(
                error,
                "this member's files are damaged: it begins with nothing and gets all from the others"
            );
            rejoin::mark(&*env.disk, &error).map_err(io)?;
            rejoins = rejoin::prepare(env).map_err(io)?;
            read_both(env, owner)?
        }
        found => found?,
    };
    if rejoins && !keepsake.is_whole() {
        return Err(RunError::Forgotten);
    }
    log.promise(keepsake.vote());
    // The engine may be behind what was kept; it is asked where nothing was.
    let voters = match keepsake.is_whole() {
        true => keepsake.voters(),
        false => engine.state.membership.membership().voter_ids().count() as u64,
    };
    keepsake.save_both(log.vote(), voters).map_err(io)?;
    Ok((log, engine, keepsake, rejoins))
}

fn read_both(env: &Env, owner: Owner) -> Result<(wal::Found, open::Found), RunError> {
    let log = wal::read(env, owner)?;
    let engine = open::read(env)?;
    engine.check(log.purged())?;
    log.check(&engine.state)?;
    Ok((log, engine))
}

fn raft_config(owner: Owner, tuning: &Tuning, rejoins: bool) -> Result<Arc<openraft::Config>, RunError> {
    let (election_timeout_min, election_timeout_max) = tuning.timeouts();
    let config = openraft::Config {
        cluster_name: format!("{:x}", owner.cluster_id),
        heartbeat_interval: tuning.heartbeat_ms,
        election_timeout_min,
        election_timeout_max,
        install_snapshot_timeout: 60_000,
        max_payload_entries: 64,
        snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(tuning.snapshot_entries),
        max_in_snapshot_log_to_keep: tuning.log_entries_kept,
        replication_lag_threshold: tuning.snapshot_entries + tuning.log_entries_kept,
        purge_batch_size: tuning.log_entries_kept.clamp(1, 256),
        enable_pre_vote: Some(true),
        enable_elect: !rejoins,
        // A leader sends entries before they are on its own disk. One that comes back without the last of them, and led on
        // in the same term, would write others in their place, which a follower could not tell apart.
        enable_leader_restore: Some(false),
        // A member whose disk was damaged comes back with less than it had; its leader must begin with it anew.
        allow_log_reversion: Some(true),
        ..Default::default()
    };
    config.validate().map(Arc::new).map_err(|error| RunError::Raft(error.to_string()))
}

/// Begins the cluster with `ids.members`; refused by a member that has a log already.
pub async fn begin(member: &Member, ids: &Ids) -> Result<(), RunError> {
    match member.raft.initialize(ids.members.clone()).await {
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
        Err(error) => Err(RunError::Raft(error.to_string())),
    }
}

/// Runs a member of the real world.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), RunError> {
    if let Some(command) = config.command.clone() {
        return Ok(command.run().await?);
    }
    config.check()?;
    let login = config.security.login()?;
    let path = config.data_dir();
    let failed = |source| RunError::DataDir { path: path.display().to_string(), source };
    let env = Env::os(&path).map_err(failed)?;
    let _lock = lock(&path)?;
    if removal::is_marked(&path) {
        return Err(RunError::Removed(path.display().to_string()));
    }
    let identity = peer_identity(&config)?;
    // As in etcd, the flags that begin a cluster mean nothing once there is one.
    let known = match wal::owner(&env)? {
        None => keepsake::owner(&env).map_err(RunError::Rejoin)?,
        known => known,
    };
    let (owner, joined) = match known {
        Some(owner) => (owner, None),
        None => {
            let joined = first_start(&config, identity.as_ref()).await?;
            let Ids { cluster_id, member_id, .. } = joined.ids;
            (Owner { cluster_id, member_id }, Some(joined))
        }
    };
    let transport = GrpcTransport::new(owner.cluster_id, identity.clone());
    if let Some(joined) = &joined {
        transport.fence(joined.epoch);
        for (id, peer) in joined.ids.members.iter().filter(|(id, _)| **id != owner.member_id) {
            let connected = transport.connect(*id, &peer.peer_urls);
            connected.map_err(|error| RunError::Raft(format!("member {}: {error}", peer.name)))?;
        }
    }
    let limits = Limits {
        request_bytes: config.limits.max_request_bytes,
        txn_ops: config.limits.max_txn_ops,
        lease_ttl_min: (config.election_timeout * 3).div_ceil(2000) as i64,
        quota_bytes: config.limits.quota(),
    };
    let tuning = Tuning {
        heartbeat_ms: config.heartbeat_interval,
        election_ms: config.election_timeout,
        snapshot_entries: config.limits.snapshot_count,
        log_entries_kept: config.limits.snapshot_catchup_entries.min(config.limits.snapshot_count),
        strict_reconfig: config.cluster.strict_reconfig_check,
        learners_max: config.cluster.max_learners,
        cluster_token: config.cluster.initial_cluster_token.clone(),
    };
    let consensus = Consensus::start().map_err(RunError::Worker)?;
    let (network, shared) = (transport.clone(), Arc::new(transport.clone()));
    let built = consensus.run(async move { build(env, owner, limits, tuning, network, shared).await }).await?;
    let member = built.member.clone();
    transport.speak_for(&member);
    member.shared.set_slow_apply(config.limits.warning_apply_duration);
    member.shared.tokens.set_ttl(config.security.auth_token_ttl);
    member.login.get_or_init(|| login);
    // openraft may not have said yet what it knows of the members; the state knows it from its first moment.
    let known = member.shared.held.read().state.membership.membership().clone();
    for (id, peer) in known.nodes().filter(|(id, _)| **id != owner.member_id) {
        if let Err(error) = transport.connect(*id, &peer.peer_urls) {
            tracing::warn!(%error, member = format!("{id:x}"), "a member of the cluster cannot be dialled");
        }
    }
    tracing::info!(
        member = format!("{:x}", owner.member_id),
        cluster = format!("{:x}", owner.cluster_id),
        initial_flags = if joined.is_some() { "used" } else { "not used: the data folder has its cluster" },
        "the member is up"
    );

    let mut tasks = JoinSet::new();
    tasks.spawn_on(built.batching.run(), consensus.handle());
    tasks.spawn_on(built.rounds.run(), consensus.handle());
    tasks.spawn(built.expiry.run());
    tasks.spawn(built.roster.run());
    tasks.spawn(tend_disk(member.clone()));
    if let Some(folder) = &config.archive_dir {
        tasks.spawn(Archiver::open(folder, owner, member.shared.clone(), member.wal.clone())?.run());
    }
    tasks.spawn(rejoin::run(member.clone()));
    tasks.spawn(Compactor { member: member.clone(), mode: config.limits.auto_compaction()? }.run());
    for (flag, why) in config.taken.given() {
        tracing::info!("--{flag} has no effect here: {why}");
    }
    if let Some(gates) = &config.process.feature_gates {
        tracing::info!(gates, "--feature-gates has no effect here");
    }
    let drain = CancellationToken::new();
    let serving = serve_all(&config, &member, &drain).await?;
    // A member that died between its folder's first byte and its cluster's first entry begins again.
    let begun = member.raft.is_initialized().await.map_err(|error| RunError::Raft(error.to_string()))?;
    if !begun && !member.rejoin.is_active() && config.cluster.initial_cluster_state == "new" {
        let joined = match joined {
            Some(joined) => joined,
            None => first_start(&config, identity.as_ref()).await?,
        };
        begin(&member, &joined.ids).await?;
    }
    let removal =
        Removal { member: member.clone(), patience: Duration::from_millis(2 * config.election_timeout.max(500)) };
    tasks.spawn(introduce(member.clone(), config.name.clone(), config.advertised_client_urls()));

    let result = tokio::select! {
        () = shutdown.drain.cancelled() => Ok(()),
        () = removal.noticed() => Err(removed(&path)),
        error = fatal(member.clone()) => Err(RunError::Stopped(error)),
        error = member.shared.broken() => Err(RunError::Stopped(error)),
        error = rotten(&member) => Err(RunError::Rotten(error)),
    };
    match rejoin::mark_rotten(&member) {
        Ok(true) => tracing::error!("started again, this member gets everything from the others"),
        Ok(false) => {}
        Err(error) => tracing::error!(%error, "this member's files are damaged, and cannot be marked as such"),
    }
    // Clients and members are still served: nobody notices more than another leader.
    if result.is_ok() {
        tokio::select! {
            () = member.hand_over() => {}
            () = shutdown.force.cancelled() => {}
        }
    }
    shutdown.drain.cancel();
    drain.cancel();
    member.stopping.cancel();
    serving.join_all().await;
    tasks.shutdown().await;
    if tokio::time::timeout(STOP_TIMEOUT, member.raft.shutdown()).await.is_err() {
        tracing::warn!("consensus did not stop in time");
    }
    result
}

/// Who a member without data is.
async fn first_start(config: &Config, identity: Option<&Arc<ClientIdentity>>) -> Result<Joined, RunError> {
    let names = match &config.cluster.discovery_srv {
        Some(domain) => discovery::discover(config, domain).await?,
        None => config.initial_members()?,
    };
    if config.cluster.initial_cluster_state == "existing" {
        return Ok(join::join(&names, &config.name, identity).await?);
    }
    let ids = config.ids_of(names);
    join::check_new(&ids, identity).await?;
    Ok(Joined { ids, epoch: 0 })
}

/// Says so in the folder, too: the member must not start again.
fn removed(path: &std::path::Path) -> RunError {
    match removal::mark(path) {
        Ok(()) => RunError::Removed(path.display().to_string()),
        Err(source) => RunError::DataDir { path: path.display().to_string(), source },
    }
}

/// Returns when consensus cannot go on: the disk failed, or memory and log disagree. Until then it stops openraft's clock
/// while this member leads nobody but itself: there is nobody to hear heartbeats, and nobody to stand against.
async fn fatal(member: Arc<Member>) -> String {
    use openraft::rt::WatchReceiver;
    let mut metrics = member.raft.metrics();
    let mut leader = None;
    loop {
        let now = metrics.borrow_watched().current_leader;
        if now != leader && now.is_some() {
            member.shared.counts.leader_changes.one();
        }
        leader = now;
        if let Err(error) = &metrics.borrow_watched().running_state {
            return error.to_string();
        }
        let leads_alone = member.is_leader() && member.standing().membership.nodes().count() == 1;
        member.raft.runtime_config().tick(!leads_alone);
        if metrics.changed().await.is_err() {
            return "consensus has ended".to_owned();
        }
        // They change with each entry.
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// Returns when damage was met, of a member of several: it must not go on, and the others have what it has lost. One alone
/// serves what is whole.
async fn rotten(member: &Member) -> String {
    let what = member.env.rot.met().await;
    if !member.is_one_of_several() {
        std::future::pending::<()>().await;
    }
    what
}

/// Tells the cluster this member's name and client URLs, when they are not what it knows.
async fn introduce(member: Arc<Member>, name: String, client_urls: Vec<String>) {
    let attributes = MemberAttributes { member_id: member.owner.member_id, name, client_urls };
    loop {
        let known = member.linearize().await.is_ok()
            && member.shared.held.read().state.attributes.get(&attributes.member_id) == Some(&attributes);
        if known {
            return;
        }
        if let Err(refused) = member.propose(Request::MemberAttributes(attributes.clone())).await {
            tracing::debug!(%refused, "not introduced yet");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Warns of a quota that is nearly used. Cuts the log by bytes, and on a nearly full disk; openraft does it by entries. Has the engine try again to write what
/// waits for room.
async fn tend_disk(member: Arc<Member>) {
    let log_bytes_max = LOG_SEGMENTS_MAX * member.env.sizes.wal_segment;
    let mut quota = quota::Watch::default();
    loop {
        tokio::time::sleep(TEND_INTERVAL).await;
        let used = member.shared.held.read().state.index.live_bytes();
        if let Some(notice) = quota.look(used, member.limits.quota_bytes) {
            notice.log();
        }
        if member.shared.writer.lock().waits() && member.maintenance.send(maintain::Job::Wake).await.is_err() {
            return;
        }
        let short = member.room.is_low() && member.wal.segments() > 1;
        if !short && member.wal.bytes() <= log_bytes_max {
            continue;
        }
        let trigger = member.raft.trigger();
        let mut cut = trigger.snapshot().await;
        if let (true, Ok(()), Some(applied)) = (short, &cut, member.shared.applied()) {
            cut = trigger.purge_log(applied.index).await;
        }
        if let Err(error) = cut {
            tracing::debug!(%error, "the log was not cut");
        }
    }
}

/// One member, one folder.
fn lock(path: &std::path::Path) -> Result<std::fs::File, RunError> {
    let failed = |source| RunError::DataDir { path: path.display().to_string(), source };
    let file =
        std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path.join("LOCK")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(RunError::Locked(path.display().to_string())),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn peer_identity(config: &Config) -> Result<Option<Arc<ClientIdentity>>, RunError> {
    let Some(ca) = &config.security.peer_trusted_ca_file else { return Ok(None) };
    let pair = config.security.peer_cert_file.clone().zip(config.security.peer_key_file.clone());
    Ok(Some(ClientIdentity::load(ca, pair)?))
}

/// As in etcd, a trusted CA alone is enough for callers to need a certificate.
fn server_identity(
    pair: Option<(std::path::PathBuf, std::path::PathBuf)>,
    ca: Option<std::path::PathBuf>,
    allowed: Allowed,
) -> Result<Option<Arc<ServerIdentity>>, RunError> {
    let Some((cert, key)) = pair else { return Ok(None) };
    let clients = ca.map_or(ClientCerts::Ignored, ClientCerts::Required);
    Ok(Some(ServerIdentity::load_allowing(cert, key, clients, allowed)?))
}

const CLIENT_SERVICES: &[&str] = &[
    "etcdserverpb.KV",
    "etcdserverpb.Watch",
    "etcdserverpb.Lease",
    "etcdserverpb.Cluster",
    "etcdserverpb.Maintenance",
    "etcdserverpb.Auth",
    "v3lockpb.Lock",
    "v3electionpb.Election",
];

/// Opens every listener; the set ends when all of them have drained.
async fn serve_all(config: &Config, member: &Arc<Member>, drain: &CancellationToken) -> Result<JoinSet<()>, RunError> {
    let metrics = Metrics::new();
    crate::metrics::register(&metrics, member.clone());
    let health = Health::new();
    let probed = member.clone();
    health.add("leader", Scope::Ready, move || {
        let known = probed.reached_leader().is_some();
        async move { if known { Ok(()) } else { Err("no leader is known".to_owned()) } }
    });
    let limits = ServeLimits {
        streams_max: config.limits.max_concurrent_streams,
        keepalive_interval: config.limits.grpc_keepalive_interval,
        keepalive_timeout: config.limits.grpc_keepalive_timeout,
        together: true,
        ..Default::default()
    };
    let probed = member.clone();
    let plain = Server::new(health.clone(), metrics.clone()).limits(limits).version(serve::http::VERSION).fallback_fn(
        move |request| {
            let member = probed.clone();
            async move { serve::http::answer(&member, &request).await }
        },
    );
    let message_bytes = config.limits.max_request_bytes + MESSAGE_SLACK;
    let clients = plain
        .clone()
        .grpc(serve::routes::clients(member, message_bytes))
        .direct(Arc::new(direct_calls(member, config, message_bytes)))
        .reflection(proto::DESCRIPTORS, CLIENT_SERVICES);
    let raft = RaftServer::new(serve::raft::RaftService::new(member.clone()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let members = plain.clone().grpc(Routes::new(raft)).reflection(proto::DESCRIPTORS, &["keelson.raft.v1.Raft"]);
    let client_identity = server_identity(
        config.security.cert_file.clone().zip(config.security.key_file.clone()),
        config.security.trusted_ca_file.clone(),
        Allowed { host_names: config.security.client_cert_allowed_hostname.clone(), ..Default::default() },
    )?;
    let peer_identity = server_identity(
        config.security.peer_cert_file.clone().zip(config.security.peer_key_file.clone()),
        config.security.peer_trusted_ca_file.clone(),
        Allowed {
            common_names: config.security.peer_cert_allowed_cn.clone(),
            host_names: config.security.peer_cert_allowed_hostname.clone(),
        },
    )?;
    let mut serving = JoinSet::new();
    let ports = [
        ("--listen-peer-urls", &config.listen_peer_urls, members, peer_identity),
        ("--listen-client-urls", &config.listen_client_urls, clients, client_identity.clone()),
        ("--listen-metrics-urls", &config.listen_metrics_urls, plain.open_metrics(), client_identity),
    ];
    for (flag, urls, server, identity) in ports {
        for url in urls {
            let listen = config::listen(flag, url)?;
            let listener = daemon::serve::bind(&listen.address, flag).await?;
            let server = match &identity {
                Some(identity) if listen.tls => server.clone().tls(identity.clone()),
                _ => server.clone(),
            };
            tracing::info!(url, "{flag}: serving");
            serving.spawn(server.serve(listener, drain.clone()));
        }
    }
    Ok(serving)
}

fn direct_calls(member: &Arc<Member>, config: &Config, message_bytes: usize) -> DirectCalls {
    DirectCalls {
        member: member.clone(),
        kv: Arc::new(kv::KvService::new(member.clone())),
        lease: Arc::new(LeaseService::new(member.clone())),
        watch: WatchService::new(member.clone(), config.limits.watch_progress_notify_interval),
        message_bytes,
    }
}
