//! Calls that need no key: who may make them, and how they ended. Those with keys, and those that go through the log, are checked there.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::Status;
use tower_service::Service;

use super::credentials::from_parts;
use crate::ask::Credentials;
use crate::member::Member;
use crate::refused::Refused;

/// What a caller must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    /// Some user.
    Known,
    /// One with the root role.
    Admin,
}

/// As in etcd: members, alarms and status may be looked at by every user.
fn need(path: &str) -> Need {
    match path.strip_prefix("/etcdserverpb.") {
        Some("Cluster/MemberList" | "Maintenance/Status" | "Maintenance/Alarm") => Need::Known,
        Some(rest) if rest.starts_with("Cluster/") || rest.starts_with("Maintenance/") => Need::Admin,
        _ => Need::Nothing,
    }
}

/// A layer over all services.
#[derive(Clone)]
pub struct Guard<S> {
    member: Arc<Member>,
    inner: S,
}

impl<S> Guard<S> {
    pub fn new(member: Arc<Member>, inner: S) -> Self {
        Self { member, inner }
    }
}

async fn admit(member: &Member, need: Need, by: &Credentials) -> Result<(), Refused> {
    if need == Need::Nothing || !member.shared.is_guarded() {
        return Ok(());
    }
    let asked = member.asked(by);
    asked
        .look(|who, held| match need {
            Need::Nothing => Ok(()),
            Need::Known => held.state.auth.check_known(who),
            Need::Admin => held.state.auth.check_admin(who),
        })
        .await
}

impl<S, B, R> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let need = need(request.uri().path());
        let call = self.member.shared.counts.calls.of(request.uri().path());
        let by = from_parts(request.headers(), request.extensions());
        let next = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, next);
        let member = self.member.clone();
        Box::pin(async move {
            call.begin();
            let response = match admit(&member, need, &by).await {
                Ok(()) => ready.call(request).await?,
                Err(refused) => Status::from(refused).into_http(),
            };
            // A call that failed before its first message has its code here; one that fails later counts as answered.
            let code = response.headers().get("grpc-status").and_then(|code| code.to_str().ok()?.parse().ok());
            call.end(code.unwrap_or(0));
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_the_cluster_or_shows_all_of_it_needs_an_admin() {
        for (path, expect) in [
            ("/etcdserverpb.Cluster/MemberAdd", Need::Admin),
            ("/etcdserverpb.Maintenance/Snapshot", Need::Admin),
            ("/etcdserverpb.Maintenance/AnythingNew", Need::Admin),
            ("/etcdserverpb.Cluster/MemberList", Need::Known),
            ("/etcdserverpb.Maintenance/Status", Need::Known),
            ("/etcdserverpb.KV/Put", Need::Nothing),
            ("/etcdserverpb.Auth/Authenticate", Need::Nothing),
        ] {
            assert_eq!(need(path), expect, "{path}");
        }
    }
}
