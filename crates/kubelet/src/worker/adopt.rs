//! A restarted kubelet finds out what of the pod runs; a reconnected containerd tells what ended meanwhile.

use std::collections::HashMap;

use super::reap::Remains;
use super::{Outcome, UNAVAILABLE_PAUSE, Worker};
use crate::observed::{Hook, State, Work};
use crate::runtime::container::{Listed, TaskState, label};
use crate::runtime::{Containerd, Error};
use crate::time::{self, Nanos};
use crate::{exec, logs};

/// Shown for a run whose end nobody saw, as runtimes do.
const UNKNOWN_EXIT: i32 = 255;

/// What containerd has.
#[derive(Clone, Debug)]
pub struct Look {
    /// When the look began: what was started later may be missing.
    at: Nanos,
    pub containers: Vec<Listed>,
    tasks: HashMap<String, TaskState>,
}

/// Looks at the containers whose label has this value, and at all tasks.
pub async fn look(containerd: &Containerd, label: &str, value: &str) -> Result<Look, Error> {
    let at = time::now();
    let containers = containerd.list_containers(label, value).await?;
    Ok(Look { at, containers, tasks: containerd.list_tasks().await? })
}

impl Worker {
    /// Compares the record with what containerd has, as soon as containerd answers. Nothing that runs is disturbed, and
    /// nothing is begun before.
    pub(super) fn adopt(&mut self) {
        self.observed.busy.insert(Work::Adopt);
        self.own_running();
        exec::forget_old(&self.node.paths.pod(self.desired.uid()));
        self.look_at_own();
    }

    fn look_at_own(&mut self) {
        let (node, uid) = (self.node.clone(), self.desired.uid().to_owned());
        let otherwise = Outcome::Looked(Err("the look failed inside of the kubelet".into()));
        self.tasks.spawn(otherwise, async move {
            let found = look(&node.containerd, label::POD_UID, &uid).await;
            if found.is_err() {
                tokio::time::sleep(UNAVAILABLE_PAUSE).await;
            }
            Outcome::Looked(found.map_err(|error| crate::images::chain(&error)))
        });
    }

    pub(super) fn adopted(&mut self, found: Result<Look, String>) {
        match found {
            Ok(look) => {
                self.observed.busy.remove(&Work::Adopt);
                self.compare(&look);
                self.revive_writer();
                self.resume_hooks();
            }
            Err(error) => {
                tracing::warn!(pod = self.desired.key(), error, "cannot look at the pod's containers yet");
                self.look_at_own();
            }
        }
    }

    /// A kubelet that was killed during a post-start hook left nobody who waits for it: it is run again.
    fn resume_hooks(&mut self) {
        let undecided =
            |seen: &&crate::observed::ObservedContainer| seen.post_start == Hook::Running && seen.doomed.is_none();
        let mut hooks = Vec::new();
        for (name, seen) in &self.observed.containers {
            let Some(seen) = Some(seen).filter(undecided) else { continue };
            let State::Running { id, .. } = &seen.state else { continue };
            let container = crate::pod::find(&self.desired.pod, name).map(|(_, container)| container);
            let hook = container.and_then(|container| container.lifecycle?.post_start);
            if !self.reaping.contains(id) {
                hooks.push((name.clone(), id.clone(), hook.unwrap_or_default()));
            }
        }
        for (name, id, hook) in hooks {
            self.run_post_start(name, id, hook);
        }
    }

    fn own_running(&self) {
        let mut owners = self.owners.lock();
        for seen in self.observed.containers.values().filter(|seen| seen.is_running()) {
            if let Some(id) = seen.id() {
                owners.insert(id.to_owned(), self.desired.uid().to_owned());
            }
        }
    }

    /// Notices the runs that ended while nobody listened, and the containers that nobody knows.
    pub(super) fn compare(&mut self, look: &Look) {
        self.check_sandbox();
        let running: Vec<(String, Nanos)> = self
            .observed
            .containers
            .values()
            .filter_map(|seen| match &seen.state {
                State::Running { id, started_at } => Some((id.clone(), *started_at)),
                _ => None,
            })
            .collect();
        let known = |id: &String| {
            running.iter().any(|(other, _)| other == id)
                || self.starting.values().any(|run| run.id == *id)
                || self.remains.iter().any(|other| other.id == *id)
        };
        let of_pod = |listed: &&Listed| listed.labels.get(label::POD_UID).is_some_and(|uid| uid == self.desired.uid());
        let unknown: Vec<String> =
            look.containers.iter().filter(of_pod).map(|listed| listed.id.clone()).filter(|id| !known(id)).collect();
        for id in unknown {
            // A kubelet began it and was killed before it could note it, or it could not be removed when it had ended.
            tracing::info!(pod = self.desired.key(), id, "removing a container that no record knows");
            self.remains.push(Remains { id, of: None });
        }
        for (id, started_at) in running {
            match look.tasks.get(&id) {
                Some(TaskState::Stopped { exit_code, finished_at }) => self.exited(&id, *exit_code, *finished_at),
                Some(_) => {}
                None if started_at >= look.at => {}
                // The machine was restarted, or somebody else deleted the task.
                None => self.exited(&id, UNKNOWN_EXIT, time::now()),
            }
        }
    }

    /// Has a log writer read the pipes of what runs. One that reads already does not mind.
    pub(super) fn revive_writer(&mut self) {
        if !self.observed.any_running() {
            return;
        }
        let meta = &self.desired.pod.metadata;
        let paths = self.node.paths.pod(&meta.uid);
        let mut opens = Vec::new();
        for (name, seen) in &self.observed.containers {
            let State::Running { id, .. } = &seen.state else { continue };
            let tty = crate::pod::find(&self.desired.pod, name).is_some_and(|(_, container)| container.tty);
            opens.push(logs::protocol::Open {
                run: id.clone(),
                log: self.node.paths.log(&meta.namespace, &meta.name, &meta.uid, name, seen.restarts),
                stdout: paths.pipe(id, "out"),
                stderr: (!tty).then(|| paths.pipe(id, "err")),
                limits: self.node.settings.log_limits,
            });
        }
        self.watching_writer = true;
        let writer = self.node.log_writer(&meta.uid);
        self.tasks.spawn(Outcome::WriterGone, async move {
            if let Err(error) = writer.ensure().await {
                tracing::warn!(%error, "the log writer cannot be started");
            }
            for open in opens {
                if let Err(error) = writer.open(open).await {
                    tracing::warn!(%error, "a container's log is not written");
                }
            }
            writer.gone().await;
            tokio::time::sleep(super::WRITER_PAUSE).await;
            Outcome::WriterGone
        });
    }
}
