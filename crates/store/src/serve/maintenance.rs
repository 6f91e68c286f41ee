//! etcdserverpb.Maintenance: status, alarms, leadership, hashes, backups, downgrades.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::{Stream, StreamExt};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::downgrade_request::DowngradeAction;
use proto::etcdserverpb::maintenance_server::Maintenance;
use proto::keelson::raft::v1::DowngradeSet;
use proto::keelson::raft::v1::command::Request as Proposed;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::credentials::credentials;
use super::kv::unexpected;
use crate::backup::{self, BackupError, Moment};
use crate::downgrade;
use crate::member::Member;
use crate::refused::Refused;
use crate::reply::Answer;

/// The etcd version whose behaviour clients may count on: they choose features by it.
pub const ETCD_VERSION: &str = "3.6.0";

pub struct MaintenanceService {
    pub member: Arc<Member>,
}

/// Pieces of a backup that wait for a slow reader.
const PIECES_MAX: usize = 4;

/// Runs what reads the disk for long.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, BackupError> + Send + 'static) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Status::from(Refused::Stopped))?.map_err(Status::from)
}

type Blobs = Pin<Box<dyn Stream<Item = Result<etcd::SnapshotResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Maintenance for MaintenanceService {
    type SnapshotStream = Blobs;

    async fn alarm(&self, req: Request<etcd::AlarmRequest>) -> Result<Response<etcd::AlarmResponse>, Status> {
        let by = credentials(&req);
        let req = req.into_inner();
        let mut rsp = if req.action() == AlarmAction::Get {
            let held = self.member.shared.held.read();
            // As in etcd, whichever member is asked about.
            let alarms = held.state.alarms.iter().filter(|held| req.alarm == 0 || req.alarm == held.1);
            let alarms = alarms.map(|(member_id, alarm)| etcd::AlarmMember { member_id: *member_id, alarm: *alarm });
            etcd::AlarmResponse { header: None, alarms: alarms.collect() }
        } else {
            match self.member.asked(&by).propose(Proposed::Alarm(req)).await? {
                Answer::Alarm(rsp) => rsp,
                _ => return Err(unexpected()),
            }
        };
        rsp.header = Some(self.member.header(self.member.shared.revision()));
        Ok(Response::new(rsp))
    }

    async fn status(&self, _req: Request<etcd::StatusRequest>) -> Result<Response<etcd::StatusResponse>, Status> {
        let member = &self.member;
        let (standing, leader) = (member.standing(), member.reached_leader());
        let (revision, engine, live, alarms, downgrade) = {
            let held = member.shared.held.read();
            let index = &held.state.index;
            let state = &held.state;
            (index.revision(), held.engine.bytes(), index.live_bytes(), state.alarms.clone(), state.downgrade.clone())
        };
        let mut errors: Vec<String> = Vec::new();
        if leader.is_none() {
            errors.push(Refused::NoLeader.text().to_owned());
        }
        if member.is_disk_full() {
            errors.push(Refused::DiskFull.text().to_owned());
        }
        for (member_id, alarm) in alarms {
            errors.push(alarm_text(member_id, alarm));
        }
        Ok(Response::new(etcd::StatusResponse {
            header: Some(member.header(revision)),
            version: ETCD_VERSION.to_owned(),
            db_size: engine as i64,
            leader: leader.unwrap_or(0),
            raft_index: standing.committed_index,
            raft_term: standing.term,
            raft_applied_index: standing.applied_index,
            errors,
            db_size_in_use: live as i64,
            is_learner: member.learner.load(Ordering::Relaxed),
            storage_version: ETCD_VERSION.to_owned(),
            db_size_quota: member.limits.quota_bytes as i64,
            downgrade_info: Some(etcd::DowngradeInfo {
                enabled: downgrade.is_some(),
                target_version: downgrade.unwrap_or_default(),
            }),
        }))
    }

    /// Space goes back by itself: there is nothing to do. As in etcd, there is no header.
    async fn defragment(
        &self,
        _req: Request<etcd::DefragmentRequest>,
    ) -> Result<Response<etcd::DefragmentResponse>, Status> {
        Ok(Response::new(etcd::DefragmentResponse { header: None }))
    }

    async fn hash(&self, _req: Request<etcd::HashRequest>) -> Result<Response<etcd::HashResponse>, Status> {
        let moment = Moment::take(&self.member.shared);
        let header = Some(self.member.header(moment.revision));
        let hash = apart(move || backup::hash::of_everything(&moment)).await?;
        Ok(Response::new(etcd::HashResponse { header, hash }))
    }

    async fn hash_kv(&self, req: Request<etcd::HashKvRequest>) -> Result<Response<etcd::HashKvResponse>, Status> {
        let moment = Moment::take(&self.member.shared);
        let asked = req.into_inner().revision;
        let revision = if asked == 0 { moment.revision } else { asked };
        // As in etcd, nothing is what there was before the beginning.
        if revision > 0 && revision < moment.compacted {
            return Err(Refused::Compacted.into());
        }
        if revision > moment.revision {
            return Err(Refused::FutureRevision.into());
        }
        let header = Some(self.member.header(moment.revision));
        // etcd says -1 as long as nothing was compacted.
        let compact_revision = if moment.compacted > 0 { moment.compacted } else { -1 };
        let hash = apart(move || backup::hash::of_keys(&moment, revision)).await?;
        Ok(Response::new(etcd::HashKvResponse { header, hash, compact_revision, hash_revision: revision }))
    }

    async fn snapshot(&self, _req: Request<etcd::SnapshotRequest>) -> Result<Response<Blobs>, Status> {
        let moment = Moment::take(&self.member.shared);
        let header = self.member.header(moment.revision);
        let (tx, rx) = tokio::sync::mpsc::channel(PIECES_MAX);
        tokio::task::spawn_blocking(move || send_backup(&moment, &header, &tx));
        let stopping = self.member.stopping.clone();
        let pieces = ReceiverStream::new(rx).take_until(stopping.cancelled_owned());
        Ok(Response::new(Box::pin(pieces)))
    }

    async fn move_leader(
        &self,
        req: Request<etcd::MoveLeaderRequest>,
    ) -> Result<Response<etcd::MoveLeaderResponse>, Status> {
        self.member.move_leader(req.into_inner().target_id).await?;
        // As in etcd, there is no header.
        Ok(Response::new(etcd::MoveLeaderResponse { header: None }))
    }

    async fn downgrade(
        &self,
        req: Request<etcd::DowngradeRequest>,
    ) -> Result<Response<etcd::DowngradeResponse>, Status> {
        let req = req.into_inner();
        self.member.linearize().await?;
        let begun = self.member.shared.held.read().state.downgrade.clone();
        let target = match req.action() {
            DowngradeAction::Validate => {
                downgrade::validate(&req.version, begun.as_deref())?;
                None
            }
            DowngradeAction::Enable => Some(downgrade::validate(&req.version, begun.as_deref())?),
            DowngradeAction::Cancel if begun.is_none() => return Err(Refused::NoInflightDowngrade.into()),
            DowngradeAction::Cancel => Some(String::new()),
        };
        if let Some(target) = target {
            self.member.propose(Proposed::Downgrade(DowngradeSet { target })).await?;
        }
        let header = Some(self.member.header(self.member.shared.revision()));
        Ok(Response::new(etcd::DowngradeResponse { header, version: downgrade::cluster_version() }))
    }
}

/// As Go writes the message: what is 0 is left out.
fn alarm_text(member_id: u64, alarm: i32) -> String {
    let member = if member_id == 0 { String::new() } else { format!("memberID:{member_id} ") };
    let name = etcd::AlarmType::try_from(alarm).map_or(alarm.to_string(), |alarm| alarm.as_str_name().to_owned());
    format!("{member}alarm:{name} ")
}

/// Sends the backup of a moment, its checksum last; ends early when nobody listens any more.
fn send_backup(
    moment: &Moment,
    header: &etcd::ResponseHeader,
    tx: &mpsc::Sender<Result<etcd::SnapshotResponse, Status>>,
) {
    let result = backup::stream::measure(moment).and_then(|layout| {
        let mut remaining = layout.bytes();
        backup::stream::write(moment, layout, |blob| {
            remaining = remaining.saturating_sub(blob.len() as u64);
            let (header, version) = (Some(*header), ETCD_VERSION.to_owned());
            let rsp = etcd::SnapshotResponse { header, remaining_bytes: remaining, blob: blob.into(), version };
            tx.blocking_send(Ok(rsp)).map_err(|_| BackupError::Gone)
        })
    });
    match result {
        Ok(()) => {}
        Err(BackupError::Gone) => tracing::debug!("a backup was not read to its end"),
        Err(error) => {
            let error = io::Error::other(error);
            tracing::error!(error = %crate::report(&error), "a backup failed");
            // Whoever reads it may be gone, too.
            drop(tx.blocking_send(Err(Status::internal(crate::report(&error)))));
        }
    }
}
