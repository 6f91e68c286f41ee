//! The REST front door: Kubernetes' own HTTP API, translated to `verbs`.
//!
//! [`documents`] answers discovery and OpenAPI. Of everything else [`path`] and [`query`] say what is asked, [`negotiate`] in which form to answer, [`objects`] runs the verb, [`list`] and
//! [`watch`] write the long answers. Health and version are the daemon shell's.

mod body;
mod documents;
mod elsewhere;
mod encode;
#[cfg(test)]
mod fuzz;
mod gzip;
mod list;
mod negotiate;
mod objects;
mod openid;
mod path;
mod proxies;
pub(crate) mod query;
mod respond;
mod streams;
mod table;
mod timeout;
mod verb;
mod watch;
mod yaml;

use std::sync::Arc;
use std::time::Duration;

use daemon::metrics::Metrics;
use daemon::serve::{Body, Connection, Hangup};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;

use crate::audit::{self, Origin};
use crate::authenticate::impersonate::impersonate;
use crate::authenticate::{User, authenticate};
use crate::discovery::Discovery;
use crate::hold;
use crate::openapi::OpenApi;
use crate::passage::Passage;
use crate::rest_streams::websocket_bearer;
use crate::server::Server;
use crate::status::Result;
use negotiate::Format;
use path::ResourcePath;
use query::Query;
use respond::{Compressible, Streams};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// The door.
#[derive(Debug, Clone)]
pub struct Rest {
    server: Arc<Server>,
    discovery: Arc<Discovery>,
    openapi: Arc<OpenApi>,
    /// Host and port where clients reach this server.
    address: String,
    metrics: Metrics,
}

impl Rest {
    /// A door to this server, with what it tells of its API; clients reach it at this host and port.
    pub fn new(
        server: Arc<Server>,
        discovery: Arc<Discovery>,
        openapi: Arc<OpenApi>,
        address: String,
        metrics: Metrics,
    ) -> Self {
        Self { server, discovery, openapi, address, metrics }
    }

    /// Answers any request.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let audit_id = audit_id(request.headers());
        let asked = Asking::of(&request);
        let (passage, outcome) = match self.timeout(&request) {
            Ok(timeout) => {
                let passage = Passage::lasting(timeout);
                if self.server.audit.is_some() {
                    passage.came(origin(&request, &audit_id));
                }
                let outcome = self.run(request, &passage).await;
                (passage, outcome)
            }
            Err(failure) => (Passage::lasting(self.server.request_timeout), Err(failure)),
        };
        let mut response = match self.finish(&asked, &passage, outcome).await {
            Ok(response) => response,
            Err(failure) => respond::failure(&failure, asked.format),
        };
        passage.tell(response.headers_mut());
        response.headers_mut().entry(AUDIT_ID).or_insert(audit_id);
        response
    }

    /// Tells the audit log, compresses, and holds what the answer needs until it is sent.
    async fn finish(
        &self,
        asked: &Asking,
        passage: &Passage,
        outcome: Result<Response<Body>>,
    ) -> Result<Response<Body>> {
        let held = passage.take_held();
        let (mut response, refusal) = match outcome {
            Ok(response) if asked.is_head => (response.map(|_| Body::empty()), None),
            Ok(response) => (response, None),
            Err(failure) => (respond::failure(&failure, asked.format), Some(failure)),
        };
        let is_whole = response.extensions().get::<Compressible>().is_some();
        if self.server.audit.is_some()
            && let Some(draft) = passage.take_draft(&self.server, &asked.verb, &asked.path)
        {
            let streams = !is_whole && response.extensions().get::<Streams>().is_some();
            let refusal = refusal.as_ref().map(|failure| &*failure.0);
            response = audit::tell::end(response, draft, refusal, streams).await?;
        }
        if is_whole && asked.takes_gzip {
            response = passage.in_time(false, gzip::compress(response)).await?;
        }
        Ok(match held.is_empty() || refusal.is_some() {
            true => response,
            false => response.map(|body| hold::body(body, held, passage.until(), asked.hangup.clone())),
        })
    }

    /// How long the request may take.
    fn timeout(&self, request: &Request<Incoming>) -> Result<Duration> {
        let max = self.server.request_timeout;
        let query = request.uri().query().unwrap_or_default();
        if !query.contains("timeout=") {
            return Ok(max);
        }
        let query = Query::parse(query);
        // What runs for long has a limit of its own.
        if query.flag("watch") { Ok(max) } else { timeout::of(&query, max) }
    }

    async fn run(&self, request: Request<Incoming>, passage: &Passage) -> Result<Response<Body>> {
        let user = match self.user(&request, passage).await {
            Ok(user) => user,
            Err(failure) => {
                let (head, body) = request.into_parts();
                body::drain(&head.headers, body).await;
                return Err(failure);
            }
        };
        if let Some(remote) = self.server.aggregator.serving(request.uri().path()) {
            return self.elsewhere(&user, &remote, request, passage).await;
        }
        match path::parse(request.uri().path()) {
            Some(path) if self.knows_group(&path).await? => self.resource(user, path, request, passage).await,
            _ => {
                let (head, body) = request.into_parts();
                body::drain(&head.headers, body).await;
                passage.in_time(false, self.document(&user, &head, passage)).await
            }
        }
    }

    async fn user(&self, request: &Request<Incoming>, passage: &Passage) -> Result<User> {
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        // A browser can send no such header with a WebSocket.
        let token = || websocket_bearer(request.headers()).map(|token| format!("Bearer {token}"));
        let authorization = header.or_else(token);
        let (extensions, headers) = (request.extensions(), request.headers());
        let user = authenticate(&self.server, extensions, headers, authorization.as_deref()).await?;
        if self.server.audit.is_some() && headers.contains_key("impersonate-user") {
            passage.impersonated_by(user.clone());
        }
        impersonate(&self.server, user, request.headers())
    }

    async fn knows_group(&self, path: &ResourcePath) -> Result<bool> {
        self.server.know((&path.group, &path.version, &path.resource)).await?;
        Ok(self.server.registry.has_group(&path.group))
    }
}

/// What the end of an answer needs to know of its request.
struct Asking {
    format: Format,
    is_head: bool,
    takes_gzip: bool,
    hangup: Option<Hangup>,
    /// As the audit log tells them of a request whose caller is not known.
    verb: String,
    path: String,
}

impl Asking {
    fn of(request: &Request<Incoming>) -> Self {
        Self {
            format: negotiate::of_failure(request.headers()),
            is_head: request.method() == Method::HEAD,
            takes_gzip: documents::takes_gzip(request.headers()),
            hangup: request.extensions().get::<Hangup>().cloned(),
            verb: request.method().as_str().to_ascii_lowercase(),
            path: request.uri().path().to_owned(),
        }
    }
}

fn origin(request: &Request<Incoming>, audit_id: &HeaderValue) -> Origin {
    let uri = request.uri().path_and_query().map_or("", |uri| uri.as_str());
    let remote = request.extensions().get::<Connection>().map(|from| from.remote.ip());
    Origin::of(audit_id.to_str().unwrap_or_default(), uri, request.headers(), remote)
}

/// The id under which a request is spoken of: the client's, or a new one.
fn audit_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(AUDIT_ID).filter(|value| value.len() <= 64).cloned();
    given.unwrap_or_else(|| {
        let made = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string());
        made.unwrap_or_else(|_| HeaderValue::from_static(""))
    })
}
