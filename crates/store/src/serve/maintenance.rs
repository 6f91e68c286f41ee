//! etcdserverpb.Maintenance: status, alarms, leadership. Hash, Snapshot and Downgrade come with the replicated store's
//! own issue; until then they are answered with "unimplemented".

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::maintenance_server::Maintenance;
use proto::keelson::raft::v1::command::Request as Proposed;
use tonic::{Request, Response, Status};

use super::kv::unexpected;
use crate::apply;
use crate::member::Member;
use crate::refused::Refused;
use crate::reply::Answer;

/// The etcd version whose behaviour clients may count on: they choose features by it.
pub const ETCD_VERSION: &str = "3.6.0";
/// How long a transfer of leadership may take.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(5);

pub struct MaintenanceService {
    pub member: Arc<Member>,
}

fn unbuilt(what: &str) -> Status {
    Status::unimplemented(format!("keelson-store: {what} is not built yet"))
}

type Blobs = Pin<Box<dyn Stream<Item = Result<etcd::SnapshotResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Maintenance for MaintenanceService {
    type SnapshotStream = Blobs;

    async fn alarm(&self, req: Request<etcd::AlarmRequest>) -> Result<Response<etcd::AlarmResponse>, Status> {
        let req = req.into_inner();
        let mut rsp = if req.action() == AlarmAction::Get {
            let held = self.member.shared.held.read();
            let alarms = held.state.alarms.iter().filter(|held| apply::matches(&req, **held));
            let alarms = alarms.map(|(member_id, alarm)| etcd::AlarmMember { member_id: *member_id, alarm: *alarm });
            etcd::AlarmResponse { header: None, alarms: alarms.collect() }
        } else {
            match self.member.propose(Proposed::Alarm(req)).await? {
                Answer::Alarm(rsp) => rsp,
                _ => return Err(unexpected()),
            }
        };
        rsp.header = Some(self.member.header(self.member.shared.revision()));
        Ok(Response::new(rsp))
    }

    async fn status(&self, _req: Request<etcd::StatusRequest>) -> Result<Response<etcd::StatusResponse>, Status> {
        let member = &self.member;
        let standing = member.standing();
        let (revision, engine, live, alarms) = {
            let held = member.shared.held.read();
            let index = &held.state.index;
            (index.revision(), held.engine.bytes(), index.live_bytes(), held.state.alarms.clone())
        };
        let mut errors: Vec<String> = Vec::new();
        if standing.leader.is_none() {
            errors.push(Refused::NoLeader.text().to_owned());
        }
        if member.is_disk_full() {
            errors.push(Refused::DiskFull.text().to_owned());
        }
        for (member_id, alarm) in alarms {
            let name = etcd::AlarmType::try_from(alarm).map_or("UNKNOWN", |alarm| alarm.as_str_name());
            errors.push(format!("memberID:{member_id} alarm:{name} "));
        }
        Ok(Response::new(etcd::StatusResponse {
            header: Some(member.header(revision)),
            version: ETCD_VERSION.to_owned(),
            db_size: engine as i64,
            leader: standing.leader.unwrap_or(0),
            raft_index: standing.committed_index,
            raft_term: standing.term,
            raft_applied_index: standing.applied_index,
            errors,
            db_size_in_use: live as i64,
            is_learner: !standing.membership.voter_ids().any(|id| id == member.owner.member_id),
            storage_version: ETCD_VERSION.to_owned(),
            db_size_quota: member.limits.quota_bytes as i64,
        }))
    }

    /// Space goes back by itself: there is nothing to do.
    async fn defragment(
        &self,
        _req: Request<etcd::DefragmentRequest>,
    ) -> Result<Response<etcd::DefragmentResponse>, Status> {
        let header = Some(self.member.header(self.member.shared.revision()));
        Ok(Response::new(etcd::DefragmentResponse { header }))
    }

    async fn hash(&self, _req: Request<etcd::HashRequest>) -> Result<Response<etcd::HashResponse>, Status> {
        Err(unbuilt("Hash"))
    }

    async fn hash_kv(&self, _req: Request<etcd::HashKvRequest>) -> Result<Response<etcd::HashKvResponse>, Status> {
        Err(unbuilt("HashKV"))
    }

    async fn snapshot(&self, _req: Request<etcd::SnapshotRequest>) -> Result<Response<Blobs>, Status> {
        Err(unbuilt("Snapshot"))
    }

    async fn move_leader(
        &self,
        req: Request<etcd::MoveLeaderRequest>,
    ) -> Result<Response<etcd::MoveLeaderResponse>, Status> {
        let member = &self.member;
        let target = req.into_inner().target_id;
        if !member.is_leader() {
            return Err(Refused::NotLeader.into());
        }
        if !member.standing().membership.voter_ids().any(|id| id == target) {
            return Err(Refused::BadLeaderTransferee.into());
        }
        let stopped = |_| Status::from(Refused::Stopped);
        member.raft.trigger().transfer_leader(target).await.map_err(stopped)?;
        let led = member.raft.wait(Some(TRANSFER_TIMEOUT)).current_leader(target, "leadership moves").await;
        led.map_err(|_| Status::from(Refused::Timeout))?;
        let header = Some(member.header(member.shared.revision()));
        Ok(Response::new(etcd::MoveLeaderResponse { header }))
    }

    async fn downgrade(
        &self,
        _req: Request<etcd::DowngradeRequest>,
    ) -> Result<Response<etcd::DowngradeResponse>, Status> {
        Err(unbuilt("Downgrade"))
    }
}
