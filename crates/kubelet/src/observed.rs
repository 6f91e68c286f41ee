//! What is known of a pod on this node: its record. Kept on disk, so that a restarted kubelet goes on from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::resize::{Amounts, Pending, Progress};
use crate::time::{Nanos, SECOND};

/// The delay before the second restart; it doubles with each further one.
pub const BACKOFF_FIRST: Nanos = 10 * SECOND;
pub const BACKOFF_MAX: Nanos = 300 * SECOND;
/// A run this long makes the next failure count as the first.
pub const BACKOFF_RESET_AFTER: Nanos = 600 * SECOND;

/// What the kubelet knows of a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ObservedPod {
    /// When the kubelet first saw the pod.
    pub started_at: Option<Nanos>,
    pub sandbox: Sandbox,
    pub volumes: Volumes,
    pub containers: BTreeMap<String, ObservedContainer>,
    /// A granted resize that is being done.
    #[serde(default)]
    pub resizing: Option<Progress>,
    /// A resize that the node does not grant.
    #[serde(default)]
    pub pending: Option<Pending>,
    /// Everything that the pod had on the node is gone, except logs and this record.
    pub torn_down: bool,
    /// Actions that run now. Not kept: after a restart nothing runs.
    #[serde(skip)]
    pub busy: BTreeSet<Work>,
}

/// An action that runs, so it is not begun again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    Volumes,
    Sandbox,
    Start(String),
    Kill(String),
    /// Running containers get other limits.
    Resize,
    /// What containerd has of the pod is compared with the record: until then nothing else is begun.
    Adopt,
    /// Containers that ended are removed. Nothing is started meanwhile: with its last container the pod's shim ends, and
    /// one that is begun in that moment would fail.
    Remove,
    TearDown,
    Finalize,
}

/// The pod's namespaces and network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Sandbox {
    /// There is none.
    #[default]
    Absent,
    /// It could not be made; the next try is at `retry_at`.
    Failed { message: String, tries: u32, retry_at: Nanos },
    Ready {
        /// None: the host's network.
        address: Option<Ipv4Addr>,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Volumes {
    #[default]
    Absent,
    Failed {
        message: String,
        tries: u32,
        retry_at: Nanos,
    },
    Ready,
}

/// One container: its current run and the one before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ObservedContainer {
    pub state: State,
    /// The run before the current one.
    pub last: Option<Exit>,
    /// Runs that were begun after the first.
    pub restarts: u32,
    pub image_id: String,
    /// The image of the spec that the current run was made of.
    pub image: String,
    pub backoff: Backoff,
    /// Requests and limits of the current run; None where a kubelet began it that did not note them.
    #[serde(default)]
    pub resources: Option<Amounts>,
    /// The startup probe succeeded, or there is none.
    pub startup_passed: bool,
    /// The readiness probe's last verdict; true where there is none.
    pub ready: bool,
    pub post_start: Hook,
    /// What is shown until the post-start hook of the current run is done: a run counts from then on.
    pub before_hook: Option<Box<ObservedContainer>>,
    /// A probe or hook demands that the current run ends.
    pub doomed: Option<Doom>,
    /// How long the next pull of the image is put off after a failed one, until when, and why.
    pub pull_delay: Nanos,
    pub pull_until: Nanos,
    pub pull_error: String,
}

/// The state of a container's current run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum State {
    /// Not running: why is for people, when is for the planner.
    Waiting {
        reason: String,
        message: String,
        retry_at: Nanos,
        /// The last run that ended in this state (a start that failed), if any.
        id: Option<String>,
    },
    Running {
        id: String,
        started_at: Nanos,
    },
    Exited(Exit),
}

impl Default for State {
    fn default() -> Self {
        Self::Waiting { reason: String::new(), message: String::new(), retry_at: 0, id: None }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub id: String,
    pub code: i32,
    pub reason: String,
    pub message: String,
    pub started_at: Nanos,
    pub finished_at: Nanos,
}

/// How long restarts are put off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// Zero: the next restart is at once.
    pub delay: Nanos,
    /// When the last run was begun.
    pub last_start: Nanos,
    /// What holds for the next restart alone.
    #[serde(default)]
    pub next: Next,
}

/// How the next restart is put off. A run that a probe condemned is replaced in the same breath, and upstream then asks
/// for how long the end *before* that one is over: the first such restart does not even count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Next {
    #[default]
    Delayed,
    AtOnce,
    AtOnceUncounted,
}

impl Backoff {
    /// When a run that ended at `finished_at` may be followed by the next.
    pub fn until(&self, finished_at: Nanos) -> Nanos {
        match self.next {
            Next::Delayed => finished_at.saturating_add(self.delay),
            Next::AtOnce | Next::AtOnceUncounted => finished_at,
        }
    }

    /// Notes that a run was ended by the kubelet, to be replaced; `before` is the end of the run before it.
    pub fn replaced(&mut self, before: Option<Nanos>, finished_at: Nanos) {
        self.next = match before {
            None => Next::AtOnceUncounted,
            Some(before) if before.saturating_add(self.delay) <= finished_at => Next::AtOnce,
            Some(_) => Next::Delayed,
        };
    }

    /// Notes that a run begins again at `now`.
    pub fn restarted(&mut self, finished_at: Nanos, now: Nanos) {
        if std::mem::take(&mut self.next) == Next::AtOnceUncounted {
            self.last_start = now;
            return;
        }
        let ran_long = self.last_start > 0 && finished_at.saturating_sub(self.last_start) >= BACKOFF_RESET_AFTER;
        self.delay = match self.delay {
            _ if ran_long => BACKOFF_FIRST,
            0 => BACKOFF_FIRST,
            delay => (delay * 2).min(BACKOFF_MAX),
        };
        self.last_start = now;
    }
}

/// The delay after another failed pull.
pub fn next_pull_delay(before: Nanos) -> Nanos {
    match before {
        0 => BACKOFF_FIRST,
        before => (before * 2).min(BACKOFF_MAX),
    }
}

/// The post-start hook of the current run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hook {
    /// There is none, or it succeeded.
    #[default]
    Done,
    Running,
}

/// Why a run must end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doom {
    /// For the Killing event.
    pub message: String,
    pub grace_seconds: Option<i64>,
    /// What the container's state shows afterwards, where it is not just the exit: reason and message.
    pub shows: Option<(String, String)>,
}

impl ObservedContainer {
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    pub fn exit(&self) -> Option<&Exit> {
        match &self.state {
            State::Exited(exit) => Some(exit),
            // The state shows why it waits, the last run how it ended.
            State::Waiting { .. } => self.last.as_ref(),
            State::Running { .. } => None,
        }
    }

    /// The container as others see it: until its post-start hook is done, nothing is known of a run. None: never begun.
    pub fn shown(&self) -> Option<&Self> {
        if self.is_running() && self.post_start == Hook::Running { self.before_hook.as_deref() } else { Some(self) }
    }

    /// Running, past its post-start hook and its startup probe.
    pub fn is_started(&self) -> bool {
        self.is_running() && self.post_start == Hook::Done && self.startup_passed
    }

    pub fn is_ready(&self) -> bool {
        self.is_started() && self.ready
    }

    /// The id of the current run, or of the last one.
    pub fn id(&self) -> Option<&str> {
        match &self.state {
            State::Running { id, .. } => Some(id),
            State::Exited(exit) => Some(&exit.id),
            State::Waiting { id: Some(id), .. } => Some(id),
            State::Waiting { .. } => self.last.as_ref().map(|exit| exit.id.as_str()),
        }
    }

    /// Something of this container ran once.
    pub fn was_begun(&self) -> bool {
        self.id().is_some()
    }
}

impl ObservedPod {
    pub fn container(&self, name: &str) -> Option<&ObservedContainer> {
        self.containers.get(name)
    }

    pub fn any_running(&self) -> bool {
        self.containers.values().any(ObservedContainer::is_running)
    }

    pub fn is_sandbox_ready(&self) -> bool {
        matches!(self.sandbox, Sandbox::Ready { .. })
    }

    pub fn address(&self) -> Option<Ipv4Addr> {
        match self.sandbox {
            Sandbox::Ready { address } => address,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_put_off_longer_each_time_up_to_five_minutes() {
        let mut backoff = Backoff::default();
        let mut delays = vec![backoff.delay / SECOND];
        for n in 1..8 {
            backoff.restarted(n, n);
            delays.push(backoff.delay / SECOND);
        }
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn what_probes_end_is_restarted_at_once_until_it_comes_too_often() {
        let mut backoff = Backoff::default();
        // As upstream: two restarts at once, the third end waits.
        backoff.replaced(None, 7 * SECOND);
        assert_eq!(backoff.until(7 * SECOND), 7 * SECOND);
        backoff.restarted(7 * SECOND, 7 * SECOND);
        backoff.replaced(Some(7 * SECOND), 14 * SECOND);
        assert_eq!(backoff.until(14 * SECOND), 14 * SECOND);
        backoff.restarted(14 * SECOND, 14 * SECOND);
        backoff.replaced(Some(14 * SECOND), 21 * SECOND);
        assert_eq!(backoff.until(21 * SECOND), 31 * SECOND);
        backoff.restarted(21 * SECOND, 31 * SECOND);
        assert_eq!(backoff.delay, 20 * SECOND);
    }

    #[test]
    fn a_long_run_makes_the_next_failure_the_first() {
        let mut backoff = Backoff::default();
        for n in 1..6 {
            backoff.restarted(n, n);
        }
        backoff.restarted(BACKOFF_RESET_AFTER + 10, BACKOFF_RESET_AFTER + 10);
        assert_eq!(backoff.delay, BACKOFF_FIRST);
    }
}
