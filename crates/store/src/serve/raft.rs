//! keelson.raft.v1: what the other members call.

mod receive;

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use openraft::raft::{AppendEntriesRequest, StreamAppendError, TransferLeaderRequest, VoteRequest};
use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::raft_server::Raft;
use tonic::{Request, Response, Status, Streaming};

use crate::forwarded::is_known;
use crate::member::{Member, REQUEST_TIMEOUT};
use crate::propose::Unproposed;
use crate::raft::codec::{self, CodecError};
use crate::raft::types::TypeConfig;
use crate::read_index;
use crate::refused::Refused;
use crate::reply;
use crate::snapshot::SnapshotData;
use crate::status::{malformed, misdirected};
use receive::Receiving;

pub struct RaftService {
    member: Arc<Member>,
    receiving: Receiving,
}

impl RaftService {
    pub fn new(member: Arc<Member>) -> Self {
        let receiving = Receiving::new(member.env.disk.clone());
        Self { member, receiving }
    }

    fn check(&self, target: Option<pb::Target>) -> Result<(), Status> {
        check(&self.member, target)
    }

    fn vote_request(&self, req: pb::VoteRequest) -> Result<VoteRequest<TypeConfig>, Status> {
        self.check(req.target)?;
        let vote = codec::vote_back(req.vote).map_err(malformed)?;
        let mut rpc = VoteRequest::new(vote, req.last_log_id.map(codec::log_id_back));
        rpc.leadership_transfer = req.leadership_transfer;
        Ok(rpc)
    }
}

/// Refuses calls that are meant for somebody else.
fn check(member: &Member, target: Option<pb::Target>) -> Result<(), Status> {
    let owner = member.owner;
    let to = target.unwrap_or_default();
    let epoch = member.epoch().unwrap_or(to.epoch);
    if (to.cluster_id, to.member_id, to.epoch) == (owner.cluster_id, owner.member_id, epoch) {
        return Ok(());
    }
    let refused = misdirected(to, pb::Target { cluster_id: owner.cluster_id, member_id: owner.member_id, epoch });
    if member.strangers.is_due(0) {
        tracing::warn!(reason = refused.message(), "a call of another member is refused");
    }
    Err(refused)
}

fn vote_response(rsp: openraft::raft::VoteResponse<TypeConfig>) -> Response<pb::VoteResponse> {
    Response::new(pb::VoteResponse {
        vote: Some(codec::vote(&rsp.vote)),
        last_log_id: rsp.last_log_id.as_ref().map(codec::log_id),
        granted: rsp.vote_granted,
    })
}

fn append_request(req: pb::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>, CodecError> {
    Ok(AppendEntriesRequest {
        vote: codec::vote_back(req.vote)?,
        prev_log_id: req.prev_log_id.map(codec::log_id_back),
        entries: req.entries.into_iter().map(codec::entry_back).collect::<Result<_, _>>()?,
        leader_commit: req.committed.map(codec::log_id_back),
    })
}

fn append_response(result: openraft::raft::StreamAppendResult<TypeConfig>) -> pb::AppendResponse {
    use pb::append_response::Result as Wire;
    let result = match result {
        Ok(matched) => Wire::Matched(pb::Matched { log_id: matched.as_ref().map(codec::log_id) }),
        Err(StreamAppendError::Conflict(id)) => Wire::Conflict(codec::log_id(&id)),
        Err(StreamAppendError::HigherVote(vote)) => Wire::HigherVote(codec::vote(&vote)),
    };
    pb::AppendResponse { result: Some(result) }
}

fn stopped(_: impl std::fmt::Display) -> Status {
    Refused::Stopped.into()
}

fn unproposed(why: Unproposed) -> Status {
    match why {
        Unproposed::NotLeader => Refused::NotLeader.into(),
        Unproposed::Lost => Refused::Timeout.into(),
    }
}

type Appends = Pin<Box<dyn Stream<Item = Result<pb::AppendResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Raft for RaftService {
    type AppendStream = Appends;

    async fn append(&self, req: Request<Streaming<pb::AppendRequest>>) -> Result<Response<Appends>, Status> {
        let member = self.member.clone();
        let refused: Arc<parking_lot::Mutex<Option<Status>>> = Arc::default();
        let refusal = refused.clone();
        // The stream ends at the first request that is not for this member, or makes no sense; the caller is told why.
        let requests = req.into_inner().scan((), move |(), req| {
            let taken = req.and_then(|req| {
                check(&member, req.target)?;
                member.hear(!req.without_quorum);
                if let (Some(traffic), Some(vote)) = (member.transport.traffic(), &req.vote) {
                    traffic.of(vote.member_id).received_bytes.add(prost::Message::encoded_len(&req) as u64);
                }
                append_request(req).map_err(malformed)
            });
            std::future::ready(taken.map_err(|status| *refusal.lock() = Some(status)).ok())
        });
        let answers = self.member.raft.stream_append(requests);
        let answers = answers.map(|answer| answer.map(append_response).map_err(stopped));
        let reason = stream::once(async move { refused.lock().take() }).filter_map(|status| async { status.map(Err) });
        let stopping = self.member.stopping.clone();
        Ok(Response::new(Box::pin(answers.chain(reason).take_until(stopping.cancelled_owned()))))
    }

    async fn vote(&self, req: Request<pb::VoteRequest>) -> Result<Response<pb::VoteResponse>, Status> {
        let rpc = self.vote_request(req.into_inner())?;
        Ok(vote_response(self.member.vote(rpc).await?))
    }

    async fn pre_vote(&self, req: Request<pb::VoteRequest>) -> Result<Response<pb::VoteResponse>, Status> {
        let rpc = self.vote_request(req.into_inner())?;
        Ok(vote_response(self.member.pre_vote(rpc).await?))
    }

    async fn install_snapshot(
        &self,
        req: Request<Streaming<pb::SnapshotChunk>>,
    ) -> Result<Response<pb::SnapshotResponse>, Status> {
        let mut chunks = req.into_inner();
        let Some(pb::SnapshotChunk { part: Some(pb::snapshot_chunk::Part::Begin(begin)) }) = chunks.message().await?
        else {
            return Err(malformed("a snapshot begins with its meta"));
        };
        self.check(begin.target)?;
        let vote = codec::vote_back(begin.vote).map_err(malformed)?;
        let meta = codec::snapshot_meta_back(begin.meta.clone()).map_err(malformed)?;
        let name = self.receiving.receive(&begin, chunks).await?;
        let snapshot = openraft::Snapshot { meta, snapshot: SnapshotData::Received(name) };
        let rsp = self.member.raft.install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        Ok(Response::new(pb::SnapshotResponse { vote: Some(codec::vote(&rsp.vote)) }))
    }

    async fn snapshot_progress(
        &self,
        req: Request<pb::SnapshotProgressRequest>,
    ) -> Result<Response<pb::SnapshotProgressResponse>, Status> {
        let req = req.into_inner();
        self.check(req.target)?;
        Ok(Response::new(pb::SnapshotProgressResponse { received: self.receiving.progress(req.transfer).await }))
    }

    async fn members(&self, req: Request<pb::MembersRequest>) -> Result<Response<pb::MembersResponse>, Status> {
        if req.into_inner().linearizable {
            self.member.linearize().await?;
        }
        let held = self.member.shared.held.read();
        let membership = &held.state.membership;
        Ok(Response::new(pb::MembersResponse {
            cluster_id: self.member.owner.cluster_id,
            epoch: held.state.epoch,
            membership: Some(pb::StoredMembership {
                log_id: membership.log_id().as_ref().map(codec::log_id),
                membership: Some(codec::membership(membership.membership())),
            }),
            attributes: held.state.attributes.values().cloned().collect(),
        }))
    }

    async fn reconfigure(
        &self,
        req: Request<pb::ReconfigureRequest>,
    ) -> Result<Response<pb::ReconfigureResponse>, Status> {
        let req = req.into_inner();
        self.check(req.target)?;
        let change = req.change.ok_or_else(|| malformed("a change of the membership without a change"))?;
        let deadline = tokio::time::Instant::now() + REQUEST_TIMEOUT;
        match self.member.reconfigure_leading(&change, deadline).await {
            Ok(rsp) => Ok(Response::new(rsp)),
            Err(Refused::NotLeader) => Err(Refused::NotLeader.into()),
            Err(refused) => {
                let refusal = Some(reply::to_refusal(refused));
                Ok(Response::new(pb::ReconfigureResponse { refusal, ..Default::default() }))
            }
        }
    }

    async fn transfer_leader(
        &self,
        req: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderResponse>, Status> {
        let req = req.into_inner();
        self.check(req.target)?;
        self.member.check_votes()?;
        let from = codec::vote_back(req.from_vote).map_err(malformed)?;
        let rpc = TransferLeaderRequest::new(from, req.to_member_id, req.last_log_id.map(codec::log_id_back));
        let result = self.member.raft.handle_transfer_leader(rpc).await.map_err(stopped)?;
        let refused = result.err().map(|error| error.to_string()).unwrap_or_default();
        Ok(Response::new(pb::TransferLeaderResponse { refused }))
    }

    async fn read_index(&self, req: Request<pb::ReadIndexRequest>) -> Result<Response<pb::ReadIndexResponse>, Status> {
        self.check(req.into_inner().target)?;
        let (term, index) = read_index::confirm(&self.member.raft).await?;
        let log_id = index.map(|index| pb::LogId { term, index });
        Ok(Response::new(pb::ReadIndexResponse { log_id }))
    }

    async fn forward(&self, req: Request<pb::ForwardRequest>) -> Result<Response<pb::ForwardResponse>, Status> {
        let req = req.into_inner();
        self.check(req.target)?;
        let command = req.command.filter(is_known);
        let command =
            command.ok_or_else(|| malformed("a forwarded request of a kind that this version does not know"))?;
        let outcomes = self.member.propose_forwarded(vec![command]).await.map_err(unproposed)?;
        let reply = outcomes.into_iter().next().map(reply::to_wire);
        Ok(Response::new(pb::ForwardResponse { reply }))
    }

    async fn forward_all(
        &self,
        req: Request<pb::ForwardAllRequest>,
    ) -> Result<Response<pb::ForwardAllResponse>, Status> {
        let req = req.into_inner();
        self.check(req.target)?;
        let outcomes = self.member.propose_forwarded(req.commands).await.map_err(unproposed)?;
        let replies = outcomes.into_iter().map(reply::to_wire).collect();
        Ok(Response::new(pb::ForwardAllResponse { replies }))
    }

    async fn keep_alive(&self, req: Request<pb::KeepAliveRequest>) -> Result<Response<pb::KeepAliveResponse>, Status> {
        let req = req.into_inner();
        self.check(req.target)?;
        if !self.member.is_leader() {
            return Err(Refused::NotLeader.into());
        }
        let ttl = match req.peek {
            true => self.member.lease_left(req.lease_id),
            false => self.member.renew_leading(req.lease_id).await?,
        };
        Ok(Response::new(pb::KeepAliveResponse { ttl }))
    }
}
