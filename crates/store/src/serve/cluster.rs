//! etcdserverpb.Cluster: who is in the cluster.

use std::sync::Arc;

use proto::etcdserverpb as etcd;
use proto::etcdserverpb::cluster_server::Cluster;
use proto::keelson::raft::v1::ReconfigureResponse;
use proto::keelson::raft::v1::reconfigure_request::Change;
use tonic::{Request, Response, Status};

use crate::member::Member;
use crate::refused::Refused;

pub struct ClusterService {
    pub member: Arc<Member>,
}

impl ClusterService {
    /// As in etcd, these headers do not carry a revision.
    fn header(&self) -> Option<etcd::ResponseHeader> {
        Some(self.member.header(0))
    }

    async fn change(&self, change: Change) -> Result<ReconfigureResponse, Refused> {
        self.member.reconfigure(change).await
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn member_add(
        &self,
        req: Request<etcd::MemberAddRequest>,
    ) -> Result<Response<etcd::MemberAddResponse>, Status> {
        let changed = self.change(Change::Add(req.into_inner())).await?;
        let member = changed.members.iter().find(|member| member.id == changed.member_id).cloned();
        Ok(Response::new(etcd::MemberAddResponse { header: self.header(), member, members: changed.members }))
    }

    async fn member_remove(
        &self,
        req: Request<etcd::MemberRemoveRequest>,
    ) -> Result<Response<etcd::MemberRemoveResponse>, Status> {
        let changed = self.change(Change::Remove(req.into_inner())).await?;
        Ok(Response::new(etcd::MemberRemoveResponse { header: self.header(), members: changed.members }))
    }

    async fn member_update(
        &self,
        req: Request<etcd::MemberUpdateRequest>,
    ) -> Result<Response<etcd::MemberUpdateResponse>, Status> {
        let changed = self.change(Change::Update(req.into_inner())).await?;
        Ok(Response::new(etcd::MemberUpdateResponse { header: self.header(), members: changed.members }))
    }

    async fn member_list(
        &self,
        req: Request<etcd::MemberListRequest>,
    ) -> Result<Response<etcd::MemberListResponse>, Status> {
        if req.get_ref().linearizable {
            self.member.linearize().await?;
        }
        Ok(Response::new(etcd::MemberListResponse { header: self.header(), members: self.member.members() }))
    }

    async fn member_promote(
        &self,
        req: Request<etcd::MemberPromoteRequest>,
    ) -> Result<Response<etcd::MemberPromoteResponse>, Status> {
        let changed = self.change(Change::Promote(req.into_inner())).await;
        let counts = &self.member.shared.counts;
        let count = if changed.is_ok() { &counts.learners_promoted } else { &counts.learners_not_promoted };
        count.one();
        let changed = changed?;
        Ok(Response::new(etcd::MemberPromoteResponse { header: self.header(), members: changed.members }))
    }
}
