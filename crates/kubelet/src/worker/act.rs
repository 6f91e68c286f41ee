//! The worker begins actions: each as a task that reports its outcome.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::core::v1::{LifecycleHandler, Pod};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Outcome, Worker};
use crate::images::chain;
use crate::node_context::Node;
use crate::observed::{Hook, State, Volumes, Work};
use crate::plan::Action;
use crate::pod::{field_path, find, members};
use crate::probe::attempt::{self, Target};
use crate::probe::task;
use crate::probe::verdict::Kind;
use crate::runtime::container::label;
use crate::start::{self, Run};
use crate::stop;
use crate::time::{self, SECOND};
use crate::volume::prepare::Source;
use crate::{cluster, sandbox};

impl Worker {
    pub(super) fn begin(&mut self, action: Action) {
        match action {
            Action::PrepareVolumes => self.prepare_volumes(),
            Action::CreateSandbox => self.create_sandbox(),
            Action::Start { name, restart } => self.start(name, restart),
            Action::Kill { name, grace_seconds, message } => self.kill(name, grace_seconds, message),
            Action::Show { name, state, event } => self.show(&name, state, event),
            Action::EndPod { reason, message } => {
                self.event(false, reason, message.into(), None);
                self.end(reason.into(), message.into());
            }
            Action::TearDown => self.tear_down(),
            Action::Finalize => self.finalize(),
            Action::Wake(at) => self.wake = Some(self.wake.map_or(at, |wake| wake.min(at))),
        }
    }

    fn prepare_volumes(&mut self) {
        self.observed.busy.insert(Work::Volumes);
        let (node, pod, tokens) = (self.node.clone(), self.desired.pod.clone(), self.tokens.clone());
        let (tx, ip) = (self.outcomes.0.clone(), self.observed.address());
        self.tasks.spawn(async move {
            let (paths, place) = (node.paths.pod(&pod.metadata.uid), node.place(ip.map(Into::into)));
            let source = Source { pod: &pod, paths: &paths, cluster: &*node.cluster, place: &place, tokens: &tokens };
            let result = source.prepare().await.map_err(|error| error.to_string());
            drop(tx.send(Outcome::Volumes(result)).await);
        });
    }

    /// Brings volumes made of objects up to date, beside everything else.
    pub(super) fn refresh_volumes(&mut self) {
        let made_of_objects = self.desired.pod.spec.volumes.iter().any(|volume| {
            let source = &volume.volume_source;
            source.config_map.is_some()
                || source.secret.is_some()
                || source.projected.is_some()
                || source.downward_api.is_some()
        });
        let ready = self.observed.volumes == Volumes::Ready;
        if !made_of_objects || !ready || self.desired.ending.is_some() || !self.observed.any_running() {
            return;
        }
        let (node, pod, tokens) = (self.node.clone(), self.desired.pod.clone(), self.tokens.clone());
        let ip = self.observed.address();
        self.tasks.spawn(async move {
            let (paths, place) = (node.paths.pod(&pod.metadata.uid), node.place(ip.map(Into::into)));
            let source = Source { pod: &pod, paths: &paths, cluster: &*node.cluster, place: &place, tokens: &tokens };
            if let Err(error) = source.refresh().await {
                tracing::debug!(pod = pod.metadata.name, %error, "volumes are not brought up to date");
            }
        });
    }

    fn create_sandbox(&mut self) {
        self.observed.busy.insert(Work::Sandbox);
        let (node, pod, tx) = (self.node.clone(), self.desired.pod.clone(), self.outcomes.0.clone());
        self.tasks.spawn(async move {
            let result = sandbox::create(&node, &pod).await.map_err(|error| chain(&error));
            drop(tx.send(Outcome::Sandbox(result)).await);
        });
    }

    fn start(&mut self, name: String, restart: bool) {
        let Some((role, container)) = find(&self.desired.pod, &name) else { return };
        if self.put_off_pull(&name, &container.image) {
            return;
        }
        let attempt = match self.observed.container(&name) {
            Some(seen) if restart => seen.restarts + 1,
            Some(seen) => seen.restarts,
            None => 0,
        };
        let run = Run {
            id: format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()),
            name: name.clone(),
            attempt,
            pod_ip: match self.desired.pod.spec.host_network {
                true => Some(self.node.ip),
                false => self.observed.address().map(Into::into),
            },
        };
        self.observed.busy.insert(Work::Start(name.clone()));
        self.owners.lock().insert(run.id.clone(), self.desired.uid().to_owned());
        self.starting.insert(name.clone(), run.clone());
        let (node, pod, tx) = (self.node.clone(), self.desired.pod.clone(), self.outcomes.0.clone());
        let task = self.tasks.spawn(async move {
            let result = start::start(&node, &pod, role, &container, &run).await;
            let image = container.image.clone();
            drop(tx.send(Outcome::Started { run, image, result }).await);
        });
        self.starts.insert(name, task);
        self.watch_writer();
    }

    /// After a failed pull the next one waits; meanwhile the state says so. Returns whether it does.
    fn put_off_pull(&mut self, name: &str, image: &str) -> bool {
        let (now, role) = (time::now(), self.role(name));
        let Some(seen) = self.observed.containers.get_mut(name).filter(|seen| seen.pull_until > now) else {
            return false;
        };
        let at = seen.pull_until;
        seen.state = State::Waiting {
            reason: "ImagePullBackOff".into(),
            message: format!("Back-off pulling image \"{image}\": ErrImagePull: {}", seen.pull_error),
            retry_at: at,
            id: None,
        };
        self.event(false, "BackOff", format!("Back-off pulling image \"{image}\""), Some((role, name)));
        self.event(true, "Failed", "Error: ImagePullBackOff".into(), Some((role, name)));
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        true
    }

    fn show(&mut self, name: &str, state: State, event: Option<String>) {
        let role = self.role(name);
        if let Some(seen) = self.observed.containers.get_mut(name) {
            if let State::Exited(exit) = &seen.state {
                seen.last = Some(exit.clone());
            }
            seen.state = state;
        }
        if let Some(message) = event {
            self.event(true, "BackOff", message, Some((role, name)));
        }
    }

    fn pod_ip(&self) -> IpAddr {
        self.observed.address().map_or(self.node.ip, Into::into)
    }

    pub(super) fn run_post_start(&mut self, run: &Run, hook: LifecycleHandler) {
        let (node, pod, run, ip) = (self.node.clone(), self.desired.pod.clone(), run.clone(), self.pod_ip());
        let tx = self.outcomes.0.clone();
        self.tasks.spawn(async move {
            let result = match target(&node, &pod, &run.name, &run.id, ip).await {
                Some(target) => attempt::hook(&node, &target, &hook, &long_name(&pod)).await,
                None => Err("the container is gone".into()),
            };
            let (name, id) = (run.name, run.id);
            drop(tx.send(Outcome::Hooked { name, id, result }).await);
        });
    }

    fn kill(&mut self, name: String, grace_seconds: i64, message: String) {
        let seen = self.observed.container(&name).filter(|seen| seen.is_running());
        let Some(id) = seen.and_then(|seen| seen.id()).map(str::to_owned) else { return };
        let role = self.role(&name);
        self.event(false, "Killing", message, Some((role, &name)));
        self.observed.busy.insert(Work::Kill(name.clone()));
        let grace_seconds = if grace_seconds > 0 { grace_seconds.max(stop::GRACE_MIN_SECONDS) } else { 0 };
        let (deadline, watched) = watch::channel(time::now() + grace_seconds * SECOND);
        let cancel = CancellationToken::new();
        self.kills.insert(name.clone(), (deadline, cancel.clone()));
        let (node, pod, ip) = (self.node.clone(), self.desired.pod.clone(), self.pod_ip());
        let tx = self.outcomes.0.clone();
        self.tasks.spawn(async move {
            let work = async {
                let target = target(&node, &pod, &name, &id, ip).await;
                if let (Some(target), true) = (&target, grace_seconds > 0) {
                    stop::pre_stop(&node, &pod, role, target, watched.clone()).await;
                }
                stop::end_process(&node, &pod, &name, &id, watched, grace_seconds).await;
            };
            tokio::select! {
                () = work => {}
                () = cancel.cancelled() => {}
            }
            drop(tx.send(Outcome::Killed(name)).await);
        });
    }

    /// Starts the probes of containers that run and have none yet.
    pub(super) fn probe_running(&mut self) {
        if self.desired.ending.is_some() {
            return self.stop_probes();
        }
        let mut wanted = Vec::new();
        for member in members(&self.desired.pod) {
            let (name, container) = (&member.container.name, member.container);
            let Some(seen) = self.observed.container(name) else { continue };
            let State::Running { id, .. } = &seen.state else { continue };
            if seen.post_start != Hook::Done {
                continue;
            }
            let probes: &[(Kind, &Option<_>)] = match seen.startup_passed {
                false => &[(Kind::Startup, &container.startup_probe)],
                true => &[(Kind::Liveness, &container.liveness_probe), (Kind::Readiness, &container.readiness_probe)],
            };
            for (kind, probe) in probes {
                let key = (name.clone(), *kind);
                if let (Some(probe), false) = (probe, self.probes.contains_key(&key)) {
                    wanted.push((key, id.clone(), probe.clone()));
                }
            }
        }
        for ((name, kind), id, probe) in wanted {
            let (node, pod, ip) = (self.node.clone(), self.desired.pod.clone(), self.pod_ip());
            let (tx, of) = (self.reports.0.clone(), name.clone());
            let task = self.tasks.spawn(async move {
                if let Some(target) = target(&node, &pod, &of, &id, ip).await {
                    task::run(node, target, kind, probe, tx).await;
                }
            });
            self.probes.insert((name, kind), task);
        }
    }

    fn stop_probes(&mut self) {
        // Readiness goes on until the end: traffic must know. Liveness must not restart what is meant to stop.
        self.probes.retain(|(_, kind), task| {
            let keep = *kind == Kind::Readiness;
            if !keep {
                task.abort();
            }
            keep
        });
    }

    fn tear_down(&mut self) {
        self.observed.busy.insert(Work::TearDown);
        for (_, task) in self.probes.drain() {
            task.abort();
        }
        let (node, pod, tx) = (self.node.clone(), self.desired.pod.clone(), self.outcomes.0.clone());
        self.tasks.spawn(async move {
            let result = remove_all(&node, &pod).await;
            drop(tx.send(Outcome::TornDown(result)).await);
        });
    }

    fn finalize(&mut self) {
        self.observed.busy.insert(Work::Finalize);
        let (node, pod, gone) = (self.node.clone(), self.desired.pod.clone(), self.desired.gone);
        let (tx, written) = (self.outcomes.0.clone(), self.status.written());
        self.tasks.spawn(async move {
            let result = async {
                if !gone {
                    // The last status says how the containers ended; it goes first.
                    written.await;
                    match node.cluster.delete_pod(&pod).await {
                        Ok(()) | Err(cluster::Error::NotFound(_) | cluster::Error::Conflict(_)) => {}
                        Err(error) => return Err(error.to_string()),
                    }
                }
                let meta = &pod.metadata;
                let logs = node.paths.pod_logs(&meta.namespace, &meta.name, &meta.uid);
                for dir in [logs, node.paths.pod(&meta.uid).dir] {
                    match tokio::fs::remove_dir_all(&dir).await {
                        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.to_string()),
                        _ => {}
                    }
                }
                Ok(())
            };
            drop(tx.send(Outcome::Finalized(result.await)).await);
        });
    }

    /// Watches the log writer; the first container needs it.
    pub(super) fn watch_writer(&mut self) {
        if self.watching_writer {
            return;
        }
        self.watching_writer = true;
        let writer = self.node.log_writer(self.desired.uid());
        let tx = self.outcomes.0.clone();
        self.tasks.spawn(async move {
            writer.gone().await;
            tokio::time::sleep(super::WRITER_PAUSE).await;
            drop(tx.send(Outcome::WriterGone).await);
        });
    }
}

/// The container as probes and hooks see it; None when it is gone.
async fn target(node: &Node, pod: &Pod, name: &str, id: &str, ip: IpAddr) -> Option<Target> {
    let (_, container) = find(pod, name)?;
    match node.containerd.process_of(id).await {
        Ok(process) => Some(Target {
            paths: node.paths.pod(&pod.metadata.uid),
            container,
            container_id: id.to_owned(),
            ip,
            process,
        }),
        Err(error) => {
            tracing::warn!(container = name, %error, "the container's process is unknown");
            None
        }
    }
}

/// "name_namespace(uid)".
pub fn long_name(pod: &Pod) -> String {
    format!("{}_{}({})", pod.metadata.name, pod.metadata.namespace, pod.metadata.uid)
}

/// Removes every container of the pod, then its sandbox.
async fn remove_all(node: &Arc<Node>, pod: &Pod) -> Result<(), String> {
    const TRIES: usize = 50;
    const PAUSE: Duration = Duration::from_millis(20);
    let listed = node.containerd.list_containers(label::POD_UID, &pod.metadata.uid).await;
    let removals = listed.map_err(|error| chain(&error))?.into_iter().map(|container| async move {
        // A process that was just killed is gone in a moment; its task cannot be deleted before. And another deletion of
        // the same container may be under way, whose shim ends while we speak with it.
        for _ in 0..TRIES {
            let killed = node.containerd.kill_task(&container.id, 9, true).await;
            if killed.is_ok() && node.containerd.delete_container(&container.id).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        node.containerd.delete_container(&container.id).await
    });
    futures::future::try_join_all(removals).await.map_err(|error| chain(&error))?;
    sandbox::remove(node, pod).await.map_err(|error| chain(&error))
}

/// Events of hooks that fail.
pub fn hook_event(role: crate::pod::Role, name: &str) -> cluster::Event {
    cluster::Event {
        warning: true,
        reason: "FailedPreStopHook",
        message: "PreStopHook failed".into(),
        field_path: field_path(role, name),
    }
}
