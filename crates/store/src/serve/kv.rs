//! etcdserverpb.KV.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_server::Kv;
use tonic::{Request, Response, Status};

use crate::member::Member;
use crate::refused::Refused;
use crate::reply::Answer;

pub struct KvService {
    pub member: Arc<Member>,
}

impl KvService {
    /// A learner reads only what it has; these calls do not pass by the layer that refuses the others.
    fn check_learner(&self) -> Result<(), Refused> {
        match self.member.learner.load(Ordering::Relaxed) {
            true => Err(Refused::NotSupportedForLearner),
            false => Ok(()),
        }
    }

    fn complete(&self, header: &mut Option<etcd::ResponseHeader>) {
        let revision = header.map_or(0, |header| header.revision);
        *header = Some(self.member.header(revision));
    }
}

#[tonic::async_trait]
impl Kv for KvService {
    async fn range(&self, req: Request<etcd::RangeRequest>) -> Result<Response<etcd::RangeResponse>, Status> {
        if !req.get_ref().serializable {
            self.check_learner()?;
        }
        let mut rsp = self.member.range(req.get_ref()).await?;
        self.complete(&mut rsp.header);
        Ok(Response::new(rsp))
    }

    async fn put(&self, req: Request<etcd::PutRequest>) -> Result<Response<etcd::PutResponse>, Status> {
        self.check_learner()?;
        let Answer::Put(mut rsp) = self.member.put(req.into_inner()).await? else { return Err(unexpected()) };
        self.complete(&mut rsp.header);
        Ok(Response::new(rsp))
    }

    async fn delete_range(
        &self,
        req: Request<etcd::DeleteRangeRequest>,
    ) -> Result<Response<etcd::DeleteRangeResponse>, Status> {
        self.check_learner()?;
        let Answer::DeleteRange(mut rsp) = self.member.delete_range(req.into_inner()).await? else {
            return Err(unexpected());
        };
        self.complete(&mut rsp.header);
        Ok(Response::new(rsp))
    }

    async fn txn(&self, req: Request<etcd::TxnRequest>) -> Result<Response<etcd::TxnResponse>, Status> {
        self.check_learner()?;
        let mut rsp = self.member.txn(req.into_inner()).await?;
        self.complete(&mut rsp.header);
        Ok(Response::new(rsp))
    }

    async fn compact(
        &self,
        req: Request<etcd::CompactionRequest>,
    ) -> Result<Response<etcd::CompactionResponse>, Status> {
        self.check_learner()?;
        let Answer::Compact(mut rsp) = self.member.compact(req.into_inner()).await? else { return Err(unexpected()) };
        self.complete(&mut rsp.header);
        Ok(Response::new(rsp))
    }
}

/// The log answered with something else than was asked: a leader of another version.
pub fn unexpected() -> Status {
    Refused::Stopped.into()
}
