//! What every call passes: how long it may take, what its answer holds until it is sent, where it belonged. Requests that are
//! larger than the server takes: what tonic says of them becomes a Status that names the limit and the flag that raises it.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use daemon::serve::{Connection, Hangup};
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower_service::Service;

use super::{counted, status};
use crate::audit::policy::Stage;
use crate::audit::{self, Draft, Origin};
use crate::hold;
use crate::passage::{Passage, timed_out};
use crate::server::Server;
use crate::status::Failure;

/// What tonic's text holds, in versions that were tried (a test asks for it).
const TOO_LARGE: &str = "message length too large";

/// A service whose refusals of large requests are Kubernetes'.
#[derive(Debug, Clone)]
pub struct Limited<S> {
    service: S,
    server: Arc<Server>,
}

impl<S> Limited<S> {
    /// A service that takes messages of `Server::request_bytes_max`. A call lasts `Server::request_timeout` at most until it is
    /// answered, or its answer begins.
    pub fn new(service: S, server: &Arc<Server>) -> Self {
        Self { service, server: Arc::clone(server) }
    }
}

impl<S: NamedService> NamedService for Limited<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Limited<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let timeout = self.server.request_timeout;
        let passage = Passage::lasting(given(request.headers()).map_or(timeout, |given| given.min(timeout)));
        if self.server.audit.is_some() {
            passage.came(origin(&request));
        }
        let hangup = request.extensions().get::<Hangup>().cloned();
        let path = request.uri().path().to_owned();
        request.extensions_mut().insert(passage.clone());
        let (answer, server) = (self.service.call(counted::count(request, &self.server)), Arc::clone(&self.server));
        Box::pin(async move {
            let mut answer = match tokio::time::timeout_at(passage.until().into(), answer).await {
                Ok(answer) => answer?,
                Err(_) => refused(timed_out(true)),
            };
            let held = passage.take_held();
            if !held.is_empty() {
                answer = answer.map(|body| hold::body(body, held, passage.until(), hangup));
            }
            passage.tell(answer.headers_mut());
            if let Some(draft) = passage.take_draft(&server, "post", &path) {
                answer = told(answer, draft, &path);
            }
            let bytes_max = server.request_bytes_max;
            let status = Status::from_header_map(answer.headers());
            Ok(match status.and_then(|status| refusal(&status, bytes_max)) {
                Some(failure) => refused(failure),
                None => answer,
            })
        })
    }
}

fn refused(failure: Failure) -> Response<Body> {
    let (parts, ()) = status::of(failure).into_http::<()>().into_parts();
    Response::from_parts(parts, Body::empty())
}

fn origin(request: &Request<Body>) -> Origin {
    let given = request.headers().get("audit-id").and_then(|value| value.to_str().ok()).filter(|id| id.len() <= 64);
    let id = given.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
    let remote = request.extensions().get::<Connection>().map(|from| from.remote.ip());
    Origin::of(&id, request.uri().path(), request.headers(), remote)
}

/// Tells the audit log how a call was answered, in the codes of HTTP. Of messages it is told nothing.
fn told(answer: Response<Body>, draft: Draft, path: &str) -> Response<Body> {
    let streams = path.ends_with("/Watch") || path.contains(".Streams/");
    match Status::from_header_map(answer.headers()).filter(|status| status.code() != Code::Ok) {
        Some(status) => {
            let code = http_code(status.code());
            let refusal = Failure::new(i32::from(code), "", status.message());
            draft.stage(Stage::ResponseComplete, code, Some(&refusal.0));
            answer
        }
        None if streams => audit::tell::streaming(answer, draft),
        None => {
            draft.stage(Stage::ResponseComplete, 200, None);
            answer
        }
    }
}

fn http_code(code: Code) -> u16 {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::Unimplemented => 405,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::OutOfRange => 410,
        Code::ResourceExhausted => 429,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        _ => 500,
    }
}

/// How long the caller waits: a number of at most eight digits and a unit.
fn given(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// The refusal of a message that is too large, told as Kubernetes tells it; nothing for any other.
pub fn refusal(refused: &Status, bytes_max: usize) -> Option<Failure> {
    if refused.code() != Code::OutOfRange || !refused.message().contains(TOO_LARGE) {
        return None;
    }
    let found = refused.message().split("found ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("too many");
    Some(Failure::too_large(&format!(
        "the message has {found} bytes, the limit is {bytes_max} (keelson-apiserver --max-request-bytes)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_say_how_long_they_wait() {
        for (text, expect) in [
            ("5S", Some(Duration::from_secs(5))),
            ("250m", Some(Duration::from_millis(250))),
            ("1H", Some(Duration::from_secs(3600))),
            ("123456789S", None),
            ("5", None),
            ("S", None),
            ("", None),
            ("5é", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", http::HeaderValue::from_bytes(text.as_bytes()).unwrap());
            assert_eq!(given(&headers), expect, "{text}");
        }
    }
}
