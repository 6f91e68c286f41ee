//! The REST front door. Health and version are the daemon shell's; everything else is answered that it is not here yet.

use daemon::serve::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use crate::status::Failure;

/// Answers any request.
pub fn answer(method: &http::Method, path: &str) -> Response<Body> {
    let message = format!("{method} {path}: REST is not served yet; use gRPC (keelson.api.v1) or keelctl");
    respond(&api::status::not_implemented(message).into())
}

/// A failure as REST carries it.
fn respond(failure: &Failure) -> Response<Body> {
    let code = u16::try_from(failure.code()).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let mut response = Response::new(Body::new(Full::new(bytes::Bytes::from(proto::json::to_vec(failure.0.as_ref())))));
    *response.status_mut() = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
