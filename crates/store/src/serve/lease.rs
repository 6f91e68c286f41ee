//! etcdserverpb.Lease.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::lease_server::Lease;
use tonic::{Request, Response, Status, Streaming};

use super::kv::unexpected;
use crate::member::Member;
use crate::reply::Answer;

pub struct LeaseService {
    pub member: Arc<Member>,
}

type KeepAlives = Pin<Box<dyn Stream<Item = Result<etcd::LeaseKeepAliveResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Lease for LeaseService {
    type LeaseKeepAliveStream = KeepAlives;

    async fn lease_grant(
        &self,
        req: Request<etcd::LeaseGrantRequest>,
    ) -> Result<Response<etcd::LeaseGrantResponse>, Status> {
        let Answer::LeaseGrant(mut rsp) = self.member.grant(req.into_inner()).await? else {
            return Err(unexpected());
        };
        rsp.header = Some(self.member.header(self.member.shared.revision()));
        Ok(Response::new(rsp))
    }

    async fn lease_revoke(
        &self,
        req: Request<etcd::LeaseRevokeRequest>,
    ) -> Result<Response<etcd::LeaseRevokeResponse>, Status> {
        let Answer::LeaseRevoke(mut rsp) = self.member.revoke(req.into_inner()).await? else {
            return Err(unexpected());
        };
        let revision = rsp.header.map_or(0, |header| header.revision);
        rsp.header = Some(self.member.header(revision));
        Ok(Response::new(rsp))
    }

    async fn lease_keep_alive(
        &self,
        req: Request<Streaming<etcd::LeaseKeepAliveRequest>>,
    ) -> Result<Response<KeepAlives>, Status> {
        let member = self.member.clone();
        let answers = req.into_inner().then(move |req| {
            let member = member.clone();
            async move {
                let id = req?.id;
                let ttl = member.keep_alive(id).await?;
                let header = Some(member.header(member.shared.revision()));
                Ok(etcd::LeaseKeepAliveResponse { header, id, ttl })
            }
        });
        let stopping = self.member.stopping.clone();
        Ok(Response::new(Box::pin(answers.take_until(stopping.cancelled_owned()))))
    }

    async fn lease_time_to_live(
        &self,
        req: Request<etcd::LeaseTimeToLiveRequest>,
    ) -> Result<Response<etcd::LeaseTimeToLiveResponse>, Status> {
        let req = req.into_inner();
        self.member.linearize().await?;
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
    }

    async fn lease_leases(
        &self,
        _req: Request<etcd::LeaseLeasesRequest>,
    ) -> Result<Response<etcd::LeaseLeasesResponse>, Status> {
        self.member.linearize().await?;
        let held = self.member.shared.held.read();
        let leases = held.state.lessor.iter().map(|(id, _)| etcd::LeaseStatus { id }).collect();
        let header = Some(self.member.header(held.state.index.revision()));
        Ok(Response::new(etcd::LeaseLeasesResponse { header, leases }))
    }
}
