//! Paths that are no resource: discovery and OpenAPI.

use daemon::serve::Body;
use http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, LOCATION, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;

use super::query::Query;
use super::{Rest, openid, respond};
use crate::aggregate;
use crate::authenticate::User;
use crate::authorize::{self, Attributes};
use crate::discovery::Form;
use crate::document::Document;
use crate::fairness::Work;
use crate::openapi::{Answer, Request};
use crate::passage::Passage;
use crate::status::{Failure, Result};

/// What the daemon shell serves, for the list of paths at `/`.
const OF_THE_SHELL: [&str; 4] = ["/healthz", "/livez", "/readyz", "/metrics"];

impl Rest {
    /// Answers a path that is no resource.
    pub(super) async fn document(&self, user: &User, head: &Parts, passage: &Passage) -> Result<Response<Body>> {
        let path = head.uri.path();
        let verb = head.method.as_str().to_ascii_lowercase();
        let attributes = Attributes { verb: &verb, path, ..Attributes::default() };
        let _seat = passage.enter(&self.server, user, &attributes, Work::Small).await?;
        authorize::check(&self.server, user, &attributes)?;
        if matches!(head.method, Method::GET | Method::HEAD)
            && let Some(document) = self.openid(path)
        {
            return Ok(document);
        }
        let is_known =
            matches!(path, "/" | "/metrics") || ["/api", "/apis", "/openapi"].iter().any(|root| is_below(path, root));
        if !is_known {
            return Ok(respond::page_not_found());
        }
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return Err(Failure::method_not_allowed());
        }
        if is_below(path, "/openapi") {
            return self.openapi(head).await;
        }
        let accept = accept(&head.headers);
        if path == "/metrics" {
            return Ok(daemon::serve::metrics_page(&self.metrics, &accept));
        }
        if path == "/" {
            return Ok(document(&head.headers, self.discovery.root(OF_THE_SHELL.into_iter().chain(openid::PATHS))));
        }
        let Some(form) = Form::negotiate(&accept, path) else {
            let message =
                "only the following media types are accepted: application/json, application/vnd.kubernetes.protobuf";
            return Err(Failure::new(406, "NotAcceptable", message));
        };
        match self.discovery.document(path, form) {
            Some(found) => Ok(document(&head.headers, found)),
            None => Ok(respond::page_not_found()),
        }
    }

    async fn openapi(&self, head: &Parts) -> Result<Response<Body>> {
        let openapi = std::sync::Arc::clone(&self.openapi);
        let (path, accept) = (head.uri.path().to_owned(), accept(&head.headers));
        let hash = Query::parse(head.uri.query().unwrap_or_default()).given("hash").map(str::to_owned);
        let there = !self.server.aggregator.told().is_empty();
        let merges = there && path.starts_with("/openapi/v2") && !accept.contains("protobuf");
        // What others add is put into the document itself.
        let gzip = takes_gzip(&head.headers) && !merges;
        // The first who asks waits while it is made, on a thread that may.
        let made = tokio::task::spawn_blocking(move || {
            openapi.answer(Request { path: &path, hash: hash.as_deref(), accept: &accept, gzip })
        });
        let told = self.server.aggregator.told();
        Ok(match made.await.map_err(Failure::internal)?.map_err(Failure::internal)? {
            Answer::Document(found) if told.is_empty() => document(&head.headers, found),
            Answer::Document(found) => match head.uri.path().trim_end_matches('/') {
                "/openapi/v3" => document(&head.headers, aggregate::openapi::index(found, &told)),
                "/openapi/v2" if merges => {
                    document(&head.headers, aggregate::openapi::whole(&self.server, found, told).await)
                }
                _ => document(&head.headers, found),
            },
            Answer::Moved(to) => {
                let mut response =
                    respond::typed(StatusCode::MOVED_PERMANENTLY, "text/plain; charset=utf-8", Body::empty());
                response.headers_mut().insert(LOCATION, header(&to));
                response
            }
            Answer::Unknown => respond::page_not_found(),
            Answer::NotAcceptable => {
                return Err(Failure::new(406, "NotAcceptable", "only application/json is served here"));
            }
        })
    }
}

fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn accept(headers: &HeaderMap) -> String {
    let all: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    all.join(",")
}

/// Whether the client takes answers that are compressed by gzip.
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    let given = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

fn document(asked: &HeaderMap, document: Document) -> Response<Body> {
    let known =
        asked.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).is_some_and(|etags| document.is_known(etags));
    let mut response = match known {
        true => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        false => respond::typed(StatusCode::OK, document.content_type, Body::new(Full::new(document.body))),
    };
    let mut set = |name: HeaderName, value: Option<&str>| {
        if let Some(value) = value {
            response.headers_mut().insert(name, header(value));
        }
    };
    set(CACHE_CONTROL, Some(document.cache_control));
    set(VARY, document.vary);
    set(ETAG, document.etag.as_deref());
    set(CONTENT_ENCODING, document.content_encoding.filter(|_| !known));
    response
}

/// Our own documents' headers are visible ASCII.
fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_taken_where_it_is_offered() {
        for (given, expect) in
            [("gzip", true), ("deflate, gzip;q=0.5", true), ("gzip;q=0", false), ("", false), ("br", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, given.parse().unwrap());
            assert_eq!(takes_gzip(&headers), expect, "{given}");
        }
    }

    #[test]
    fn a_path_is_below_its_root() {
        assert!(is_below("/api", "/api") && is_below("/api/v1", "/api") && !is_below("/apis", "/api"));
    }
}
