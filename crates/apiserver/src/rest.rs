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
mod watch;
mod yaml;

use std::sync::Arc;

use daemon::metrics::Metrics;
use daemon::serve::Body;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;

use crate::authenticate::impersonate::impersonate;
use crate::authenticate::{User, authenticate};
use crate::discovery::Discovery;
use crate::openapi::OpenApi;
use crate::rest_streams::websocket_bearer;
use crate::server::Server;
use crate::status::Result;
use path::ResourcePath;

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
        let format = negotiate::of_failure(request.headers());
        let is_head = request.method() == http::Method::HEAD;
        let mut response = match self.run(request).await {
            Ok(response) => response,
            Err(failure) => respond::failure(&failure, format),
        };
        if is_head {
            *response.body_mut() = Body::empty();
        }
        response.headers_mut().entry(AUDIT_ID).or_insert(audit_id);
        response
    }

    async fn run(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let user = match self.user(&request).await {
            Ok(user) => user,
            Err(failure) => {
                let (head, body) = request.into_parts();
                body::drain(&head.headers, body).await;
                return Err(failure);
            }
        };
        if let Some(remote) = self.server.aggregator.serving(request.uri().path()) {
            return self.elsewhere(&user, &remote, request).await;
        }
        match path::parse(request.uri().path()) {
            Some(path) if self.knows_group(&path).await? => self.resource(user, path, request).await,
            _ => {
                let (head, body) = request.into_parts();
                body::drain(&head.headers, body).await;
                self.document(&user, &head).await
            }
        }
    }

    async fn user(&self, request: &Request<Incoming>) -> Result<User> {
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        // A browser can send no such header with a WebSocket.
        let token = || websocket_bearer(request.headers()).map(|token| format!("Bearer {token}"));
        let authorization = header.or_else(token);
        let (extensions, headers) = (request.extensions(), request.headers());
        let user = authenticate(&self.server, extensions, headers, authorization.as_deref()).await?;
        impersonate(&self.server, user, request.headers())
    }

    async fn knows_group(&self, path: &ResourcePath) -> Result<bool> {
        self.server.know((&path.group, &path.version, &path.resource)).await?;
        Ok(self.server.registry.has_group(&path.group))
    }
}

/// The id under which a request is spoken of: the client's, or a new one.
fn audit_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(AUDIT_ID).filter(|value| value.len() <= 64).cloned();
    given.unwrap_or_else(|| {
        let made = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string());
        made.unwrap_or_else(|_| HeaderValue::from_static(""))
    })
}
