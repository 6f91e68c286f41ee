//! One TLS port for both front doors.

use std::sync::Arc;
use std::time::Duration;

use daemon::health::{Health, Scope};
use daemon::metrics::Metrics;
use daemon::serve::Limits;
use daemon::tls::{ClientCerts, ServerIdentity};

use crate::authorize::MASTERS;
use crate::config::Config;
use crate::discovery::Discovery;
use crate::grpc::{self, Grpc};
use crate::openapi::OpenApi;
use crate::rest::Rest;
use crate::server::Server;

/// Commands to run, and selectors, stand in the head of a request.
const HEAD_BYTES_MAX: usize = 64 << 10;
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// As upstream.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// The certificate of this server, and whose clients it knows.
pub fn identity(config: &Config) -> anyhow::Result<Arc<ServerIdentity>> {
    let clients = match (&config.client_ca_file, &config.fronts.requestheader_client_ca_file) {
        (clients, Some(front)) => ClientCerts::Fronted { clients: clients.clone(), front: front.clone() },
        (Some(ca), None) => ClientCerts::Optional(ca.clone()),
        (None, None) => ClientCerts::Ignored,
    };
    Ok(ServerIdentity::load(&config.tls_cert_file, &config.tls_private_key_file, clients)?)
}

/// What the port serves.
pub fn server(
    server: &Arc<Server>,
    (discovery, openapi): (Arc<Discovery>, Arc<OpenApi>),
    address: String,
    identity: Arc<ServerIdentity>,
    health: Health,
    metrics: Metrics,
) -> daemon::serve::Server {
    let rest = Rest::new(Arc::clone(server), discovery, openapi, address, metrics.clone());
    daemon::serve::Server::new(health, metrics)
        .limits(limits())
        .tls(identity)
        .grpc(Grpc::routes(Arc::clone(server)))
        .reflection(proto::DESCRIPTORS, grpc::SERVICES)
        .metrics_by_fallback()
        .fallback_fn(move |request| {
            let rest = rest.clone();
            async move { rest.answer(request).await }
        })
}

/// What callers can hold of the port.
fn limits() -> Limits {
    Limits {
        lane: Some(|peer| peer.organizations.iter().any(|group| group == MASTERS)),
        head_bytes_max: HEAD_BYTES_MAX,
        send_buffer_bytes: SEND_BUFFER_BYTES,
        idle_timeout: IDLE_TIMEOUT,
        ..Limits::default()
    }
}

/// Ready: the store answers and every cache is filled.
pub fn add_checks(health: &Health, server: &Arc<Server>) {
    let store = Arc::clone(&server.store);
    health.add("etcd", Scope::Ready, move || {
        let store = Arc::clone(&store);
        async move {
            match tokio::time::timeout(Duration::from_secs(2), store.revision("health")).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(crate::status::chain(&error)),
                Err(_) => Err("the store does not answer within 2 s".to_owned()),
            }
        }
    });
    let server = Arc::clone(server);
    health.add("watch-caches", Scope::Ready, move || {
        let unfilled = server
            .registry
            .all()
            .iter()
            .find(|resource| resource.cache.revision() == 0)
            .map(|resource| resource.name());
        async move { unfilled.map_or(Ok(()), |name| Err(format!("the cache of {name} is being filled"))) }
    });
}
