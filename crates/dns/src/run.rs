//! Keeps the zone equal to the API's Services and EndpointSlices, and the server answering from it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use client::informer::{Change, Informer, Store};
use client::{Client, ListParams};
use daemon::health::{Health, Scope};
use daemon::metrics::Metrics;
use daemon::shutdown::Shutdown;
use hickory_server::Server;
use parking_lot::RwLock;
use proto::core::v1::Service;
use proto::discovery::v1::EndpointSlice;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::answer::Authority;
use crate::config::Config;
use crate::forward::{self, Forwarder};
use crate::records;
use crate::serve::{Handler, SharedZone};
use crate::zone::{ServiceKey, Zone};

/// EndpointSlices by the Service they belong to.
const BY_SERVICE: &str = "service";
/// How long a TCP client may be silent.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);
/// Answers that wait for one TCP client.
const TCP_ANSWERS_MAX: usize = 64;
/// Pause between attempts to bind an address that does not exist yet.
const BIND_RETRY: Duration = Duration::from_millis(500);

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("--kubeconfig: {0}")]
    Kubeconfig(#[from] client::config::Error),
    #[error("no client of the API server can be made: {0}")]
    Client(#[from] client::Error),
    #[error("--cluster-domain {domain}: {source}")]
    Domain { domain: String, source: hickory_proto::ProtoError },
    #[error(transparent)]
    Forward(#[from] forward::Error),
    #[error("cannot answer on {address}: {source}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Health(#[from] daemon::serve::BindError),
    #[error("the API is followed no more: {0}")]
    Feed(tokio::task::JoinError),
    #[error("the DNS server failed: {0}")]
    Serve(#[from] hickory_server::net::NetError),
}

/// Runs until shutdown.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let drain = shutdown.drain;
    let authority = Authority::new(&config.cluster_domain, config.ttl_seconds)
        .map_err(|source| Error::Domain { domain: config.cluster_domain.clone(), source })?;
    let ours: Vec<_> = config.bind_address.iter().chain(&config.cluster_dns).copied().collect();
    let forwarder = Forwarder::from_resolv_conf(&config.resolv_conf, &ours)?;
    let zone: SharedZone = Arc::new(RwLock::new(Zone::default()));

    let health = Health::new();
    let synced = health.flag("synced", Scope::Ready, "Services and EndpointSlices are not listed yet");
    let side_port = serve_health(&config, health, drain.clone()).await?;

    let client = Client::new(client::Config::from_kubeconfig(&config.kubeconfig)?.user_agent("keelson-dns"))?;
    let mut feed = tokio::spawn(Feed::new(&client, zone.clone()).run(synced, drain.clone()));

    let mut server = Server::new(Handler { authority, zone, forwarder });
    for address in &config.bind_address {
        let address = SocketAddr::new(*address, config.port);
        let Some((udp, tcp)) = bind(address, &drain).await? else { break };
        tracing::info!(%address, "answers DNS");
        server.register_listener(tcp, TCP_TIMEOUT, TCP_ANSWERS_MAX);
        server.register_socket(udp);
    }
    tokio::select! {
        () = drain.cancelled() => {}
        // It ends by itself only when it panics: the zone would stay as it is for ever.
        Err(error) = &mut feed => return Err(Error::Feed(error)),
    }
    let ended = server.shutdown_gracefully().await;
    for task in [Some(feed), side_port].into_iter().flatten() {
        let _cancelled = task.await;
    }
    Ok(ended?)
}

async fn serve_health(
    config: &Config,
    health: Health,
    drain: CancellationToken,
) -> Result<Option<tokio::task::JoinHandle<()>>, Error> {
    if config.health_port == 0 {
        return Ok(None);
    }
    let address = SocketAddr::new(config.health_bind_address, config.health_port);
    let listener = daemon::serve::bind(&address.to_string(), "--health-port").await?;
    let server = daemon::serve::Server::new(health, Metrics::new()).open_metrics();
    Ok(Some(tokio::spawn(server.serve(listener, drain))))
}

/// Binds both sockets; waits for an address that does not exist yet (the bridge of a node's first pod).
async fn bind(address: SocketAddr, drain: &CancellationToken) -> Result<Option<(UdpSocket, TcpListener)>, Error> {
    let mut told = false;
    loop {
        let both = async { Ok::<_, io::Error>((UdpSocket::bind(address).await?, TcpListener::bind(address).await?)) };
        match both.await {
            Ok(sockets) => return Ok(Some(sockets)),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                if !told {
                    tracing::info!(%address, "waits for the address to exist");
                    told = true;
                }
            }
            Err(source) => return Err(Error::Bind { address, source }),
        }
        tokio::select! {
            () = tokio::time::sleep(BIND_RETRY) => {}
            () = drain.cancelled() => return Ok(None),
        }
    }
}

/// Carries changes of the API into the zone.
struct Feed {
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    service_changes: mpsc::Receiver<Change<Service>>,
    slice_changes: mpsc::Receiver<Change<EndpointSlice>>,
    zone: SharedZone,
}

impl Feed {
    fn new(client: &Client, zone: SharedZone) -> Self {
        let mut services = Informer::new(client.api::<Service>(), ListParams::default());
        let mut slices = Informer::new(client.api::<EndpointSlice>(), ListParams::default())
            .index(BY_SERVICE, |slice| records::owner(slice).map(|key| index_key(&key)).into_iter().collect());
        let service_changes = services.changes();
        let slice_changes = slices.changes();
        Self { services, slices, service_changes, slice_changes, zone }
    }

    async fn run(self, synced: daemon::health::Flag, drain: CancellationToken) {
        let Self { services, slices, mut service_changes, mut slice_changes, zone } = self;
        let view = View { services: services.store(), slices: slices.store() };
        let follow = async { tokio::join!(services.run(), slices.run()) };
        let wait = async {
            view.services.wait_synced().await;
            view.slices.wait_synced().await;
            // The changes that the lists made may still be on their way.
            for service in view.services.list() {
                let (namespace, name) = (service.metadata.namespace.clone(), service.metadata.name.clone());
                view.apply(ServiceKey { namespace, name }, &zone);
            }
            zone.write().set_complete();
            synced.ok();
            std::future::pending::<()>().await;
        };
        let apply = async {
            loop {
                let key = tokio::select! {
                    Some(change) = service_changes.recv() => {
                        Some(ServiceKey { namespace: change.key.namespace, name: change.key.name })
                    }
                    Some(change) = slice_changes.recv() => change.object().and_then(|slice| records::owner(slice)),
                    else => return,
                };
                if let Some(key) = key {
                    view.apply(key, &zone);
                }
            }
        };
        tokio::select! {
            _ = follow => {}
            () = wait => {}
            () = apply => {}
            () = drain.cancelled() => {}
        }
    }
}

/// The API's objects as the informers know them.
struct View {
    services: Store<Service>,
    slices: Store<EndpointSlice>,
}

impl View {
    fn apply(&self, key: ServiceKey, zone: &SharedZone) {
        let Some(service) = self.services.get(&key.namespace, &key.name) else {
            zone.write().remove(&key);
            return;
        };
        let slices = self.slices.by_index(BY_SERVICE, &index_key(&key));
        let slices: Vec<&EndpointSlice> = slices.iter().map(AsRef::as_ref).collect();
        let records = records::of(&service, &slices);
        zone.write().replace(key, records);
    }
}

fn index_key(key: &ServiceKey) -> String {
    format!("{}/{}", key.namespace, key.name)
}
