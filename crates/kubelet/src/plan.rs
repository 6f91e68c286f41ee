//! The kubelet's decision: what to do for a pod now. Pure: no clock but `now`, no I/O.
//!
//! Level-triggered: called after every change of what is wanted or observed, and when the time it asked for has come.
//! An action that runs is in `observed.busy` and is not planned again.

use proto::core::v1::{Container, Pod};

use crate::observed::{Doom, Exit, Hook, ObservedContainer, ObservedPod, Sandbox, State, Volumes, Work};
use crate::pod::{DesiredPod, Member, Role, ephemeral, members};
use crate::resize::{self, Step};
use crate::time::{Nanos, SECOND};

/// How long an exit is shown as such before the state says that the restart is put off.
const SHOW_EXIT: Nanos = SECOND;

/// Something to do for a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Set up all volumes.
    PrepareVolumes,
    /// Make namespaces, network and cgroup.
    CreateSandbox,
    /// Get the image, make the container, start it, run its post-start hook. `restart` follows an earlier run.
    Start { name: String, restart: bool },
    /// Run the pre-stop hook, signal, wait, kill.
    Kill { name: String, grace_seconds: i64, message: String },
    /// Give running containers, and the pod's group, the limits that were granted.
    Resize,
    /// The state of a container is shown otherwise; nothing is done.
    Show { name: String, state: State, event: Option<String> },
    /// The pod must end: its deadline has passed.
    EndPod { reason: &'static str, message: &'static str },
    /// Take network, namespaces, volumes, cgroup and log writer away.
    TearDown,
    /// Remove the object from the API, and then all that is left of the pod here.
    Finalize,
    /// Plan again at that time.
    Wake(Nanos),
}

/// What to do for the pod now.
pub fn plan(desired: &DesiredPod, observed: &ObservedPod, now: Nanos) -> Vec<Action> {
    let mut plan = Planner { desired, observed, now, actions: Vec::new() };
    plan.decide();
    plan.actions
}

struct Planner<'a> {
    desired: &'a DesiredPod,
    observed: &'a ObservedPod,
    now: Nanos,
    actions: Vec<Action>,
}

/// Whether the pod's containers are all done, by its restart policy: it will not run again.
pub fn is_complete(pod: &Pod, observed: &ObservedPod) -> bool {
    if observed.busy.iter().any(|work| matches!(work, Work::Start(_))) {
        return false;
    }
    if failed_init(pod, observed).is_some() {
        return !pod.spec.containers.iter().any(|other| is_running(observed, &other.name));
    }
    pod.spec.containers.iter().all(|container| {
        let exit =
            observed.container(&container.name).filter(|seen| !seen.is_running()).and_then(ObservedContainer::exit);
        exit.is_some_and(|exit| !restarts(pod, container, Role::Main, exit))
    })
}

/// Whether the container runs and must be begun anew, since it does not bear a change of its limits.
pub fn resize_restarts(pod: &Pod, observed: &ObservedPod, name: &str) -> bool {
    let widened = observed.resizing.as_ref().is_some_and(|progress| progress.widened);
    widened && crate::pod::member(pod, name).is_some_and(|member| resize::step(member, observed) == Step::Restart)
}

/// The init container that failed for good, if any.
pub fn failed_init<'a>(pod: &'a Pod, observed: &ObservedPod) -> Option<&'a str> {
    let init = members(pod).filter(|member| member.role == Role::Init);
    let mut failed = init.filter(|member| {
        let seen = observed.container(&member.container.name);
        let exit = seen.filter(|seen| !seen.is_running()).and_then(ObservedContainer::exit);
        exit.is_some_and(|exit| exit.code != 0 && !restarts(pod, member.container, Role::Init, exit))
    });
    failed.next().map(|member| member.container.name.as_str())
}

fn is_running(observed: &ObservedPod, name: &str) -> bool {
    observed.container(name).is_some_and(ObservedContainer::is_running)
}

/// Whether an exit is followed by another run.
pub fn restarts(pod: &Pod, container: &Container, role: Role, exit: &Exit) -> bool {
    for rule in &container.restart_policy_rules {
        let matched = rule.exit_codes.as_ref().is_some_and(|codes| {
            let listed = codes.values.contains(&exit.code);
            if codes.operator == "NotIn" { !listed } else { listed }
        });
        if matched {
            return rule.action == "Restart";
        }
    }
    let policy = container.restart_policy.as_deref().unwrap_or(&pod.spec.restart_policy);
    match (role, policy) {
        (Role::Ephemeral, _) => false,
        (Role::Sidecar, _) => true,
        (_, "Never") => false,
        (Role::Init, _) | (_, "OnFailure") => exit.code != 0,
        _ => true,
    }
}

impl Planner<'_> {
    fn decide(&mut self) {
        let (pod, observed) = (&*self.desired.pod, self.observed);
        if observed.busy.contains(&Work::Adopt) {
            return; // What runs is not known yet.
        }
        if observed.torn_down {
            return self.finish();
        }
        if let Some(deadline) = self.desired.deadline(observed.started_at)
            && self.desired.ending.is_none()
            && !is_complete(pod, observed)
        {
            if self.now >= deadline {
                return self.actions.push(Action::EndPod {
                    reason: "DeadlineExceeded",
                    message: "Pod was active on the node longer than the specified deadline",
                });
            }
            self.actions.push(Action::Wake(deadline));
        }
        match &self.desired.ending {
            Some(ending) => {
                let end = ending.since.saturating_add(ending.grace_seconds.saturating_mul(SECOND));
                let left = end.saturating_sub(self.now).saturating_add(SECOND - 1).div_euclid(SECOND);
                self.stop(left.max(0));
            }
            None if is_complete(pod, observed) => self.stop(self.desired.grace_seconds()),
            None => self.run(),
        }
    }

    fn finish(&mut self) {
        // What ended by itself stays visible until its object is deleted.
        let deleted = self.desired.gone || self.desired.pod.metadata.deletion_timestamp.is_some();
        if deleted && self.observed.busy.is_empty() {
            self.actions.push(Action::Finalize);
        }
    }

    /// Ends what runs: first all but the sidecars, then those in reverse order; then everything is taken away.
    fn stop(&mut self, grace_seconds: i64) {
        let pod = &*self.desired.pod;
        let sidecars: Vec<&str> = members(pod)
            .filter(|member| member.role == Role::Sidecar)
            .map(|member| member.container.name.as_str())
            .collect();
        let running: Vec<&String> =
            self.observed.containers.iter().filter(|(_, seen)| seen.is_running()).map(|(name, _)| name).collect();
        let others: Vec<&String> = running.iter().copied().filter(|name| !sidecars.contains(&name.as_str())).collect();
        if !others.is_empty() {
            for name in others {
                self.kill(name, grace_seconds, format!("Stopping container {name}"));
            }
            return;
        }
        if let Some(name) = sidecars.iter().rev().find(|name| is_running(self.observed, name)) {
            return self.kill(name, grace_seconds, format!("Stopping container {name}"));
        }
        // A start that is under way ends by itself: the worker cancels it, or it becomes a running container. Its result
        // wakes the planner.
        if self.observed.busy.is_empty() {
            self.actions.push(Action::TearDown);
        }
    }

    fn kill(&mut self, name: &str, grace_seconds: i64, message: String) {
        if !self.observed.busy.contains(&Work::Kill(name.to_owned())) {
            self.actions.push(Action::Kill { name: name.to_owned(), grace_seconds, message });
        }
    }

    fn run(&mut self) {
        let (volumes, sandbox) = (self.volumes(), self.sandbox());
        self.end_doomed();
        if !volumes || !sandbox {
            return;
        }
        // A container that begins may need more than the pod's group allows until then.
        if self.resize(false) {
            return;
        }
        let pod = &*self.desired.pod;
        let initialized = self.run_init(pod);
        if initialized {
            self.run_main(pod);
            for container in &pod.spec.ephemeral_containers {
                self.run_ephemeral(&ephemeral(container));
            }
        }
        self.resize(true);
    }

    fn volumes(&mut self) -> bool {
        let wanted = match &self.observed.volumes {
            Volumes::Ready => return true,
            Volumes::Absent => true,
            Volumes::Failed { retry_at, .. } => self.due(*retry_at),
        };
        if wanted && !self.observed.busy.contains(&Work::Volumes) {
            self.actions.push(Action::PrepareVolumes);
        }
        false
    }

    fn sandbox(&mut self) -> bool {
        let wanted = match &self.observed.sandbox {
            Sandbox::Ready { .. } => return true,
            Sandbox::Absent => true,
            Sandbox::Failed { retry_at, .. } => self.due(*retry_at),
        };
        if wanted && !self.observed.busy.contains(&Work::Sandbox) {
            self.actions.push(Action::CreateSandbox);
        }
        false
    }

    /// Whether the time has come; asks to be woken where it has not.
    fn due(&mut self, at: Nanos) -> bool {
        if at > self.now {
            self.actions.push(Action::Wake(at));
        }
        at <= self.now
    }

    /// Changes what runs to what was granted, while no container comes or goes; again (`widened`) when those that had to
    /// be begun anew run. Returns whether it is under way.
    fn resize(&mut self, widened: bool) -> bool {
        let progress = self.observed.resizing.as_ref().filter(|progress| progress.widened == widened);
        let Some(progress) = progress else { return false };
        if self.observed.busy.contains(&Work::Resize) {
            return true;
        }
        let coming = self.observed.busy.iter().any(|work| matches!(work, Work::Start(_) | Work::Kill(_)))
            || self.actions.iter().any(|action| matches!(action, Action::Start { .. } | Action::Kill { .. }));
        let retry_at = progress.error.as_ref().map_or(0, |(_, retry_at)| *retry_at);
        let wanted = !coming && self.due(retry_at);
        if wanted {
            self.actions.push(Action::Resize);
        }
        wanted
    }

    /// Ends runs that a probe or hook condemned, those whose image was changed, and those that bear no other limits.
    fn end_doomed(&mut self) {
        for member in members(&self.desired.pod) {
            let name = &member.container.name;
            let Some(seen) = self.observed.container(name).filter(|seen| seen.is_running()) else { continue };
            let grace = self.desired.grace_seconds();
            if let Some(Doom { message, grace_seconds, .. }) = &seen.doomed {
                self.kill(name, grace_seconds.unwrap_or(grace), message.clone());
            } else if seen.image != member.container.image && !seen.image.is_empty() {
                self.kill(name, grace, format!("Container {name} definition changed, will be restarted"));
            } else if resize_restarts(&self.desired.pod, self.observed, name) {
                self.kill(name, grace, format!("Container {name} resize requires restart"));
            }
        }
    }

    /// Whether all init containers are done and the sidecars are started.
    fn run_init(&mut self, pod: &Pod) -> bool {
        let main_begun = pod
            .spec
            .containers
            .iter()
            .any(|container| self.observed.container(&container.name).is_some_and(ObservedContainer::was_begun));
        let mut reached = true;
        for member in members(pod).filter(|member| member.role != Role::Main) {
            let name = &member.container.name;
            let seen = self.observed.container(name);
            match member.role {
                Role::Sidecar => {
                    // A sidecar that was reached once is kept alive, also beside the main containers.
                    let begun = seen.is_some_and(ObservedContainer::was_begun);
                    if reached || begun {
                        self.keep(member);
                    }
                    reached &= seen.is_some_and(ObservedContainer::is_started) || main_begun;
                }
                _ if !reached || main_begun => {}
                _ => {
                    let exit = seen.filter(|seen| !seen.is_running()).and_then(ObservedContainer::exit);
                    let done = exit.is_some_and(|exit| exit.code == 0);
                    if !done {
                        self.keep(member);
                    }
                    reached &= done;
                }
            }
        }
        reached || main_begun
    }

    fn run_main(&mut self, pod: &Pod) {
        for container in &pod.spec.containers {
            self.keep(Member { role: Role::Main, container });
            // A post-start hook holds up the containers that come after, until it is done or has failed.
            let hook = container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.post_start.is_some());
            let passed = self.observed.container(&container.name).is_some_and(|seen| {
                let undecided = seen.is_running() && seen.post_start == Hook::Running && seen.doomed.is_none();
                seen.was_begun() && !undecided
            });
            if hook && !passed {
                return;
            }
        }
    }

    fn run_ephemeral(&mut self, container: &Container) {
        let seen = self.observed.container(&container.name);
        if seen.is_none_or(|seen| !seen.was_begun()) {
            self.keep(Member { role: Role::Ephemeral, container });
        }
    }

    /// Starts the container where it does not run and should.
    fn keep(&mut self, member: Member<'_>) {
        let name = &member.container.name;
        let busy = &self.observed.busy;
        let own = [Work::Start(name.clone()), Work::Kill(name.clone()), Work::Remove];
        if own.iter().any(|work| busy.contains(work)) {
            return;
        }
        let start = |restart| Action::Start { name: name.clone(), restart };
        let Some(seen) = self.observed.container(name) else {
            return self.actions.push(start(false));
        };
        match &seen.state {
            State::Running { .. } => {}
            State::Waiting { retry_at, .. } if *retry_at > self.now => self.actions.push(Action::Wake(*retry_at)),
            State::Waiting { .. } | State::Exited(_) => match seen.exit() {
                None => self.actions.push(start(false)),
                Some(exit) => self.restart(member, seen, exit, start(true)),
            },
        }
    }

    fn restart(&mut self, member: Member<'_>, seen: &ObservedContainer, exit: &Exit, start: Action) {
        if !restarts(&self.desired.pod, member.container, member.role, exit) {
            return;
        }
        let until = seen.backoff.until(exit.finished_at);
        if until <= self.now {
            return self.actions.push(start);
        }
        self.actions.push(Action::Wake(until));
        let shown = matches!(&seen.state, State::Waiting { reason, .. } if reason == "CrashLoopBackOff");
        if shown {
            return;
        }
        let show_at = exit.finished_at.saturating_add(SHOW_EXIT);
        if show_at > self.now {
            return self.actions.push(Action::Wake(show_at));
        }
        let (name, meta) = (&member.container.name, &self.desired.pod.metadata);
        let pod = format!("{}_{}({})", meta.name, meta.namespace, meta.uid);
        let delay = go_duration(seen.backoff.delay);
        self.actions.push(Action::Show {
            name: name.clone(),
            state: State::Waiting {
                reason: "CrashLoopBackOff".into(),
                message: format!("back-off {delay} restarting failed container={name} pod={pod}"),
                retry_at: until,
                id: None,
            },
            event: Some(format!("Back-off restarting failed container {name} in pod {pod}")),
        });
    }
}

/// Whole seconds as Go prints them: "10s", "1m20s", "5m0s".
pub fn go_duration(duration: Nanos) -> String {
    let seconds = duration / SECOND;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
