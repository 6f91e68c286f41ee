//! Applying one command to the state: a function of the log and nothing else.

use std::io;

use proto::etcdserverpb as etcd;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::keelson::raft::v1::Command;
use proto::keelson::raft::v1::command::Request;

use crate::engine::Writer;
use crate::mvcc::Event;
use crate::mvcc::write::{Write, WriteError};
use crate::refused::Refused;
use crate::reply::{Answer, Outcome, header};
use crate::state::{Effect, State};

/// What a command gave, and the events of its revision.
pub struct Applied {
    pub outcome: Outcome,
    pub events: Vec<Event>,
}

impl Applied {
    fn quiet(outcome: Outcome) -> Self {
        Self { outcome, events: Vec::new() }
    }
}

/// Applies a command inside an open frame of `writer`. An error means that the member cannot go on.
pub fn apply(state: &mut State, writer: &mut Writer, command: &Command, wanted: bool) -> io::Result<Applied> {
    match &command.request {
        Some(Request::Put(req)) => write(state, writer, wanted, |write| Ok(Answer::Put(write.put(req)?))),
        Some(Request::DeleteRange(req)) => {
            write(state, writer, wanted, |write| Ok(Answer::DeleteRange(write.delete_range(req)?)))
        }
        Some(Request::Txn(req)) => write(state, writer, wanted, |write| Ok(Answer::Txn(write.txn(req)?))),
        Some(Request::Compact(req)) => Ok(Applied::quiet(compact(state, writer, req))),
        Some(Request::LeaseGrant(req)) => Ok(Applied::quiet(grant(state, writer, req))),
        Some(Request::LeaseRevoke(req)) => revoke(state, writer, req.id),
        // Nobody proposes checkpoints yet; a member that meets one in a log takes no notice.
        Some(Request::LeaseCheckpoint(_)) => Ok(Applied::quiet(Ok(Answer::Done))),
        Some(Request::Alarm(req)) => Ok(Applied::quiet(Ok(alarm(state, writer, req)))),
        Some(Request::MemberAttributes(attributes)) => {
            writer.effect(&Effect::Attributes(attributes.clone()));
            state.attributes.insert(attributes.member_id, attributes.clone());
            Ok(Applied::quiet(Ok(Answer::Done)))
        }
        Some(Request::Downgrade(set)) => {
            let target = Some(set.target.clone()).filter(|target| !target.is_empty());
            writer.effect(&Effect::Downgrade(target.clone()));
            state.downgrade = target;
            Ok(Applied::quiet(Ok(Answer::Done)))
        }
        None => Ok(Applied::quiet(Ok(Answer::Done))),
    }
}

fn write(
    state: &mut State,
    writer: &mut Writer,
    wanted: bool,
    run: impl FnOnce(&mut Write<'_, Writer>) -> Result<Answer, WriteError>,
) -> io::Result<Applied> {
    let mut write = Write::new(&mut state.index, &mut state.lessor, writer, wanted);
    match run(&mut write) {
        Ok(answer) => Ok(Applied { outcome: Ok(answer), events: write.into_events() }),
        Err(WriteError::Refused(refused)) => Ok(Applied::quiet(Err(refused))),
        Err(WriteError::Read(error)) => Err(error),
    }
}

fn compact(state: &mut State, writer: &mut Writer, req: &etcd::CompactionRequest) -> Outcome {
    state.index.compact(req.revision)?;
    writer.effect(&Effect::Compacted(req.revision));
    Ok(Answer::Compact(etcd::CompactionResponse { header: header(state.index.revision()) }))
}

fn grant(state: &mut State, writer: &mut Writer, req: &etcd::LeaseGrantRequest) -> Outcome {
    state.lessor.grant(req.id, req.ttl)?;
    writer.effect(&Effect::Granted { id: req.id, ttl: req.ttl });
    Ok(Answer::LeaseGrant(etcd::LeaseGrantResponse {
        header: header(state.index.revision()),
        id: req.id,
        ttl: req.ttl,
        error: String::new(),
    }))
}

fn revoke(state: &mut State, writer: &mut Writer, id: i64) -> io::Result<Applied> {
    if !state.lessor.contains(id) {
        return Ok(Applied::quiet(Err(Refused::LeaseNotFound)));
    }
    writer.effect(&Effect::Revoked(id));
    write(state, writer, false, |write| {
        write.revoke(id)?;
        Ok(Answer::LeaseRevoke(etcd::LeaseRevokeResponse { header: header(write.revision()) }))
    })
}

fn alarm(state: &mut State, writer: &mut Writer, req: &etcd::AlarmRequest) -> Answer {
    let mut alarms = Vec::new();
    if req.action() != AlarmAction::Get {
        let raised = req.action() == AlarmAction::Activate;
        let concerned: Vec<(u64, i32)> = if raised {
            vec![(req.member_id, req.alarm)]
        } else {
            state.alarms.iter().copied().filter(|held| matches(req, *held)).collect()
        };
        for (member_id, alarm) in concerned {
            writer.effect(&Effect::Alarm { member: member_id, alarm, raised });
            state.set_alarm(member_id, alarm, raised);
            alarms.push(etcd::AlarmMember { member_id, alarm });
        }
    }
    Answer::Alarm(etcd::AlarmResponse { header: header(state.index.revision()), alarms })
}

/// Member 0 and alarm NONE stand for all.
pub fn matches(req: &etcd::AlarmRequest, held: (u64, i32)) -> bool {
    (req.member_id == 0 || req.member_id == held.0) && (req.alarm == 0 || req.alarm == held.1)
}
