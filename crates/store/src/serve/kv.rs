//! etcdserverpb.KV.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use daemon::serve::direct;
use proto::etcdserverpb as etcd;
use tonic::{Request, Response, Status};

use super::credentials::credentials;
use crate::ask::Credentials;
use crate::counts::calls::Call;
use crate::member::Member;
use crate::refused::Refused;
use crate::reply::Answer;
use crate::shared::ReadError;

pub struct KvService {
    member: Arc<Member>,
    calls: KvCalls,
}

/// Counted here and not by a layer: these are the calls that must cost nothing.
struct KvCalls {
    range: Arc<Call>,
    put: Arc<Call>,
    delete_range: Arc<Call>,
    txn: Arc<Call>,
    compact: Arc<Call>,
}

impl KvService {
    /// A learner reads only what it has; these calls do not pass by the layer that refuses the others.
    fn check_learner(&self) -> Result<(), Refused> {
        match self.member.learner.load(Ordering::Relaxed) {
            true => Err(Refused::NotSupportedForLearner),
            false => Ok(()),
        }
    }

    pub fn new(member: Arc<Member>) -> Self {
        let of = |method: &str| member.shared.counts.calls.of(&format!("/etcdserverpb.KV/{method}"));
        let calls = KvCalls {
            range: of("Range"),
            put: of("Put"),
            delete_range: of("DeleteRange"),
            txn: of("Txn"),
            compact: of("Compact"),
        };
        Self { member, calls }
    }

    /// While users are off nobody asks, and nothing is copied.
    fn by<T>(&self, req: &Request<T>) -> Credentials {
        if self.member.shared.is_guarded() { credentials(req) } else { Credentials::default() }
    }

    fn complete(&self, header: &mut Option<etcd::ResponseHeader>) {
        let revision = header.map_or(0, |header| header.revision);
        *header = Some(self.member.header(revision));
    }

    /// Answers in the bytes that are sent.
    pub async fn range(&self, req: Request<etcd::RangeRequest>) -> Result<Vec<Bytes>, Status> {
        counted(&self.calls.range, async {
            if !req.get_ref().serializable {
                self.check_learner()?;
            }
            let by = self.by(&req);
            let (selection, view) = self.member.asked(&by).select(req.get_ref()).await?;
            let header = self.member.header(selection.revision());
            let encoding = match selection.encoding(&header) {
                Ok(encoding) => encoding,
                Err(selection) => {
                    let mut rsp = selection.finish_all(|locs| view.read_all(locs)).map_err(ReadError::from)?;
                    rsp.header = Some(header);
                    return Ok(vec![direct::framed(&rsp)]);
                }
            };
            let prefix = direct::prefix(encoding.len()).ok_or_else(|| too_large(encoding.len()))?;
            let locs = encoding.locs();
            let mut reading = view.reading(&locs);
            Ok(encoding.write(&prefix, || reading.next()).map_err(ReadError::from)?)
        })
        .await
    }

    pub async fn put(&self, req: Request<etcd::PutRequest>) -> Result<Response<etcd::PutResponse>, Status> {
        counted(&self.calls.put, async {
            self.check_learner()?;
            let by = self.by(&req);
            let Answer::Put(mut rsp) = self.member.asked(&by).put(req.into_inner()).await? else {
                return Err(unexpected());
            };
            self.complete(&mut rsp.header);
            Ok(Response::new(rsp))
        })
        .await
    }

    pub async fn delete_range(
        &self,
        req: Request<etcd::DeleteRangeRequest>,
    ) -> Result<Response<etcd::DeleteRangeResponse>, Status> {
        counted(&self.calls.delete_range, async {
            self.check_learner()?;
            let by = self.by(&req);
            let Answer::DeleteRange(mut rsp) = self.member.asked(&by).delete_range(req.into_inner()).await? else {
                return Err(unexpected());
            };
            self.complete(&mut rsp.header);
            Ok(Response::new(rsp))
        })
        .await
    }

    pub async fn txn(&self, req: Request<etcd::TxnRequest>) -> Result<Response<etcd::TxnResponse>, Status> {
        counted(&self.calls.txn, async {
            self.check_learner()?;
            let by = self.by(&req);
            let mut rsp = self.member.asked(&by).txn(req.into_inner()).await?;
            self.complete(&mut rsp.header);
            Ok(Response::new(rsp))
        })
        .await
    }

    pub async fn compact(
        &self,
        req: Request<etcd::CompactionRequest>,
    ) -> Result<Response<etcd::CompactionResponse>, Status> {
        counted(&self.calls.compact, async {
            self.check_learner()?;
            let by = self.by(&req);
            let Answer::Compact(mut rsp) = self.member.asked(&by).compact(req.into_inner()).await? else {
                return Err(unexpected());
            };
            self.complete(&mut rsp.header);
            Ok(Response::new(rsp))
        })
        .await
    }
}

/// Counts a call, and how it ended.
pub async fn counted<T>(call: &Call, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    call.begin();
    let result = work.await;
    call.end(result.as_ref().map_or_else(|status| status.code() as i32, |_| 0));
    result
}

/// As Go's gRPC says it for a message that its length has no room for.
fn too_large(len: usize) -> Status {
    Status::resource_exhausted(format!("grpc: trying to send message larger than max ({len} vs. {})", i32::MAX))
}

/// The log answered with something else than was asked: a leader of another version.
pub fn unexpected() -> Status {
    Refused::Stopped.into()
}
