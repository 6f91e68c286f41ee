//! Runs the scheduler: informers and questions in, decisions out as API calls. All policy is in `state.rs`.
//!
//! Tasks: one per informer, the event writer, the port, the election, and the scheduling loop here, which owns the state.
//! Standing by, a scheduler keeps its snapshot current, so that it decides at once when it begins to lead.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use client::informer::{Change, Informer};
use client::leader::{self, Elector};
use client::recorder::Recorder;
use client::{Client, ListParams};
use daemon::health::{Health, Scope};
use daemon::serve::Server;
use daemon::shutdown::Shutdown;
use daemon::tls::{ClientCerts, ServerIdentity};
use proto::core::v1 as core;
use proto::keelson::scheduler::v1::explain_server::ExplainServer;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::service::Routes;

use crate::act::{Actor, reference};
use crate::config::Config;
use crate::explain::{ExplainService, QUESTIONS_MAX, Question};
use crate::metrics::Metrics;
use crate::pod::{PodInfo, PodKey};
use crate::queue::{Millis, Queue};
use crate::state::{Action, State};

/// Calls to the API that run at once; no further pod is decided while there are as many.
const CALLS_MAX: usize = 128;
/// Pods decided before events are looked at again.
const DECISIONS_A_TURN: usize = 16;
/// For giving up the lead at the end.
const RELEASE_MAX: Duration = Duration::from_secs(2);
/// Annotation of the lease under which Explain is found.
const EXPLAIN_ANNOTATION: &str = "keelson.io/explain-address";

/// Why the scheduler ends.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("a kubeconfig is needed: --kubeconfig")]
    NoKubeconfig,
    #[error("cannot use the kubeconfig")]
    Client(#[from] client::Error),
    #[error("cannot read the kubeconfig")]
    Kubeconfig(#[from] client::config::Error),
    #[error("cannot use the certificate of the port")]
    Tls(#[from] daemon::tls::Error),
    #[error("cannot listen")]
    Bind(#[from] daemon::serve::BindError),
    #[error("leadership lost")]
    LostLead,
    /// Without it the scheduler would decide by what was once true.
    #[error("a task failed: {0}")]
    Task(tokio::task::JoinError),
}

/// Runs until `shutdown`, or until the lead is lost.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), RunError> {
    for line in config.taken.without_effect() {
        tracing::info!("{line}");
    }
    let kubeconfig = config.kubeconfig.clone().ok_or(RunError::NoKubeconfig)?;
    let target = client::Config::from_kubeconfig(&kubeconfig)?.user_agent("keelson-scheduler");
    let servers = target.servers.clone();
    let client = Client::new(target)?;
    let (health, registry) = (Health::new(), daemon::metrics::Metrics::new());
    let metrics = Metrics::register(&registry, &config.scheduler_name);
    let synced = health.flag("informer-sync", Scope::Ready, "the informers have not listed yet");

    let mut tasks = JoinSet::new();
    let (recorder, writer) = Recorder::new(&client, &config.scheduler_name, "");
    tasks.spawn(writer.run());
    let mut pods = Informer::<core::Pod>::new(client.api(), ListParams::default());
    let mut nodes = Informer::<core::Node>::new(client.api(), ListParams::default());
    let mut namespaces = Informer::<core::Namespace>::new(client.api(), ListParams::default());
    let changes = Changes { pods: pods.changes(), nodes: nodes.changes(), namespaces: namespaces.changes() };
    let stores = (pods.store(), nodes.store(), namespaces.store());
    tasks.spawn(pods.run());
    tasks.spawn(nodes.run());
    tasks.spawn(namespaces.run());

    let (questions_tx, questions) = mpsc::channel(QUESTIONS_MAX);
    serve(&config, health, registry, questions_tx, &shutdown, &mut tasks).await?;
    let (lead_tx, lead) = oneshot::channel();
    let election = elect(&config, &client, explain_address(&config, &servers), lead_tx, shutdown.clone());

    let queue = Queue::new(
        config.pod_initial_backoff_seconds.saturating_mul(1000),
        config.pod_max_backoff_seconds.saturating_mul(1000),
    );
    let scheduling = Scheduling {
        state: State::new(&config.scheduler_name, queue, rand::random()),
        actor: Actor::new(client.api(), &config.scheduler_name),
        recorder,
        metrics,
        started: Instant::now(),
        calls: JoinSet::new(),
        binding: HashMap::new(),
    };
    let ready = async move {
        stores.0.wait_synced().await;
        stores.1.wait_synced().await;
        stores.2.wait_synced().await;
        synced.ok();
        lead.await
    };
    tokio::select! {
        () = scheduling.run(changes, questions, ready) => Ok(()),
        result = election => result,
        error = daemon::tasks::failure(&mut tasks) => Err(RunError::Task(error)),
    }
}

/// Serves the port in a task.
async fn serve(
    config: &Config,
    health: Health,
    registry: daemon::metrics::Metrics,
    questions: mpsc::Sender<Question>,
    shutdown: &Shutdown,
    tasks: &mut JoinSet<()>,
) -> Result<(), RunError> {
    if config.secure_port == 0 {
        return Ok(());
    }
    let mut server = Server::new(health, registry);
    let mut ip = config.bind_address;
    if let (Some(cert), Some(key)) = (&config.tls_cert_file, &config.tls_private_key_file) {
        let clients = config.client_ca_file.clone().map_or(ClientCerts::Ignored, ClientCerts::Optional);
        let explain = ExplainServer::new(ExplainService::new(questions));
        server = server
            .tls(ServerIdentity::load(cert, key, clients)?)
            .grpc(Routes::new(explain))
            .reflection(proto::DESCRIPTORS, &["keelson.scheduler.v1.Explain"]);
    } else {
        tracing::warn!("no --tls-cert-file: health and metrics on loopback only, no Explain");
        ip = IpAddr::from([127, 0, 0, 1]);
        server = server.open_metrics();
    }
    let listener = daemon::serve::bind(&SocketAddr::new(ip, config.secure_port).to_string(), "--secure-port").await?;
    tasks.spawn(server.serve(listener, shutdown.drain.clone()));
    Ok(())
}

/// Stands for election and holds the lead; sends on `lead` once it leads. Ends when the lead is lost, or gives it up at shutdown.
async fn elect(
    config: &Config,
    client: &Client,
    explain: Option<String>,
    lead: oneshot::Sender<()>,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    if !config.leader_elect {
        // The receiver waits only for this; nobody else can end the election.
        let _waiting = lead.send(());
        shutdown.drain.cancelled().await;
        return Ok(());
    }
    let mut options = leader::Options::new(
        &config.leader_elect_resource_namespace,
        &config.leader_elect_resource_name,
        leader::identity(),
    );
    options.lease_duration = Duration::from_secs(config.leader_elect_lease_duration);
    options.renew_deadline = Duration::from_secs(config.leader_elect_renew_deadline);
    options.retry_period = Duration::from_secs(config.leader_elect_retry_period);
    options.annotations = explain.map(|address| (EXPLAIN_ANNOTATION.to_owned(), address)).into_iter().collect();
    let mut elector = Elector::new(client.api(), options);
    tokio::select! {
        () = elector.acquire() => {}
        () = shutdown.drain.cancelled() => return Ok(()),
    }
    let _waiting = lead.send(());
    tokio::select! {
        () = elector.hold() => return Err(RunError::LostLead),
        () = shutdown.drain.cancelled() => {}
    }
    // The next scheduler need not wait for the lease to end; a server that is away must not hold up the end.
    let _away = tokio::time::timeout(RELEASE_MAX, elector.release()).await;
    Ok(())
}

/// Where clients reach Explain: the flag, the bind address, or the address of this machine towards the API server.
fn explain_address(config: &Config, servers: &[String]) -> Option<String> {
    if config.explain_address.is_some() || config.secure_port == 0 || config.tls_cert_file.is_none() {
        return config.explain_address.clone();
    }
    let ip = if config.bind_address.is_unspecified() {
        servers.iter().find_map(|server| towards(server))
    } else {
        Some(config.bind_address)
    };
    ip.map(|ip| SocketAddr::new(ip, config.secure_port).to_string())
}

/// The local address that packets to this server carry. Sends nothing.
fn towards(server: &str) -> Option<IpAddr> {
    let authority = server.rsplit("://").next()?.split('/').next()?;
    let remote = authority.to_socket_addrs().ok()?.next()?;
    let any: SocketAddr = if remote.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(remote).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

struct Changes {
    pods: mpsc::Receiver<Change<core::Pod>>,
    nodes: mpsc::Receiver<Change<core::Node>>,
    namespaces: mpsc::Receiver<Change<core::Namespace>>,
}

/// How a call to the API ended.
enum Outcome {
    Bound(Arc<PodInfo>),
    NotBound { pod: Arc<PodInfo>, error: client::Error },
    NotSaid(PodKey),
    Done,
}

/// The scheduling task.
struct Scheduling {
    state: State,
    actor: Actor,
    recorder: Recorder,
    metrics: Metrics,
    started: Instant,
    calls: JoinSet<Outcome>,
    /// The pods that calls bind, should one panic.
    binding: HashMap<tokio::task::Id, Arc<PodInfo>>,
}

impl Scheduling {
    /// Decides from the moment `ready` ends on; follows changes at once.
    async fn run<L>(
        mut self,
        mut changes: Changes,
        mut questions: mpsc::Receiver<Question>,
        ready: impl Future<Output = L>,
    ) {
        let mut ready = std::pin::pin!(ready);
        let mut leads = false;
        loop {
            let busy = leads && self.calls.len() < CALLS_MAX && self.decide_some();
            let now = self.now();
            let wake = self.state.queue.next_wake().map(|at| self.started + Duration::from_millis(at.max(now)));
            tokio::select! {
                biased;
                Some(change) = changes.nodes.recv() => self.node(&change),
                Some(change) = changes.namespaces.recv() => self.namespace(&change),
                Some(change) = changes.pods.recv() => self.pod(&change),
                Some(outcome) = self.calls.join_next_with_id(), if !self.calls.is_empty() => self.ended(outcome),
                Some(question) = questions.recv() => {
                    // Whoever asked may have gone.
                    let _gone = question.answer.send(self.state.explain(&question.pod));
                }
                _ = &mut ready, if !leads => leads = true,
                () = sleep_until(wake), if leads && !busy && wake.is_some() && self.calls.len() < CALLS_MAX => {}
                () = tokio::task::yield_now(), if busy => {}
            }
        }
    }

    fn now(&self) -> Millis {
        Millis::try_from(self.started.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    fn pod(&mut self, change: &Change<core::Pod>) {
        let now = self.now();
        match &change.new {
            Some(pod) => self.state.pod_changed(pod, now),
            None => self.state.pod_gone(&(change.key.namespace.clone(), change.key.name.clone()), now),
        }
    }

    fn node(&mut self, change: &Change<core::Node>) {
        let now = self.now();
        match &change.new {
            Some(node) => self.state.node_changed(node, now),
            None => self.state.node_gone(&change.key.name, now),
        }
    }

    fn namespace(&mut self, change: &Change<core::Namespace>) {
        let now = self.now();
        if let Some(namespace) = &change.new {
            self.state.namespace_changed(namespace, now);
        }
    }

    /// Decides for some pods; false: nobody waits.
    fn decide_some(&mut self) -> bool {
        for _ in 0..DECISIONS_A_TURN {
            let (now, started) = (self.now(), Instant::now());
            let Some(actions) = self.state.decide(now) else {
                self.metrics.waiting(self.state.queue.counts());
                return false;
            };
            self.metrics.decided(started.elapsed().as_secs_f64());
            for action in actions {
                self.act(action);
            }
        }
        self.metrics.waiting(self.state.queue.counts());
        true
    }

    fn act(&mut self, action: Action) {
        let actor = self.actor.clone();
        match action {
            Action::Bind(pod) => {
                let bound = pod.clone();
                let call = self.calls.spawn(async move {
                    match actor.bind(&pod).await {
                        Ok(()) => Outcome::Bound(pod),
                        Err(error) => Outcome::NotBound { pod, error },
                    }
                });
                self.binding.insert(call.id(), bound);
            }
            Action::Refuse { pod, message, changed, nominated } => {
                self.metrics.attempt("unschedulable");
                tracing::debug!(pod = %format!("{}/{}", pod.namespace, pod.name), "unschedulable: {message}");
                self.recorder.note(reference(&pod), "Warning", "FailedScheduling", message.clone());
                if changed {
                    self.calls.spawn(async move {
                        match actor.say_unschedulable(&pod, &message, nominated.as_deref()).await {
                            Err(error) if !error.is_not_found() => {
                                tracing::warn!(
                                    "the condition of {}/{} cannot be written: {error}",
                                    pod.namespace,
                                    pod.name
                                );
                                Outcome::NotSaid(pod.key())
                            }
                            _ => Outcome::Done,
                        }
                    });
                }
            }
            Action::Evict { victims, preemptor, node } => {
                self.metrics.preempted();
                for victim in victims {
                    let note = format!("Preempted by pod {} on node {node}", preemptor.uid);
                    self.recorder.note(reference(&victim), "Normal", "Preempted", note);
                    let actor = actor.clone();
                    self.calls.spawn(async move {
                        match actor.preempt(&victim).await {
                            Err(error) if !error.is_not_found() => {
                                tracing::warn!("{}/{} cannot be evicted: {error}", victim.namespace, victim.name);
                            }
                            _ => {}
                        }
                        Outcome::Done
                    });
                }
            }
        }
    }

    fn ended(&mut self, outcome: Result<(tokio::task::Id, Outcome), tokio::task::JoinError>) {
        let id = outcome.as_ref().map_or_else(tokio::task::JoinError::id, |(id, _)| *id);
        let binding = self.binding.remove(&id);
        match outcome.map(|(_, outcome)| outcome) {
            Ok(Outcome::Bound(pod)) => {
                self.metrics.attempt("scheduled");
                let note = format!("Successfully assigned {}/{} to {}", pod.namespace, pod.name, pod.node);
                self.recorder.note(reference(&pod), "Normal", "Scheduled", note);
                self.state.bound(&pod);
            }
            Ok(Outcome::NotBound { pod, error }) => {
                self.metrics.attempt("error");
                let gone = error.is_not_found() || error.is_conflict();
                if !gone {
                    tracing::warn!("{}/{} cannot be bound to {}: {error}", pod.namespace, pod.name, pod.node);
                    let note = format!("binding rejected: {error}");
                    self.recorder.note(reference(&pod), "Warning", "FailedScheduling", note);
                }
                let now = self.now();
                self.state.not_bound(&pod, !error.is_not_found(), now);
            }
            Ok(Outcome::NotSaid(key)) => self.state.not_said(&key),
            Ok(Outcome::Done) => {}
            Err(error) => {
                tracing::error!("a call to the API panicked: {error}");
                // Whether it was bound is not known; if it was, the watch says so before it is tried again.
                if let Some(pod) = binding {
                    let now = self.now();
                    self.state.not_bound(&pod, true, now);
                }
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
