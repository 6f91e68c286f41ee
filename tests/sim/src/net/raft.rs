//! openraft's calls over the simulated network; what passes is shown to the invariants.

use std::future::Future;
use std::io;
use std::time::Duration;

use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::rt::WatchReceiver;
use openraft::type_config::alias::SnapshotOf;
use store::raft::types::{Peer, TypeConfig, Vote};
use store::refused::Refused;
use store::snapshot::{SnapshotData, received_name};

use super::{Live, Lost, Net, Wire};
use crate::planted::Planted;

/// How long a snapshot may take.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(10);

type Rpc<T> = Result<T, RPCError<TypeConfig>>;

/// The way from one member to another.
pub struct Link {
    net: Net,
    from: u64,
    to: u64,
}

impl RaftNetworkFactory<TypeConfig> for Wire {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _node: &Peer) -> Link {
        Link { net: self.net.clone(), from: self.from, to: target }
    }
}

fn text(error: impl ToString) -> io::Error {
    io::Error::other(error.to_string())
}

fn lost(lost: Lost) -> RPCError<TypeConfig> {
    match lost {
        Lost::Before => RPCError::Unreachable(Unreachable::new(&text("it did not arrive"))),
        Lost::Maybe => RPCError::Network(NetworkError::new(&text("no answer came"))),
    }
}

fn failed(error: impl ToString) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(&text(error)))
}

fn broken(error: impl ToString) -> StreamingError<TypeConfig> {
    StreamingError::Unreachable(Unreachable::new(&text(error)))
}

impl Link {
    async fn call<T, F>(&self, option: &RPCOption, run: impl Fn(Live) -> F) -> Rpc<T>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        self.net.call((self.from, self.to), option.hard_ttl(), true, run).await.map_err(lost)
    }

    /// The receiver's own term instead of the leader's: for a receiver that would not compare.
    fn pretend_term(&self, rpc: &mut AppendEntriesRequest<TypeConfig>) {
        let Some(live) = self.net.live(self.to) else { return };
        let vote = live.member.raft.metrics().borrow_watched().vote;
        if vote.is_committed() && vote > rpc.vote {
            rpc.vote = vote;
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        mut rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<TypeConfig>> {
        self.net.watchdog.append(&self.net, self.from, &rpc);
        match self.net.planted {
            Some(Planted::TermNotChecked) => self.pretend_term(&mut rpc),
            Some(Planted::AckWithoutStoring) if !rpc.entries.is_empty() && self.net.is_lying() => {
                return Ok(AppendEntriesResponse::Success);
            }
            _ => {}
        }
        let with_quorum = self.net.live(self.from).is_some_and(|live| live.member.leads_quorum());
        let run = |live: Live| {
            let rpc = rpc.clone();
            async move {
                live.member.hear(with_quorum);
                live.member.raft.append_entries(rpc).await
            }
        };
        self.call(&option, run).await?.map_err(failed)
    }

    async fn vote(&mut self, rpc: VoteRequest<TypeConfig>, option: RPCOption) -> Rpc<VoteResponse<TypeConfig>> {
        let early = self.net.planted == Some(Planted::VotesWhileRejoining);
        let run = |live: Live| {
            let rpc = rpc.clone();
            async move {
                match early {
                    true => live.member.raft.vote(rpc).await.map_err(|_| Refused::Stopped),
                    false => live.member.vote(rpc).await,
                }
            }
        };
        let mut answer = self.call(&option, run).await?.map_err(failed)?;
        if self.net.planted == Some(Planted::EveryVoteGranted) && !answer.vote_granted {
            (answer.vote, answer.vote_granted) = (rpc.vote, true);
        }
        Ok(answer)
    }

    async fn pre_vote(&mut self, rpc: VoteRequest<TypeConfig>, option: RPCOption) -> Rpc<VoteResponse<TypeConfig>> {
        let early = self.net.planted == Some(Planted::VotesWhileRejoining);
        let run = |live: Live| {
            let rpc = rpc.clone();
            async move {
                match early {
                    true => live.member.raft.pre_vote(rpc).await.map_err(|_| Refused::Stopped),
                    false => live.member.pre_vote(rpc).await,
                }
            }
        };
        self.call(&option, run).await?.map_err(failed)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
        _cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let SnapshotData::Taken(taken) = snapshot.snapshot else { panic!("only taken snapshots are sent") };
        let Some(to) = self.net.live(self.to) else { return Err(broken("nobody is there")) };
        // A file of its own for each transfer, as the service has it.
        let name = received_name(self.net.dice.draw());
        let file = to.disk_file(&name).map_err(broken)?;
        let mut blocks = taken.blocks();
        let mut offset = 0;
        while let Some(bytes) = blocks.next_bytes().map_err(broken)? {
            if !self.net.passes(self.from, self.to).await {
                return Err(broken("the connection broke"));
            }
            file.write_at(offset, &bytes).map_err(broken)?;
            offset += bytes.len() as u64;
        }
        let meta = snapshot.meta;
        let run = |live: Live| {
            let snapshot = openraft::Snapshot { meta: meta.clone(), snapshot: SnapshotData::Received(name.clone()) };
            async move { live.member.raft.install_full_snapshot(vote, snapshot).await }
        };
        let answer = self.net.call((self.from, self.to), SNAPSHOT_TIMEOUT, false, run).await;
        let answer = answer.map_err(|lost| broken(format!("{lost:?}")))?.map_err(broken)?;
        self.net.snapshot_arrived();
        Ok(answer)
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<TypeConfig>> {
        let run = |live: Live| {
            let req = req.clone();
            async move {
                live.member.check_votes().map_err(|refused| refused.to_string())?;
                live.member.raft.handle_transfer_leader(req).await.map_err(|error| error.to_string())
            }
        };
        self.call(&option, run).await?.map_err(failed)
    }
}

impl Live {
    fn disk_file(&self, name: &str) -> io::Result<std::sync::Arc<dyn store::env::File>> {
        use store::env::Disk;
        let file = self.disk.open(name, true)?;
        file.set_size(0)?;
        Ok(file)
    }
}
