//! etcdserverpb.Cluster: the list of members. Changing it comes with the replicated store's own issue; until then a
//! change is answered with "unimplemented" and changes nothing.

use std::sync::Arc;

use proto::etcdserverpb as etcd;
use proto::etcdserverpb::cluster_server::Cluster;
use tonic::{Request, Response, Status};

use crate::member::Member;

pub struct ClusterService {
    pub member: Arc<Member>,
}

fn fixed() -> Status {
    Status::unimplemented("keelson-store: the members are those of --initial-cluster; changing them is not built yet")
}

/// The members, in order of their ids.
pub fn members(member: &Member) -> Vec<etcd::Member> {
    let held = member.shared.held.read();
    let membership = member.standing().membership;
    let voters: Vec<u64> = membership.voter_ids().collect();
    let mut members = Vec::new();
    for (id, peer) in membership.nodes() {
        let attributes = held.state.attributes.get(id);
        members.push(etcd::Member {
            id: *id,
            name: attributes.map(|of| of.name.clone()).unwrap_or_default(),
            peer_urls: peer.peer_urls.clone(),
            client_urls: attributes.map(|of| of.client_urls.clone()).unwrap_or_default(),
            is_learner: !voters.contains(id),
        });
    }
    members
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn member_add(
        &self,
        _req: Request<etcd::MemberAddRequest>,
    ) -> Result<Response<etcd::MemberAddResponse>, Status> {
        Err(fixed())
    }

    async fn member_remove(
        &self,
        _req: Request<etcd::MemberRemoveRequest>,
    ) -> Result<Response<etcd::MemberRemoveResponse>, Status> {
        Err(fixed())
    }

    async fn member_update(
        &self,
        _req: Request<etcd::MemberUpdateRequest>,
    ) -> Result<Response<etcd::MemberUpdateResponse>, Status> {
        Err(fixed())
    }

    async fn member_list(
        &self,
        req: Request<etcd::MemberListRequest>,
    ) -> Result<Response<etcd::MemberListResponse>, Status> {
        if req.get_ref().linearizable {
            self.member.linearize().await?;
        }
        // As in etcd, this header does not carry a revision.
        let header = Some(self.member.header(0));
        Ok(Response::new(etcd::MemberListResponse { header, members: members(&self.member) }))
    }

    async fn member_promote(
        &self,
        _req: Request<etcd::MemberPromoteRequest>,
    ) -> Result<Response<etcd::MemberPromoteResponse>, Status> {
        Err(fixed())
    }
}
