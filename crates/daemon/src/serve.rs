//! The one accept loop of every process.
//!
//! A [`Server`] answers, on one port, gRPC (told apart by content type), the built-in paths (/healthz, /livez,
//! /readyz, /metrics, /version) and whatever else its fallback serves, over HTTP/2 and HTTP/1.1 with upgrades, with TLS
//! or without. It stops accepting when its shutdown token is cancelled, lets calls finish until a deadline, then ends.

mod accept;
mod builtin;
mod connection;
pub mod direct;
mod grpc_health;
mod hangup;
mod idle;
mod lane;
mod reflection;
mod router;
mod together;
mod upgrades;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::util::BoxCloneSyncService;

use crate::health::Health;
use crate::metrics::Metrics;
use crate::tls::ServerIdentity;
use router::Router;

pub use hangup::Hangup;
pub use lane::Admits;
/// The body of every answer.
pub use tonic::body::Body;
pub use upgrades::Upgrades;

/// The page of metrics, in the form that an Accept header asks for.
pub use builtin::page as metrics_page;

/// What answers requests that are neither gRPC nor built in.
pub type Fallback = BoxCloneSyncService<Request<Incoming>, Response<Body>, Infallible>;

/// Where a request came from; every request has it as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The caller's address.
    pub remote: SocketAddr,
    /// The address it called.
    pub local: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// Bounds on what callers can hold.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections; further ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Whose certificate lets connect though that many are open. With it, and with TLS, the connections of others are not kept
    /// waiting then, but ended.
    pub lane: Option<Admits>,
    /// Names and values of a request's head, together, in bytes.
    pub head_bytes_max: usize,
    /// Bytes of an answer that wait in the process for a caller that does not read.
    pub send_buffer_bytes: usize,
    /// How long a connection may have nothing to do; zero: for ever. (Over HTTP/1.1 it is `header_timeout`.)
    pub idle_timeout: Duration,
    /// Concurrent HTTP/2 streams on a connection.
    pub streams_max: u32,
    /// Whether the calls of a connection run in its task and answer together: for servers whose calls are short or wait.
    pub together: bool,
    /// How often a quiet HTTP/2 connection is asked whether it is still there; zero: never.
    pub keepalive_interval: Duration,
    /// For the answer to that.
    pub keepalive_timeout: Duration,
    /// For the TLS handshake.
    pub handshake_timeout: Duration,
    /// For an HTTP/1.1 request's head.
    pub header_timeout: Duration,
    /// For calls that run when shutdown begins.
    pub drain_timeout: Duration,
    /// How often the identity's files are looked at.
    pub reload_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            lane: None,
            head_bytes_max: 16 << 10,
            send_buffer_bytes: 400 << 10,
            idle_timeout: Duration::ZERO,
            streams_max: 4_096,
            together: false,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(20),
            reload_interval: Duration::from_secs(10),
        }
    }
}

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The port is taken.
    #[error(
        "{address} is in use by another process (find it with `ss -ltnp`); stop it, or listen elsewhere with {flag}"
    )]
    InUse {
        /// The address.
        address: String,
        /// The flag that changes it.
        flag: &'static str,
    },
    /// Everything else.
    #[error("cannot listen on {address} (set by {flag}): {source}")]
    Other {
        /// The address.
        address: String,
        /// The flag that changes it.
        flag: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Opens a listener; an error names the `flag` that chooses the address.
pub async fn bind(address: &str, flag: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address: address.to_owned(), flag },
        _ => BindError::Other { address: address.to_owned(), flag, source },
    })
}

/// What one port serves. Clones share everything, so several listeners can serve the same.
#[derive(Clone)]
pub struct Server {
    identity: Option<Arc<ServerIdentity>>,
    routes: Option<Routes>,
    direct: Option<Arc<dyn direct::Direct>>,
    fallback: Option<Fallback>,
    health: Health,
    metrics: Metrics,
    open_metrics: bool,
    metrics_elsewhere: bool,
    descriptors: Option<(&'static [u8], &'static [&'static str])>,
    version: Option<&'static str>,
    limits: Limits,
}

impl Server {
    /// Serves the built-in paths only, without TLS, until more is added.
    pub fn new(health: Health, metrics: Metrics) -> Self {
        Self {
            identity: None,
            routes: None,
            direct: None,
            fallback: None,
            health,
            metrics,
            open_metrics: false,
            metrics_elsewhere: false,
            descriptors: None,
            version: None,
            limits: Limits::default(),
        }
    }

    /// Encrypts, and learns callers' identities where `identity` asks for them.
    pub fn tls(mut self, identity: Arc<ServerIdentity>) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Serves gRPC. Health and reflection are there without it.
    pub fn grpc(mut self, routes: Routes) -> Self {
        self.routes = Some(routes);
        self
    }

    /// Has some gRPC calls answered past the framework.
    pub fn direct(mut self, direct: Arc<dyn direct::Direct>) -> Self {
        self.direct = Some(direct);
        self
    }

    /// Serves gRPC reflection for `services` (full names) out of `proto::DESCRIPTORS`. Decoded when first asked for.
    pub fn reflection(mut self, descriptors: &'static [u8], services: &'static [&'static str]) -> Self {
        self.descriptors = Some((descriptors, services));
        self
    }

    /// Serves everything else.
    pub fn fallback<S>(mut self, service: S) -> Self
    where
        S: tower_service::Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        self.fallback = Some(BoxCloneSyncService::new(service));
        self
    }

    /// Serves everything else by a function.
    pub fn fallback_fn<F, Fut>(self, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<Body>> + Send + 'static,
    {
        self.fallback(tower::service_fn(move |request| {
            let answer = answer(request);
            async move { Ok(answer.await) }
        }))
    }

    /// Shows /metrics to callers without a certificate, too. Otherwise, where callers have certificates, one is needed.
    pub fn open_metrics(mut self) -> Self {
        self.open_metrics = true;
        self
    }

    /// Leaves /metrics to the fallback, which knows who may read them; it answers with [`metrics_page`].
    pub fn metrics_by_fallback(mut self) -> Self {
        self.metrics_elsewhere = true;
        self
    }

    /// Answers /version with this JSON instead of our own.
    pub fn version(mut self, json: &'static str) -> Self {
        self.version = Some(json);
        self
    }

    /// Replaces the default bounds.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Serves `listener` until `shutdown` is cancelled and its calls have ended or the drain deadline has passed.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let limits = self.limits.clone();
        let identity = self.identity.clone();
        let router = Arc::new(Router::new(self, shutdown.clone()));
        accept::run(listener, identity, router, limits, shutdown).await;
    }
}

#[cfg(test)]
mod tests;
