//! The status that a pod shows, from what is known of it. Pure.

use std::borrow::Cow;
use std::net::IpAddr;

use proto::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    HostIp, Pod, PodCondition, PodIp, PodStatus, VolumeMountStatus,
};

use crate::observed::{Exit, ObservedContainer, ObservedPod, Sandbox, State, Volumes};
use crate::plan::{failed_init, is_complete};
use crate::pod::{DesiredPod, EndingCause, Role, ephemeral, members};
use crate::time::{self, Nanos};

/// Prefix of container ids in status.
const RUNTIME: &str = "containerd://";

/// The whole status of the pod. `before` is the one last seen: times of conditions that did not change, and what
/// others wrote, are kept from it.
pub fn status(desired: &DesiredPod, observed: &ObservedPod, before: &PodStatus, host: IpAddr, now: Nanos) -> PodStatus {
    let pod = &*desired.pod;
    if let Some(EndingCause::Rejected { reason, message }) = desired.ending.as_ref().map(|ending| &ending.cause) {
        return rejected(pod, observed, reason, message);
    }
    let running = match observed.resizing {
        Some(_) => Cow::Owned(crate::resize::as_running(pod, observed)),
        None => Cow::Borrowed(pod),
    };
    let view = View { desired, pod, running: &running, observed };
    let phase = view.phase();
    let mut status = PodStatus {
        observed_generation: pod.metadata.generation,
        phase: view.shown_phase(view.last_phase()).into(),
        host_ip: host.to_string(),
        host_ips: vec![HostIp { ip: host.to_string() }],
        start_time: observed.started_at.map(time::to_meta),
        init_container_statuses: view.statuses(|role| matches!(role, Role::Init | Role::Sidecar)),
        container_statuses: view.statuses(|role| role == Role::Main),
        ephemeral_container_statuses: view.ephemeral_statuses(),
        qos_class: crate::resources::qos(pod).name().into(),
        nominated_node_name: before.nominated_node_name.clone(),
        resource_claim_statuses: before.resource_claim_statuses.clone(),
        resources: Some(crate::resources::total(&running)),
        allocated_resources: crate::resources::total(pod).requests,
        ..PodStatus::default()
    };
    if let Some(ip) = view.address(host) {
        status.pod_ip = ip.to_string();
        status.pod_ips = vec![PodIp { ip: ip.to_string() }];
    }
    let shown_as_over = status.phase == Phase::Failed.name();
    if let Some(EndingCause::Stopped { reason, message }) = desired.ending.as_ref().map(|ending| &ending.cause)
        && shown_as_over
    {
        status.reason = reason.clone();
        status.message = message.clone();
    }
    status.conditions = conditions(&view, phase, &status, before, now);
    status
}

/// Of a pod that the node did not take nothing is told but why.
fn rejected(pod: &Pod, observed: &ObservedPod, reason: &str, message: &str) -> PodStatus {
    PodStatus {
        observed_generation: pod.metadata.generation,
        phase: Phase::Failed.name().into(),
        reason: reason.into(),
        message: message.into(),
        start_time: observed.started_at.map(time::to_meta),
        qos_class: crate::resources::qos(pod).name().into(),
        ..PodStatus::default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

struct View<'a> {
    desired: &'a DesiredPod,
    pod: &'a Pod,
    /// With what its running containers have, where that differs for now.
    running: &'a Pod,
    observed: &'a ObservedPod,
}

impl View<'_> {
    /// The phase that the containers' states amount to.
    fn phase(&self) -> Phase {
        let over = |success: bool| if success { Phase::Succeeded } else { Phase::Failed };
        if let Some(EndingCause::Stopped { .. }) = self.desired.ending.as_ref().map(|ending| &ending.cause) {
            return Phase::Failed;
        }
        if failed_init(self.pod, self.observed).is_some() {
            return Phase::Failed;
        }
        let main = || self.pod.spec.containers.iter().map(|container| self.observed.container(&container.name));
        let begun = |seen: Option<&ObservedContainer>| {
            seen.and_then(ObservedContainer::shown).is_some_and(ObservedContainer::was_begun)
        };
        let all_exited = main().all(|seen| seen.is_some_and(|seen| !seen.is_running() && seen.exit().is_some()));
        let success = || main().all(|seen| seen.and_then(ObservedContainer::exit).is_some_and(|exit| exit.code == 0));
        if all_exited && (is_complete(self.pod, self.observed) || self.desired.ending.is_some()) {
            return over(success());
        }
        if main().all(begun) { Phase::Running } else { Phase::Pending }
    }

    /// A pod that was taken away before its containers had ended, or begun, has failed; its conditions still say what it
    /// waited for.
    fn last_phase(&self) -> Phase {
        match self.phase() {
            phase if phase.is_over() || !self.observed.torn_down => phase,
            _ => Phase::Failed,
        }
    }

    /// A pod is over for others only when nothing of it is left on the node.
    fn shown_phase(&self, phase: Phase) -> &'static str {
        if !phase.is_over() || self.observed.torn_down {
            return phase.name();
        }
        let main_begun = self
            .pod
            .spec
            .containers
            .iter()
            .all(|container| self.observed.container(&container.name).is_some_and(ObservedContainer::was_begun));
        if main_begun { "Running" } else { "Pending" }
    }

    fn address(&self, host: IpAddr) -> Option<IpAddr> {
        match &self.observed.sandbox {
            Sandbox::Ready { .. } if self.pod.spec.host_network => Some(host),
            Sandbox::Ready { address } => address.map(IpAddr::V4),
            _ => None,
        }
    }

    fn statuses(&self, wanted: impl Fn(Role) -> bool) -> Vec<ContainerStatus> {
        let chosen = members(self.pod).filter(|member| wanted(member.role));
        chosen.map(|member| self.container(member.role, member.container)).collect()
    }

    fn ephemeral_statuses(&self) -> Vec<ContainerStatus> {
        let all = self.pod.spec.ephemeral_containers.iter();
        all.map(|container| self.container(Role::Ephemeral, &ephemeral(container))).collect()
    }

    fn container(&self, role: Role, container: &Container) -> ContainerStatus {
        let fresh = ObservedContainer::default();
        let seen = self.observed.container(&container.name).and_then(ObservedContainer::shown).unwrap_or(&fresh);
        let begun = seen.was_begun();
        let last = seen.last.as_ref().map(terminated).unwrap_or_default();
        let (state, last_state) = if self.has_failed_for_good(role, container, seen) {
            (last, ContainerState::default())
        } else {
            (self.state(role, seen), last)
        };
        let mut status = ContainerStatus {
            name: container.name.clone(),
            state,
            last_state,
            ready: match role {
                Role::Init => matches!(&seen.state, State::Exited(exit) if exit.code == 0),
                Role::Ephemeral => false,
                _ => seen.is_ready() && self.observed.is_sandbox_ready(),
            },
            restart_count: seen.restarts.try_into().unwrap_or(i32::MAX),
            image: container.image.clone(),
            image_id: seen.image_id.clone(),
            container_id: seen.id().map(|id| format!("{RUNTIME}{id}")).unwrap_or_default(),
            started: match role {
                Role::Ephemeral => None,
                _ => Some(seen.is_started()),
            },
            volume_mounts: mounts(container),
            ..ContainerStatus::default()
        };
        if begun {
            status.allocated_resources = crate::resources::with_defaults(&container.resources).requests;
            let running = crate::pod::member(self.running, &container.name).map_or(container, |own| own.container);
            status.resources = Some(crate::resources::with_defaults(&running.resources));
        }
        status
    }

    /// It could not be started, and will not be tried again: it ended with that failure, it does not wait.
    fn has_failed_for_good(&self, role: Role, container: &Container, seen: &ObservedContainer) -> bool {
        let waits = matches!(&seen.state, State::Waiting { reason, .. } if !reason.is_empty());
        let last = seen.last.as_ref().filter(|_| waits && role != Role::Ephemeral);
        last.is_some_and(|exit| !crate::plan::restarts(self.pod, container, role, exit))
    }

    fn state(&self, role: Role, seen: &ObservedContainer) -> ContainerState {
        let waiting = |reason: &str, message: &str| ContainerState {
            waiting: Some(ContainerStateWaiting { reason: reason.into(), message: message.into() }),
            ..ContainerState::default()
        };
        match &seen.state {
            State::Running { started_at, .. } => ContainerState {
                running: Some(ContainerStateRunning { started_at: time::to_meta(*started_at) }),
                ..ContainerState::default()
            },
            State::Exited(exit) => terminated(exit),
            State::Waiting { reason, message, .. } if !reason.is_empty() => waiting(reason, message),
            _ if role != Role::Ephemeral && !self.pod.spec.init_containers.is_empty() => waiting("PodInitializing", ""),
            _ => waiting("ContainerCreating", ""),
        }
    }
}

fn terminated(exit: &Exit) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: exit.code,
            reason: exit.reason.clone(),
            message: exit.message.clone(),
            started_at: time::to_meta(exit.started_at),
            finished_at: time::to_meta(exit.finished_at),
            container_id: match exit.id.is_empty() {
                true => String::new(),
                false => format!("{RUNTIME}{}", exit.id),
            },
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}

fn mounts(container: &Container) -> Vec<VolumeMountStatus> {
    let mounts = container.volume_mounts.iter();
    mounts
        .map(|mount| VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: mount.read_only,
            recursive_read_only: mount.read_only.then(|| "Disabled".to_owned()),
            ..VolumeMountStatus::default()
        })
        .collect()
}

/// A condition's verdict: status, reason, message.
type Verdict = (bool, String, String);

fn conditions(view: &View<'_>, phase: Phase, status: &PodStatus, before: &PodStatus, now: Nanos) -> Vec<PodCondition> {
    let ready_to_start = view.observed.is_sandbox_ready() && view.observed.volumes == Volumes::Ready;
    let containers = containers_ready(view, phase, status);
    let ours: [(&str, Verdict); 5] = [
        ("PodReadyToStartContainers", (ready_to_start, String::new(), String::new())),
        ("Initialized", initialized(view, phase, status)),
        ("Ready", ready(view.pod, before, &containers)),
        ("ContainersReady", containers),
        // It has come to this node, whoever wrote so: also a pod whose `nodeName` its author set.
        ("PodScheduled", (true, String::new(), String::new())),
    ];
    let mut conditions = crate::resize::conditions(view.observed, before, now);
    conditions.extend(ours.iter().map(|(kind, (is_true, reason, message))| {
        let old = before.conditions.iter().find(|condition| condition.r#type == *kind);
        let text = if *is_true { "True" } else { "False" };
        PodCondition {
            r#type: (*kind).into(),
            observed_generation: view.pod.metadata.generation,
            status: text.into(),
            last_transition_time: match old {
                Some(old) if old.status == text => old.last_transition_time,
                _ => time::to_meta(now),
            },
            reason: reason.clone(),
            message: message.clone(),
            ..PodCondition::default()
        }
    }));
    let known = |kind: &str| crate::resize::CONDITIONS.contains(&kind) || ours.iter().any(|(our, _)| *our == kind);
    let foreign = |other: &&PodCondition| !known(&other.r#type);
    conditions.extend(before.conditions.iter().filter(foreign).cloned());
    conditions
}

fn initialized(view: &View<'_>, phase: Phase, status: &PodStatus) -> Verdict {
    if phase == Phase::Succeeded {
        return (true, "PodCompleted".into(), String::new());
    }
    let names = members(view.pod).filter(|member| {
        let shown = status.init_container_statuses.iter().find(|shown| shown.name == member.container.name);
        match (member.role, shown) {
            (Role::Init, Some(shown)) => !shown.ready,
            (Role::Sidecar, Some(shown)) => {
                let before = view.pod.spec.containers.iter().any(|container| {
                    view.observed.container(&container.name).is_some_and(ObservedContainer::was_begun)
                });
                shown.started != Some(true) && !before
            }
            _ => false,
        }
    });
    let incomplete: Vec<&str> = names.map(|member| member.container.name.as_str()).collect();
    if incomplete.is_empty() {
        return (true, String::new(), String::new());
    }
    let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
    (false, "ContainersNotInitialized".into(), message)
}

fn containers_ready(view: &View<'_>, phase: Phase, status: &PodStatus) -> Verdict {
    match phase {
        Phase::Succeeded => return (false, "PodCompleted".into(), String::new()),
        Phase::Failed => return (false, "PodFailed".into(), String::new()),
        _ => {}
    }
    let statuses = status.init_container_statuses.iter().chain(&status.container_statuses);
    let unready: Vec<&str> = members(view.pod)
        .filter(|member| member.role != Role::Init)
        .filter(|member| !statuses.clone().any(|shown| shown.name == member.container.name && shown.ready))
        .map(|member| member.container.name.as_str())
        .collect();
    if unready.is_empty() {
        return (true, String::new(), String::new());
    }
    let message = format!("containers with unready status: [{}]", unready.join(" "));
    (false, "ContainersNotReady".into(), message)
}

/// Ready is ContainersReady and every readiness gate.
fn ready(pod: &Pod, before: &PodStatus, containers: &Verdict) -> Verdict {
    if !containers.0 {
        return containers.clone();
    }
    let mut missing = Vec::new();
    for gate in &pod.spec.readiness_gates {
        let kind = &gate.condition_type;
        match before.conditions.iter().find(|condition| condition.r#type == *kind) {
            None => missing.push(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist.")),
            Some(condition) if condition.status != "True" => {
                missing.push(format!(
                    "the status of pod readiness gate \"{kind}\" is not \"True\", but {}",
                    condition.status
                ));
            }
            Some(_) => {}
        }
    }
    match missing.as_slice() {
        [] => (true, String::new(), String::new()),
        [one] => (false, "ReadinessGatesNotReady".into(), one.clone()),
        many => (false, "ReadinessGatesNotReady".into(), format!("[{}]", many.join(", "))),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
