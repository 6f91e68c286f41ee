//! Validation of containers: main, init and ephemeral ones.

use std::collections::BTreeSet;

use proto::core::v1::{Container, ContainerPort, ContainerRestartRule, PodSpec};

use super::check::{Errors, one_of, port, required_shape, shape};
use super::{FieldError, Path, env, mount, probe, resources, security};
use crate::name;

const RESTART_RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;

/// What a container's rules need to know of its pod.
pub struct Pod<'a> {
    pub spec: &'a PodSpec,
    /// Well-formed volumes by name, and whether each is a claim.
    pub volumes: Vec<(&'a str, bool)>,
    pub grace_seconds: i64,
    /// It is a pod, not a template of pods.
    pub is_pod: bool,
}

/// Which list a container stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Main,
    Init,
}

/// A list of containers; names must differ from each other and from `taken`.
pub fn list(errors: &mut Errors, path: Path<'_>, containers: &[Container], role: Role, pod: &Pod<'_>) {
    let mut names: BTreeSet<&str> = match role {
        Role::Main => BTreeSet::new(),
        Role::Init => pod.spec.containers.iter().map(|container| container.name.as_str()).collect(),
    };
    for (index, container) in containers.iter().enumerate() {
        let at = path.index(index);
        common(errors, at, container, pod);
        match role {
            Role::Main => running(errors, at, container, pod),
            Role::Init => init(errors, at, container, pod),
        }
        if !container.name.is_empty() && !names.insert(&container.name) {
            errors.push(FieldError::duplicate(at.child("name"), &container.name));
        }
        // Those that run one by one may use a port of the host one by one; upstream tells of the first always.
        if role == Role::Init {
            host_port_conflicts(errors, path, std::slice::from_ref(container));
        }
    }
    if role == Role::Main {
        host_port_conflicts(errors, path, containers);
        if pod.spec.host_network {
            host_ports_match(errors, path, containers);
        }
    }
}

/// What every container must keep to.
pub fn common(errors: &mut Errors, path: Path<'_>, container: &Container, pod: &Pod<'_>) {
    required_shape(errors, path.child("name"), &container.name, name::dns_label);
    image(errors, path.child("image"), &container.image, pod.is_pod);
    one_of(
        errors,
        path.child("terminationMessagePolicy"),
        &container.termination_message_policy,
        &["File", "FallbackToLogsOnError"],
    );
    ports(errors, path.child("ports"), &container.ports);
    env::variables(errors, path.child("env"), &container.env);
    env::sources(errors, path.child("envFrom"), &container.env_from);
    mount::mounts(errors, path.child("volumeMounts"), container, pod);
    mount::devices(errors, path.child("volumeDevices"), &container.volume_devices, &container.volume_mounts, pod);
    one_of(errors, path.child("imagePullPolicy"), &container.image_pull_policy, &["Always", "IfNotPresent", "Never"]);
    resources::container(errors, path.child("resources"), &container.resources, &pod.spec.resource_claims);
    resources::resize_policies(errors, path.child("resizePolicy"), &container.resize_policy, &pod.spec.restart_policy);
    if let Some(context) = &container.security_context {
        security::container(errors, path.child("securityContext"), context, pod.spec.host_users);
    }
}

/// Blanks around an image's name are refused in pods only: in templates they once meant something.
fn image(errors: &mut Errors, path: Path<'_>, image: &str, is_pod: bool) {
    if image.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if is_pod && image.trim() != image {
        errors.push(FieldError::invalid(path, image, "must not have leading or trailing whitespace"));
    }
}

/// A container that goes on running.
fn running(errors: &mut Errors, path: Path<'_>, container: &Container, pod: &Pod<'_>) {
    if let Some(lifecycle) = &container.lifecycle {
        probe::lifecycle(errors, path.child("lifecycle"), lifecycle, pod.grace_seconds);
    }
    probe::probes(errors, path, container);
    restart_policy(errors, path, container);
}

/// Whether it starts again, and after which ends; rules need a policy for all other ends.
fn restart_policy(errors: &mut Errors, path: Path<'_>, container: &Container) {
    let (at, rules) = (path.child("restartPolicy"), path.child("restartPolicyRules"));
    match &container.restart_policy {
        Some(policy) => one_of(errors, at, policy, &["Always", "OnFailure", "Never"]),
        None if !container.restart_policy_rules.is_empty() => {
            errors.push(FieldError::required(at, "must be specified when `restartPolicyRules` are set"));
        }
        None => {}
    }
    if container.restart_policy_rules.len() > RESTART_RULES_MAX {
        errors.push(FieldError::too_many(rules, container.restart_policy_rules.len(), RESTART_RULES_MAX));
    }
    for (index, rule) in container.restart_policy_rules.iter().enumerate() {
        restart_rule(errors, rules.index(index), rule);
    }
}

fn restart_rule(errors: &mut Errors, path: Path<'_>, rule: &ContainerRestartRule) {
    one_of(errors, path.child("action"), &rule.action, &["Restart", "RestartAllContainers"]);
    let path = path.child("exitCodes");
    let Some(codes) = &rule.exit_codes else {
        return errors.push(FieldError::required(path, "must be specified"));
    };
    one_of(errors, path.child("operator"), &codes.operator, &["In", "NotIn"]);
    if codes.values.len() > EXIT_CODES_MAX {
        errors.push(FieldError::too_many(path.child("values"), codes.values.len(), EXIT_CODES_MAX));
    }
}

/// A container that runs before the others; a sidecar stays beside them and may be probed.
fn init(errors: &mut Errors, path: Path<'_>, container: &Container, pod: &Pod<'_>) {
    if container.restart_policy.as_deref() == Some("Always") {
        return running(errors, path, container, pod);
    }
    restart_policy(errors, path, container);
    let why = "may not be set for init containers without restartPolicy=Always";
    for (field, set) in [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ] {
        if set {
            errors.push(FieldError::forbidden(path.child(field), why));
        }
    }
}

fn ports(errors: &mut Errors, path: Path<'_>, ports: &[ContainerPort]) {
    let mut names = BTreeSet::new();
    for (index, entry) in ports.iter().enumerate() {
        let path = path.index(index);
        if !entry.name.is_empty() {
            let before = errors.len();
            shape(errors, path.child("name"), &entry.name, name::port_name);
            if errors.len() == before && !names.insert(&entry.name) {
                errors.push(FieldError::duplicate(path.child("name"), &entry.name));
            }
        }
        if entry.container_port == 0 {
            errors.push(FieldError::required(path.child("containerPort"), ""));
        } else {
            port(errors, path.child("containerPort"), entry.container_port);
        }
        if entry.host_port != 0 {
            port(errors, path.child("hostPort"), entry.host_port);
        }
        one_of(errors, path.child("protocol"), &entry.protocol, &["TCP", "UDP", "SCTP"]);
        if !entry.host_ip.is_empty() {
            super::check::ip(errors, path.child("hostIP"), &entry.host_ip);
        }
    }
}

/// Calls `visit` with each port of the host that a container asks for.
fn host_ports<'c>(path: Path<'_>, containers: &'c [Container], mut visit: impl FnMut(Path<'_>, &'c ContainerPort)) {
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index);
        let path = path.child("ports");
        for (index, entry) in container.ports.iter().enumerate().filter(|(_, entry)| entry.host_port != 0) {
            visit(path.index(index).child("hostPort"), entry);
        }
    }
}

fn host_port_conflicts(errors: &mut Errors, path: Path<'_>, containers: &[Container]) {
    let mut taken = BTreeSet::new();
    host_ports(path, containers, |path, entry| {
        if !taken.insert((&entry.protocol, &entry.host_ip, entry.host_port)) {
            let shown = format!("{}/{}/{}", entry.protocol, entry.host_ip, entry.host_port);
            errors.push(FieldError::duplicate(path, shown.as_str()));
        }
    });
}

/// In the host's network a container's port is the host's.
fn host_ports_match(errors: &mut Errors, path: Path<'_>, containers: &[Container]) {
    host_ports(path, containers, |path, entry| {
        if entry.host_port != entry.container_port {
            let why = "must match `containerPort` when `hostNetwork` is true";
            errors.push(FieldError::invalid(path, entry.host_port, why));
        }
    });
}
