//! etcdserverpb.Lease.

use std::sync::Arc;

use daemon::serve::Body;
use daemon::serve::direct::{self, Messages, Outgoing};
use hyper::body::Incoming;
use proto::etcdserverpb as etcd;
use tonic::{Request, Response, Status};

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

/// Leases of one stream that are renewed together.
const TOGETHER_LEN_MAX: usize = 256;

pub struct LeaseService {
    member: Arc<Member>,
    calls: LeaseCalls,
}

struct LeaseCalls {
    grant: Arc<Call>,
    revoke: Arc<Call>,
    keep_alive: Arc<Call>,
    time_to_live: Arc<Call>,
    leases: Arc<Call>,
}

impl LeaseService {
    pub fn new(member: Arc<Member>) -> Self {
        let of = |method: &str| member.shared.counts.calls.of(&format!("/etcdserverpb.Lease/{method}"));
        let calls = LeaseCalls {
            grant: of("LeaseGrant"),
            revoke: of("LeaseRevoke"),
            keep_alive: of("LeaseKeepAlive"),
            time_to_live: of("LeaseTimeToLive"),
            leases: of("LeaseLeases"),
        };
        Self { member, calls }
    }

    pub async fn grant(
        &self,
        req: Request<etcd::LeaseGrantRequest>,
    ) -> Result<Response<etcd::LeaseGrantResponse>, Status> {
        counted(&self.calls.grant, async {
            let by = credentials(&req);
            let Answer::LeaseGrant(mut rsp) = self.member.asked(&by).grant(req.into_inner()).await? else {
                return Err(unexpected());
            };
            rsp.header = Some(self.member.header(self.member.shared.revision()));
            Ok(Response::new(rsp))
        })
        .await
    }

    pub async fn revoke(
        &self,
        req: Request<etcd::LeaseRevokeRequest>,
    ) -> Result<Response<etcd::LeaseRevokeResponse>, Status> {
        counted(&self.calls.revoke, async {
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

    /// Answers a client's stream of renewals.
    pub fn keep_alive(&self, request: http::Request<Incoming>, bytes_max: usize) -> http::Response<Body> {
        direct::stream(request, bytes_max, |request, out| {
            let (member, by) = (self.member.clone(), credentials(&request));
            let open = Open::new(self.calls.keep_alive.clone());
            let needs_leader = leader::is_needed(request.metadata().as_ref());
            let renewals = Renewals { member, by, needs_leader, requests: request.into_inner(), out, _open: open };
            renewals.run()
        })
    }

    pub async fn time_to_live(
        &self,
        req: Request<etcd::LeaseTimeToLiveRequest>,
    ) -> Result<Response<etcd::LeaseTimeToLiveResponse>, Status> {
        counted(&self.calls.time_to_live, async {
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

    pub async fn leases(
        &self,
        req: Request<etcd::LeaseLeasesRequest>,
    ) -> Result<Response<etcd::LeaseLeasesResponse>, Status> {
        counted(&self.calls.leases, async {
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

/// One client's stream of renewals.
struct Renewals {
    member: Arc<Member>,
    by: Credentials,
    needs_leader: bool,
    requests: Messages<etcd::LeaseKeepAliveRequest>,
    out: Outgoing,
    /// Counts the call while it lasts.
    _open: Open,
}

impl Renewals {
    async fn run(mut self) -> Status {
        let (member, needs_leader) = (self.member.clone(), self.needs_leader);
        tokio::select! {
            biased;
            () = leader::leaderless(&member), if needs_leader => Refused::NoLeader.into(),
            ended = self.renew() => ended.map_or_else(|status| status, |()| Status::ok("")),
            // The client goes on with another member.
            () = member.stopping.cancelled() => Status::ok(""),
        }
    }

    /// Renews what the client names, all that it has named at once, until it names no more.
    async fn renew(&mut self) -> Result<(), Status> {
        let mut leases = Vec::new();
        while let Some(first) = self.requests.next().await? {
            leases.clear();
            leases.push(first.id);
            while leases.len() < TOGETHER_LEN_MAX
                && let Some(next) = self.requests.ready()?
            {
                leases.push(next.id);
            }
            let header = Some(self.member.header(self.member.shared.revision()));
            let renewed = |id, ttl| {
                let response = etcd::LeaseKeepAliveResponse { header, id, ttl };
                self.out.write(|out| direct::put(out, &response));
            };
            self.member.asked(&self.by).keep_alive(&leases, renewed).await?;
            self.out.room().await;
        }
        Ok(())
    }
}
