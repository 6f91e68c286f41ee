//! Which part of the process answers a request.

use std::convert::Infallible;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower_service::Service;

use super::grpc_health::GrpcHealth;
use super::reflection::Reflection;
use super::{Body, Fallback, Server, builtin};
use crate::health::Scope;

/// The services of one port.
pub struct Router {
    routes: Option<Routes>,
    fallback: Option<Fallback>,
    builtin: builtin::Builtin,
}

impl Router {
    /// Completes gRPC with health and reflection; readiness fails once `shutdown` is cancelled.
    pub fn new(server: Server, shutdown: CancellationToken) -> Self {
        server.health.add("shutdown", Scope::Ready, move || {
            let ending = shutdown.is_cancelled();
            async move { if ending { Err("process is shutting down".to_owned()) } else { Ok(()) } }
        });
        let routes = server.routes.map(|routes| {
            let mut routes = routes.add_service(GrpcHealth::service(server.health.clone()));
            if let Some((descriptors, services)) = server.descriptors {
                let (v1, v1alpha) = Reflection::services(descriptors, services);
                routes = routes.add_service(v1).add_service(v1alpha);
            }
            routes.prepare()
        });
        let guarded = !server.open_metrics && server.identity.is_some_and(|identity| identity.knows_clients());
        let builtin = builtin::Builtin { health: server.health, metrics: server.metrics, guarded_metrics: guarded };
        Self { routes, fallback: server.fallback, builtin }
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        if is_grpc(request.headers()) {
            return match &self.routes {
                Some(routes) => routes.clone().call(request).await,
                None => Ok(unserved_grpc()),
            };
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

fn unserved_grpc() -> Response<Body> {
    let (parts, ()) = tonic::Status::unimplemented("no gRPC on this port").into_http::<()>().into_parts();
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
