//! Runs the proxy: informers in, transactions out. All policy is in `state.rs`.
//!
//! Tasks: one per informer, the two ports, and the loop here, which owns the state and is alone with the kernel's tables.
//! After a start, a failure and each sync period it compares the tables with the kernel's and mends them. On exit the rules stay.

use std::collections::BTreeMap;
use std::net::IpAddr;

use std::time::Duration;

use client::informer::{Change, Informer};
use client::{Client, ListParams};
use daemon::health::{Flag, Health, Scope};
use daemon::serve::Server;
use daemon::shutdown::Shutdown;
use ipnet::IpNet;
use proto::core::v1 as core;
use proto::discovery::v1 as discovery;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::{Config, listen_address};
use crate::conntrack::{self, StaleFlow};
use crate::diff::Found;
use crate::endpoint::Place;
use crate::health_check::HealthChecks;
use crate::kernel::{Kernel, KernelError};
use crate::metrics::Metrics;
use crate::nft::Nft;
use crate::render::{NodePortAddresses, Renderer};
use crate::ruleset::Settings;
use crate::service::ServiceName;
use crate::state::State;
use crate::table::Op;

/// Changes that are taken in before the tables are written.
const CHANGES_A_TURN: usize = 4096;
/// Pause after a failed transaction, doubled up to the longest one.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// Why the proxy ends.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("a kubeconfig is needed: --kubeconfig")]
    NoKubeconfig,
    #[error("cannot use the kubeconfig")]
    Kubeconfig(#[from] client::config::Error),
    #[error("cannot use the kubeconfig")]
    Client(#[from] client::Error),
    #[error("cannot listen")]
    Bind(#[from] daemon::serve::BindError),
    #[error(transparent)]
    Flags(#[from] crate::config::BadNodePortAddress),
    #[error("the tables cannot be removed")]
    Cleanup(#[source] KernelError),
    /// Without it the tables would stay as they are.
    #[error("a task failed: {0}")]
    Task(tokio::task::JoinError),
}

/// Runs until `shutdown`.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), RunError> {
    let node_ports = config.node_ports()?;
    let renderer = Renderer {
        node_ports: node_ports.clone().unwrap_or(NodePortAddresses::All),
        masquerade_mark: 1 << config.iptables_masquerade_bit,
    };
    let kernel = Nft::new(renderer);
    if config.cleanup {
        return cleanup(&kernel).await.map_err(RunError::Cleanup);
    }
    let kubeconfig = config.kubeconfig.clone().ok_or(RunError::NoKubeconfig)?;
    let client = Client::new(client::Config::from_kubeconfig(&kubeconfig)?.user_agent("keelson-proxy"))?;
    let (health, registry) = (Health::new(), daemon::metrics::Metrics::new());
    let node = config.node_name();
    let settings = Settings {
        place: Place { node: node.clone(), zone: None },
        cluster_cidrs: config.cluster_cidr.clone(),
        masquerade_all: config.masquerade_all,
    };

    let mut tasks = JoinSet::new();
    let mut services = Informer::<core::Service>::new(client.api(), ListParams::default());
    let mut slices = Informer::<discovery::EndpointSlice>::new(client.api(), ListParams::default());
    let only_ours = ListParams::default().fields(format!("metadata.name={node}"));
    let mut nodes = Informer::<core::Node>::new(client.api(), only_ours);
    let changes = Changes { services: services.changes(), slices: slices.changes(), nodes: nodes.changes() };
    let stores = (services.store(), slices.store());
    tasks.spawn(services.run());
    tasks.spawn(slices.run());
    tasks.spawn(nodes.run());

    let proxy = Proxy {
        state: State::new(settings),
        kernel,
        metrics: Metrics::register(&registry),
        synced: health.flag("sync", Scope::Ready, "the tables are not written yet"),
        fixed_node_ports: node_ports.is_some(),
        next_full: Some(Instant::now()),
        period: Some(config.nftables_sync_period).filter(|period| !period.is_zero()),
        pause: RETRY_FIRST,
        conntrack: vec!["conntrack".to_owned()],
        stale: Vec::new(),
        health_checks: HealthChecks::default(),
    };
    for (address, port, flag) in [
        (&config.healthz_bind_address, 10256, "--healthz-bind-address"),
        (&config.metrics_bind_address, 10249, "--metrics-bind-address"),
    ] {
        if let Some(address) = listen_address(address, port) {
            let server = Server::new(health.clone(), registry.clone()).open_metrics();
            let listener = daemon::serve::bind(&address, flag).await?;
            tasks.spawn(server.serve(listener, shutdown.drain.clone()));
        }
    }
    let listed = async move {
        stores.0.wait_synced().await;
        stores.1.wait_synced().await;
    };
    tokio::select! {
        () = proxy.run(changes, listed) => Ok(()),
        () = shutdown.drain.cancelled() => Ok(()),
        error = daemon::tasks::failure(&mut tasks) => Err(RunError::Task(error)),
    }
}

async fn cleanup(kernel: &Nft) -> Result<(), KernelError> {
    let found = kernel.read().await?;
    let steps = found.families.iter().map(|family| Op::DeleteTable(*family)).collect();
    kernel.apply(&steps).await
}

struct Changes {
    services: mpsc::Receiver<Change<core::Service>>,
    slices: mpsc::Receiver<Change<discovery::EndpointSlice>>,
    nodes: mpsc::Receiver<Change<core::Node>>,
}

/// The proxy's task.
struct Proxy<K> {
    state: State,
    kernel: K,
    metrics: Metrics,
    synced: Flag,
    /// The flag names the addresses of node ports; otherwise they are the Node's.
    fixed_node_ports: bool,
    /// When the tables are compared with the kernel's next.
    next_full: Option<Instant>,
    period: Option<Duration>,
    pause: Duration,
    conntrack: Vec<String>,
    /// UDP flows to forget once the tables that make them stale are written.
    stale: Vec<StaleFlow>,
    health_checks: HealthChecks,
}

impl<K: Kernel> Proxy<K> {
    async fn run(mut self, mut changes: Changes, listed: impl Future<Output = ()>) {
        let mut listed = std::pin::pin!(listed);
        let mut complete = false;
        loop {
            tokio::select! {
                biased;
                Some(change) = changes.services.recv() => self.service(&change),
                Some(change) = changes.slices.recv() => self.slice(change),
                Some(change) = changes.nodes.recv() => self.node(&change),
                () = &mut listed, if !complete => complete = true,
                () = sleep_until(self.next_full), if complete => {}
            }
            self.take_in(&mut changes);
            if !complete {
                continue;
            }
            if self.next_full.is_some_and(|at| at <= Instant::now()) {
                self.full_sync().await;
            } else if self.state.is_dirty() {
                self.sync().await;
            }
        }
    }

    /// Takes in what else is there, so that many changes make one transaction.
    fn take_in(&mut self, changes: &mut Changes) {
        for _ in 0..CHANGES_A_TURN {
            if let Ok(change) = changes.services.try_recv() {
                self.service(&change);
            } else if let Ok(change) = changes.slices.try_recv() {
                self.slice(change);
            } else {
                return;
            }
        }
    }

    fn service(&mut self, change: &Change<core::Service>) {
        let name = ServiceName::new(&change.key.namespace, &change.key.name);
        self.state.service_changed(name, change.new.as_deref());
    }

    fn slice(&mut self, change: Change<discovery::EndpointSlice>) {
        self.state.slice_changed(change.old.as_deref(), change.new);
    }

    fn node(&mut self, change: &Change<core::Node>) {
        let Some(node) = &change.new else { return };
        self.state.zone_changed(node.metadata.labels.get(ZONE_LABEL).cloned());
        let internal = node.status.addresses.iter().filter(|address| address.r#type == "InternalIP");
        let ranges: Vec<IpNet> =
            internal.filter_map(|address| Some(IpNet::from(address.address.parse::<IpAddr>().ok()?))).collect();
        if !self.fixed_node_ports && !ranges.is_empty() && self.kernel.set_node_ports(NodePortAddresses::Within(ranges))
        {
            self.next_full = Some(Instant::now());
        }
    }

    /// Writes what changed. A failure leads to a full sync.
    async fn sync(&mut self) {
        let started = Instant::now();
        let plan = self.state.plan();
        self.became_stale(plan.stale);
        match self.kernel.apply(&plan.steps).await {
            Ok(()) => self.written(plan.steps.len(), false, started).await,
            Err(error) => self.failed(&error),
        }
    }

    /// Compares with the kernel and mends what differs.
    async fn full_sync(&mut self) {
        let started = Instant::now();
        match self.try_full_sync().await {
            Ok(steps) => {
                self.pause = RETRY_FIRST;
                self.next_full = self.period.map(|period| Instant::now() + period);
                self.synced.ok();
                self.written(steps, true, started).await;
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Gives the number of steps.
    async fn try_full_sync(&mut self) -> Result<usize, KernelError> {
        let found = match self.kernel.read().await {
            Ok(found) => found,
            // What cannot be read cannot be mended step by step.
            Err(error @ KernelError::Listing { .. }) => {
                tracing::warn!("making the tables anew: {error}");
                let everything = Found { families: crate::table::Family::ALL.into(), ..Default::default() };
                return self.rebuild(everything).await;
            }
            Err(error) => return Err(error),
        };
        let plan = self.state.reconcile(&found);
        self.became_stale(plan.stale);
        match self.kernel.apply(&plan.steps).await {
            Ok(()) => Ok(plan.steps.len()),
            Err(error) => {
                tracing::warn!("making the tables anew, as they cannot be mended: {error}");
                self.rebuild(found).await
            }
        }
    }

    async fn rebuild(&mut self, found: Found) -> Result<usize, KernelError> {
        let plan = self.state.plan();
        self.became_stale(plan.stale);
        // A table that is not there cannot be deleted, so it is made first.
        let mut steps: Vec<Op> = found.families.iter().map(|family| Op::Base(*family)).collect();
        steps.extend(self.state.rebuild(&found));
        self.kernel.apply(&steps).await?;
        Ok(steps.len())
    }

    /// Flows are forgotten after the next success, however many failures there are before it.
    fn became_stale(&mut self, flows: Vec<StaleFlow>) {
        for flow in flows {
            if !self.stale.contains(&flow) {
                self.stale.push(flow);
            }
        }
    }

    async fn written(&mut self, steps: usize, full: bool, started: Instant) {
        self.metrics.synced(full, started.elapsed());
        self.metrics.counts(self.state.counts());
        tracing::debug!(steps, full, "tables written in {:?}", started.elapsed());
        conntrack::forget(&self.conntrack, &std::mem::take(&mut self.stale)).await;
        let checks: BTreeMap<_, _> = self.state.health_checks();
        self.health_checks.set(checks).await;
    }

    fn failed(&mut self, error: &KernelError) {
        self.metrics.failed();
        self.synced.fail(error.to_string());
        tracing::error!("the tables cannot be written, next try in {:?}: {}", self.pause, chain(error));
        self.next_full = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(RETRY_MAX);
    }
}

fn chain(error: &KernelError) -> String {
    daemon::process::chain(error)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
