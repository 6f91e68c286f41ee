//! What the apiserver calls by itself: extension servers, webhooks, and what proxies lead to.
//!
//! [`Outbound::call`] sends a request to a [`Destination`] and gives the answer as it streams; [`Outbound::post`] is for
//! short documents with bounds on time and size. [`resolve`] finds the addresses of a Service, [`trust`] says whose
//! certificates are believed, [`dial`] connects, [`guard`] keeps proxies away from the machine itself. Connections are kept
//! for the next call to the same destination. HTTP/1.1 only: upgrades need it.

pub mod dial;
pub mod forward;
pub mod guard;
mod own_root;
pub mod resolve;
pub mod trust;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use daemon::serve::Body;
use daemon::tls::{ClientIdentity, ShownCertificate};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;

use crate::registry::{Registry, Resource};
use crate::status;
use dial::Connector;
use resolve::Services;
pub use trust::Trust;

/// A connection that waits for its next call so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// Connections to one destination that wait for their next call.
const IDLE_LEN_MAX: usize = 25;
/// Destinations that are remembered: who may use proxies chooses some of them.
const CLIENTS_LEN_MAX: usize = 1024;
/// What was called for the last time so long ago is forgotten, with its certificates.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A Service: one of its ready endpoints, else its cluster address. Its certificate is for `NAME.NAMESPACE.svc`.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The Service's own port, as clients use it.
        port: u16,
    },
    /// A scheme, host and port, found as any client would: `https://hooks.example:8443`.
    Origin(String),
    /// As [`Self::Origin`], but never this machine itself ([`guard`]): for proxies, whose clients choose the host.
    Guarded(String),
}

/// Whom to call, and how it is to be known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Whom.
    pub place: Place,
    /// Whose certificate is believed.
    pub trust: Trust,
    /// Whether the certificate of `--proxy-client-cert-file` is shown.
    pub identify: bool,
}

/// Why a call failed. What the other side answered is never an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The destination makes no sense.
    #[error("{0}")]
    Destination(String),
    /// Nobody was reached, or the connection broke before the answer began.
    #[error("{method} {url:?}: {reason}")]
    Unreachable {
        /// The method.
        method: Method,
        /// What was called.
        url: String,
        /// Why, in words.
        reason: String,
    },
    /// No whole answer in time.
    #[error("{method} {url:?}: no answer within {} s", after.as_secs_f32())]
    Timeout {
        /// The method.
        method: Method,
        /// What was called.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// The answer broke off, or was larger than it may be.
    #[error("{method} {url:?}: the answer cannot be read: {reason}")]
    Answer {
        /// The method.
        method: Method,
        /// What was called.
        url: String,
        /// Why, in words.
        reason: String,
    },
}

impl Error {
    /// Why, without whom: what the other side or the network said.
    pub fn reason(&self) -> &str {
        match self {
            Self::Destination(reason) | Self::Unreachable { reason, .. } | Self::Answer { reason, .. } => reason,
            Self::Timeout { .. } => "context deadline exceeded",
        }
    }
}

/// The innermost error: those around it only say that it was there.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Bounds on a short call.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// For everything, connecting included.
    pub timeout: Duration,
    /// Largest body of the answer, in bytes.
    pub answer_bytes_max: usize,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its code.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

type Client = legacy::Client<Connector, Body>;

/// Calls others. Clones of what it holds are cheap; there is one in a server.
#[derive(Debug)]
pub struct Outbound {
    services: Services,
    shown: Option<Arc<ShownCertificate>>,
    kubelets: Option<Arc<ClientIdentity>>,
    /// With the time of the last call.
    clients: Mutex<HashMap<Destination, (Client, Instant)>>,
}

impl Outbound {
    /// `shown`: `--proxy-client-cert-file` and `-key-file`; `kubelets`: what nodes are called with.
    ///
    /// # Errors
    /// The registry has no Services.
    pub fn new(
        registry: &Registry,
        shown: Option<Arc<ShownCertificate>>,
        kubelets: Option<Arc<ClientIdentity>>,
    ) -> status::Result<Self> {
        let own = |group, plural| registry.find(group, "v1", plural).map(Arc::<Resource>::clone);
        let services = Services::new(own("", "services")?, own("discovery.k8s.io", "endpointslices")?);
        Ok(Self { services, shown, kubelets, clients: Mutex::default() })
    }

    /// Where a Service is, for those who ask whether it is there at all.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Sends a request; its URI is the path and query only. The answer's body streams, and an answer of 101 can be upgraded
    /// (`hyper::upgrade::on`). No deadline: the caller has one, or none on purpose.
    pub async fn call(&self, to: &Destination, mut request: Request<Body>) -> Result<Response<Incoming>, Error> {
        let url = to.url(request.uri())?;
        let (method, told) = (request.method().clone(), url.to_string());
        *request.uri_mut() = url;
        *request.version_mut() = http::Version::HTTP_11;
        let answer = self.client(to)?.request(request).await;
        answer.map_err(|error| Error::Unreachable { method, url: told, reason: root(&error) })
    }

    /// Sends a short document and reads the whole answer.
    pub async fn post(
        &self,
        to: &Destination,
        path: &str,
        content_type: &'static str,
        body: Bytes,
        bounds: Bounds,
    ) -> Result<Answer, Error> {
        let request = Request::post(path)
            .header(http::header::CONTENT_TYPE, content_type)
            .header(http::header::ACCEPT, "application/json, */*")
            .header(http::header::USER_AGENT, USER_AGENT)
            .body(Body::new(Full::new(body)));
        let request = request.map_err(|error| Error::Destination(format!("path {path:?}: {error}")))?;
        self.short(to, request, bounds).await
    }

    /// Sends a request and reads the whole answer.
    pub async fn short(&self, to: &Destination, request: Request<Body>, bounds: Bounds) -> Result<Answer, Error> {
        let url = to.url(request.uri())?.to_string();
        let method = request.method().clone();
        let run = async {
            let (head, body) = self.call(to, request).await?.into_parts();
            let read = Limited::new(body, bounds.answer_bytes_max).collect().await;
            let body = read.map_err(|error| Error::Answer {
                method: method.clone(),
                url: url.clone(),
                reason: root(error.as_ref()),
            })?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        match tokio::time::timeout(bounds.timeout, run).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Timeout { method, url, after: bounds.timeout }),
        }
    }

    fn client(&self, to: &Destination) -> Result<Client, Error> {
        let now = Instant::now();
        let mut clients = self.clients.lock();
        clients.retain(|_, (_, used)| now.duration_since(*used) < FORGET_AFTER);
        if let Some((client, used)) = clients.get_mut(to) {
            *used = now;
            return Ok(client.clone());
        }
        let shown = self.shown.as_ref().filter(|_| to.identify);
        if clients.len() >= CLIENTS_LEN_MAX
            && let Some(oldest) = clients.iter().min_by_key(|(_, (_, used))| *used).map(|(to, _)| to.clone())
        {
            clients.remove(&oldest);
        }
        let tls = trust::config(&to.trust, shown, self.kubelets.as_deref()).map_err(Error::Destination)?;
        let connector = Connector::new(to.place.clone(), self.services.clone(), tls, shown.cloned());
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_LEN_MAX)
            .build(connector);
        clients.insert(to.clone(), (client.clone(), now));
        Ok(client)
    }
}

/// What this apiserver calls itself.
pub const USER_AGENT: &str = concat!("keelson-apiserver/", env!("CARGO_PKG_VERSION"));

impl Destination {
    /// The whole URL of a path and query.
    fn url(&self, path: &Uri) -> Result<Uri, Error> {
        let origin = match &self.place {
            Place::Service { namespace, name, port } => format!("https://{name}.{namespace}.svc:{port}"),
            Place::Origin(origin) | Place::Guarded(origin) => origin.clone(),
        };
        let path = path.path_and_query().map_or("/", |path| path.as_str());
        let url = format!("{origin}{path}");
        url.parse().map_err(|error| Error::Destination(format!("{url:?} is no URL: {error}")))
    }
}
