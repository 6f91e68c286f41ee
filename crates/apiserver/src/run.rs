//! Builds the apiserver from its configuration, spawns its tasks, serves, and ends in order.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use daemon::health::{Health, Scope};
use daemon::metrics::Metrics;
use daemon::shutdown::Shutdown;
use daemon::tls::ClientIdentity;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::allocate::{ServiceAllocator, repair};
use crate::authenticate::token::Tokens;
use crate::bootstrap::{self, Advertised};
use crate::config::Config;
use crate::registry::Registry;
use crate::relay::Kubelets;
use crate::serve;
use crate::server::Server;
use crate::storage::Store;
use crate::storage::endpoint::EndpointConfig;
use crate::watch_cache::feed::Feed;

/// How often every store endpoint is asked for its version.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);

/// Runs until shutdown.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let address = std::net::SocketAddr::new(config.bind_address, config.secure_port);
    let listener = daemon::serve::bind(&address.to_string(), "--bind-address and --secure-port").await?;
    run_on(config, listener, shutdown).await
}

/// Runs on a listener that is open already.
pub async fn run_on(config: Config, listener: TcpListener, shutdown: Shutdown) -> anyhow::Result<()> {
    let identity = serve::identity(&config)?;
    let server = Arc::new(build(&config)?);
    let (health, metrics) = (Health::new(), Metrics::new());
    let advertised = Advertised {
        address: config.advertise_address.unwrap_or_else(|| advertise(config.bind_address)),
        port: listener.local_addr().context("the listener has no address")?.port(),
    };
    let stop = CancellationToken::new();
    let mut tasks = spawn(&config, &server, &health, advertised, &stop);
    serve::add_checks(&health, &server);
    serve::server(&server, identity, health, metrics).serve(listener, shutdown.drain.clone()).await;
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    Ok(())
}

fn build(config: &Config) -> anyhow::Result<Server> {
    let pair = |certificate: &Option<_>, key: &Option<_>| certificate.clone().zip(key.clone());
    let store_identity = match &config.etcd_cafile {
        Some(ca) => Some(ClientIdentity::load(ca, pair(&config.etcd_certfile, &config.etcd_keyfile))?),
        None => None,
    };
    let kubelet_identity = match &config.kubelet_certificate_authority {
        Some(ca) => {
            Some(ClientIdentity::load(ca, pair(&config.kubelet_client_certificate, &config.kubelet_client_key))?)
        }
        None => None,
    };
    let endpoints = EndpointConfig { servers: config.etcd_servers.clone(), identity: store_identity };
    Ok(Server {
        store: Arc::new(Store::new(&endpoints)?),
        registry: Registry::new(),
        tokens: Tokens::load(
            &config.service_account_issuer,
            &config.api_audiences,
            config.service_account_signing_key_file.as_deref(),
            &config.service_account_key_file,
        )?,
        services: ServiceAllocator {
            ranges: config.service_cluster_ip_range.clone(),
            ports: config.service_node_port_range,
        },
        kubelets: Kubelets::new(kubelet_identity),
        ordered_progress: AtomicBool::new(false),
    })
}

fn spawn(
    config: &Config,
    server: &Arc<Server>,
    health: &Health,
    advertised: Advertised,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for resource in server.registry.all() {
        let feed = Feed { store: Arc::clone(&server.store), resource: Arc::clone(resource), stop: stop.clone() };
        tasks.spawn(feed.run());
    }
    tasks.spawn(keep_probing(Arc::clone(server), stop.clone()));
    tasks.spawn(repair::keep_repairing(Arc::clone(server), stop.clone()));
    let first_objects = health.flag("poststarthook/bootstrap", Scope::Ready, "the first objects are not there yet");
    tasks.spawn(bootstrap::keep(Arc::clone(server), advertised, first_objects, stop.clone()));
    let (store, interval, ended) = (Arc::clone(&server.store), config.etcd_compaction_interval, stop.clone());
    tasks.spawn(async move { store.keep_compacting(interval, ended).await });
    tasks
}

async fn keep_probing(server: Arc<Server>, stop: CancellationToken) {
    loop {
        let ordered = server.store.probe_versions().await;
        server.ordered_progress.store(ordered, Ordering::Relaxed);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PROBE_INTERVAL) => {}
        }
    }
}

/// The address to be reached at: the bound one, else the one that the default route leaves from.
fn advertise(bound: IpAddr) -> IpAddr {
    if !bound.is_unspecified() {
        return bound;
    }
    // Connecting a datagram socket sends nothing; it only asks the routing table.
    let routed = UdpSocket::bind(("0.0.0.0", 0)).and_then(|socket| {
        socket.connect(("192.0.2.1", 9))?;
        socket.local_addr()
    });
    routed.map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip())
}
