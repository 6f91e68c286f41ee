//! Keeps up with the membership: learns where members are reached, and, as leader, gives votes to those that wait for one
//! and ends changes that another leader began.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::rt::WatchReceiver;

use crate::member::Member;
use crate::raft::types::Membership;
use crate::reconfigure::is_learner;
use crate::refused::Refused;

/// How often the leader looks at a member that waits for its vote.
const LOOK: Duration = Duration::from_millis(100);

pub struct Roster {
    pub member: Arc<Member>,
}

impl Roster {
    pub async fn run(self) {
        let mut changes = self.member.raft.server_metrics();
        loop {
            let membership = changes.borrow_watched().membership_config.membership().clone();
            self.fence();
            self.meet(&membership);
            let busy = self.member.is_leader() && self.is_unfinished(&membership);
            if busy {
                self.finish(&membership).await;
            }
            tokio::select! {
                biased;
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK), if busy => {}
            }
        }
    }

    fn fence(&self) {
        if let Some(epoch) = self.member.epoch() {
            self.member.transport.fence(epoch);
        }
    }

    fn meet(&self, membership: &Membership) {
        let own = self.member.owner.member_id;
        self.member.learner.store(is_learner(membership, own), Ordering::Relaxed);
        for (id, peer) in membership.nodes().filter(|(id, _)| **id != own) {
            self.member.transport.meet(*id, &peer.peer_urls);
        }
    }

    fn is_unfinished(&self, membership: &Membership) -> bool {
        membership.get_joint_config().len() > 1 || waiting(membership).next().is_some()
    }

    async fn finish(&self, membership: &Membership) {
        // A change under way ends by itself.
        let Ok(_turn) = self.member.changing.try_lock() else { return };
        let change = if membership.get_joint_config().len() > 1 {
            ChangeMembers::AddVoterIds(BTreeSet::new())
        } else {
            let cluster = self.member.cluster();
            let ready = |id: &u64| cluster.members.iter().any(|member| member.id == *id && member.in_sync);
            let Some(id) = waiting(membership).find(ready) else { return };
            tracing::info!(member = format!("{id:x}"), "the new member has caught up: it gets its vote");
            ChangeMembers::AddVoterIds(BTreeSet::from([id]))
        };
        match self.member.change(change).await {
            Ok(()) | Err(Refused::NotLeader) => {}
            Err(refused) => tracing::debug!(%refused, "the membership's change is tried again"),
        }
    }
}

/// Members that get a vote without being promoted, and have none yet.
fn waiting(membership: &Membership) -> impl Iterator<Item = u64> + '_ {
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    membership.nodes().filter(move |(id, peer)| peer.joins_voters && !voters.contains(id)).map(|(id, _)| *id)
}
