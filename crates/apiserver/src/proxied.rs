//! `pods/proxy`, `services/proxy` and `nodes/proxy`: requests passed on to what runs in the cluster.
//!
//! [`place`] finds where a name such as `https:web:8443` leads; [`pass`] sends the request there and makes the answer fit the
//! longer path under which the client sees it: [`rewrite`] changes addresses, [`page`] the links of HTML pages. Whoever calls
//! has authenticated and authorized the caller.

mod page;
pub mod place;
mod rewrite;

use bytes::Bytes;
use daemon::serve::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, HOST, LOCATION,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::authenticate::strip;
use crate::outbound::forward::{forward, upgrade};
use crate::outbound::guard;
use crate::server::Server;
use crate::status::{Failure, Result};
use place::Location;
use rewrite::Prefix;

const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
/// A page of a pod must not open the API to other sites.
const CORS: [HeaderName; 4] = [
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
];

/// Passes the request on. `path`: what follows `proxy` in the request's path, as it was sent; empty or with a slash.
///
/// # Errors
/// Nobody is reached (503), or may not be (400).
pub async fn pass(
    server: &Server,
    to: &Location,
    mut request: Request<Incoming>,
    path: &str,
) -> Result<Response<Body>> {
    let wants_upgrade = upgrade(request.headers()).is_some();
    if path.is_empty() && !wants_upgrade && matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(with_slash(request.uri()));
    }
    let prefix = Prefix::of(request.uri().path(), path);
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    let host = host.or_else(|| request.uri().authority().map(|authority| authority.as_str().to_owned()));
    strip::strip(request.headers_mut(), &server.fronts);
    if let Ok(uri) = HeaderValue::from_str(request.uri().path()) {
        request.headers_mut().insert(FORWARDED_URI, uri);
    }
    let onward = onward(path, request.uri().query())?;
    let answer =
        forward(&server.outbound, &to.destination, request, onward).await.map_err(|error| match error.reason() {
            guard::NOT_ALLOWED => Failure::bad_request(guard::NOT_ALLOWED),
            reason => Failure::new(503, "ServiceUnavailable", format!("error trying to reach service: {reason}")),
        })?;
    Ok(seen_from_here(answer, &prefix, host.as_deref().unwrap_or_default()))
}

/// The answer as the client may see it.
fn seen_from_here(mut answer: Response<Body>, prefix: &Prefix, host: &str) -> Response<Body> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return answer;
    }
    CORS.iter().for_each(|name| _ = answer.headers_mut().remove(name));
    if let Some(location) = answer.headers().get(LOCATION).cloned() {
        let rewritten = location.to_str().map(|location| prefix.rewrite(location, host));
        if let Some(rewritten) = rewritten.ok().and_then(|text| HeaderValue::from_str(&text).ok()) {
            answer.headers_mut().insert(LOCATION, rewritten);
        }
        return answer;
    }
    page::rewrite(answer, prefix.clone(), host)
}

/// What is asked of the place: the rest of the path, and the query.
fn onward(path: &str, query: Option<&str>) -> Result<Uri> {
    let path = if path.is_empty() { "/" } else { path };
    let text = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    text.parse().map_err(|error| Failure::bad_request(format!("the path {text:?} cannot be passed on: {error}")))
}

/// As upstream: without a slash at the end, relative links of the page would lead astray.
fn with_slash(uri: &Uri) -> Response<Body> {
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let mut response = Response::new(Body::new(Full::new(Bytes::new())));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{query}", uri.path())) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_path_and_the_query_are_passed_on() {
        for (path, query, expect) in
            [("", None, "/"), ("/", Some("a=b"), "/?a=b"), ("/x%2Fy/z/", Some("a=%20"), "/x%2Fy/z/?a=%20")]
        {
            assert_eq!(onward(path, query).expect("a URI").to_string(), expect);
        }
    }

    #[test]
    fn a_page_is_seen_under_a_path_with_a_slash() {
        let uri: Uri = "/api/v1/nodes/n/proxy?x=1".parse().expect("a URI");
        let moved = with_slash(&uri);
        assert_eq!(
            (moved.status(), &moved.headers()[LOCATION]),
            (StatusCode::MOVED_PERMANENTLY, &HeaderValue::from_static("/api/v1/nodes/n/proxy/?x=1"))
        );
    }
}
