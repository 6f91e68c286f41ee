//! What the generator knows of the servers, learned from answers on which they agreed.

use std::collections::BTreeSet;

use proto::etcdserverpb as etcd;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::response_op::Response;

use super::answer::Answer;
use super::case::{Case, Whose};
use super::watched::{Inbox, Kept, Watched};

#[derive(Clone, Debug)]
pub struct World {
    pub revision: i64,
    /// 0: nothing was compacted.
    pub compacted: i64,
    /// A compaction may still be at work, behind its answer.
    pub is_compacting: bool,
    pub leases: Vec<i64>,
    /// Revisions that deleted something.
    deletions: BTreeSet<i64>,
    pub learners: usize,
    /// Alarms that are on, each with whom it is about.
    pub alarms: Vec<(i32, Whose)>,
    pub watched: Watched,
    /// Up to which revision watchers were looked at.
    pub seen: i64,
    next_lease: i64,
    next_url: u16,
}

impl World {
    pub fn new(streams: usize) -> Self {
        Self {
            revision: 1,
            compacted: 0,
            is_compacting: false,
            leases: Vec::new(),
            deletions: BTreeSet::new(),
            learners: 0,
            alarms: Vec::new(),
            watched: Watched::new(streams),
            seen: 1,
            next_lease: 1000,
            next_url: 1,
        }
    }

    /// An id that no lease has had.
    pub fn fresh_lease(&mut self) -> i64 {
        self.next_lease += 1;
        self.next_lease
    }

    /// A peer URL that no member has had, and where nobody answers.
    pub fn fresh_url(&mut self) -> String {
        self.next_url += 1;
        format!("http://127.9.{}.{}:1", self.next_url / 200, self.next_url % 200 + 1)
    }

    /// Watchers got everything that there is; on each stream this.
    pub fn settle(&mut self, got: &[Inbox]) {
        self.seen = self.revision;
        self.watched.settle(got);
    }

    /// Whether the revision up to which all is compacted deleted something.
    pub fn compacted_a_deletion(&self) -> bool {
        self.deletions.contains(&self.compacted)
    }

    /// Takes in what all servers said.
    pub fn learn(&mut self, case: &Case, answer: &Answer) {
        if let Some(revision) = revision(answer) {
            if deletes(answer, revision > self.revision) {
                self.deletions.insert(revision);
            }
            self.revision = self.revision.max(revision);
        }
        match (case, answer) {
            (Case::Compact(req), Answer::Compact(_)) => {
                self.compacted = self.compacted.max(req.revision);
                self.is_compacting = !req.physical;
            }
            (Case::LeaseGrant(req), Answer::LeaseGrant(_)) => self.leases.push(req.id),
            (Case::LeaseRevoke(req), Answer::LeaseRevoke(_)) => self.leases.retain(|lease| *lease != req.id),
            (Case::MemberAdd { .. }, Answer::MemberAdd(_)) => self.learners += 1,
            (Case::MemberRemove { member: Whose::Learner(_) }, Answer::MemberRemove(_)) => self.learners -= 1,
            (Case::Alarm { action, alarm, member }, Answer::Alarm(rsp)) if !rsp.alarms.is_empty() => match action {
                AlarmAction::Activate if !self.alarms.contains(&(*alarm, *member)) => {
                    self.alarms.push((*alarm, *member));
                }
                AlarmAction::Deactivate => self.alarms.retain(|on| on != &(*alarm, *member)),
                _ => {}
            },
            (Case::Watch { stream, create }, Answer::Watch(rsp)) if rsp.created && !rsp.canceled => {
                let kept = Kept::new(create, self.revision, self.compacted);
                self.watched.add(*stream, rsp.watch_id, kept);
            }
            (Case::WatchCancel { stream, watch_id, .. }, Answer::Watch(_)) => self.watched.remove(*stream, *watch_id),
            _ => {}
        }
    }
}

/// The store's revision, as an answer tells it.
fn revision(answer: &Answer) -> Option<i64> {
    let of = |header: &Option<etcd::ResponseHeader>| header.map(|header| header.revision);
    match answer {
        Answer::Range(rsp) => of(&rsp.header),
        Answer::Put(rsp) => of(&rsp.header),
        Answer::DeleteRange(rsp) => of(&rsp.header),
        Answer::Txn(rsp) => of(&rsp.header),
        Answer::LeaseRevoke(rsp) => of(&rsp.header),
        _ => None,
    }
}

/// Whether something was deleted. `moved`: the answer is of a new revision, of which the end of a lease tells no more.
fn deletes(answer: &Answer, moved: bool) -> bool {
    match answer {
        Answer::DeleteRange(rsp) => rsp.deleted > 0,
        Answer::LeaseRevoke(_) => moved,
        Answer::Txn(rsp) => txn_deletes(rsp),
        _ => false,
    }
}

fn txn_deletes(rsp: &etcd::TxnResponse) -> bool {
    rsp.responses.iter().any(|op| match &op.response {
        Some(Response::ResponseDeleteRange(rsp)) => rsp.deleted > 0,
        Some(Response::ResponseTxn(rsp)) => txn_deletes(rsp),
        _ => false,
    })
}
