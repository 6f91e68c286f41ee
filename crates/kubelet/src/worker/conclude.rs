//! What the outcomes of actions change in what is known of the pod.

use super::reap::Remains;
use super::{Outcome, Worker};
use crate::observed::{Doom, Exit, Hook, ObservedContainer, Sandbox, State, Volumes, Work};
use crate::plan;
use crate::probe::task::Report;
use crate::probe::verdict::Kind;
use crate::sandbox;
use crate::start::{Run, StartError, Started};
use crate::time::{self, Nanos, SECOND};

/// The pause before a failed sandbox or volume is tried again, doubled up to the longest.
const RETRY_FIRST: Nanos = SECOND;
const RETRY_MAX: Nanos = 10 * SECOND;
/// How long ErrImagePull is shown before ImagePullBackOff.
const SHOW_PULL_ERROR: Nanos = 2 * SECOND;

impl Worker {
    pub(super) fn conclude(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Done => {}
            Outcome::Looked(result) => self.adopted(result),
            Outcome::Volumes(result) => self.volumes_done(result),
            Outcome::Sandbox(result) => self.sandbox_done(result),
            Outcome::Started { run, image, result } => self.start_done(run, image, result),
            Outcome::Hooked { name, id, result } => self.hook_done(&name, &id, result),
            Outcome::Killed(name) => {
                // The exit itself follows; a kill that failed is planned again.
                self.kills.remove(&name);
                self.observed.busy.remove(&Work::Kill(name));
            }
            Outcome::Reaped { name, exit } => self.reaped(&name, exit),
            Outcome::Removed => drop(self.observed.busy.remove(&Work::Remove)),
            Outcome::Refreshed => {
                if self.refreshing.take() == Some(true) {
                    self.refresh_volumes();
                }
            }
            Outcome::Measured(usage) => self.measured(usage),
            Outcome::Resized(outcome) => self.resized(outcome),
            Outcome::TornDown(result) => {
                self.observed.busy.remove(&Work::TearDown);
                match result {
                    Ok(()) => {
                        self.observed.torn_down = true;
                        self.observed.sandbox = Sandbox::Absent;
                        self.observed.volumes = Volumes::Absent;
                    }
                    Err(error) => {
                        tracing::warn!(
                            pod = self.desired.key(),
                            error,
                            "what is left of the pod cannot be removed yet"
                        );
                        self.retry_later(Work::TearDown);
                    }
                }
            }
            Outcome::Finalized(result) => {
                self.observed.busy.remove(&Work::Finalize);
                match result {
                    Ok(()) => self.finished = true,
                    Err(error) => {
                        tracing::warn!(pod = self.desired.key(), error, "the pod's object cannot be removed yet");
                        self.retry_later(Work::Finalize);
                    }
                }
            }
            Outcome::TryAgain(work) => drop(self.observed.busy.remove(&work)),
            Outcome::WriterGone => {
                self.watching_writer = false;
                self.revive_writer();
            }
        }
    }

    /// Keeps the work marked as running for a second, so that a failure does not spin.
    fn retry_later(&mut self, work: Work) {
        self.observed.busy.insert(work.clone());
        self.tasks.spawn(Outcome::TryAgain(work.clone()), async move {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            Outcome::TryAgain(work)
        });
    }

    fn volumes_done(&mut self, result: Result<(), String>) {
        self.observed.busy.remove(&Work::Volumes);
        self.observed.volumes = match (result, &self.observed.volumes) {
            (Ok(()), _) => Volumes::Ready,
            (Err(message), before) => {
                let tries = if let Volumes::Failed { tries, .. } = before { tries + 1 } else { 1 };
                self.event(true, "FailedMount", message.clone(), None);
                Volumes::Failed { message, tries, retry_at: time::now() + delay(tries) }
            }
        };
    }

    fn sandbox_done(&mut self, result: Result<Option<std::net::Ipv4Addr>, String>) {
        self.observed.busy.remove(&Work::Sandbox);
        self.observed.sandbox = match (result, &self.observed.sandbox) {
            (Ok(address), _) => Sandbox::Ready { address },
            (Err(message), before) => {
                let tries = if let Sandbox::Failed { tries, .. } = before { tries + 1 } else { 1 };
                self.event(true, "FailedCreatePodSandBox", format!("Failed to create pod sandbox: {message}"), None);
                Sandbox::Failed { message, tries, retry_at: time::now() + delay(tries) }
            }
        };
    }

    fn start_done(&mut self, run: Run, image: String, result: Result<Started, StartError>) {
        self.observed.busy.remove(&Work::Start(run.name.clone()));
        self.starts.remove(&run.name);
        self.starting.remove(&run.name);
        let early = self.early.remove(&run.id);
        let now = time::now();
        let probes = crate::pod::find(&self.desired.pod, &run.name).map(|(_, container)| container);
        let seen = self.observed.containers.entry(run.name.clone()).or_default();
        match result {
            Ok(started) => {
                let hook = probes.as_ref().and_then(|container| container.lifecycle.as_ref()?.post_start.clone());
                seen.before_hook =
                    hook.as_ref().map(|_| Box::new(ObservedContainer { before_hook: None, ..seen.clone() }));
                begin_run(seen, &run, now);
                seen.image_id = started.image_id;
                seen.image = image;
                seen.pull_delay = 0;
                let container = probes.unwrap_or_default();
                seen.startup_passed = container.startup_probe.is_none();
                seen.ready = container.readiness_probe.is_none();
                seen.post_start = if hook.is_some() { Hook::Running } else { Hook::Done };
                seen.state = State::Running { id: run.id.clone(), started_at: started.started_at };
                if let Some(hook) = hook {
                    self.run_post_start(run.name.clone(), run.id.clone(), hook);
                }
                if let Some((code, finished_at)) = early {
                    self.exited(&run.id, code, finished_at);
                }
            }
            Err(error) => {
                failed_run(seen, &run, image, error, now);
                self.owners.lock().remove(&run.id);
            }
        }
    }

    fn hook_done(&mut self, name: &str, id: &str, result: Result<(), String>) {
        let role = self.role(name);
        let Some(seen) = self.observed.containers.get_mut(name).filter(|seen| seen.id() == Some(id)) else { return };
        match result {
            Ok(()) => (seen.post_start, seen.before_hook) = (Hook::Done, None),
            Err(message) => {
                seen.doomed = Some(Doom {
                    message: "FailedPostStartHook".into(),
                    grace_seconds: None,
                    shows: Some(("PostStartHookError".into(), message)),
                });
                self.event(true, "FailedPostStartHook", "PostStartHook failed".into(), Some((role, name)));
            }
        }
    }

    pub(super) fn probed(&mut self, report: Report) {
        let (id, kind) = match &report {
            Report::Verdict { container_id, kind, .. } | Report::Failed { container_id, kind, .. } => {
                (container_id, *kind)
            }
        };
        let found =
            self.observed.containers.iter_mut().find(|(_, seen)| seen.is_running() && seen.id() == Some(id.as_str()));
        let Some((name, seen)) = found else { return };
        let name = name.clone();
        match report {
            Report::Failed { message, .. } => {
                let role = self.role(&name);
                self.event(true, "Unhealthy", message, Some((role, &name)));
            }
            Report::Verdict { healthy, .. } => match (kind, healthy) {
                (Kind::Readiness, healthy) => seen.ready = healthy,
                (Kind::Startup, true) => seen.startup_passed = true,
                (Kind::Liveness, true) => {}
                (Kind::Startup, false) if seen.startup_passed => {}
                (Kind::Startup | Kind::Liveness, false) => {
                    let container = crate::pod::find(&self.desired.pod, &name).map(|(_, container)| container);
                    let probe = container.and_then(|container| match kind {
                        Kind::Startup => container.startup_probe,
                        _ => container.liveness_probe,
                    });
                    seen.doomed = Some(Doom {
                        message: format!(
                            "Container {name} failed {} probe, will be restarted",
                            kind.name().to_lowercase()
                        ),
                        grace_seconds: probe.and_then(|probe| probe.termination_grace_period_seconds),
                        shows: None,
                    });
                }
            },
        }
    }

    fn reaped(&mut self, name: &str, exit: Exit) {
        self.reaping.remove(&exit.id);
        self.owners.lock().remove(&exit.id);
        if let Some((_, stop)) = self.kills.remove(name) {
            stop.cancel();
        }
        self.observed.busy.remove(&Work::Kill(name.to_owned()));
        for kind in [Kind::Startup, Kind::Liveness, Kind::Readiness] {
            if let Some(task) = self.probes.remove(&(name.to_owned(), kind)) {
                task.abort();
            }
        }
        let image = crate::pod::find(&self.desired.pod, name).map(|(_, container)| container.image);
        let resized = plan::resize_restarts(&self.desired.pod, &self.observed, name);
        let Some(seen) = self.observed.containers.get_mut(name) else { return };
        seen.startup_passed = false;
        seen.ready = false;
        seen.before_hook = None;
        let doom = seen.doomed.take();
        let condemned = doom.as_ref().is_some_and(|doom| doom.shows.is_none());
        if condemned || resized || image.is_some_and(|image| image != seen.image) {
            seen.backoff.replaced(seen.last.as_ref().map(|last| last.finished_at), exit.finished_at);
        }
        self.remains.push(Remains { id: exit.id.clone(), of: Some((name.to_owned(), seen.restarts)) });
        seen.state = match doom.and_then(|doom| doom.shows) {
            Some((reason, message)) => {
                seen.last = Some(exit.clone());
                State::Waiting { reason, message, retry_at: exit.finished_at, id: Some(exit.id) }
            }
            None => State::Exited(exit),
        };
    }

    /// Takes over a sandbox or finds that it is gone.
    pub(super) fn check_sandbox(&mut self) {
        let paths = self.node.paths.pod(self.desired.uid());
        let leaving = self.observed.busy.contains(&Work::TearDown);
        if self.observed.is_sandbox_ready() && !leaving && !sandbox::exists(&self.desired.pod, &paths) {
            self.event(false, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.".into(), None);
            self.observed.sandbox = Sandbox::Absent;
            self.observed.volumes = Volumes::Absent;
        }
    }
}

fn delay(tries: u32) -> Nanos {
    (RETRY_FIRST << (tries.saturating_sub(1)).min(8)).min(RETRY_MAX)
}

/// Counts a run that begins after another one.
fn begin_run(seen: &mut ObservedContainer, run: &Run, now: Nanos) {
    if let Some(exit) = seen.exit().cloned() {
        seen.backoff.restarted(exit.finished_at, now);
        seen.last = Some(exit);
    } else {
        seen.backoff.last_start = now;
    }
    seen.restarts = run.attempt;
    seen.resources = Some(run.amounts.clone());
    seen.doomed = None;
}

/// A start that failed: with a run, where the container was made, or without one.
fn failed_run(seen: &mut ObservedContainer, run: &Run, image: String, error: StartError, now: Nanos) {
    let mut retry_at = now + RETRY_MAX;
    let mut id = None;
    if let Some(image_id) = error.failed_run {
        begin_run(seen, run, now);
        seen.image_id = image_id;
        seen.image = image;
        seen.last = Some(Exit {
            id: run.id.clone(),
            code: 128,
            reason: "StartError".into(),
            message: error.message.clone(),
            started_at: 0,
            finished_at: now,
        });
        // How long it is put off is the planner's matter, as with every run that ended.
        retry_at = now;
        id = Some(run.id.clone());
    } else if error.is_pull {
        seen.pull_delay = crate::observed::next_pull_delay(seen.pull_delay);
        seen.pull_until = now + seen.pull_delay;
        seen.pull_error.clone_from(&error.message);
        retry_at = now + SHOW_PULL_ERROR;
    }
    // What was shown before is not lost: a run that ended is the last one.
    if let State::Exited(exit) = &seen.state {
        seen.last = Some(exit.clone());
    }
    seen.state = State::Waiting { reason: error.reason.into(), message: error.message, retry_at, id };
}
