//! Notices that the cluster goes on without this member.
//!
//! Whoever was removed hears nothing of it: the leader just stops calling. So a member that has not heard of a leader for a
//! while asks the others who is in the cluster. Ids are never given twice, so an answer that is confirmed by a leader and
//! does not name this member is final.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proto::keelson::raft::v1 as pb;

use crate::member::Member;

/// How often a member that hears no leader asks.
const LOOK: Duration = Duration::from_millis(500);
/// Its file says that this folder's member is none any more.
const MARK: &str = "REMOVED";

pub struct Removal {
    pub member: Arc<Member>,
    /// Without a leader's word for so long, the others are asked.
    pub patience: Duration,
}

impl Removal {
    /// Returns when this member has been removed.
    pub async fn noticed(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            if !self.suspects() {
                continue;
            }
            let own = self.member.owner.member_id;
            let others: Vec<u64> = self.member.standing().membership.nodes().map(|(id, _)| *id).collect();
            for id in others.into_iter().filter(|id| *id != own) {
                if let Ok(members) = self.member.transport.members(id).await
                    && self.is_gone(&members)
                {
                    return;
                }
            }
        }
    }

    fn suspects(&self) -> bool {
        let in_cluster = self.member.standing().membership.get_node(&self.member.owner.member_id).is_some();
        match self.member.is_leader() {
            true => !in_cluster,
            false => self.member.heard.lock().at.elapsed() > self.patience,
        }
    }

    fn is_gone(&self, members: &pb::MembersResponse) -> bool {
        let own = self.member.owner;
        let nodes = members.membership.iter().flat_map(|stored| &stored.membership).flat_map(|of| &of.nodes);
        let mut ids = nodes.map(|node| node.member_id).peekable();
        members.cluster_id == own.cluster_id
            && self.member.epoch().is_none_or(|epoch| epoch == members.epoch)
            && ids.peek().is_some()
            && !ids.any(|id| id == own.member_id)
    }
}

/// Marks a folder whose member was removed.
pub fn mark(data_dir: &Path) -> std::io::Result<()> {
    std::fs::write(data_dir.join(MARK), "the member of this folder has been removed from its cluster\n")
}

pub fn is_marked(data_dir: &Path) -> bool {
    data_dir.join(MARK).exists()
}
