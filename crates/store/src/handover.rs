//! Leadership handed from one member to another: on request, and before a member stops.

use std::time::Duration;

use openraft::rt::WatchReceiver;

use crate::member::Member;
use crate::refused::Refused;

/// How long a transfer of leadership may take.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(5);

impl Member {
    /// As leader: hands leadership to a voter; returns when it leads. When it does not come to that, the others elect.
    pub async fn move_leader(&self, target: u64) -> Result<(), Refused> {
        if !self.is_leader() {
            return Err(Refused::NotLeader);
        }
        if !self.standing().membership.voter_ids().any(|id| id == target) {
            return Err(Refused::BadLeaderTransferee);
        }
        if target == self.owner.member_id {
            return Ok(());
        }
        // The leader takes no writes from here on, so one that does not answer is not tried.
        if !self.cluster().members.iter().any(|member| member.id == target && member.answers) {
            return Err(Refused::Unhealthy);
        }
        self.raft.trigger().transfer_leader(target).await.map_err(|_| Refused::Stopped)?;
        let led = self.raft.wait(Some(TRANSFER_TIMEOUT)).current_leader(target, "leadership moves").await;
        led.map(|_| ()).map_err(|_| Refused::Timeout)
    }

    /// Before this member stops: another one leads.
    pub async fn hand_over(&self) {
        let Some(target) = self.successor() else { return };
        match self.move_leader(target).await {
            Ok(()) => tracing::info!(to = format!("{target:x}"), "leadership is handed over"),
            Err(refused) => tracing::warn!(%refused, to = format!("{target:x}"), "leadership is not handed over"),
        }
    }

    /// The voter that answers and has most of the log; none when this member does not lead.
    fn successor(&self) -> Option<u64> {
        if !self.is_leader() {
            return None;
        }
        let cluster = self.cluster();
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let voters = metrics.membership_config.membership().voter_ids();
        let matched = |id: &u64| metrics.replication.as_ref().and_then(|matched| matched.get(id).copied().flatten());
        voters
            .filter(|id| *id != self.owner.member_id)
            .filter(|id| cluster.members.iter().any(|member| member.id == *id && member.answers))
            .max_by_key(|id| matched(id).map(|id| id.index))
    }
}
