//! Requests that are larger than the server takes: what tonic says of them becomes a Status that names the limit and the
//! flag that raises it.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower_service::Service;

use super::status;
use crate::status::Failure;

/// What tonic's text holds, in versions that were tried (a test asks for it).
const TOO_LARGE: &str = "message length too large";

/// A service whose refusals of large requests are Kubernetes'.
#[derive(Debug, Clone)]
pub struct Limited<S> {
    service: S,
    bytes_max: usize,
}

impl<S> Limited<S> {
    /// `bytes_max`: what the service is limited to.
    pub fn new(service: S, bytes_max: usize) -> Self {
        Self { service, bytes_max }
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (answer, bytes_max) = (self.service.call(request), self.bytes_max);
        Box::pin(async move {
            let answer = answer.await?;
            let refused = Status::from_header_map(answer.headers());
            Ok(match refused.and_then(|refused| refusal(&refused, bytes_max)) {
                Some(failure) => {
                    let (parts, ()) = status::of(failure).into_http::<()>().into_parts();
                    Response::from_parts(parts, Body::empty())
                }
                None => answer,
            })
        })
    }
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
