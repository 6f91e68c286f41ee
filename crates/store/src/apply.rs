//! Applying one command to the state: a function of the log and nothing else.

use std::io;

use proto::etcdserverpb as etcd;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::Command;
use proto::keelson::raft::v1::command::Request;

use crate::auth::tokens::TokenChange;
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
    /// What becomes of tokens: members keep those beside the state.
    pub tokens: Vec<TokenChange>,
}

impl Applied {
    fn quiet(outcome: Outcome) -> Self {
        Self { outcome, events: Vec::new(), tokens: Vec::new() }
    }
}

/// Applies a command of an entry of `term` inside an open frame of `writer`. An error means that the member cannot go on.
pub fn apply(
    state: &mut State,
    writer: &mut Writer,
    term: u64,
    command: &Command,
    wanted: bool,
) -> io::Result<Applied> {
    if command.term != 0 && command.term != term {
        return Ok(Applied::quiet(Err(Refused::LeaderChanged)));
    }
    if let Some(request) = &command.request {
        let allowed = check_corrupt(state, request)
            .and_then(|()| state.auth.check(&state.lessor, command.caller.as_ref(), request));
        if let Err(refused) = allowed {
            return Ok(Applied::quiet(Err(refused)));
        }
    }
    match &command.request {
        Some(Request::Put(req)) => write(state, writer, wanted, |write| Ok(Answer::Put(write.put(req)?))),
        Some(Request::DeleteRange(req)) => {
            write(state, writer, wanted, |write| Ok(Answer::DeleteRange(write.delete_range(req)?)))
        }
        Some(Request::Txn(req)) => write(state, writer, wanted, |write| Ok(Answer::Txn(write.txn(req)?))),
        Some(Request::Compact(req)) => Ok(Applied::quiet(compact(state, writer, req))),
        Some(Request::LeaseGrant(req)) => Ok(Applied::quiet(grant(state, writer, req))),
        Some(Request::LeaseRevoke(req)) => revoke(state, writer, req.id),
        Some(Request::LeaseCheckpoint(req)) => Ok(Applied::quiet(Ok(note_left(state, writer, req)))),
        Some(Request::Authenticate(req)) => Ok(authenticate(state, req)),
        Some(Request::Auth(command)) => administer(state, writer, command),
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
        None => Err(unknown()),
    }
}

/// A member that skipped what it does not know would go on with another state than the others.
fn unknown() -> io::Error {
    io::Error::other(
        "the log holds a request of a kind that this version does not know: a newer member wrote it; start this member with that newer version",
    )
}

fn write(
    state: &mut State,
    writer: &mut Writer,
    wanted: bool,
    run: impl FnOnce(&mut Write<'_, Writer>) -> Result<Answer, WriteError>,
) -> io::Result<Applied> {
    let mut write = Write::new(&mut state.index, &mut state.lessor, writer, wanted);
    match run(&mut write) {
        Ok(answer) => Ok(Applied { outcome: Ok(answer), events: write.into_events(), tokens: Vec::new() }),
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

fn note_left(state: &mut State, writer: &mut Writer, req: &etcd::LeaseCheckpointRequest) -> Answer {
    for checkpoint in &req.checkpoints {
        let (id, left) = (checkpoint.id, checkpoint.remaining_ttl);
        if state.lessor.contains(id) {
            writer.effect(&Effect::LeaseLeft { id, left });
            state.lessor.set_left(id, left);
        }
    }
    Answer::Done
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

/// The token ends with this entry's index: a member that has applied it knows the token.
fn authenticate(state: &State, req: &pb::Authenticate) -> Applied {
    let index = state.applied.map_or(0, |applied| applied.index + 1);
    match state.auth.plan_token(req, index) {
        Ok(token) => {
            let given = TokenChange::Give { token: token.clone(), user: req.user.clone() };
            Applied { outcome: Ok(Answer::Token(token)), events: Vec::new(), tokens: vec![given] }
        }
        Err(refused) => Applied::quiet(Err(refused)),
    }
}

fn administer(state: &mut State, writer: &mut Writer, command: &pb::AuthCommand) -> io::Result<Applied> {
    let Some(request) = &command.request else { return Err(unknown()) };
    Ok(match state.auth.plan(request) {
        Ok(plan) => {
            for change in plan.changes {
                let effect = Effect::Auth(change);
                writer.effect(&effect);
                state.restore(effect);
            }
            Applied { outcome: Ok(Answer::Done), events: Vec::new(), tokens: plan.tokens }
        }
        Err(refused) => Applied::quiet(Err(refused)),
    })
}

/// Only the very alarm that is named is changed, and no alarm is none.
fn alarm(state: &mut State, writer: &mut Writer, req: &etcd::AlarmRequest) -> Answer {
    let named = (req.member_id, req.alarm);
    let raised = req.action() == AlarmAction::Activate;
    let changes = match req.action() {
        AlarmAction::Get => false,
        AlarmAction::Activate => req.alarm != etcd::AlarmType::None as i32,
        AlarmAction::Deactivate => state.alarms.contains(&named),
    };
    let mut alarms = Vec::new();
    if changes {
        writer.effect(&Effect::Alarm { member: named.0, alarm: named.1, raised });
        state.set_alarm(named.0, named.1, raised);
        alarms.push(etcd::AlarmMember { member_id: named.0, alarm: named.1 });
    }
    Answer::Alarm(etcd::AlarmResponse { header: header(state.index.revision()), alarms })
}

/// While somebody says that the data is corrupt, nothing is written to it.
fn check_corrupt(state: &State, request: &Request) -> Result<(), Refused> {
    let writes = matches!(
        request,
        Request::Put(_)
            | Request::DeleteRange(_)
            | Request::Txn(_)
            | Request::Compact(_)
            | Request::LeaseGrant(_)
            | Request::LeaseRevoke(_)
    );
    if writes { state.check_corrupt() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_while_the_data_is_said_to_be_corrupt() {
        let mut state = State::default();
        let put = Request::Put(etcd::PutRequest::default());
        let end = Request::LeaseRevoke(etcd::LeaseRevokeRequest::default());
        let alarm = Request::Alarm(etcd::AlarmRequest::default());
        assert_eq!(check_corrupt(&state, &put), Ok(()));
        state.set_alarm(0, etcd::AlarmType::Corrupt as i32, true);
        assert_eq!(check_corrupt(&state, &put), Err(Refused::Corrupt));
        assert_eq!(check_corrupt(&state, &end), Err(Refused::Corrupt));
        assert_eq!(check_corrupt(&state, &alarm), Ok(()));
    }

    #[test]
    fn what_only_a_newer_version_knows_is_not_skipped() {
        let shared = crate::backup::tests::store();
        let unknown = [None, Some(Request::Auth(pb::AuthCommand { request: None }))];
        for request in unknown {
            let (mut held, mut writer) = (shared.held.write(), shared.writer.lock());
            let applied = apply(&mut held.state, &mut writer, 1, &Command { request, ..Default::default() }, false);
            let error = applied.err().expect("nobody knows what it would have changed").to_string();
            assert!(error.contains("start this member with that newer version"), "{error}");
        }
    }
}
