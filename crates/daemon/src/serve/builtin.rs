//! The paths that every process answers itself.

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;

use super::{Body, Connection};
use crate::health::{Health, Probe, report};
use crate::metrics::Metrics;
use crate::tls::Peer;
use crate::version;

const TEXT_METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers health, metrics and version.
pub struct Builtin {
    pub health: Health,
    pub metrics: Metrics,
    /// Metrics only for callers with a certificate.
    pub guarded_metrics: bool,
    /// Whether the fallback answers /metrics.
    pub metrics_elsewhere: bool,
    /// What /version answers instead of our own.
    pub version: Option<&'static str>,
}

impl Builtin {
    /// The answer, where the path is built in.
    pub async fn answer<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let path = request.uri().path();
        let known = if let Some((probe, only)) = probe(path) {
            Some((probe, only))
        } else if path == "/metrics" && self.metrics_elsewhere {
            return None;
        } else if path == "/metrics" || is_version(path) {
            None
        } else {
            return None;
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Some(text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"));
        }
        Some(match known {
            Some((probe, only)) => self.probe(request, probe, only).await,
            None if is_version(path) => match self.version {
                Some(version) => typed(StatusCode::OK, "application/json", version),
                None => json(&version::info()),
            },
            None => self.metrics(request),
        })
    }

    async fn probe<B>(&self, request: &Request<B>, probe: Probe, only: Option<&str>) -> Response<Body> {
        let outcomes = self.health.run(probe, only).await;
        if only.is_some() && outcomes.is_empty() {
            return text(StatusCode::NOT_FOUND, "404 page not found\n");
        }
        let (verbose, excluded) = options(request.uri().query().unwrap_or_default());
        let (passed, answer) = report(probe, &outcomes, &excluded, verbose, trusted(request));
        text(if passed { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR }, answer)
    }

    fn metrics<B>(&self, request: &Request<B>) -> Response<Body> {
        if self.guarded_metrics && request.extensions().get::<Peer>().is_none() {
            return text(StatusCode::UNAUTHORIZED, "a client certificate is needed to read metrics\n");
        }
        let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        page(&self.metrics, accept)
    }
}

/// Clients made from upstream's OpenAPI ask for the path with a slash at its end.
fn is_version(path: &str) -> bool {
    matches!(path, "/version" | "/version/")
}

/// The page of metrics, in the form that the client accepts.
pub fn page(metrics: &Metrics, accept: &str) -> Response<Body> {
    let kind = if accept.contains("openmetrics") { OPEN_METRICS } else { TEXT_METRICS };
    match metrics.encode() {
        Ok(answer) => typed(StatusCode::OK, kind, answer),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("metrics: {error}\n")),
    }
}

/// `/readyz` or `/readyz/CHECK`.
fn probe(path: &str) -> Option<(Probe, Option<&str>)> {
    let (name, only) = match path.strip_prefix('/')?.split_once('/') {
        Some((name, check)) => (name, Some(check).filter(|check| !check.is_empty())),
        None => (path.strip_prefix('/')?, None),
    };
    let probe = [Probe::Health, Probe::Live, Probe::Ready].into_iter().find(|probe| probe.name() == name)?;
    Some((probe, only))
}

/// `?verbose&exclude=a&exclude=b`.
fn options(query: &str) -> (bool, Vec<String>) {
    let mut verbose = false;
    let mut excluded = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("verbose", value) => verbose = value != "false",
            ("exclude", value) => excluded.push(value.to_owned()),
            _ => {}
        }
    }
    (verbose, excluded)
}

/// Whether the caller may see why a check failed: it is known, or on a port meant for this machine.
fn trusted<B>(request: &Request<B>) -> bool {
    let plain = request.extensions().get::<Connection>().is_none_or(|from| !from.tls);
    plain || request.extensions().get::<Peer>().is_some()
}

/// A plain-text answer.
pub fn text(status: StatusCode, answer: impl Into<Bytes>) -> Response<Body> {
    typed(status, "text/plain; charset=utf-8", answer)
}

fn json(value: &serde_json::Value) -> Response<Body> {
    typed(StatusCode::OK, "application/json", format!("{value:#}"))
}

fn typed(status: StatusCode, kind: &'static str, answer: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(answer.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, http::HeaderValue::from_static("no-cache, private"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_known_with_and_without_a_check() {
        assert_eq!(probe("/readyz"), Some((Probe::Ready, None)));
        assert_eq!(probe("/livez/ping"), Some((Probe::Live, Some("ping"))));
        assert_eq!(probe("/healthz/"), Some((Probe::Health, None)));
        assert_eq!(probe("/readyzz"), None);
        assert_eq!(probe("/"), None);
    }

    #[test]
    fn options_of_upstream() {
        assert_eq!(options("verbose"), (true, vec![]));
        assert_eq!(options("verbose=true&exclude=etcd&exclude=ping"), (true, vec!["etcd".into(), "ping".into()]));
        assert_eq!(options(""), (false, vec![]));
    }
}
