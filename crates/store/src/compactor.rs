//! Compacts without being asked (`--auto-compaction-mode`, `--auto-compaction-retention`): as etcd, by age or by number.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use proto::etcdserverpb::CompactionRequest;
use tokio::time::Instant;

use crate::config::AutoCompaction;
use crate::member::Member;

/// Looks between two compactions by age, at least.
const LOOKS: u32 = 10;
/// How often revisions are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(300);
const INTERVAL_MAX: Duration = Duration::from_secs(360);

/// Compacts while this member leads.
pub struct Compactor {
    pub member: Arc<Member>,
    pub mode: AutoCompaction,
}

impl Compactor {
    pub async fn run(self) {
        let mut past = Past::default();
        loop {
            let (interval, target) = match self.mode {
                AutoCompaction::Off => return,
                AutoCompaction::Age(age) => {
                    let target = past.look(Instant::now(), self.member.shared.revision(), age);
                    ((age / LOOKS).clamp(Duration::from_millis(100), INTERVAL_MAX), target)
                }
                AutoCompaction::Revisions(kept) => (COUNT_INTERVAL, Some(self.member.shared.revision() - kept)),
            };
            let compacted = self.member.shared.held.read().state.index.compacted();
            if let Some(revision) = target.filter(|target| *target > compacted && self.member.is_leader()) {
                match self.member.compact(CompactionRequest { revision, physical: false }).await {
                    Ok(_) => tracing::info!(revision, "compacted"),
                    Err(refused) => tracing::warn!(revision, %refused, "not compacted; trying again"),
                }
            }
            tokio::time::sleep(interval).await;
        }
    }
}

/// Where the store stood, and when.
#[derive(Default)]
struct Past {
    seen: VecDeque<(Instant, i64)>,
}

impl Past {
    /// Notes where the store stands; gives where it stood `age` ago.
    fn look(&mut self, now: Instant, revision: i64, age: Duration) -> Option<i64> {
        self.seen.push_back((now, revision));
        let old = self.seen.iter().take_while(|(at, _)| *at + age <= now).count();
        self.seen.drain(..old.saturating_sub(1));
        self.seen.front().filter(|_| old > 0).map(|(_, revision)| *revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_younger_than_the_age_stays() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let age = Duration::from_secs(10);
        let mut past = Past::default();
        for (seconds, revision, target) in
            [(0, 5, None), (5, 9, None), (10, 9, Some(5)), (14, 20, Some(5)), (15, 21, Some(9))]
        {
            assert_eq!(past.look(at(seconds), revision, age), target, "after {seconds} s");
        }
        assert_eq!(past.look(at(100), 30, age), Some(21));
        assert_eq!(past.seen.len(), 2, "what is not needed is forgotten");
    }
}
