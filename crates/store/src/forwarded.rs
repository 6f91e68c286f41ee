//! Writes that other members forward, at the leader.

use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::Command;
use proto::keelson::raft::v1::command::Request;

use crate::member::Member;
use crate::mvcc::check;
use crate::propose::Unproposed;
use crate::refused::Refused;
use crate::reply::Outcome;

/// What a newer member forwards may be of a later kind: in the log it would stop every member that does not know it.
pub fn is_known(command: &Command) -> bool {
    match &command.request {
        Some(Request::Auth(pb::AuthCommand { request })) => request.is_some(),
        request => request.is_some(),
    }
}

impl Member {
    /// Has what another member's clients ask for applied, in this order; an outcome for each. Nothing was logged of what is
    /// refused; of an error, of none.
    pub async fn propose_forwarded(&self, commands: Vec<Command>) -> Result<Vec<Outcome>, Unproposed> {
        let mut refusals = Vec::with_capacity(commands.len());
        let mut taken = Vec::with_capacity(commands.len());
        for command in commands {
            let refusal = self.check_forwarded(&command).err();
            if refusal.is_none() {
                taken.push(command);
            }
            refusals.push(refusal);
        }
        let mut outcomes = match taken.is_empty() {
            true => Vec::new(),
            false => self.proposer.propose_all(taken).await?,
        }
        .into_iter();
        let outcome = |refusal: Option<Refused>| match refusal {
            Some(refused) => Err(refused),
            None => outcomes.next().unwrap_or(Err(Refused::Stopped)),
        };
        Ok(refusals.into_iter().map(outcome).collect())
    }

    /// Refuses what would be refused here, and what this version does not know.
    fn check_forwarded(&self, command: &Command) -> Result<(), Refused> {
        match &command.request {
            Some(Request::Put(_) | Request::LeaseGrant(_)) => self.check_space(),
            Some(Request::Txn(req)) if check::puts(req) => self.check_space(),
            _ if is_known(command) => Ok(()),
            _ => Err(Refused::Stopped),
        }
    }
}
