//! Validation of ephemeral containers: what is added to a running pod to look into it.

use std::collections::BTreeSet;

use proto::core::v1::{Container, EphemeralContainer, Pod as PodObject};

use super::check::Errors;
use super::{FieldError, Path, annotation, container, pod};

const LIST: Path<'static> = Path::root("spec");

/// A pod's ephemeral containers beside its others.
pub fn list(errors: &mut Errors, path: Path<'_>, pod: &container::Pod<'_>) {
    let spec = pod.spec;
    let others: BTreeSet<&str> =
        spec.containers.iter().chain(&spec.init_containers).map(|container| container.name.as_str()).collect();
    for (index, ephemeral) in spec.ephemeral_containers.iter().enumerate() {
        let path = path.index(index);
        let plain = as_container(ephemeral);
        container::common(errors, path, &plain, pod);
        let earlier = spec.ephemeral_containers[..index].iter().any(|other| name(other) == plain.name);
        if others.contains(plain.name.as_str()) || earlier {
            errors.push(FieldError::duplicate(path.child("name"), &plain.name));
        }
        let target = &ephemeral.target_container_name;
        if !target.is_empty() && !others.contains(target.as_str()) {
            errors.push(FieldError::not_found(path.child("targetContainerName"), target));
        }
        forbidden(errors, path, &plain);
    }
}

fn forbidden(errors: &mut Errors, path: Path<'_>, container: &Container) {
    let resources = &container.resources;
    let why = "cannot be set for an Ephemeral Container";
    for (field, set) in [
        ("ports", !container.ports.is_empty()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
        ("lifecycle", container.lifecycle.is_some()),
        ("resources", !resources.limits.is_empty() || !resources.requests.is_empty() || !resources.claims.is_empty()),
        ("resizePolicy", !container.resize_policy.is_empty()),
        ("restartPolicy", container.restart_policy.is_some()),
        ("restartPolicyRules", !container.restart_policy_rules.is_empty()),
    ] {
        if set {
            errors.push(FieldError::forbidden(path.child(field), why));
        }
    }
    let mounts = path.child("volumeMounts");
    for (index, mount) in container.volume_mounts.iter().enumerate() {
        for (field, text) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
            if !text.is_empty() {
                errors.push(FieldError::forbidden(mounts.index(index).child(field), why));
            }
        }
    }
}

fn name(ephemeral: &EphemeralContainer) -> &str {
    &ephemeral.ephemeral_container_common.name
}

/// The same fields under the same rules.
fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let common = ephemeral.ephemeral_container_common.clone();
    Container {
        name: common.name,
        image: common.image,
        command: common.command,
        args: common.args,
        working_dir: common.working_dir,
        ports: common.ports,
        env_from: common.env_from,
        env: common.env,
        resources: common.resources,
        resize_policy: common.resize_policy,
        restart_policy: common.restart_policy,
        restart_policy_rules: common.restart_policy_rules,
        volume_mounts: common.volume_mounts,
        volume_devices: common.volume_devices,
        liveness_probe: common.liveness_probe,
        readiness_probe: common.readiness_probe,
        startup_probe: common.startup_probe,
        lifecycle: common.lifecycle,
        termination_message_path: common.termination_message_path,
        termination_message_policy: common.termination_message_policy,
        image_pull_policy: common.image_pull_policy,
        security_context: common.security_context,
        stdin: common.stdin,
        stdin_once: common.stdin_once,
        tty: common.tty,
    }
}

/// Through the subresource ephemeral containers may be added, never changed or removed.
pub fn update(errors: &mut Errors, new: &PodObject, old: &PodObject) {
    let path = LIST.child("ephemeralContainers");
    if old.metadata.annotations.contains_key(annotation::MIRROR) {
        errors.clear();
        return errors.push(FieldError::forbidden("[]", "static pods do not support ephemeral containers"));
    }
    annotation::of_pod(errors, pod::ANNOTATIONS, &new.metadata.annotations, &new.spec);
    annotation::kept(errors, pod::ANNOTATIONS, &new.metadata.annotations, &old.metadata.annotations);
    pod::spec(errors, LIST, &new.spec, Some(&new.metadata));
    for existing in &old.spec.ephemeral_containers {
        let quoted = crate::status::quoted(name(existing));
        match new.spec.ephemeral_containers.iter().find(|container| name(container) == name(existing)) {
            None => {
                let why = format!("existing ephemeral containers {quoted} may not be removed\n");
                errors.push(FieldError::forbidden(path, why));
            }
            Some(container) if container != existing => {
                let why = format!("existing ephemeral containers {quoted} may not be changed\n");
                errors.push(FieldError::forbidden(path, why));
            }
            Some(_) => {}
        }
    }
}
