//! Bytes that requests and answers in flight may hold together: who asks for more waits, then is told to come again.
//!
//! There are two budgets, one for bodies of requests and one for answers, and in each a lane of its own for administrators
//! (`system:masters`), which nobody else can fill. No user holds more than a part of a lane, so that one whose connections stall
//! does not keep others from theirs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::authenticate::User;
use crate::authorize::MASTERS;
use crate::status::Failure;

/// What permits count.
const UNIT_BYTES: usize = 1024;
/// One user has at most this part of a lane.
const USER_PART: usize = 4;
/// The administrators' lane, as a part of the budget.
const ADMINISTRATORS_PART: usize = 4;
/// Users that are remembered though they hold nothing.
const USERS_KEPT: usize = 1024;
/// The budget where no flag says one: a part of the memory, within bounds.
const MEMORY_PART: u64 = 16;
const DEFAULT_MIN: u64 = 64 << 20;
const DEFAULT_MAX: u64 = 1 << 30;

/// A budget of bytes.
#[derive(Debug)]
pub struct Budget {
    everybody: Lane,
    administrators: Lane,
    /// What to say to who gets nothing.
    flag: &'static str,
}

#[derive(Debug)]
struct Lane {
    units: usize,
    free: Arc<Semaphore>,
    users: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// Bytes that are held; given back when this is dropped.
#[derive(Debug, Default)]
pub struct Share {
    _user: Option<OwnedSemaphorePermit>,
    _all: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// So many bytes. `flag`: what raises it.
    pub fn new(bytes: u64, flag: &'static str) -> Self {
        let units = usize::try_from(bytes).unwrap_or(usize::MAX) / UNIT_BYTES;
        Self { everybody: Lane::new(units), administrators: Lane::new(units / ADMINISTRATORS_PART), flag }
    }

    /// Takes so many bytes, more than a user may have as what it may have; waits for them until the deadline.
    pub async fn take(&self, user: &User, bytes: u64, until: Instant) -> Result<Share, Failure> {
        let lane = if user.is_in(MASTERS) { &self.administrators } else { &self.everybody };
        match tokio::time::timeout_at(until.into(), lane.take(&user.name, bytes)).await {
            Ok(share) => Ok(share),
            Err(_) => Err(self.refusal()),
        }
    }

    /// Takes so many bytes where they are free.
    pub fn try_take(&self, user: &User, bytes: u64) -> Result<Share, Failure> {
        let lane = if user.is_in(MASTERS) { &self.administrators } else { &self.everybody };
        lane.try_take(&user.name, bytes).ok_or_else(|| self.refusal())
    }

    fn refusal(&self) -> Failure {
        let message = format!(
            "too many requests, please try again later: those in flight hold as many bytes as they may ({} of the apiserver raises it)",
            self.flag
        );
        Failure::new(429, "TooManyRequests", message).retry_after(1)
    }
}

impl Lane {
    fn new(units: usize) -> Self {
        let units = units.clamp(USER_PART, u32::MAX as usize / 2);
        Self { units, free: Arc::new(Semaphore::new(units)), users: Mutex::default() }
    }

    fn user_units(&self) -> usize {
        (self.units / USER_PART).max(1)
    }

    fn wanted(&self, bytes: u64) -> u32 {
        let units = usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(UNIT_BYTES);
        u32::try_from(units.clamp(1, self.user_units())).unwrap_or(u32::MAX)
    }

    fn of_user(&self, user: &str) -> Arc<Semaphore> {
        let mut users = self.users.lock();
        if users.len() >= USERS_KEPT && !users.contains_key(user) {
            // Who holds or waits for something has a clone.
            users.retain(|_, free| Arc::strong_count(free) > 1);
        }
        let made = || Arc::new(Semaphore::new(self.user_units()));
        Arc::clone(users.entry(user.to_owned()).or_insert_with(made))
    }

    async fn take(&self, user: &str, bytes: u64) -> Share {
        let wanted = self.wanted(bytes);
        // Neither is ever closed; were one, nobody would be held up.
        let mine = self.of_user(user).acquire_many_owned(wanted).await.ok();
        let all = Arc::clone(&self.free).acquire_many_owned(wanted).await.ok();
        Share { _user: mine, _all: all }
    }

    fn try_take(&self, user: &str, bytes: u64) -> Option<Share> {
        let wanted = self.wanted(bytes);
        let mine = self.of_user(user).try_acquire_many_owned(wanted).ok()?;
        let all = Arc::clone(&self.free).try_acquire_many_owned(wanted).ok()?;
        Some(Share { _user: Some(mine), _all: Some(all) })
    }
}

/// The budget where none is configured: a sixteenth of the memory of this machine, or of what a cgroup leaves of it.
pub fn default_bytes() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_total(&text));
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let group = groups.iter().filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()).min();
    let memory = machine.into_iter().chain(group).min().unwrap_or(0);
    (memory / MEMORY_PART).clamp(DEFAULT_MIN, DEFAULT_MAX)
}

fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn user(name: &str, group: &str) -> User {
        User { name: name.into(), groups: vec![group.into()], ..User::default() }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(10)
    }

    #[tokio::test]
    async fn nobody_takes_all_and_administrators_have_their_own() {
        let budget = Budget::new(1 << 20, "--flag");
        let mut held = Vec::new();
        for name in ["a", "b", "c", "d"] {
            let user = user(name, "users");
            held.push(budget.take(&user, 10 << 20, soon()).await.expect("a quarter is free"));
            assert!(budget.try_take(&user, 1).is_err(), "one user has a quarter at most");
        }
        let refused = budget.take(&user("e", "users"), 1, soon()).await.expect_err("all is taken");
        assert_eq!(refused.code(), 429);
        assert!(refused.0.message.contains("--flag"), "{refused}");
        assert!(budget.try_take(&user("root", MASTERS), 4096).is_ok());
        held.pop();
        assert!(budget.take(&user("e", "users"), 1, soon()).await.is_ok());
    }

    #[test]
    fn users_that_hold_nothing_are_forgotten() {
        let lane = Lane::new(1 << 20);
        let kept = lane.try_take("kept", 1);
        for at in 0..2 * USERS_KEPT {
            assert!(lane.try_take(&at.to_string(), 1).is_some());
        }
        assert!(lane.users.lock().len() <= USERS_KEPT && lane.users.lock().contains_key("kept"));
        drop(kept);
    }

    #[test]
    fn memory_is_read() {
        assert_eq!(mem_total("MemTotal:       16 kB\nMemFree: 1 kB\n"), Some(16384));
        assert!(default_bytes() >= DEFAULT_MIN);
    }
}
