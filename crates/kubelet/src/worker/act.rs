//! The worker begins actions: each as a task that reports its outcome.

use std::net::IpAddr;
use std::sync::Arc;

use proto::core::v1::{LifecycleHandler, Pod};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Outcome, UNAVAILABLE_PAUSE, Worker, remove_container};
use crate::images::chain;
use crate::node_context::Node;
use crate::observed::{Hook, State, Volumes, Work};
use crate::plan::Action;
use crate::pod::{field_path, find, members};
use crate::probe::attempt::{self, HookError, Target};
use crate::probe::task;
use crate::probe::verdict::Kind;
use crate::resize::Amounts;
use crate::runtime::container::label;
use crate::start::{self, Run, StartError};
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
            Action::Resize => self.resize(),
            Action::Kill { name, grace_seconds, message } => self.kill(name, grace_seconds, message),
            Action::Show { name, state, event } => self.show(&name, state, event),
            Action::EndPod { reason, message } => {
                self.event(false, reason, message.into(), None);
                self.end(reason.into(), message.into(), self.desired.grace_seconds());
            }
            Action::TearDown => self.tear_down(),
            Action::Finalize => self.finalize(),
            Action::Wake(at) => self.wake = Some(self.wake.map_or(at, |wake| wake.min(at))),
        }
    }

    fn prepare_volumes(&mut self) {
        self.observed.busy.insert(Work::Volumes);
        let (node, pod, tokens) = (self.node.clone(), self.desired.pod.clone(), self.tokens.clone());
        let ip = self.observed.address();
        self.tasks.spawn(Outcome::Volumes(Err(panicked("preparing the volumes"))), async move {
            let (paths, place) = (node.paths.pod(&pod.metadata.uid), node.place(ip.map(Into::into)));
            let source = Source { pod: &pod, paths: &paths, cluster: &*node.cluster, place: &place, tokens: &tokens };
            Outcome::Volumes(source.prepare().await.map_err(|error| error.to_string()))
        });
    }

    /// Brings volumes made of objects up to date, beside everything else, and never twice at once.
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
        if let Some(again) = &mut self.refreshing {
            *again = true;
            return;
        }
        self.refreshing = Some(false);
        let ip = self.observed.address();
        self.tasks.spawn(Outcome::Refreshed, async move {
            let (paths, place) = (node.paths.pod(&pod.metadata.uid), node.place(ip.map(Into::into)));
            let source = Source { pod: &pod, paths: &paths, cluster: &*node.cluster, place: &place, tokens: &tokens };
            if let Err(error) = source.refresh().await {
                tracing::debug!(pod = pod.metadata.name, %error, "volumes are not brought up to date");
            }
            Outcome::Refreshed
        });
    }

    fn create_sandbox(&mut self) {
        self.observed.busy.insert(Work::Sandbox);
        let (node, pod) = (self.node.clone(), self.desired.pod.clone());
        self.tasks.spawn(Outcome::Sandbox(Err(panicked("making the sandbox"))), async move {
            Outcome::Sandbox(sandbox::create(&node, &pod).await.map_err(|error| chain(&error)))
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
            amounts: Amounts::of(&container.resources),
            pod_ip: match self.desired.pod.spec.host_network {
                true => Some(self.node.ip),
                false => self.observed.address().map(Into::into),
            },
        };
        self.observed.busy.insert(Work::Start(name.clone()));
        self.owners.lock().insert(run.id.clone(), self.desired.uid().to_owned());
        self.starting.insert(name.clone(), run.clone());
        let (node, pod, image) = (self.node.clone(), self.desired.pod.clone(), container.image.clone());
        let failed = Err(StartError::internal(panicked("the start")));
        let otherwise = Outcome::Started { run: run.clone(), image: image.clone(), result: failed };
        let task = self.tasks.spawn(otherwise, async move {
            let result = start::start(&node, &pod, role, &container, &run).await;
            Outcome::Started { run, image, result }
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
            message: format!(
                "Back-off pulling image \"{image}\": ErrImagePull: {}; next try at {}",
                seen.pull_error,
                time::rfc3339(at)
            ),
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

    /// Runs the post-start hook of a run, again if a kubelet or containerd that was killed kept it from its end.
    pub(super) fn run_post_start(&mut self, name: String, id: String, hook: LifecycleHandler) {
        let (node, pod, ip) = (self.node.clone(), self.desired.pod.clone(), self.pod_ip());
        let failed = Err(panicked("the hook"));
        let otherwise = Outcome::Hooked { name: name.clone(), id: id.clone(), result: failed };
        self.tasks.spawn(otherwise, async move {
            let result = match target(&node, &pod, &name, &id, ip).await {
                Some(target) => patient_hook(&node, &pod, &target, &hook).await,
                None => Err("the container is gone".into()),
            };
            Outcome::Hooked { name, id, result }
        });
    }

    fn kill(&mut self, name: String, grace_seconds: i64, message: String) {
        let seen = self.observed.container(&name).filter(|seen| seen.is_running());
        let Some(id) = seen.and_then(|seen| seen.id()).map(str::to_owned) else { return };
        let role = self.role(&name);
        self.event(false, "Killing", message, Some((role, &name)));
        self.observed.busy.insert(Work::Kill(name.clone()));
        let grace_seconds = if grace_seconds > 0 { grace_seconds.max(stop::GRACE_MIN_SECONDS) } else { 0 };
        let (deadline, watched) = watch::channel(time::now().saturating_add(grace_seconds.saturating_mul(SECOND)));
        let cancel = CancellationToken::new();
        self.kills.insert(name.clone(), (deadline, cancel.clone()));
        let (node, pod, ip) = (self.node.clone(), self.desired.pod.clone(), self.pod_ip());
        self.tasks.spawn(Outcome::Killed(name.clone()), async move {
            let work = async {
                if grace_seconds > 0 && has_pre_stop(&pod, &name) {
                    let hook = async {
                        if let Some(target) = target(&node, &pod, &name, &id, ip).await {
                            stop::pre_stop(&node, &pod, role, &target).await;
                        }
                    };
                    tokio::select! {
                        () = hook => {}
                        () = stop::passed(watched.clone()) => {}
                    }
                }
                stop::end_process(&node, &pod, &name, &id, watched, grace_seconds).await;
            };
            tokio::select! {
                () = work => {}
                () = cancel.cancelled() => {}
            }
            Outcome::Killed(name)
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
            let State::Running { id, started_at } = &seen.state else { continue };
            if seen.post_start != Hook::Done {
                continue;
            }
            let probes: &[(Kind, &Option<_>)] = match seen.startup_passed {
                false => &[(Kind::Startup, &container.startup_probe)],
                true => &[(Kind::Liveness, &container.liveness_probe), (Kind::Readiness, &container.readiness_probe)],
            };
            for (kind, probe) in probes {
                let key = (name.clone(), *kind);
                // A probe that ended without a verdict did not find its container, or failed itself.
                let goes_on = self.probes.get(&key).is_some_and(|task| !task.is_finished());
                let decided = seen.doomed.is_some() && *kind != Kind::Readiness;
                if let (Some(probe), false, false) = (probe, goes_on, decided) {
                    wanted.push((key, id.clone(), *started_at, probe.clone()));
                }
            }
        }
        for ((name, kind), id, started_at, probe) in wanted {
            let (node, pod, ip) = (self.node.clone(), self.desired.pod.clone(), self.pod_ip());
            let (tx, of) = (self.reports.0.clone(), name.clone());
            let task = self.tasks.spawn(Outcome::Done, async move {
                if let Some(target) = target(&node, &pod, &of, &id, ip).await {
                    task::run(node, target, started_at, kind, probe, tx).await;
                }
                Outcome::Done
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
        let (node, pod) = (self.node.clone(), self.desired.pod.clone());
        self.tasks.spawn(Outcome::TornDown(Err(panicked("taking the pod down"))), async move {
            Outcome::TornDown(remove_all(&node, &pod).await)
        });
    }

    fn finalize(&mut self) {
        self.observed.busy.insert(Work::Finalize);
        let (node, pod, gone) = (self.node.clone(), self.desired.pod.clone(), self.desired.gone);
        // The last status says how the containers ended; it goes first.
        self.publish();
        let written = self.status.written();
        self.tasks.spawn(Outcome::Finalized(Err(panicked("removing the pod"))), async move {
            let result = async {
                if !gone {
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
            Outcome::Finalized(result.await)
        });
    }

    /// Watches the log writer; the first container needs it.
    pub(super) fn watch_writer(&mut self) {
        if self.watching_writer {
            return;
        }
        self.watching_writer = true;
        let writer = self.node.log_writer(self.desired.uid());
        self.tasks.spawn(Outcome::WriterGone, async move {
            writer.gone().await;
            tokio::time::sleep(super::WRITER_PAUSE).await;
            Outcome::WriterGone
        });
    }
}

/// The container as probes and hooks see it; None when it is gone. Waits for a containerd that does not answer.
async fn target(node: &Node, pod: &Pod, name: &str, id: &str, ip: IpAddr) -> Option<Target> {
    let (_, container) = find(pod, name)?;
    loop {
        match node.containerd.process_of(id).await {
            Ok(process) => {
                let paths = node.paths.pod(&pod.metadata.uid);
                return Some(Target { paths, container, container_id: id.to_owned(), ip, process });
            }
            Err(error) if error.is_unavailable() => tokio::time::sleep(UNAVAILABLE_PAUSE).await,
            Err(error) => {
                tracing::warn!(container = name, %error, "the container's process is unknown");
                return None;
            }
        }
    }
}

/// Runs a hook as often as it takes for containerd to answer.
pub async fn patient_hook(node: &Node, pod: &Pod, target: &Target, hook: &LifecycleHandler) -> Result<(), String> {
    loop {
        match attempt::hook(node, target, hook, &long_name(pod)).await {
            Ok(()) => return Ok(()),
            Err(HookError::Failed(message)) => return Err(message),
            Err(HookError::Unavailable(why)) => {
                tracing::debug!(container = target.container.name, why, "a hook is tried again");
                tokio::time::sleep(UNAVAILABLE_PAUSE).await;
            }
        }
    }
}

fn has_pre_stop(pod: &Pod, name: &str) -> bool {
    find(pod, name).is_some_and(|(_, container)| container.lifecycle.is_some_and(|hooks| hooks.pre_stop.is_some()))
}

/// What is said of a task that panicked.
pub(super) fn panicked(what: &str) -> String {
    format!("{what} failed inside of the kubelet; its log says where")
}

/// "name_namespace(uid)".
pub fn long_name(pod: &Pod) -> String {
    format!("{}_{}({})", pod.metadata.name, pod.metadata.namespace, pod.metadata.uid)
}

/// Removes every container of the pod, then its sandbox.
async fn remove_all(node: &Arc<Node>, pod: &Pod) -> Result<(), String> {
    let listed = node.containerd.list_containers(label::POD_UID, &pod.metadata.uid).await;
    let listed = listed.map_err(|error| chain(&error))?;
    let removals = listed.iter().map(|container| remove_container(&node.containerd, &container.id));
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
