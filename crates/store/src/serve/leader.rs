//! Callers that want no member that knows no leader: metadata `hasleader: true`, as etcd's clients send it.
//!
//! Such a call is refused at once. Streams that were there before are let go later ([`leaderless`]): to open them anew costs
//! more.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::Either;
use http::{HeaderMap, Request, Response};
use tonic::Status;

use crate::member::Member;
use crate::refused::Refused;

/// etcd's name for it.
const NEEDS_LEADER: &str = "hasleader";
/// How often a member looks whether there is a leader, and how often in a row there may be none.
const INTERVAL: Duration = Duration::from_secs(1);
const LOOKS: u32 = 2;

/// Whether a caller wants a leader.
pub fn is_needed(headers: &HeaderMap) -> bool {
    headers.get(NEEDS_LEADER).is_some_and(|value| value == "true")
}

/// Refuses a call that wants a leader where there is none.
pub fn check(member: &Member, headers: &HeaderMap) -> Result<(), Refused> {
    if is_needed(headers) && member.reached_leader().is_none() { Err(Refused::NoLeader) } else { Ok(()) }
}

/// Returns when the member has reached no leader with a quorum for a while. That some member once led is not enough.
pub async fn leaderless(member: &Member) {
    let mut looks = 0;
    while looks < LOOKS {
        tokio::time::sleep(INTERVAL).await;
        let confirmed = tokio::time::timeout(INTERVAL, member.reads.linearize()).await;
        looks = if matches!(confirmed, Ok(Ok(()))) { 0 } else { looks + 1 };
    }
}

/// A layer over the services whose calls pass by it: KV, Watch and Lease do not.
#[derive(Clone)]
pub struct LeaderLayer {
    pub member: Arc<Member>,
}

impl<S> tower::Layer<S> for LeaderLayer {
    type Service = Led<S>;

    fn layer(&self, inner: S) -> Led<S> {
        Led { member: self.member.clone(), inner }
    }
}

#[derive(Clone)]
pub struct Led<S> {
    member: Arc<Member>,
    inner: S,
}

impl<S, B, R> tower::Service<Request<B>> for Led<S>
where
    S: tower::Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<R>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match check(&self.member, request.headers()) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(refused) => Either::Right(ready(Ok(Status::from(refused).into_http()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_true_is_true() {
        let headers =
            |value: &'static str| HeaderMap::from_iter([("hasleader".parse().unwrap(), value.parse().unwrap())]);
        assert!(is_needed(&headers("true")));
        assert!(!is_needed(&headers("false")));
        assert!(!is_needed(&HeaderMap::new()));
    }
}
