//! A run that ended: its last words are read, its log is finished, its container is removed.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use proto::core::v1::{Container, Pod};

use super::{Outcome, Worker};
use crate::logs;
use crate::node_context::Node;
use crate::observed::{Exit, State, Work};
use crate::paths::PodPaths;
use crate::runtime::{Containerd, Error};
use crate::time::Nanos;

/// How long the log may take to be written after the process ended: a grandchild may hold the pipe open.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// The most that a container's last words may be.
const MESSAGE_BYTES_MAX: usize = 4096;
/// The most of the log that stands in for them.
const LOG_BYTES_MAX: usize = 2048;
const LOG_LINES_MAX: usize = 80;

/// A container that is to be removed.
#[derive(Clone, Debug)]
pub(super) struct Remains {
    pub id: String,
    /// Whose run it was, and which one. None: a container that no record knows.
    pub of: Option<(String, u32)>,
}

impl Worker {
    /// A container's first process ended.
    pub(super) fn exited(&mut self, id: &str, code: i32, finished_at: Nanos) {
        if self.starting.values().any(|run| run.id == id) {
            self.early.insert(id.to_owned(), (code, finished_at));
            return;
        }
        let found = self.observed.containers.iter().find_map(|(name, seen)| match &seen.state {
            State::Running { id: own, started_at } if own == id => Some((name.clone(), *started_at, seen.restarts)),
            _ => None,
        });
        let Some((name, started_at, attempt)) = found else { return };
        if !self.reaping.insert(id.to_owned()) {
            return;
        }
        let exit =
            Exit { id: id.to_owned(), code, reason: String::new(), message: String::new(), started_at, finished_at };
        let (node, pod) = (self.node.clone(), self.desired.pod.clone());
        let reason = if code == 0 { "Completed" } else { "Error" };
        let otherwise = Outcome::Reaped { name: name.clone(), exit: Exit { reason: reason.into(), ..exit.clone() } };
        self.tasks.spawn(otherwise, async move {
            let paths = node.paths.pod(&pod.metadata.uid);
            let group = crate::resources::cgroup(&node.settings.cgroup_root, &pod);
            let exit = explain(&node, &pod.metadata.uid, &format!("{group}/{}", exit.id), exit).await;
            let meta = &pod.metadata;
            let log = node.paths.log(&meta.namespace, &meta.name, &meta.uid, &name, attempt);
            let container = crate::pod::find(&pod, &name).map(|(_, container)| container).unwrap_or_default();
            let message = last_words(&paths, &container, &exit, &log);
            Outcome::Reaped { name, exit: Exit { message, ..exit } }
        });
    }

    /// Removes what ended. What is being started comes first: it keeps the pod's shim alive, and nobody waits for this.
    pub(super) fn remove_remains(&mut self) {
        let busy = &mut self.observed.busy;
        if self.observed.torn_down || busy.contains(&Work::TearDown) {
            self.remains.clear();
        }
        if self.remains.is_empty() || !self.starting.is_empty() || !busy.insert(Work::Remove) {
            return;
        }
        let remains = std::mem::take(&mut self.remains);
        let (node, pod) = (self.node.clone(), self.desired.pod.clone());
        self.tasks.spawn(Outcome::Removed, async move {
            for Remains { id, of } in remains {
                if let Err(error) = remove_container(&node.containerd, &id).await {
                    // The next look at containerd finds it.
                    tracing::warn!(id, %error, "an ended container stays behind for now");
                }
                forget(&node, &pod, &id, of);
            }
            Outcome::Removed
        });
    }
}

/// Waits for the log, and finds out why the process ended.
async fn explain(node: &Node, uid: &str, cgroup: &str, exit: Exit) -> Exit {
    let writer = node.log_writer(uid);
    let drained = tokio::time::timeout(DRAIN_TIMEOUT, writer.drained(&exit.id)).await;
    if !matches!(drained, Ok(Ok(()))) {
        tracing::debug!(id = exit.id, "the end of the log may be missing");
    }
    // The group is there until the task is deleted.
    let starved = exit.code != 0 && node.cgroups.oom_kills(cgroup).is_some_and(|kills| kills > 0);
    let reason = match exit.code {
        _ if starved => "OOMKilled",
        0 => "Completed",
        _ => "Error",
    };
    Exit { reason: reason.into(), ..exit }
}

/// What the container left at its terminationMessagePath, or the end of its log.
fn last_words(paths: &PodPaths, container: &Container, exit: &Exit, log: &Path) -> String {
    let mut words = Vec::new();
    if let Ok(file) = std::fs::File::open(paths.termination_log(&container.name, &exit.id)) {
        // A message that cannot be read is no message.
        let _ = file.take(MESSAGE_BYTES_MAX as u64).read_to_end(&mut words);
    }
    let fallback = container.termination_message_policy == "FallbackToLogsOnError" && exit.code != 0;
    if words.is_empty() && fallback {
        return logs::read::last(log, LOG_LINES_MAX, LOG_BYTES_MAX).unwrap_or_default();
    }
    String::from_utf8_lossy(&words).into_owned()
}

/// Removes a container, ending it if it runs.
pub async fn remove_container(containerd: &Containerd, id: &str) -> Result<(), Error> {
    const LIMIT: Duration = Duration::from_secs(2);
    const PAUSE: Duration = Duration::from_millis(20);
    let began = Instant::now();
    while began.elapsed() < LIMIT {
        // Where it runs, this fails; and where its shim ends while we speak with it, since another deletion is under way.
        if containerd.delete_container(id).await.is_ok() {
            return Ok(());
        }
        if let Err(error) = containerd.kill_task(id, 9, true).await {
            tracing::debug!(id, %error, "a container cannot be killed yet");
        }
        tokio::time::sleep(PAUSE).await;
    }
    containerd.delete_container(id).await
}

/// Removes the files of a run.
fn forget(node: &Node, pod: &Pod, id: &str, of: Option<(String, u32)>) {
    let paths = node.paths.pod(&pod.metadata.uid);
    for path in paths.pipes_of(id) {
        let _ = std::fs::remove_file(path);
    }
    if let Some((name, attempt)) = of {
        let _ = std::fs::remove_file(paths.termination_log(&name, id));
        let meta = &pod.metadata;
        forget_old_logs(&node.paths.log(&meta.namespace, &meta.name, &meta.uid, &name, attempt), attempt);
    }
}

/// Keeps the log of the current run and of the one before.
pub fn forget_old_logs(log: &Path, attempt: u32) {
    let Some(old) = attempt.checked_sub(2) else { return };
    let path = log.with_file_name(format!("{old}.log"));
    for file in logs::file::rotated(&path).into_iter().chain([path]) {
        let _ = std::fs::remove_file(file);
    }
}
