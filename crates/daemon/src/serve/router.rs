//! Which part of the process answers a request.

use std::convert::Infallible;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower_service::Service;

use super::direct::Direct;
use super::grpc_health::GrpcHealth;
use super::reflection::Reflection;
use super::{Body, Fallback, Server, builtin};
use crate::health::Scope;
use crate::tls::Peer;

/// The services of one port.
pub struct Router {
    routes: Routes,
    direct: Option<Arc<dyn Direct>>,
    fallback: Option<Fallback>,
    builtin: builtin::Builtin,
    /// Whether metrics and reflection are only for callers with a certificate.
    guarded: bool,
}

impl Router {
    /// Completes gRPC with health and reflection, which every port has; readiness fails once `shutdown` is cancelled.
    pub fn new(server: Server, shutdown: CancellationToken) -> Self {
        server.health.add("shutdown", Scope::Ready, move || {
            let ending = shutdown.is_cancelled();
            async move { if ending { Err("process is shutting down".to_owned()) } else { Ok(()) } }
        });
        let (descriptors, services) = server.descriptors.unwrap_or_default();
        let (v1, v1alpha) = Reflection::services(descriptors, services);
        let routes = server.routes.unwrap_or_default().add_service(GrpcHealth::service(server.health.clone()));
        let routes = routes.add_service(v1).add_service(v1alpha).prepare();
        let knows_clients = server.identity.is_some_and(|identity| identity.knows_clients());
        let guarded_metrics = !server.open_metrics && knows_clients;
        let builtin = builtin::Builtin {
            health: server.health,
            metrics: server.metrics,
            guarded_metrics,
            metrics_elsewhere: server.metrics_elsewhere,
            version: server.version,
        };
        Self { routes, direct: server.direct, fallback: server.fallback, builtin, guarded: knows_clients }
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        if is_grpc(request.headers()) {
            if self.guarded && is_reflection(request.uri().path()) && request.extensions().get::<Peer>().is_none() {
                return Ok(anonymous());
            }
            let request = match &self.direct {
                Some(direct) => match direct.answer(request) {
                    Ok(answer) => return Ok(answer.await),
                    Err(request) => request,
                },
                None => request,
            };
            return self.routes.clone().call(request).await;
        }
        if let Some(answer) = self.builtin.answer(&request).await {
            return Ok(answer);
        }
        match &self.fallback {
            Some(fallback) => fallback.clone().call(request).await,
            None => Ok(builtin::text(StatusCode::NOT_FOUND, "404 page not found\n")),
        }
    }
}

/// gRPC says so in its content type: `application/grpc`, `application/grpc+proto`.
fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        value.strip_prefix("application/grpc").is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
    })
}

/// Reflection tells the whole API: only health is for everybody.
fn is_reflection(path: &str) -> bool {
    path.starts_with("/grpc.reflection.")
}

fn anonymous() -> Response<Body> {
    let status = tonic::Status::unauthenticated("a client certificate is needed for reflection");
    let (parts, ()) = status.into_http::<()>().into_parts();
    Response::from_parts(parts, Body::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_type_tells_grpc() {
        for (value, expect) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;v=1", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().expect("a header"));
            assert_eq!(is_grpc(&headers), expect, "{value}");
        }
    }
}
