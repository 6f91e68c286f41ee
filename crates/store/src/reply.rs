//! What applying a command gives, and its form between members.

use proto::etcdserverpb as etcd;
use proto::keelson::raft::v1 as pb;

use crate::refused::Refused;

/// The answer of one command. Headers hold the revision only; the edge fills in the rest.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Put(etcd::PutResponse),
    DeleteRange(etcd::DeleteRangeResponse),
    Txn(etcd::TxnResponse),
    Compact(etcd::CompactionResponse),
    LeaseGrant(etcd::LeaseGrantResponse),
    LeaseRevoke(etcd::LeaseRevokeResponse),
    Alarm(etcd::AlarmResponse),
    /// For a user whose password was checked.
    Token(String),
    Done,
}

pub type Outcome = Result<Answer, Refused>;

/// A header as the state machine knows it.
pub fn header(revision: i64) -> Option<etcd::ResponseHeader> {
    Some(etcd::ResponseHeader { revision, ..Default::default() })
}

pub fn to_wire(outcome: Outcome) -> pb::Reply {
    use pb::reply::Result as Wire;
    let result = match outcome {
        Ok(Answer::Put(rsp)) => Wire::Put(rsp),
        Ok(Answer::DeleteRange(rsp)) => Wire::DeleteRange(rsp),
        Ok(Answer::Txn(rsp)) => Wire::Txn(rsp),
        Ok(Answer::Compact(rsp)) => Wire::Compact(rsp),
        Ok(Answer::LeaseGrant(rsp)) => Wire::LeaseGrant(rsp),
        Ok(Answer::LeaseRevoke(rsp)) => Wire::LeaseRevoke(rsp),
        Ok(Answer::Alarm(rsp)) => Wire::Alarm(rsp),
        Ok(Answer::Token(token)) => Wire::Token(token),
        Ok(Answer::Done) => Wire::Done(pb::Done {}),
        Err(refused) => Wire::Refusal(to_refusal(refused)),
    };
    pb::Reply { result: Some(result) }
}

/// What the leader said to a change of the membership.
pub fn from_refusal(rsp: pb::ReconfigureResponse) -> Result<pb::ReconfigureResponse, Refused> {
    match &rsp.refusal {
        Some(refusal) => Err(Refused::from_text(&refusal.message).unwrap_or(Refused::Stopped)),
        None => Ok(rsp),
    }
}

pub fn to_refusal(refused: Refused) -> pb::Refusal {
    pb::Refusal { code: refused.code() as i32, message: refused.text().to_owned() }
}

/// A refusal that this member does not know (a newer leader's) reads as a stopped leader: the client tries again.
pub fn from_wire(reply: Option<pb::Reply>) -> Outcome {
    use pb::reply::Result as Wire;
    match reply.and_then(|reply| reply.result) {
        Some(Wire::Put(rsp)) => Ok(Answer::Put(rsp)),
        Some(Wire::DeleteRange(rsp)) => Ok(Answer::DeleteRange(rsp)),
        Some(Wire::Txn(rsp)) => Ok(Answer::Txn(rsp)),
        Some(Wire::Compact(rsp)) => Ok(Answer::Compact(rsp)),
        Some(Wire::LeaseGrant(rsp)) => Ok(Answer::LeaseGrant(rsp)),
        Some(Wire::LeaseRevoke(rsp)) => Ok(Answer::LeaseRevoke(rsp)),
        Some(Wire::Alarm(rsp)) => Ok(Answer::Alarm(rsp)),
        Some(Wire::Token(token)) => Ok(Answer::Token(token)),
        Some(Wire::Done(_)) => Ok(Answer::Done),
        Some(Wire::Refusal(refusal)) => Err(Refused::from_text(&refusal.message).unwrap_or(Refused::Stopped)),
        None => Err(Refused::Stopped),
    }
}
