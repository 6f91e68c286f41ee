//! Passes a request on to the extension server whose it is.

use bytes::Bytes;
use daemon::serve::Body;
use http::header::{CONTENT_TYPE, HOST, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::{Remote, identity};
use crate::authenticate::{User, strip};
use crate::outbound::Place;
use crate::outbound::forward::forward;
use crate::server::Server;

/// What clients are told, in upstream's words.
const UNAVAILABLE: &str = "service unavailable";
const REDIRECTED: &str = "the backend attempted to redirect this request, which is not permitted";

/// Answers what the extension server answers. The caller was authenticated and authorized before.
pub async fn pass(server: &Server, remote: &Remote, user: &User, mut request: Request<Incoming>) -> Response<Body> {
    if !remote.available {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE);
    }
    strip::strip(request.headers_mut(), &server.fronts);
    identity::tell(request.headers_mut(), user);
    if let Some(host) = host(remote) {
        request.headers_mut().insert(HOST, host);
    }
    let path = request.uri().clone();
    match forward(&server.outbound, &remote.to, request, path).await {
        Ok(answer) if answer.status().is_redirection() && answer.headers().contains_key(LOCATION) => {
            // A client would follow with its own credentials, wherever the extension server sends it.
            refusal(StatusCode::BAD_GATEWAY, REDIRECTED)
        }
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(name = remote.name, "an extension server was not reached: {error}");
            refusal(StatusCode::SERVICE_UNAVAILABLE, &format!("error trying to reach service: {error}"))
        }
    }
}

/// By whose name it is called; the client's name for us would mean nothing to it.
fn host(remote: &Remote) -> Option<HeaderValue> {
    let Place::Service { namespace, name, port } = &remote.to.place else { return None };
    HeaderValue::from_str(&format!("{name}.{namespace}.svc:{port}")).ok()
}

fn refusal(code: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(format!("{text}\n")))));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
