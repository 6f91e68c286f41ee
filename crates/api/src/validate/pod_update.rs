//! Validation of changed pods: most of a pod never changes.

use std::net::IpAddr;

use proto::core::v1::{Affinity, ContainerStatus, NodeAffinity, NodeSelectorTerm, Pod, PodSpec};

use super::check::{Errors, immutable, ip, shape};
use super::{FieldError, Path, annotation, pod, scheduling};
use crate::name;

const SPEC: Path<'static> = Path::root("spec");
const STATUS: Path<'static> = Path::root("status");
const FIXED: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub fn update(errors: &mut Errors, new: &Pod, old: &Pod) {
    let (annotations, before) = (&new.metadata.annotations, &old.metadata.annotations);
    annotation::of_pod(errors, pod::ANNOTATIONS, annotations, &new.spec);
    pod::spec(errors, SPEC, &new.spec, Some(&new.metadata));
    annotation::kept(errors, pod::ANNOTATIONS, annotations, before);
    for (field, new, old) in [
        ("containers", &new.spec.containers, &old.spec.containers),
        ("initContainers", &new.spec.init_containers, &old.spec.init_containers),
    ] {
        if new.len() != old.len() {
            let why = "pod updates may not add or remove containers";
            return errors.push(FieldError::forbidden(SPEC.child(field), why));
        }
    }
    if !deadline(errors, &new.spec, &old.spec) {
        return;
    }
    tolerations(errors, &new.spec, &old.spec);
    gates(errors, &new.spec, &old.spec);
    let mut spec = allowed(&new.spec, &old.spec);
    if !old.spec.scheduling_gates.is_empty() {
        gated(errors, &mut spec, &old.spec);
    }
    if spec != old.spec {
        errors.push(FieldError::forbidden(SPEC, FIXED));
    }
}

/// A deadline may be set or brought nearer; tells whether there is anything else to judge.
fn deadline(errors: &mut Errors, new: &PodSpec, old: &PodSpec) -> bool {
    let path = SPEC.child("activeDeadlineSeconds");
    match (new.active_deadline_seconds, old.active_deadline_seconds) {
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            errors.push(FieldError::invalid(path, new, "must be between 0 and 2147483647, inclusive"));
            return false;
        }
        (Some(new), Some(old)) if new > old => {
            let why = format!("must be less than or equal to previous value '{old}'");
            errors.push(FieldError::invalid(path, new, why));
            return false;
        }
        (None, Some(_)) => {
            errors.push(FieldError::invalid(path, "", "must not update from a positive integer to nil value"));
        }
        _ => {}
    }
    true
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
        return errors.push(FieldError::forbidden(path, why));
    }
    // A second time, as upstream.
    scheduling::tolerations(errors, path, &new.tolerations);
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
    spec
}

/// A pod that is held back may still be steered more narrowly.
fn gated(errors: &mut Errors, spec: &mut PodSpec, old: &PodSpec) {
    if !old.node_selector.iter().all(|(key, value)| spec.node_selector.get(key) == Some(value)) {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(FieldError::invalid(SPEC.child("nodeSelector"), &spec.node_selector, why));
    }
    spec.node_selector.clone_from(&old.node_selector);
    let node = |spec: &PodSpec| spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone());
    let (now, before) = (node(spec), node(old));
    if now == before {
        return;
    }
    narrower(errors, now.as_ref(), before.as_ref());
    let others = |affinity: &Affinity| affinity.pod_affinity.is_some() || affinity.pod_anti_affinity.is_some();
    match &mut spec.affinity {
        None => spec.affinity = Some(Affinity { node_affinity: before, ..Affinity::default() }),
        Some(affinity) if old.affinity.is_none() && !others(affinity) => spec.affinity = None,
        Some(affinity) => affinity.node_affinity = before,
    }
}

/// Of required terms none comes or goes, and each may only ask for more.
fn narrower(errors: &mut Errors, new: Option<&NodeAffinity>, old: Option<&NodeAffinity>) {
    fn terms(affinity: Option<&NodeAffinity>) -> &[NodeSelectorTerm] {
        let required =
            affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        required.map_or(&[], |selector| &selector.node_selector_terms)
    }
    let (new, old) = (terms(new), terms(old));
    let path = SPEC.child("affinity");
    let path = path.child("nodeAffinity");
    let path = path.child("requiredDuringSchedulingIgnoredDuringExecution");
    let path = path.child("nodeSelectorTerms");
    if !old.is_empty() && old.len() != new.len() {
        let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return errors.push(FieldError::invalid(path, "", why));
    }
    for (index, (new, old)) in new.iter().zip(old).enumerate() {
        let was_empty = old.match_expressions.is_empty() && old.match_fields.is_empty();
        let grown = new.match_expressions.starts_with(&old.match_expressions)
            && new.match_fields.starts_with(&old.match_fields);
        if !grown || (was_empty && new != old) {
            let why = "only additions are allowed (no mutations or deletions)";
            errors.push(FieldError::invalid(path.index(index), super::error::Json(new), why));
        }
    }
}

/// Conditions of the system; any other has a name as labels have.
const CONDITIONS: &[&str] = &["PodScheduled", "Ready", "Initialized"];

pub fn update_status(errors: &mut Errors, new: &Pod, old: &Pod) {
    let annotations = pod::ANNOTATIONS;
    annotation::kept(errors, annotations, &new.metadata.annotations, &old.metadata.annotations);
    annotation::of_pod(errors, annotations, &new.metadata.annotations, &new.spec);
    // Upstream's own place for these.
    let conditions = Path::root("metadata.conditions");
    for (index, condition) in new.status.conditions.iter().enumerate() {
        if !CONDITIONS.contains(&condition.r#type.as_str()) {
            shape(errors, conditions.index(index).child("Type"), &condition.r#type, name::qualified_name);
        }
    }
    if !old.spec.node_name.is_empty() && new.spec.node_name != old.spec.node_name {
        let why = "may not be changed directly";
        errors.push(FieldError::forbidden(STATUS.child("nodeName"), why));
    }
    let nominated = &new.status.nominated_node_name;
    if !nominated.is_empty() && *nominated != old.status.nominated_node_name {
        shape(errors, STATUS.child("nominatedNodeName"), nominated, name::dns_subdomain);
    }
    immutable(
        errors,
        STATUS.child("qosClass"),
        new.status.qos_class == old.status.qos_class,
        new.status.qos_class.as_str(),
    );
    let policy = old.spec.restart_policy.as_str();
    let (now, before) = (&new.status, &old.status);
    transitions(errors, "containerStatuses", &now.container_statuses, &before.container_statuses, policy, |_| false);
    let sidecar = |name: &str| is_sidecar(&old.spec, name);
    let at = "initContainerStatuses";
    transitions(errors, at, &now.init_container_statuses, &before.init_container_statuses, policy, sidecar);
    // Nothing starts these again.
    let at = "ephemeralContainerStatuses";
    let (now_those, before_those) = (&now.ephemeral_container_statuses, &before.ephemeral_container_statuses);
    transitions(errors, at, now_those, before_those, "Never", |_| false);
    claims(errors, new);
    addresses(errors, new);
}

/// What was made of the pod's claims, each once.
fn claims(errors: &mut Errors, pod: &Pod) {
    let path = STATUS.child("resourceClaimStatuses");
    let statuses = &pod.status.resource_claim_statuses;
    for (index, status) in statuses.iter().enumerate() {
        let path = path.index(index);
        let path = path.child("name");
        if !pod.spec.resource_claims.iter().any(|claim| claim.name == status.name) {
            let why = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(FieldError::invalid(path, &status.name, why));
        }
        if statuses[..index].iter().any(|other| other.name == status.name) {
            errors.push(FieldError::duplicate(path, &status.name));
        }
        if let Some(claim) = &status.resource_claim_name {
            shape(errors, path, claim, name::dns_subdomain);
        }
    }
}

/// Addresses of the pod and of its host: one of each family.
fn addresses(errors: &mut Errors, pod: &Pod) {
    let status = &pod.status;
    let own: Vec<&str> = status.pod_ips.iter().map(|ip| ip.ip.as_str()).collect();
    let host: Vec<&str> = status.host_ips.iter().map(|ip| ip.ip.as_str()).collect();
    if host.first().is_some_and(|first| *first != status.host_ip) {
        let path = STATUS.child("hostIPs");
        errors.push(FieldError::invalid(path.index(0).child("ip"), host[0], "must be equal to `hostIP`"));
    }
    for (field, list) in [("podIPs", own), ("hostIPs", host)] {
        let path = STATUS.child(field);
        let found: Vec<Option<IpAddr>> =
            list.iter().enumerate().map(|(index, text)| ip(errors, path.index(index), text)).collect();
        let families: Vec<bool> = found.iter().flatten().map(IpAddr::is_ipv4).collect();
        if list.len() > 2 || matches!(families.as_slice(), [one, other] if one == other) {
            let why = "may specify no more than one IP for each IP family";
            errors.push(FieldError::invalid(path, serde_json::json!(list).to_string().as_str(), why));
        }
        for (index, text) in list.iter().enumerate().filter(|(index, text)| list[..*index].contains(text)) {
            errors.push(FieldError::duplicate(path.index(index), *text));
        }
    }
}

fn is_sidecar(spec: &PodSpec, name: &str) -> bool {
    let found = spec.init_containers.iter().find(|container| container.name == name);
    found.is_some_and(|container| container.restart_policy.as_deref() == Some("Always"))
}

/// A container that ended for good stays ended, but for those that `restarts` tells of.
fn transitions(
    errors: &mut Errors,
    field: &str,
    new: &[ContainerStatus],
    old: &[ContainerStatus],
    policy: &str,
    restarts: impl Fn(&str) -> bool,
) {
    if policy == "Always" {
        return;
    }
    let path = STATUS.child(field);
    for (index, old) in old.iter().enumerate().filter(|(_, old)| !restarts(&old.name)) {
        let Some(ended) = old.state.terminated.as_ref() else { continue };
        if ended.exit_code != 0 && policy == "OnFailure" {
            continue;
        }
        for _ in new.iter().filter(|status| status.name == old.name && status.state.terminated.is_none()) {
            let why = "may not be transitioned to non-terminated state";
            errors.push(FieldError::forbidden(path.index(index).child("state"), why));
        }
    }
}
