//! Members over gRPC: `keelson.raft.v1`, one channel to each.

mod forward;
mod send;
mod unanswered;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use daemon::tls::ClientIdentity;
use futures::{Stream, StreamExt, stream};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use parking_lot::Mutex;
use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::raft_client::RaftClient;
use proto::keelson::raft::v1::reconfigure_request::Change;
use send::Sending;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use unanswered::Unanswered;

use super::Transport;
use super::traffic::{self, Asked, Traffic};
use crate::forward::Carried;
use crate::member::{Member, REQUEST_TIMEOUT};
use crate::raft::codec;
use crate::raft::types::{Peer, TypeConfig, Vote};
use crate::refused::Refused;
use crate::reply;
use crate::snapshot::SnapshotData;

/// Messages between members are as large as the entries that they carry.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing comes back for so long is dead.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Why a member cannot be dialled at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("it has no peer URL")]
    NoUrl,
    #[error("{0} needs --peer-trusted-ca-file")]
    NoIdentity(String),
    #[error(transparent)]
    Tls(#[from] daemon::tls::Error),
    #[error(transparent)]
    Url(#[from] tonic::transport::Error),
}

/// How members are reached.
#[derive(Clone)]
pub struct GrpcTransport {
    inner: Arc<Inner>,
}

struct Inner {
    cluster_id: u64,
    identity: Option<Arc<ClientIdentity>>,
    epoch: AtomicU64,
    peers: Mutex<BTreeMap<u64, (Vec<String>, Channel)>>,
    traffic: Traffic,
    older: forward::Older,
    /// Who calls; it holds this transport itself.
    member: OnceLock<Weak<Member>>,
}

impl GrpcTransport {
    pub fn new(cluster_id: u64, identity: Option<Arc<ClientIdentity>>) -> Self {
        Self {
            inner: Arc::new(Inner {
                cluster_id,
                identity,
                epoch: AtomicU64::new(0),
                peers: Mutex::default(),
                traffic: Traffic::default(),
                older: forward::Older::default(),
                member: OnceLock::new(),
            }),
        }
    }

    /// Appends say from here on whether a quorum follows `member`, whose calls go this way.
    pub fn speak_for(&self, member: &Arc<Member>) {
        self.inner.member.get_or_init(|| Arc::downgrade(member));
    }

    fn is_without_quorum(&self) -> bool {
        let member = self.inner.member.get().and_then(Weak::upgrade);
        member.is_some_and(|member| !member.leads_quorum())
    }

    /// The channel to a member, made anew when its URLs changed. Of several URLs the first is dialled.
    pub fn connect(&self, member: u64, urls: &[String]) -> Result<Channel, ConnectError> {
        let mut peers = self.inner.peers.lock();
        if let Some((known, channel)) = peers.get(&member)
            && known == urls
        {
            return Ok(channel.clone());
        }
        let channel = dial(urls.first().ok_or(ConnectError::NoUrl)?, self.inner.identity.as_ref())?;
        peers.insert(member, (urls.to_vec(), channel.clone()));
        Ok(channel)
    }

    /// The channel to a member where the roster knows it, else to where it was when openraft began to call it.
    fn connect_known(&self, member: u64, urls: &[String]) -> Result<Channel, ConnectError> {
        let known = self.inner.peers.lock().get(&member).map(|(_, channel)| channel.clone());
        known.map_or_else(|| self.connect(member, urls), Ok)
    }

    fn client(&self, member: u64) -> Option<RaftClient<Channel>> {
        let channel = self.inner.peers.lock().get(&member)?.1.clone();
        Some(client(channel))
    }

    fn target(&self, member_id: u64) -> Option<pb::Target> {
        let epoch = self.inner.epoch.load(Ordering::Relaxed);
        Some(pb::Target { cluster_id: self.inner.cluster_id, member_id, epoch })
    }
}

/// A channel to a peer URL; it connects when it is first used.
pub fn dial(url: &str, identity: Option<&Arc<ClientIdentity>>) -> Result<Channel, ConnectError> {
    match identity {
        Some(identity) if url.starts_with("https") => Ok(identity.channel(url, None)?),
        _ if url.starts_with("https") => Err(ConnectError::NoIdentity(url.to_owned())),
        _ => Ok(Endpoint::from_shared(url.to_owned())?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .connect_lazy()),
    }
}

pub fn client(channel: Channel) -> RaftClient<Channel> {
    RaftClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
}

#[async_trait]
impl Transport for GrpcTransport {
    async fn read_index(&self, leader: u64) -> Result<Option<u64>, Refused> {
        let mut client = self.client(leader).ok_or(Refused::NoLeader)?;
        let call = client.read_index(pb::ReadIndexRequest { target: self.target(leader) });
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(rsp)) => Ok(rsp.into_inner().log_id.map(|id| id.index)),
            Ok(Err(_)) => Err(Refused::LeaderChanged),
            Err(_) => Err(Refused::Timeout),
        }
    }

    async fn forward(&self, leader: u64, commands: Vec<pb::Command>) -> Vec<Carried> {
        self.carry(leader, commands).await
    }

    async fn keep_alive(&self, leader: u64, lease: i64) -> Result<i64, Refused> {
        self.lease(leader, lease, false).await
    }

    async fn lease_left(&self, leader: u64, lease: i64) -> Result<i64, Refused> {
        self.lease(leader, lease, true).await
    }

    async fn reconfigure(&self, leader: u64, change: Change) -> Result<pb::ReconfigureResponse, Refused> {
        let mut client = self.client(leader).ok_or(Refused::NoLeader)?;
        let req = pb::ReconfigureRequest { target: self.target(leader), change: Some(change) };
        match tokio::time::timeout(REQUEST_TIMEOUT, client.reconfigure(req)).await {
            Ok(Ok(rsp)) => reply::from_refusal(rsp.into_inner()),
            Ok(Err(status)) if status.code() == tonic::Code::FailedPrecondition => Err(Refused::NotLeader),
            Ok(Err(_)) => Err(Refused::LeaderChanged),
            Err(_) => Err(Refused::Timeout),
        }
    }

    async fn members(&self, member: u64) -> Result<pb::MembersResponse, Refused> {
        let mut client = self.client(member).ok_or(Refused::MemberNotFound)?;
        match tokio::time::timeout(CALL_TIMEOUT, client.members(pb::MembersRequest { linearizable: true })).await {
            Ok(Ok(rsp)) => Ok(rsp.into_inner()),
            Ok(Err(_)) => Err(Refused::NoLeader),
            Err(_) => Err(Refused::Timeout),
        }
    }

    fn meet(&self, member: u64, peer_urls: &[String]) {
        if let Err(error) = self.connect(member, peer_urls) {
            tracing::warn!(%error, member = format!("{member:x}"), "a member of the cluster cannot be dialled");
        }
    }

    fn fence(&self, epoch: u64) {
        self.inner.epoch.store(epoch, Ordering::Relaxed);
    }

    fn traffic(&self) -> Option<&Traffic> {
        Some(&self.inner.traffic)
    }
}

impl GrpcTransport {
    async fn lease(&self, leader: u64, lease_id: i64, peek: bool) -> Result<i64, Refused> {
        let mut client = self.client(leader).ok_or(Refused::NoLeader)?;
        let req = pb::KeepAliveRequest { target: self.target(leader), lease_id, peek };
        match tokio::time::timeout(CALL_TIMEOUT, client.keep_alive(req)).await {
            Ok(Ok(rsp)) => Ok(rsp.into_inner().ttl),
            Ok(Err(_)) => Err(Refused::LeaderChanged),
            Err(_) => Err(Refused::Timeout),
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for GrpcTransport {
    type Network = Network;

    async fn new_client(&mut self, target: u64, node: &Peer) -> Network {
        Network { transport: self.clone(), target, urls: node.peer_urls.clone() }
    }
}

/// The way to one member.
pub struct Network {
    transport: GrpcTransport,
    target: u64,
    urls: Vec<String>,
}

type Rpc<T> = Result<T, RPCError<TypeConfig>>;

fn unreachable(error: &(impl std::error::Error + 'static)) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(error))
}

fn failed(error: &(impl std::error::Error + 'static)) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(error))
}

fn rpc_error(status: &tonic::Status) -> RPCError<TypeConfig> {
    match status.code() {
        tonic::Code::Unavailable | tonic::Code::DeadlineExceeded => unreachable(status),
        _ => failed(status),
    }
}

/// Says why a member does not answer as it should.
fn unheard(peer: &traffic::Peer, member: u64, status: &tonic::Status) {
    if !peer.notices.is_due(status.code() as i32) {
        return;
    }
    let mut reason = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        reason = format!("{}: {cause}", status.message());
        source = cause.source();
    }
    tracing::warn!(member = format!("{member:x}"), reason, "a member of the cluster does not answer");
}

fn heard(peer: &traffic::Peer, member: u64) {
    if peer.notices.is_over() {
        tracing::info!(member = format!("{member:x}"), "a member of the cluster answers again");
    }
}

impl Network {
    fn client(&self) -> Rpc<RaftClient<Channel>> {
        self.transport.connect_known(self.target, &self.urls).map(client).map_err(|error| unreachable(&error))
    }

    /// A call with openraft's time limit, whose answer shows that the member is there and takes calls.
    async fn call<T>(
        &self,
        option: &RPCOption,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Rpc<T> {
        let answer = self.begin(option, call).await?;
        heard(&self.transport.inner.traffic.of(self.target), self.target);
        Ok(answer)
    }

    /// As [`Self::call`], of a stream, which may still be refused; a member that cannot be reached is told apart, for the
    /// back-off.
    async fn begin<T>(
        &self,
        option: &RPCOption,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Rpc<T> {
        let (peer, asked) = (self.transport.inner.traffic.of(self.target), Instant::now());
        let elapsed = |_| tonic::Status::deadline_exceeded("no answer in time");
        match tokio::time::timeout(option.soft_ttl(), call).await.map_err(elapsed).flatten() {
            Ok(rsp) => {
                peer.answered(asked);
                Ok(rsp.into_inner())
            }
            Err(status) => {
                peer.failed();
                unheard(&peer, self.target, &status);
                Err(rpc_error(&status))
            }
        }
    }

    fn vote_request(&self, rpc: &VoteRequest<TypeConfig>) -> pb::VoteRequest {
        pb::VoteRequest {
            target: self.transport.target(self.target),
            vote: Some(codec::vote(&rpc.vote)),
            last_log_id: rpc.last_log_id.as_ref().map(codec::log_id),
            leadership_transfer: rpc.leadership_transfer,
        }
    }
}

fn append_request(transport: &GrpcTransport, to: u64, rpc: AppendEntriesRequest<TypeConfig>) -> pb::AppendRequest {
    pb::AppendRequest {
        target: transport.target(to),
        vote: Some(codec::vote(&rpc.vote)),
        prev_log_id: rpc.prev_log_id.as_ref().map(codec::log_id),
        committed: rpc.leader_commit.as_ref().map(codec::log_id),
        entries: rpc.entries.iter().map(codec::entry).collect(),
        without_quorum: transport.is_without_quorum(),
    }
}

fn vote_response(rsp: pb::VoteResponse) -> Rpc<VoteResponse<TypeConfig>> {
    let vote = codec::vote_back(rsp.vote).map_err(|error| failed(&error))?;
    Ok(VoteResponse::new(vote, rsp.last_log_id.map(codec::log_id_back), rsp.granted))
}

fn append_result(rsp: pb::AppendResponse) -> Rpc<StreamAppendResult<TypeConfig>> {
    use pb::append_response::Result as Wire;
    match rsp.result {
        Some(Wire::Matched(matched)) => Ok(Ok(matched.log_id.map(codec::log_id_back))),
        Some(Wire::Conflict(id)) => Ok(Err(StreamAppendError::Conflict(codec::log_id_back(id)))),
        Some(Wire::HigherVote(vote)) => {
            let vote = codec::vote_back(Some(vote)).map_err(|error| failed(&error))?;
            Ok(Err(StreamAppendError::HigherVote(vote)))
        }
        None => Err(failed(&io::Error::other("an append was answered with nothing"))),
    }
}

impl RaftNetworkV2<TypeConfig> for Network {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<TypeConfig>> {
        let mut client = self.client()?;
        let req = append_request(&self.transport, self.target, rpc);
        let call = async move {
            let mut answers = client.append(stream::iter([req])).await?.into_inner();
            let first = answers.message().await?;
            first.map(tonic::Response::new).ok_or_else(|| tonic::Status::unavailable("the append was not answered"))
        };
        let result = append_result(self.call(&option, call).await?)?;
        Ok(match result {
            Ok(_) => AppendEntriesResponse::Success,
            Err(StreamAppendError::Conflict(_)) => AppendEntriesResponse::Conflict,
            Err(StreamAppendError::HigherVote(vote)) => AppendEntriesResponse::HigherVote(vote),
        })
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Rpc<BoxStream<'s, Rpc<StreamAppendResult<TypeConfig>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        Box::pin(async move {
            // openraft rests between attempts where it makes the next request: nobody is called before there is one.
            let mut input = input;
            let Some(first) = input.next().await else { return Ok(stream::empty().boxed()) };
            let input = stream::iter([first]).chain(input);
            let mut client = self.client()?;
            let (transport, member) = (self.transport.clone(), self.target);
            let peer = self.transport.inner.traffic.of(self.target);
            let (asked, unanswered) = (Arc::new(Asked::default()), Arc::new(Unanswered::default()));
            let (sending, pulled, to) = (asked.clone(), unanswered.clone(), peer.clone());
            let requests = input.map(move |rpc| {
                pulled.sent(&rpc);
                let request = append_request(&transport, member, rpc);
                to.sent_bytes.add(prost::Message::encoded_len(&request) as u64);
                sending.sent();
                request
            });
            let answers = self.begin(&option, client.append(requests)).await?;
            let answers = answers.map(move |answer| {
                match (&answer, asked.answered()) {
                    (Ok(rsp), Some(sent)) => {
                        peer.received_bytes.add(prost::Message::encoded_len(rsp) as u64);
                        peer.answered(sent);
                        heard(&peer, member);
                    }
                    (Ok(_), None) => {}
                    (Err(status), _) => {
                        peer.failed();
                        unheard(&peer, member, status);
                    }
                }
                answer.map_err(|status| rpc_error(&status)).and_then(append_result)
            });
            let answers = answers.filter(move |answer| std::future::ready(unanswered.is_whole(answer)));
            Ok(Box::pin(answers) as BoxStream<'s, _>)
        })
    }

    async fn vote(&mut self, rpc: VoteRequest<TypeConfig>, option: RPCOption) -> Rpc<VoteResponse<TypeConfig>> {
        let mut client = self.client()?;
        vote_response(self.call(&option, client.vote(self.vote_request(&rpc))).await?)
    }

    async fn pre_vote(&mut self, rpc: VoteRequest<TypeConfig>, option: RPCOption) -> Rpc<VoteResponse<TypeConfig>> {
        let mut client = self.client()?;
        vote_response(self.call(&option, client.pre_vote(self.vote_request(&rpc))).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let unreachable = |error: io::Error| StreamingError::Unreachable(Unreachable::new(&error));
        let SnapshotData::Taken(taken) = snapshot.snapshot else {
            return Err(unreachable(io::Error::other("a received snapshot is not passed on")));
        };
        let begin = pb::SnapshotBegin {
            target: self.transport.target(self.target),
            vote: Some(codec::vote(&vote)),
            meta: Some(codec::snapshot_meta(&snapshot.meta)),
            transfer: rand::random::<u64>().max(1),
            offset: 0,
        };
        let call = async {
            let vote = Sending::new(taken, begin).run(|| self.client().map_err(io::Error::other)).await;
            vote.map(SnapshotResponse::new).map_err(unreachable)
        };
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            result = call => result,
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<TypeConfig>> {
        let mut client = self.client()?;
        let wire = pb::TransferLeaderRequest {
            target: self.transport.target(self.target),
            from_vote: Some(codec::vote(req.from_leader())),
            to_member_id: *req.to_node_id(),
            last_log_id: req.last_log_id().map(codec::log_id),
        };
        let rsp = self.call(&option, client.transfer_leader(wire)).await?;
        match rsp.refused.is_empty() {
            true => Ok(Ok(())),
            false => Err(failed(&io::Error::other(rsp.refused))),
        }
    }
}
