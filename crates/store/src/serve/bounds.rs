//! Messages that are longer than a server takes are refused in the words that grpc-go has for it, which etcd's clients know,
//! on the calls that go through tonic; those past it have them in `daemon::serve::direct`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::{Code, Status};

/// How tonic begins to say it.
const TONIC: &str = "Error, decoded message length too large: found ";
const TONIC_LIMIT: &str = " bytes, the limit is: ";

/// The refusal as grpc-go says it; any other as it is.
pub fn as_grpc_go(status: Status) -> Status {
    match numbers(status.message()) {
        Some((len, max)) if status.code() == Code::OutOfRange => daemon::serve::direct::too_long(len, max),
        _ => status,
    }
}

/// A message's length and what would be taken, out of tonic's text.
fn numbers(text: &str) -> Option<(usize, usize)> {
    let (len, max) = text.strip_prefix(TONIC)?.split_once(TONIC_LIMIT)?;
    Some((len.parse().ok()?, max.strip_suffix(" bytes")?.parse().ok()?))
}

/// A layer over all services.
#[derive(Clone, Copy)]
pub struct Bounds;

impl<S> tower::Layer<S> for Bounds {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded { inner }
    }
}

#[derive(Clone)]
pub struct Bounded<S> {
    inner: S,
}

impl<S, B, R> tower::Service<Request<B>> for Bounded<S>
where
    S: tower::Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            // A call that is refused before it runs has its status here.
            match Status::from_header_map(response.headers()) {
                Some(status) if numbers(status.message()).is_some() => Ok(as_grpc_go(status).into_http()),
                _ => Ok(response),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_too_long_is_refused_as_grpc_go_refuses_it() {
        let tonic = "Error, decoded message length too large: found 7 bytes, the limit is: 5 bytes";
        let told = as_grpc_go(Status::out_of_range(tonic));
        assert_eq!(told.code(), Code::ResourceExhausted);
        assert_eq!(told.message(), "grpc: received message larger than max (7 vs. 5)");
    }

    #[test]
    fn other_refusals_stay_as_they_are() {
        for text in ["etcdserver: mvcc: required revision has been compacted", TONIC, ""] {
            let told = as_grpc_go(Status::out_of_range(text));
            assert_eq!((told.code(), told.message()), (Code::OutOfRange, text));
        }
    }
}
