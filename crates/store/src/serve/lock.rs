//! v3lockpb.Lock: one holder of a name at a time, in the order in which they came.

use std::sync::Arc;

use bytes::Bytes;
use proto::etcdserverpb as etcd;
use proto::v3lockpb as pb;
use proto::v3lockpb::lock_server::Lock;
use tonic::{Request, Response, Status};

use super::credentials::credentials;
use super::kv::unexpected;
use crate::member::Member;
use crate::queue::{Line, Waiting};
use crate::reply::Answer;

pub struct LockService {
    pub member: Arc<Member>,
}

#[tonic::async_trait]
impl Lock for LockService {
    async fn lock(&self, req: Request<pb::LockRequest>) -> Result<Response<pb::LockResponse>, Status> {
        let line = Line::new(self.member.clone(), credentials(&req), &req.get_ref().name);
        let place = line.join(req.get_ref().lease, Bytes::new()).await?;
        let mut waiting = Waiting { line: line.clone(), place: Some(place.clone()) };
        line.wait_turn(&place).await?;
        // The lease may have ended while others were waited for.
        let revision = line.holds(&place).await?;
        waiting.place = None;
        match revision {
            Some(revision) => {
                let header = Some(self.member.header(revision));
                Ok(Response::new(pb::LockResponse { header, key: place.key.into() }))
            }
            None => Err(Status::unknown("mutex: session is expired")),
        }
    }

    async fn unlock(&self, req: Request<pb::UnlockRequest>) -> Result<Response<pb::UnlockResponse>, Status> {
        let by = credentials(&req);
        let delete = etcd::DeleteRangeRequest { key: req.into_inner().key.into(), ..Default::default() };
        let Answer::DeleteRange(rsp) = self.member.asked(&by).delete_range(delete).await? else {
            return Err(unexpected());
        };
        let revision = rsp.header.map_or(0, |header| header.revision);
        Ok(Response::new(pb::UnlockResponse { header: Some(self.member.header(revision)) }))
    }
}
