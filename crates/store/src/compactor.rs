//! Compacts without being asked (`--auto-compaction-mode`, `--auto-compaction-retention`): as etcd, by age or by number.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use proto::etcdserverpb::CompactionRequest;
use proto::keelson::raft::v1::command::Request;
use tokio::time::Instant;

use crate::ask;
use crate::config::AutoCompaction;
use crate::member::Member;

/// Looks between two compactions by age, at least.
const LOOKS: u32 = 10;
/// How often revisions are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(300);
/// How often a member that does not lead looks whether it does.
const FOLLOWER_INTERVAL: Duration = Duration::from_secs(10);
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Compactions by age are at most so far apart, and looks at most a tenth of it.
const COMPACT_INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// Compacts while this member leads.
pub struct Compactor {
    pub member: Arc<Member>,
    pub mode: AutoCompaction,
}

impl Compactor {
    pub async fn run(self) {
        let Some(mut schedule) = Schedule::new(self.mode, Instant::now()) else { return };
        loop {
            let now = Instant::now();
            let target = schedule.due(now, self.member.shared.revision());
            let compacted = self.member.shared.held.read().state.index.compacted();
            let target = target.filter(|target| *target > compacted);
            if !self.member.is_leader() {
                tokio::time::sleep(schedule.rest(target)).await;
                continue;
            }
            if let Some(revision) = target {
                let request = Request::Compact(CompactionRequest { revision, physical: false });
                match self.member.propose_as(Some(ask::store()), request).await {
                    Ok(_) => {
                        schedule.done(now);
                        tracing::info!(revision, "compacted");
                    }
                    Err(refused) => tracing::warn!(revision, %refused, "not compacted; trying again"),
                }
            }
            tokio::time::sleep(schedule.interval).await;
        }
    }
}

/// When what is compacted, as etcd has it. By age: what is younger stays; for the first time when the store is that old, then
/// once in that time, or each hour where that is more often. By number: every five minutes.
struct Schedule {
    mode: AutoCompaction,
    interval: Duration,
    past: Past,
    compacted_at: Instant,
    /// How long after that the next one is due.
    wait: Duration,
}

impl Schedule {
    fn new(mode: AutoCompaction, now: Instant) -> Option<Self> {
        let (interval, wait) = match mode {
            AutoCompaction::Off => return None,
            AutoCompaction::Age(age) => {
                let interval = age.min(COMPACT_INTERVAL_MAX) / LOOKS;
                (interval.max(LOOK_INTERVAL_MIN), age)
            }
            AutoCompaction::Revisions(_) => (COUNT_INTERVAL, Duration::ZERO),
        };
        Some(Self { mode, interval, past: Past::default(), compacted_at: now, wait })
    }

    /// The revision to compact at, now that the store stands at `revision`.
    fn due(&mut self, now: Instant, revision: i64) -> Option<i64> {
        match self.mode {
            AutoCompaction::Off => None,
            AutoCompaction::Revisions(kept) => Some(revision - kept),
            AutoCompaction::Age(age) => {
                let target = self.past.look(now, revision, age);
                target.filter(|_| now - self.compacted_at >= self.wait)
            }
        }
    }

    /// How long a member that does not lead rests with something to compact: it may lead soon, and what it counts then is new.
    fn rest(&self, target: Option<i64>) -> Duration {
        match (self.mode, target) {
            (AutoCompaction::Revisions(_), Some(_)) => self.interval.min(FOLLOWER_INTERVAL),
            _ => self.interval,
        }
    }

    fn done(&mut self, now: Instant) {
        self.compacted_at = now;
        if let AutoCompaction::Age(age) = self.mode {
            self.wait = age.min(COMPACT_INTERVAL_MAX);
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

    /// One revision a minute, from 1 on, for `hours`: (minute, revision) of each compaction.
    fn compactions(mode: AutoCompaction, hours: u64) -> Vec<(u64, i64)> {
        let start = Instant::now();
        let mut schedule = Schedule::new(mode, start).expect("a mode");
        let (mut at, mut compacted, mut found) = (Duration::ZERO, 0, Vec::new());
        while at <= Duration::from_secs(hours * 3600) {
            let (now, minute) = (start + at, at.as_secs() / 60);
            if let Some(target) = schedule.due(now, minute as i64 + 1).filter(|target| *target > compacted) {
                schedule.done(now);
                compacted = target;
                found.push((minute, target));
            }
            at += schedule.interval;
        }
        found
    }

    #[test]
    fn compaction_by_age_waits_for_the_age_then_comes_each_hour_at_least() {
        let age = |hours: u64| AutoCompaction::Age(Duration::from_secs(hours * 3600));
        assert_eq!(compactions(age(10), 13), [(600, 1), (660, 61), (720, 121), (780, 181)]);
        let half = AutoCompaction::Age(Duration::from_secs(1800));
        assert_eq!(compactions(half, 2), [(30, 1), (60, 31), (90, 61), (120, 91)]);
    }

    #[test]
    fn compaction_by_number_keeps_so_many_each_five_minutes() {
        assert_eq!(compactions(AutoCompaction::Revisions(50), 1), [(50, 1), (55, 6), (60, 11)]);
    }

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
