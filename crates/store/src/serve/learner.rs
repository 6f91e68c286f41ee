//! What a learner serves: as in etcd, its status, its snapshot, and reads that need no leader.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures::future::Either;
use http::{Request, Response};
use tonic::Status;

use crate::member::Member;
use crate::refused::Refused;

/// Refuses the rest, on every service of etcd's.
#[derive(Clone)]
pub struct LearnerLayer {
    pub member: Arc<Member>,
}

impl<S> tower::Layer<S> for LearnerLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { member: self.member.clone(), inner }
    }
}

#[derive(Clone)]
pub struct Guarded<S> {
    member: Arc<Member>,
    inner: S,
}

/// Whether a learner serves a method. Ranges are looked at where they are decoded.
fn is_served(path: &str) -> bool {
    let etcd = ["/etcdserverpb.", "/v3lockpb.", "/v3electionpb."].iter().any(|package| path.starts_with(package));
    !etcd
        || matches!(
            path,
            "/etcdserverpb.Maintenance/Status" | "/etcdserverpb.Maintenance/Snapshot" | "/etcdserverpb.KV/Range"
        )
}

impl<S, B, R> tower::Service<Request<B>> for Guarded<S>
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
        if self.member.learner.load(Ordering::Relaxed) && !is_served(request.uri().path()) {
            return Either::Right(ready(Ok(Status::from(Refused::NotSupportedForLearner).into_http())));
        }
        Either::Left(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests {
    use super::is_served;

    #[test]
    fn a_learner_tells_of_itself_and_of_nothing_that_needs_a_leader() {
        for path in ["/etcdserverpb.Maintenance/Status", "/etcdserverpb.KV/Range", "/grpc.health.v1.Health/Check"] {
            assert!(is_served(path), "{path}");
        }
        for path in ["/etcdserverpb.KV/Put", "/etcdserverpb.Cluster/MemberList", "/etcdserverpb.Watch/Watch"] {
            assert!(!is_served(path), "{path}");
        }
    }
}
