//! v3electionpb.Election: one leader of a name at a time, with a value that everybody may follow.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use proto::mvccpb::KeyValue;
use proto::v3electionpb as pb;
use proto::v3electionpb::election_server::Election;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::credentials::credentials;
use crate::member::Member;
use crate::mvcc::range::key_value;
use crate::queue::{Line, Place, Waiting};
use crate::refused::Refused;

/// Leaders that wait for a slow client.
const LEADERS_LEN_MAX: usize = 16;

pub struct ElectionService {
    pub member: Arc<Member>,
}

type Leaders = Pin<Box<dyn Stream<Item = Result<pb::LeaderResponse, Status>> + Send>>;

/// etcd's texts, which have no code of their own.
fn not_leader() -> Status {
    Status::unknown("election: not leader")
}

fn leader(leader: Option<pb::LeaderKey>) -> Result<pb::LeaderKey, Status> {
    leader.ok_or_else(|| Status::unknown("\"leader\" field must be provided"))
}

#[tonic::async_trait]
impl Election for ElectionService {
    type ObserveStream = Leaders;

    async fn campaign(&self, req: Request<pb::CampaignRequest>) -> Result<Response<pb::CampaignResponse>, Status> {
        let line = Line::new(self.member.clone(), credentials(&req), &req.get_ref().name);
        let req = req.into_inner();
        let value = Bytes::from(req.value);
        let place = line.join(req.lease, value.clone()).await?;
        let mut waiting = Waiting { line: line.clone(), place: Some(place.clone()) };
        if place.found.as_ref().is_some_and(|found| *found != value) {
            line.set(&place.key, place.created, place.lease, value).await?.ok_or_else(not_leader)?;
        }
        line.wait_turn(&place).await?;
        waiting.place = None;
        let Place { key, created, lease, .. } = place;
        let leader = pb::LeaderKey { name: req.name, key: key.into(), rev: created, lease };
        let header = Some(self.member.header(self.member.shared.revision()));
        Ok(Response::new(pb::CampaignResponse { header, leader: Some(leader) }))
    }

    async fn proclaim(&self, req: Request<pb::ProclaimRequest>) -> Result<Response<pb::ProclaimResponse>, Status> {
        let by = credentials(&req);
        let req = req.into_inner();
        let leader = leader(req.leader)?;
        let line = Line::new(self.member.clone(), by, &leader.name);
        let set = line.set(&leader.key.into(), leader.rev, leader.lease, req.value.into()).await?;
        let revision = set.ok_or_else(not_leader)?;
        Ok(Response::new(pb::ProclaimResponse { header: Some(self.member.header(revision)) }))
    }

    async fn leader(&self, req: Request<pb::LeaderRequest>) -> Result<Response<pb::LeaderResponse>, Status> {
        let line = Line::new(self.member.clone(), credentials(&req), &req.get_ref().name);
        match line.first().await? {
            (Some(kv), revision) => {
                let header = Some(self.member.header(revision));
                Ok(Response::new(pb::LeaderResponse { header, kv: Some(kv) }))
            }
            (None, _) => Err(Status::unknown("election: no leader")),
        }
    }

    async fn observe(&self, req: Request<pb::LeaderRequest>) -> Result<Response<Leaders>, Status> {
        let line = Line::new(self.member.clone(), credentials(&req), &req.get_ref().name);
        // Who may not read the line is told at once.
        line.first().await?;
        let (tx, rx) = mpsc::channel(LEADERS_LEN_MAX);
        let observer = Observer { member: self.member.clone(), line, tx };
        // Ends with its stream.
        tokio::spawn(observer.run());
        Ok(Response::new(Box::pin(ReceiverStream::new(rx))))
    }

    async fn resign(&self, req: Request<pb::ResignRequest>) -> Result<Response<pb::ResignResponse>, Status> {
        let by = credentials(&req);
        let leader = leader(req.into_inner().leader)?;
        let line = Line::new(self.member.clone(), by, &leader.name);
        let left = line.leave(&leader.key.into(), leader.rev).await?;
        let revision = left.unwrap_or_else(|| self.member.shared.revision());
        Ok(Response::new(pb::ResignResponse { header: Some(self.member.header(revision)) }))
    }
}

/// Tells a client every leader and every value that it proclaims.
struct Observer {
    member: Arc<Member>,
    line: Line,
    tx: mpsc::Sender<Result<pb::LeaderResponse, Status>>,
}

/// Why an observer ends.
enum Ended {
    Gone,
    Refused(Refused),
}

impl From<Refused> for Ended {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Observer {
    async fn run(self) {
        let closed = self.tx.clone();
        let ended = tokio::select! {
            () = closed.closed() => return,
            ended = self.observe() => ended,
        };
        if let Err(Ended::Refused(refused)) = ended {
            // The client may be gone.
            drop(self.tx.send(Err(refused.into())).await);
        }
    }

    async fn observe(&self) -> Result<(), Ended> {
        loop {
            let (leader, revision) = match self.line.first().await? {
                (Some(kv), revision) => (kv, revision),
                (None, revision) => self.arrival(revision).await?,
            };
            self.tell(leader.clone(), revision).await?;
            self.reign(&leader.key, revision).await?;
        }
    }

    /// Waits for somebody to come to an empty line.
    async fn arrival(&self, revision: i64) -> Result<(KeyValue, i64), Ended> {
        let mut follow = self.line.follow(None, revision + 1);
        loop {
            let (change, picks) = follow.next().await?;
            let mut events = picks.iter().map(|at| &change.events[*at as usize]);
            if let Some(event) = events.find(|event| !event.is_delete()) {
                return Ok((key_value(event.key.clone(), &event.version, event.value.clone()), change.revision));
            }
        }
    }

    /// Tells what a leader proclaims, until it goes.
    async fn reign(&self, key: &Bytes, revision: i64) -> Result<(), Ended> {
        let mut follow = self.line.follow(Some(key), revision + 1);
        loop {
            let (change, picks) = follow.next().await?;
            for event in picks.iter().map(|at| &change.events[*at as usize]) {
                if event.is_delete() {
                    return Ok(());
                }
                let kv = key_value(event.key.clone(), &event.version, event.value.clone());
                self.tell(kv, change.revision).await?;
            }
        }
    }

    async fn tell(&self, kv: KeyValue, revision: i64) -> Result<(), Ended> {
        let header = Some(self.member.header(revision));
        self.tx.send(Ok(pb::LeaderResponse { header, kv: Some(kv) })).await.map_err(|_| Ended::Gone)
    }
}
