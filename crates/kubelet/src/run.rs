//! Builds the kubelet and starts its tasks; ends them in order. Containers go on without it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use client::Client;
use client::informer::Informer;
use client::recorder::Recorder;
use daemon::health::{Health, Scope};
use daemon::metrics::Metrics;
use daemon::serve::Server;
use daemon::shutdown::Shutdown;
use daemon::tls::{ClientCerts, ServerIdentity};
use proto::core::v1::Service;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::service::Routes;

use crate::admission::Offer;
use crate::api_cluster::ApiCluster;
use crate::config::Config;
use crate::manager::{Handles, Manager};
use crate::network::{bridge, routes};
use crate::node::facts::Facts;
use crate::node::object::{Problems, Wanted, taint};
use crate::node::pressure::Gauge;
use crate::node::register::Registrar;
use crate::node::{lease, network};
use crate::node_context::{Node, Parts, Settings};
use crate::object_source::Objects;
use crate::paths::Paths;
use crate::pod_source;
use crate::runtime::{Containerd, events};
use crate::serve::NodeService;

/// Task events that wait for the manager.
const EVENTS_MAX: usize = 256;
/// How often certificates are looked at.
const RELOAD: Duration = Duration::from_secs(60);

/// Why the kubelet does not start.
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
    #[error("cannot make {path}; --root-dir and --pod-log-dir choose other places")]
    Folder { path: String, source: std::io::Error },
    #[error("the node's address is unknown: set --node-ip")]
    NoAddress,
    #[error("the host's name is unknown: set --hostname-override")]
    NoName,
    #[error("--register-with-taints: {0:?} is not key=value:effect")]
    Taint(String),
    #[error("--container-log-max-size: {0:?} is not a quantity like 10Mi")]
    LogSize(String),
    #[error(transparent)]
    Network(#[from] crate::network::Error),
    #[error("cannot keep pods' pipes and secrets in memory")]
    RunDir(#[from] sys::Error),
    #[error(transparent)]
    Refused(#[from] crate::config::Refused),
}

/// Runs until `shutdown`.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), RunError> {
    config.check(&std::fs::read_to_string("/proc/swaps").unwrap_or_default())?;
    for line in config.taken.without_effect() {
        tracing::info!("{line}");
    }
    let kubeconfig = config.kubeconfig.clone().ok_or(RunError::NoKubeconfig)?;
    let client = Client::new(client::Config::from_kubeconfig(&kubeconfig)?.user_agent("keelson-kubelet"))?;
    let name = name(&config)?;
    let ip = address(&config).await?;
    for dir in [&config.root_dir, &config.pod_log_dir] {
        std::fs::create_dir_all(dir).map_err(|source| RunError::Folder { path: dir.display().to_string(), source })?;
    }
    let mut tasks = JoinSet::new();
    let (recorder, writer) = Recorder::new(&client, "kubelet", &name);
    tasks.spawn(writer.run());
    let services = Informer::<Service>::new(client.api(), Default::default());
    let cluster = ApiCluster { client: client.clone(), recorder: recorder.clone(), services: services.store() };
    tasks.spawn(services.run());
    let wanted = wanted(&config, &name, ip)?;
    let node = Arc::new(node(&config, &wanted, cluster)?);
    crate::run_dir::mount(&node.paths)?;

    let (pod_tx, pod_rx) = mpsc::channel(pod_source::EVENTS_MAX);
    let (task_tx, task_rx) = mpsc::channel(EVENTS_MAX);
    let (containerd_tx, containerd_rx) = watch::channel(Err("containerd has not answered yet".to_owned()));
    let manager = Manager::new(node.clone(), pod_rx, task_rx, containerd_tx);
    let handles = manager.handles();
    serve(&config, &node, &handles, containerd_rx.clone(), &shutdown, &mut tasks).await?;
    start_node(&config, wanted, &node, &client, recorder, containerd_rx, &mut tasks);
    tasks.spawn(events::run(node.containerd.clone(), task_tx));
    let source = pod_source::informer(&client, &name);
    let objects = Objects::new(&client, &pod_tx);
    tasks.spawn(pod_source::run(source, handles, objects, pod_tx));
    manager.run(shutdown.drain.clone()).await;
    tasks.shutdown().await;
    Ok(())
}

fn name(config: &Config) -> Result<String, RunError> {
    let own = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let name = config.hostname_override.clone().or_else(own).filter(|name| !name.is_empty());
    Ok(name.ok_or(RunError::NoName)?.to_lowercase())
}

async fn address(config: &Config) -> Result<IpAddr, RunError> {
    match config.node_ip {
        Some(ip) => Ok(ip),
        None => routes::node_address(&bridge::open()?).await.ok_or(RunError::NoAddress),
    }
}

fn wanted(config: &Config, name: &str, address: IpAddr) -> Result<Wanted, RunError> {
    let taints = config.register_with_taints.iter().filter(|text| !text.is_empty());
    Ok(Wanted {
        name: name.into(),
        address,
        port: config.port,
        facts: Facts::read(&config.root_dir),
        max_pods: config.max_pods,
        reserved: config.reserved(),
        labels: config.node_labels.clone(),
        taints: taints
            .map(|text| taint(text).ok_or_else(|| RunError::Taint(text.clone())))
            .collect::<Result<_, _>>()?,
        schedulable: config.register_schedulable,
        provider_id: config.provider_id.clone(),
        runtime_version: String::new(),
    })
}

fn node(config: &Config, wanted: &Wanted, cluster: ApiCluster) -> Result<Node, RunError> {
    let allocatable = wanted.allocatable();
    let amount = |name: &str| allocatable.get(name).map(proto::Quantity::amount);
    let log_size: proto::Quantity = proto::Quantity { string: config.container_log_max_size.clone() };
    let bytes_max = u64::try_from(log_size.amount().value()).ok().filter(|bytes| *bytes > 0);
    Ok(Node::new(Parts {
        name: wanted.name.clone(),
        ip: wanted.address,
        paths: Paths { root: config.root_dir.clone(), logs: config.pod_log_dir.clone() },
        settings: Settings {
            dns: crate::dns::Cluster { servers: config.cluster_dns.clone(), domain: config.cluster_domain.clone() },
            cluster_domain: config.cluster_domain.clone(),
            resolv_conf: config.resolv_conf.clone(),
            cgroup_root: config.cgroup_root.clone(),
            log_limits: crate::logs::Limits {
                bytes_max: bytes_max.ok_or_else(|| RunError::LogSize(config.container_log_max_size.clone()))?,
                files_max: config.container_log_max_files,
            },
            program: crate::logs::control::program(),
        },
        containerd: Containerd::new(&config.socket(), &config.snapshotter),
        cluster: Arc::new(cluster),
        offer: Offer {
            allocatable: [
                ("cpu".to_owned(), amount("cpu").map_or(0, |amount| amount.milli())),
                ("memory".to_owned(), amount("memory").map_or(0, |amount| amount.value())),
                ("ephemeral-storage".to_owned(), amount("ephemeral-storage").map_or(0, |amount| amount.value())),
            ]
            .into(),
            pods_max: config.max_pods.into(),
            unsafe_sysctls: config.allowed_unsafe_sysctls.clone(),
        },
        memory_bytes: (wanted.facts.memory_kib * 1024).try_into().unwrap_or(i64::MAX),
    }))
}

fn start_node(
    config: &Config,
    wanted: Wanted,
    node: &Arc<Node>,
    client: &Client,
    recorder: Recorder,
    containerd: watch::Receiver<Result<(), String>>,
    tasks: &mut JoinSet<()>,
) {
    let (uid_tx, uid_rx) = watch::channel(String::new());
    let (object_tx, object_rx) = watch::channel(None);
    let (network_tx, network_rx) = watch::channel(Err("the node has no podCIDR yet".to_owned()));
    let (problems_tx, problems) = watch::channel(Problems::new());
    let duration = config.node_lease_duration_seconds;
    tasks.spawn(lease::run(client.clone(), node.name.clone(), duration, uid_rx));
    let outside = config.non_masquerade_cidr.clone();
    let (fixed, own, of) = (config.pod_cidr, node.clone(), client.clone());
    tasks.spawn(network::run(own, of, fixed, outside, object_rx, network_tx));
    let registrar = Registrar {
        client: client.clone(),
        node: node.clone(),
        wanted,
        register: config.register_node,
        period: Duration::from_secs(config.node_status_update_frequency.max(1)),
        problems,
        uid: uid_tx,
        object: object_tx,
        recorder,
        gauge: Gauge {
            thresholds: config.eviction_hard,
            dirs: vec![config.root_dir.clone(), config.pod_log_dir.clone()],
        },
        asked: None,
    };
    tasks.spawn(watch_problems(containerd, network_rx, problems_tx));
    tasks.spawn(registrar.run());
}

/// What keeps the node from being ready, as one list.
async fn watch_problems(
    mut containerd: watch::Receiver<Result<(), String>>,
    mut network: watch::Receiver<Result<(), String>>,
    tx: watch::Sender<Problems>,
) {
    loop {
        let mut problems = Problems::new();
        if let Err(error) = &*containerd.borrow_and_update() {
            problems.push(format!("container runtime is down: {error}"));
        }
        if let Err(error) = &*network.borrow_and_update() {
            problems.push(format!(
                "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: {error}"
            ));
        }
        tx.send_replace(problems);
        tokio::select! {
            changed = containerd.changed() => if changed.is_err() { return },
            changed = network.changed() => if changed.is_err() { return },
        }
    }
}

async fn serve(
    config: &Config,
    node: &Arc<Node>,
    handles: &Handles,
    mut containerd: watch::Receiver<Result<(), String>>,
    shutdown: &Shutdown,
    tasks: &mut JoinSet<()>,
) -> Result<(), RunError> {
    let (health, metrics) = (Health::new(), Metrics::new());
    let flag = health.flag("containerd", Scope::Ready, "containerd has not answered yet");
    tasks.spawn(async move {
        while containerd.changed().await.is_ok() {
            match &*containerd.borrow_and_update() {
                Ok(()) => flag.ok(),
                Err(error) => flag.fail(error.clone()),
            }
        }
    });
    if config.healthz_port != 0 {
        let at = format!("{}:{}", config.healthz_bind_address, config.healthz_port);
        let listener = daemon::serve::bind(&at, "--healthz-port").await?;
        let server = Server::new(health.clone(), metrics.clone()).open_metrics();
        tasks.spawn(server.serve(listener, shutdown.drain.clone()));
    }
    let Some((cert, key)) = config.serving_files() else {
        tracing::warn!("no --tls-cert-file: logs, exec and port-forward are not served");
        return Ok(());
    };
    let clients = match &config.client_ca_file {
        Some(ca) => ClientCerts::Optional(ca.clone()),
        None => ClientCerts::Ignored,
    };
    let identity = ServerIdentity::load(&cert, &key, clients)?;
    let at = match config.address {
        IpAddr::V6(ip) => format!("[{ip}]:{}", config.port),
        IpAddr::V4(ip) => format!("{ip}:{}", config.port),
    };
    let listener = daemon::serve::bind(&at, "--port").await?;
    let service = NodeService::new(node.clone(), handles.clone());
    let routes = Routes::new(proto::keelson::node::v1::node_server::NodeServer::new(service));
    let server = Server::new(health, metrics).tls(identity.clone()).grpc(routes);
    let server = server.reflection(proto::DESCRIPTORS, &["keelson.node.v1.Node"]);
    tasks.spawn(server.serve(listener, shutdown.drain.clone()));
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(RELOAD).await;
            if let Err(error) = identity.reload_if_changed() {
                tracing::warn!(%error, "the new certificate is not used");
            }
        }
    });
    Ok(())
}
