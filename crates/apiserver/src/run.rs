//! Builds the apiserver from its configuration, spawns its tasks, serves, and ends in order.

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;

use anyhow::Context;
use daemon::health::{Health, Scope};
use daemon::metrics::Metrics;
use daemon::shutdown::Shutdown;
use daemon::tls::{ClientIdentity, ShownCertificate};
use tokio::net::TcpListener;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::admit::others::Others;
use crate::aggregate::{Aggregator, availability, register};
use crate::allocate::{ServiceAllocator, repair};
use crate::audit::Audit;
use crate::authenticate::token::Tokens;
use crate::authorize::Access;
use crate::bootstrap::extension::Published;
use crate::bootstrap::{self, Advertised};
use crate::budget::{self, Budget};
use crate::config::Config;
use crate::custom::follow::Definitions;
use crate::discovery::Discovery;
use crate::fairness::{self, Fairness};
use crate::metrics::RequestMetrics;
use crate::openapi::OpenApi;
use crate::outbound::Outbound;
use crate::registry::Registry;
use crate::relay::Kubelets;
use crate::serve;
use crate::server::Server;
use crate::storage::Store;
use crate::storage::endpoint::EndpointConfig;
use crate::watch_cache::feed::Feed;

/// Runs until shutdown.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let address = std::net::SocketAddr::new(config.bind_address, config.secure_port);
    let listener = daemon::serve::bind(&address.to_string(), "--bind-address and --secure-port").await?;
    run_on(config, listener, shutdown).await
}

/// Runs on a listener that is open already.
pub async fn run_on(config: Config, listener: TcpListener, shutdown: Shutdown) -> anyhow::Result<()> {
    for line in config.fixed.without_effect() {
        tracing::info!("{line}");
    }
    let identity = serve::identity(&config)?;
    let server = Arc::new(build(&config)?);
    let (health, metrics) = (Health::new(), Metrics::new());
    let advertised = Advertised {
        address: config.advertise_address.unwrap_or_else(|| advertise(config.bind_address)),
        port: listener.local_addr().context("the listener has no address")?.port(),
    };
    // What ends with the first signal: watches at once, so that their clients go elsewhere, then the calls that run.
    let stop = shutdown.drain.child_token();
    let address = std::net::SocketAddr::new(advertised.address, advertised.port).to_string();
    let aggregator = Arc::clone(&server.aggregator);
    let discovery = Arc::new(Discovery::new(&server.registry, address.clone()).beside(aggregator));
    let openapi = Arc::new(OpenApi::new(discovery.catalog()));
    let definitions =
        Definitions::new(Arc::clone(&server), Arc::clone(&discovery), Arc::clone(&openapi), stop.child_token());
    let mut tasks = spawn(&config, &server, &health, advertised, &stop);
    tasks.spawn("custom resources", definitions.run());
    serve::add_checks(&health, &server);
    server.metrics.register(&metrics);
    server.fairness.metrics.register(&metrics, &server.fairness);
    let serving =
        serve::server(&server, (discovery, openapi), address, identity, health, metrics).serve(listener, stop.clone());
    let mut serving = std::pin::pin!(serving);
    let failed = tokio::select! {
        () = serving.as_mut() => None,
        failed = tasks.failed(&stop) => Some(failed),
    };
    if let Some(failed) = failed {
        tracing::error!("{failed}; this apiserver ends, since it would go on with what it knew last");
        stop.cancel();
        serving.await;
        tasks.join().await;
        return Err(failed);
    }
    tasks.join().await;
    Ok(())
}

const BYTES_FLAG: &str = "--max-bytes-inflight";

/// The tasks behind the requests, by name.
#[derive(Default)]
struct Tasks {
    set: JoinSet<()>,
    names: HashMap<Id, String>,
}

impl Tasks {
    fn spawn(&mut self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.set.spawn(task);
        self.names.insert(handle.id(), name.into());
    }

    /// Waits for a task that ends before it is told to.
    async fn failed(&mut self, stop: &CancellationToken) -> anyhow::Error {
        loop {
            let ended = match self.set.join_next_with_id().await {
                None => std::future::pending().await,
                Some(Ok((id, ()))) if stop.is_cancelled() => {
                    self.names.remove(&id);
                    continue;
                }
                Some(ended) => ended,
            };
            let (id, why) = match ended {
                Ok((id, ())) => (id, "ended by itself".to_owned()),
                Err(error) => (error.id(), error.to_string()),
            };
            let name = self.names.remove(&id).unwrap_or_default();
            return anyhow::anyhow!("the task {name} failed: {why}");
        }
    }

    async fn join(mut self) {
        while self.set.join_next().await.is_some() {}
    }
}

/// The apiserver without its tasks and its port.
pub fn build(config: &Config) -> anyhow::Result<Server> {
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
    let shown = pair(&config.proxy_client_cert_file, &config.proxy_client_key_file);
    let shown = shown.map(|(cert, key)| ShownCertificate::load(cert, key)).transpose()?;
    let registry = Registry::new();
    let outbound = Outbound::new(&registry, shown, kubelet_identity.clone())?;
    let access = Arc::new(Access::new(bootstrap::policy::node_rules()));
    access.follow(&registry);
    let limits = config.fairness();
    anyhow::ensure!(
        !limits.enabled || limits.reading.saturating_add(limits.writing) > 0,
        "--max-requests-inflight and --max-mutating-requests-inflight are zero: no request would have a seat"
    );
    let fairness = Arc::new(Fairness::new(limits));
    fairness.follow(&registry);
    let bytes_inflight = config.max_bytes_inflight.unwrap_or_else(budget::default_bytes);
    let aggregator = Arc::new(Aggregator::default());
    aggregator.follow(&registry);
    let others = Arc::<Others>::default();
    others.follow(&registry);
    Ok(Server {
        store: Arc::new(Store::new(&endpoints)?),
        registry,
        definitions: Arc::default(),
        access,
        others,
        plugins: config.fixed.plugins(),
        anonymous: config.anonymous_auth,
        fronts: config.fronts.fronts(),
        tokens: Tokens::load(
            &config.service_account_issuer,
            &config.api_audiences,
            config.service_account_signing_key_file.as_deref(),
            &config.service_account_key_file,
        )?
        .with_jwks_uri(config.service_account_jwks_uri.clone()),
        services: ServiceAllocator {
            ranges: config.service_cluster_ip_range.clone(),
            ports: config.service_node_port_range,
        },
        kubelets: Kubelets::new(kubelet_identity, config.kubelet_preferred_address_types.clone()),
        outbound,
        aggregator,
        published: Published { client_ca: config.client_ca_file.clone(), fronts: config.fronts.clone() },
        request_bytes_max: config.max_request_bytes,
        fairness,
        requests: Budget::new(bytes_inflight, BYTES_FLAG),
        answers: Budget::new(bytes_inflight, BYTES_FLAG),
        request_timeout: config.request_timeout,
        audit: config.audit().map(|settings| Audit::load(&settings)).transpose()?,
        metrics: RequestMetrics::default(),
    })
}

fn spawn(
    config: &Config,
    server: &Arc<Server>,
    health: &Health,
    advertised: Advertised,
    stop: &CancellationToken,
) -> Tasks {
    let mut tasks = Tasks::default();
    for resource in server.registry.all() {
        let feed = Feed { store: Arc::clone(&server.store), resource: Arc::clone(resource), stop: stop.clone() };
        tasks.spawn(format!("watch cache of {}", resource.name()), feed.run());
    }
    tasks.spawn("probing of the store", keep_probing(Arc::clone(server), stop.clone()));
    tasks.spawn("repair of addresses and ports", repair::keep_repairing(Arc::clone(server), stop.clone()));
    let first_objects = health.flag("poststarthook/bootstrap", Scope::Ready, "the first objects are not there yet");
    tasks.spawn("first objects", bootstrap::keep(Arc::clone(server), advertised, first_objects, stop.clone()));
    let (fairness, ended) = (Arc::clone(&server.fairness), stop.clone());
    tasks.spawn("fairness", async move { fairness.keep(ended).await });
    tasks.spawn("objects of fairness", fairness::maintain::keep(Arc::clone(server), stop.clone()));
    tasks.spawn("availability of extension servers", availability::keep(Arc::clone(server), stop.clone()));
    tasks.spawn("APIServices of custom resources", register::keep(Arc::clone(server), stop.clone()));
    let (store, interval, ended) = (Arc::clone(&server.store), config.etcd_compaction_interval, stop.clone());
    if !interval.is_zero() {
        tasks.spawn("compaction", async move { store.keep_compacting(interval, ended).await });
    }
    tasks
}

async fn keep_probing(server: Arc<Server>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = server.store.probe() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(server.store.probe_interval()) => {}
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_task_that_fails_is_named_and_one_that_was_told_to_end_is_not() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::default();
        let ended = stop.clone();
        tasks.spawn("good", async move { ended.cancelled().await });
        tasks.spawn("bad", async { panic!("as this test wants it") });
        let failed = tasks.failed(&stop).await.to_string();
        assert!(failed.starts_with("the task bad failed"), "{failed}");
        stop.cancel();
        let none = tokio::time::timeout(Duration::from_millis(50), tasks.failed(&stop)).await;
        assert!(none.is_err(), "{none:?}");
        tasks.join().await;
    }
}
