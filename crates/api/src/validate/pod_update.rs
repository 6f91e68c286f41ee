//! Validation of changed pods: most of a pod never changes.

use proto::core::v1::{ContainerStatus, Pod, PodSpec};

use super::check::Errors;
use super::{FieldError, Path, pod};

const SPEC: Path<'static> = Path::root("spec");
const STATUS: Path<'static> = Path::root("status");
const FIXED: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub fn update(errors: &mut Errors, new: &Pod, old: &Pod) {
    pod::spec(errors, SPEC, &new.spec);
    if new.spec.containers.len() != old.spec.containers.len() {
        let why = "pod updates may not add or remove containers";
        errors.push(FieldError::forbidden(SPEC.child("containers"), why));
        return;
    }
    if new.spec.init_containers.len() != old.spec.init_containers.len() {
        let why = "pod updates may not add or remove containers";
        errors.push(FieldError::forbidden(SPEC.child("initContainers"), why));
        return;
    }
    deadline(errors, &new.spec, &old.spec);
    tolerations(errors, &new.spec, &old.spec);
    gates(errors, &new.spec, &old.spec);
    if allowed(&new.spec, &old.spec) != old.spec {
        errors.push(FieldError::forbidden(SPEC, FIXED));
    }
}

/// A deadline may be set or brought nearer.
fn deadline(errors: &mut Errors, new: &PodSpec, old: &PodSpec) {
    let path = SPEC.child("activeDeadlineSeconds");
    match (new.active_deadline_seconds, old.active_deadline_seconds) {
        (None, Some(_)) => {
            errors.push(FieldError::invalid(path, "", "must not update from a positive integer to nil value"))
        }
        (Some(new), Some(old)) if new > old => {
            let why = format!("must be less than or equal to previous value '{old}'");
            errors.push(FieldError::invalid(path, new, why));
        }
        _ => {}
    }
}

/// Tolerations may be added; of those there only the seconds may change.
fn tolerations(errors: &mut Errors, new: &PodSpec, old: &PodSpec) {
    let path = SPEC.child("tolerations");
    let kept = old.tolerations.iter().all(|old| {
        new.tolerations.iter().any(|new| {
            let mut same = new.clone();
            same.toleration_seconds = old.toleration_seconds;
            same == *old
        })
    });
    if !kept {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(path, why));
    }
}

fn gates(errors: &mut Errors, new: &PodSpec, old: &PodSpec) {
    let path = SPEC.child("schedulingGates");
    for (index, gate) in new.scheduling_gates.iter().enumerate() {
        if !old.scheduling_gates.contains(gate) {
            let why = format!("only deletion is allowed, but found new scheduling gate '{}'", gate.name);
            errors.push(FieldError::forbidden(path.index(index).child("name"), why));
        }
    }
}

/// The new spec with everything that may change put back.
fn allowed(new: &PodSpec, old: &PodSpec) -> PodSpec {
    let mut spec = new.clone();
    for (container, old) in spec.containers.iter_mut().zip(&old.containers) {
        container.image.clone_from(&old.image);
    }
    for (container, old) in spec.init_containers.iter_mut().zip(&old.init_containers) {
        container.image.clone_from(&old.image);
    }
    spec.active_deadline_seconds = old.active_deadline_seconds;
    spec.scheduling_gates.clone_from(&old.scheduling_gates);
    spec.tolerations.clone_from(&old.tolerations);
    if old.termination_grace_period_seconds.is_some_and(|grace| grace < 0)
        && spec.termination_grace_period_seconds == Some(1)
    {
        spec.termination_grace_period_seconds = old.termination_grace_period_seconds;
    }
    if !old.scheduling_gates.is_empty() {
        gated(&mut spec, old);
    }
    spec
}

/// A pod that is held back may still be steered more narrowly.
fn gated(spec: &mut PodSpec, old: &PodSpec) {
    if old.node_selector.iter().all(|(key, value)| spec.node_selector.get(key) == Some(value)) {
        spec.node_selector.clone_from(&old.node_selector);
    }
    let node = |spec: &PodSpec| spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone());
    let required = node(old).and_then(|node| node.required_during_scheduling_ignored_during_execution);
    if required.is_none() {
        match (&mut spec.affinity, &old.affinity) {
            (Some(affinity), Some(old)) => affinity.node_affinity.clone_from(&old.node_affinity),
            (affinity, None)
                if affinity.as_ref().is_some_and(|affinity| {
                    affinity.pod_affinity.is_none() && affinity.pod_anti_affinity.is_none()
                }) =>
            {
                *affinity = None;
            }
            _ => {}
        }
    }
}

pub fn update_status(errors: &mut Errors, new: &Pod, old: &Pod) {
    if !old.spec.node_name.is_empty() && new.spec.node_name != old.spec.node_name {
        let why = "may not be changed directly";
        errors.push(FieldError::forbidden(STATUS.child("nodeName"), why));
    }
    let policy = old.spec.restart_policy.as_str();
    transitions(
        errors,
        STATUS.child("containerStatuses"),
        &new.status.container_statuses,
        &old.status.container_statuses,
        policy,
    );
    // Init containers that are no sidecars start again only where the pod's policy lets them.
    let policy = if policy == "Never" { "Never" } else { "OnFailure" };
    let plain: Vec<ContainerStatus> = old
        .status
        .init_container_statuses
        .iter()
        .filter(|status| !is_sidecar(&old.spec, &status.name))
        .cloned()
        .collect();
    transitions(errors, STATUS.child("initContainerStatuses"), &new.status.init_container_statuses, &plain, policy);
}

fn is_sidecar(spec: &PodSpec, name: &str) -> bool {
    let found = spec.init_containers.iter().find(|container| container.name == name);
    found.is_some_and(|container| container.restart_policy.as_deref() == Some("Always"))
}

/// A container that ended for good stays ended.
fn transitions(errors: &mut Errors, path: Path<'_>, new: &[ContainerStatus], old: &[ContainerStatus], policy: &str) {
    if policy == "Always" {
        return;
    }
    for old in old {
        let Some(ended) = old.state.terminated.as_ref() else { continue };
        if ended.exit_code != 0 && policy == "OnFailure" {
            continue;
        }
        for (index, status) in new.iter().enumerate().filter(|(_, status)| status.name == old.name) {
            if status.state.terminated.is_none() {
                let why = "may not be transitioned to non-terminated state";
                errors.push(FieldError::forbidden(path.index(index).child("state"), why));
            }
        }
    }
}
