//! Defaults of pods, their templates and containers.

#![allow(deprecated, reason = "an older name of the same field")]

use proto::core::v1::{Container, EphemeralContainerCommon, Pod, PodSpec};

use super::shared::{point, set};
use crate::quantity::{self, ResourceList};

/// What only a pod has, not a template.
pub fn pod(pod: &mut Pod) {
    pod.spec.enable_service_links.get_or_insert(true);
    if pod.spec.host_network {
        for container in pod.spec.containers.iter_mut().chain(&mut pod.spec.init_containers) {
            for port in container.ports.iter_mut().filter(|port| port.host_port == 0) {
                port.host_port = port.container_port;
            }
        }
    }
    set(&mut pod.status.phase, "Pending");
}

/// Requests follow limits, first each container's, then the pod's own.
pub fn requests(pod: &mut Pod) {
    for container in pod.spec.containers.iter_mut().chain(&mut pod.spec.init_containers) {
        fill(&mut container.resources.requests, &container.resources.limits);
    }
    let Some(mut resources) = pod.spec.resources.take() else { return };
    if !resources.requests.is_empty() || !resources.limits.is_empty() {
        let asked = container_requests(&pod.spec);
        let shared = asked.into_iter().filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory")).collect();
        fill(&mut resources.requests, &shared);
        fill(&mut resources.requests, &resources.limits);
    }
    pod.spec.resources = Some(resources);
}

fn fill(requests: &mut ResourceList, limits: &ResourceList) {
    for (name, limit) in limits {
        requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
}

/// What the containers ask together: the main ones and the sidecars at once, or one init container beside the sidecars
/// started before it, whichever is more.
pub fn container_requests(spec: &PodSpec) -> ResourceList {
    let mut total = ResourceList::new();
    for container in &spec.containers {
        quantity::add(&mut total, &container.resources.requests);
    }
    let (mut sidecars, mut peak) = (ResourceList::new(), ResourceList::new());
    for container in &spec.init_containers {
        let mut now = container.resources.requests.clone();
        if container.restart_policy.as_deref() == Some("Always") {
            quantity::add(&mut total, &now);
            quantity::add(&mut sidecars, &now);
            now = sidecars.clone();
        } else {
            quantity::add(&mut now, &sidecars);
        }
        quantity::raise(&mut peak, &now);
    }
    quantity::raise(&mut total, &peak);
    total
}

/// Pods and templates alike.
pub fn spec(spec: &mut PodSpec) {
    set(&mut spec.dns_policy, "ClusterFirst");
    set(&mut spec.restart_policy, "Always");
    spec.security_context.get_or_insert_with(Default::default);
    let grace = spec.termination_grace_period_seconds.get_or_insert(30);
    if *grace < 0 {
        *grace = 1;
    }
    set(&mut spec.scheduler_name, "default-scheduler");
    // One field under two names; the newer one counts.
    if spec.service_account_name.is_empty() {
        spec.service_account_name = spec.service_account.clone();
    }
    spec.service_account = spec.service_account_name.clone();
}

pub fn container(container: &mut Container) {
    set(&mut container.image_pull_policy, pull_policy(&container.image));
    set(&mut container.termination_message_path, "/dev/termination-log");
    set(&mut container.termination_message_policy, "File");
}

pub fn ephemeral_container(container: &mut EphemeralContainerCommon) {
    set(&mut container.image_pull_policy, pull_policy(&container.image));
    set(&mut container.termination_message_path, "/dev/termination-log");
    set(&mut container.termination_message_policy, "File");
}

/// An image that may change under its name is always pulled: one tagged latest, or neither tagged nor pinned.
pub fn pull_policy(image: &str) -> &'static str {
    if image.contains('@') {
        return "IfNotPresent";
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

/// Defaults of a claim's spec, inside a template or alone.
pub fn volume_mode(mode: &mut Option<String>) {
    point(mode, "Filesystem");
}
