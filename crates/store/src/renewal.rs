//! Leases that are renewed together: that this member leads is confirmed once for all of them.

use tokio::time::Instant;

use crate::member::{Member, REQUEST_TIMEOUT};
use crate::refused::Refused;

/// Renewals that were asked for before it began.
pub struct Renewal<'a> {
    member: &'a Member,
    leader: Leader,
}

enum Leader {
    /// This member, in a term in which it was confirmed after the renewals were asked for.
    Confirmed {
        term: u64,
    },
    /// This member, before time passed.
    Unconfirmed,
    Other(u64),
}

impl Member {
    /// Begins renewals; the leader is waited for.
    pub async fn renewal(&self) -> Result<Renewal<'_>, Refused> {
        if let Some(term) = self.reads.leads_alone() {
            return Ok(Renewal { member: self, leader: Leader::Confirmed { term } });
        }
        let leader = self.leader(Instant::now() + REQUEST_TIMEOUT).await?;
        let leader = if leader == self.owner.member_id { Leader::Unconfirmed } else { Leader::Other(leader) };
        Ok(Renewal { member: self, leader })
    }

    /// As leader: the term, once a quorum has confirmed that this member leads in it.
    pub async fn confirm_leading(&self) -> Result<u64, Refused> {
        let term = self.leading_term().ok_or(Refused::NotLeader)?;
        self.linearize().await?;
        if self.leading_term() == Some(term) { Ok(term) } else { Err(Refused::LeaderChanged) }
    }
}

impl Renewal<'_> {
    /// Renews a lease at the leader's clock; 0 when there is none such.
    pub async fn renew(&mut self, lease: i64) -> Result<i64, Refused> {
        let term = match self.leader {
            Leader::Other(leader) => return self.member.transport.keep_alive(leader, lease).await,
            Leader::Confirmed { term } => term,
            Leader::Unconfirmed => self.member.confirm_leading().await?,
        };
        if let Some(ttl) = self.member.renew_unnoted(term, lease) {
            self.leader = Leader::Confirmed { term };
            return Ok(ttl);
        }
        self.leader = Leader::Unconfirmed;
        self.member.renew_noted(term, lease).await
    }
}
