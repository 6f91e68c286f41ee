//! etcdserverpb.Lease.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::lease_server::Lease;
use tonic::{Request, Response, Status, Streaming};

use super::bounds::as_grpc_go;
use super::credentials::credentials;
use super::kv::{counted, unexpected};
use super::leader;
use crate::ask::Credentials;
use crate::auth::Who;
use crate::counts::calls::{Call, Open};
use crate::member::Member;
use crate::refused::Refused;
use crate::reply::Answer;
use crate::shared::Held;

pub struct LeaseService {
    pub member: Arc<Member>,
}

impl LeaseService {
    fn call(&self, method: &str) -> Arc<Call> {
        self.member.shared.counts.calls.of(&format!("/etcdserverpb.Lease/{method}"))
    }
}

/// Ready when a stream ends whether or not its caller has more to ask, with the reason, if the caller is to know it.
type Ends = Pin<Box<dyn Future<Output = Option<Refused>> + Send>>;

/// When the member stops; and, for callers that want a leader, when there has been none for a while.
fn ends(member: Arc<Member>, needs_leader: bool) -> Ends {
    Box::pin(async move {
        tokio::select! {
            () = member.stopping.cancelled() => None,
            () = leader::leaderless(&member), if needs_leader => Some(Refused::NoLeader),
        }
    })
}

/// One stream of renewals; an error is the last that it gives.
struct Renewals {
    member: Arc<Member>,
    by: Credentials,
    requests: Streaming<etcd::LeaseKeepAliveRequest>,
    /// None once it has ended.
    ends: Option<Ends>,
    _open: Open,
}

impl Renewals {
    async fn next(&mut self) -> Option<Result<etcd::LeaseKeepAliveResponse, Status>> {
        tokio::select! {
            biased;
            reason = self.ends.as_mut()? => {
                self.ends = None;
                reason.map(|refused| Err(refused.into()))
            }
            answer = renew(&self.member, &self.by, &mut self.requests) => answer,
        }
    }
}

async fn renew(
    member: &Member,
    by: &Credentials,
    requests: &mut Streaming<etcd::LeaseKeepAliveRequest>,
) -> Option<Result<etcd::LeaseKeepAliveResponse, Status>> {
    let id = match requests.next().await? {
        Ok(request) => request.id,
        Err(status) => return Some(Err(as_grpc_go(status))),
    };
    let renewed = member.asked(by).keep_alive(id).await;
    let header = Some(member.header(member.shared.revision()));
    Some(renewed.map(|ttl| etcd::LeaseKeepAliveResponse { header, id, ttl }).map_err(Status::from))
}

type KeepAlives = Pin<Box<dyn Stream<Item = Result<etcd::LeaseKeepAliveResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Lease for LeaseService {
    type LeaseKeepAliveStream = KeepAlives;

    async fn lease_grant(
        &self,
        req: Request<etcd::LeaseGrantRequest>,
    ) -> Result<Response<etcd::LeaseGrantResponse>, Status> {
        counted(&self.call("LeaseGrant"), async {
            let by = credentials(&req);
            let Answer::LeaseGrant(mut rsp) = self.member.asked(&by).grant(req.into_inner()).await? else {
                return Err(unexpected());
            };
            rsp.header = Some(self.member.header(self.member.shared.revision()));
            Ok(Response::new(rsp))
        })
        .await
    }

    async fn lease_revoke(
        &self,
        req: Request<etcd::LeaseRevokeRequest>,
    ) -> Result<Response<etcd::LeaseRevokeResponse>, Status> {
        counted(&self.call("LeaseRevoke"), async {
            let by = credentials(&req);
            let Answer::LeaseRevoke(mut rsp) = self.member.asked(&by).revoke(req.into_inner()).await? else {
                return Err(unexpected());
            };
            let revision = rsp.header.map_or(0, |header| header.revision);
            rsp.header = Some(self.member.header(revision));
            Ok(Response::new(rsp))
        })
        .await
    }

    async fn lease_keep_alive(
        &self,
        req: Request<Streaming<etcd::LeaseKeepAliveRequest>>,
    ) -> Result<Response<KeepAlives>, Status> {
        let renewals = Renewals {
            member: self.member.clone(),
            by: credentials(&req),
            ends: Some(ends(self.member.clone(), leader::is_needed(req.metadata().as_ref()))),
            requests: req.into_inner(),
            _open: Open::new(self.call("LeaseKeepAlive")),
        };
        let answers = stream::unfold(renewals, |mut renewals| async move {
            let answer = renewals.next().await?;
            Some((answer, renewals))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        req: Request<etcd::LeaseTimeToLiveRequest>,
    ) -> Result<Response<etcd::LeaseTimeToLiveResponse>, Status> {
        counted(&self.call("LeaseTimeToLive"), async {
            let by = credentials(&req);
            let req = req.into_inner();
            self.member.linearize().await?;
            let shown = |who: Who<'_>, held: &Held| {
                held.state.auth.check_known(who)?;
                if req.keys { held.state.auth.check_look_at_lease(&held.state.lessor, who, req.id) } else { Ok(()) }
            };
            self.member.asked(&by).look(shown).await?;
            let ttl = self.member.time_to_live(req.id).await?;
            let held = self.member.shared.held.read();
            let lease = held.state.lessor.get(req.id);
            let keys = lease.filter(|_| req.keys).map(|lease| lease.keys.iter().cloned().collect());
            Ok(Response::new(etcd::LeaseTimeToLiveResponse {
                header: Some(self.member.header(held.state.index.revision())),
                id: req.id,
                ttl: if lease.is_some() { ttl } else { -1 },
                granted_ttl: lease.map_or(0, |lease| lease.ttl),
                keys: keys.unwrap_or_default(),
            }))
        })
        .await
    }

    async fn lease_leases(
        &self,
        req: Request<etcd::LeaseLeasesRequest>,
    ) -> Result<Response<etcd::LeaseLeasesResponse>, Status> {
        counted(&self.call("LeaseLeases"), async {
            let by = credentials(&req);
            self.member.linearize().await?;
            let shown = |who: Who<'_>, held: &Held| {
                held.state.auth.check_known(who)?;
                let lessor = &held.state.lessor;
                lessor.iter().try_for_each(|(id, _)| held.state.auth.check_look_at_lease(lessor, who, id))
            };
            self.member.asked(&by).look(shown).await?;
            let held = self.member.shared.held.read();
            let mut leases: Vec<(i64, i64)> = held.state.lessor.iter().map(|(id, lease)| (id, lease.due())).collect();
            self.member.deadlines.sort(&mut leases);
            let leases = leases.into_iter().map(|(id, _)| etcd::LeaseStatus { id }).collect();
            let header = Some(self.member.header(held.state.index.revision()));
            Ok(Response::new(etcd::LeaseLeasesResponse { header, leases }))
        })
        .await
    }
}
