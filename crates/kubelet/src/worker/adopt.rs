//! A restarted kubelet finds out what of the pod runs; a reconnected containerd tells what ended meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use super::{Outcome, Worker};
use crate::logs;
use crate::observed::State;
use crate::runtime::container::{TaskState, label};
use crate::time;

/// Shown for a run whose end nobody saw, as runtimes do.
const UNKNOWN_EXIT: i32 = 255;

impl Worker {
    /// Compares the record with what containerd has. Nothing that runs is disturbed.
    pub(super) async fn adopt(&mut self) {
        if self.observed.containers.is_empty() && !self.observed.is_sandbox_ready() {
            return;
        }
        self.own_running();
        let found = async {
            let containers = self.node.containerd.list_containers(label::POD_UID, self.desired.uid()).await?;
            let tasks = self.node.containerd.list_tasks().await?;
            Ok::<_, crate::runtime::Error>((containers, tasks))
        };
        let (containers, tasks) = match found.await {
            Ok(found) => found,
            Err(error) => {
                // containerd is away; when it is back, all tasks are compared.
                tracing::warn!(pod = self.desired.key(), %error, "cannot look at the pod's containers yet");
                return;
            }
        };
        for container in containers {
            let known =
                self.observed.containers.values().any(|seen| seen.is_running() && seen.id() == Some(&container.id));
            if !known {
                self.remove_unknown(container.id);
            }
        }
        self.compare(&tasks);
        self.revive_writer();
    }

    /// A container that a kubelet began and was killed before it could note it: it is begun anew.
    fn remove_unknown(&mut self, id: String) {
        tracing::info!(pod = self.desired.key(), id, "removing a container that no record knows");
        let node = self.node.clone();
        self.tasks.spawn(async move {
            // It may have ended; then there is nothing to kill.
            let _ = node.containerd.kill_task(&id, 9, true).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            if let Err(error) = node.containerd.delete_container(&id).await {
                tracing::warn!(id, %error, "an unknown container stays behind");
            }
        });
    }

    fn own_running(&self) {
        let mut owners = self.owners.lock();
        for seen in self.observed.containers.values().filter(|seen| seen.is_running()) {
            if let Some(id) = seen.id() {
                owners.insert(id.to_owned(), self.desired.uid().to_owned());
            }
        }
    }

    /// Notices the runs that ended while nobody listened.
    pub(super) fn compare(&mut self, tasks: &HashMap<String, TaskState>) {
        self.check_sandbox();
        let running: Vec<String> = self
            .observed
            .containers
            .values()
            .filter(|seen| seen.is_running())
            .filter_map(|seen| seen.id().map(str::to_owned))
            .collect();
        for id in running {
            match tasks.get(&id) {
                Some(TaskState::Stopped { exit_code, finished_at }) => self.exited(&id, *exit_code, *finished_at),
                Some(_) => {}
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
            let pipe = |kind: &str| paths.pipes().join(format!("{}-{kind}", &id[..id.len().min(12)]));
            opens.push(logs::protocol::Open {
                run: id.clone(),
                log: self.node.paths.log(&meta.namespace, &meta.name, &meta.uid, name, seen.restarts),
                stdout: pipe("out"),
                stderr: (!tty).then(|| pipe("err")),
                limits: self.node.settings.log_limits,
            });
        }
        self.watching_writer = true;
        let (writer, tx) = (self.node.log_writer(&meta.uid), self.outcomes.0.clone());
        self.tasks.spawn(async move {
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
            drop(tx.send(Outcome::WriterGone).await);
        });
    }
}
