//! Validation of containers: main, init and ephemeral ones.

use std::collections::BTreeSet;

use proto::core::v1::{
    Container, ContainerPort, EnvFromSource, EnvVar, EnvVarSource, PodSpec, SecurityContext, VolumeDevice, VolumeMount,
};

use super::check::{Errors, no_back_steps, one_of, port, required, required_shape, shape};
use super::{FieldError, Path, probe, resources};
use crate::name;

/// What a container's rules need to know of its pod.
pub struct Pod<'a> {
    pub spec: &'a PodSpec,
    /// Volumes by name, and whether each is a claim.
    pub volumes: Vec<(&'a str, bool)>,
    pub grace_seconds: i64,
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
        let path = path.index(index);
        common(errors, path, container, pod);
        match role {
            Role::Main => running(errors, path, container, pod),
            Role::Init => init(errors, path, container, pod),
        }
        if !container.name.is_empty() && !names.insert(&container.name) {
            errors.push(FieldError::duplicate(path.child("name"), &container.name));
        }
    }
}

/// What every container must keep to.
pub fn common(errors: &mut Errors, path: Path<'_>, container: &Container, pod: &Pod<'_>) {
    required_shape(errors, path.child("name"), &container.name, name::dns_label);
    image(errors, path.child("image"), &container.image);
    one_of(
        errors,
        path.child("terminationMessagePolicy"),
        &container.termination_message_policy,
        &["File", "FallbackToLogsOnError"],
    );
    ports(errors, path.child("ports"), &container.ports, pod.spec.host_network);
    env(errors, path.child("env"), &container.env);
    env_from(errors, path.child("envFrom"), &container.env_from);
    let privileged = container.security_context.as_ref().and_then(|context| context.privileged) == Some(true);
    mounts(errors, path.child("volumeMounts"), &container.volume_mounts, &container.volume_devices, pod, privileged);
    devices(errors, path.child("volumeDevices"), &container.volume_devices, &container.volume_mounts, pod);
    one_of(errors, path.child("imagePullPolicy"), &container.image_pull_policy, &["Always", "IfNotPresent", "Never"]);
    resources::container(errors, path.child("resources"), &container.resources, &pod.spec.resource_claims);
    resources::resize_policies(errors, path.child("resizePolicy"), &container.resize_policy, &pod.spec.restart_policy);
    if let Some(context) = &container.security_context {
        security_context(errors, path.child("securityContext"), context, pod.spec.host_users);
    }
}

fn image(errors: &mut Errors, path: Path<'_>, image: &str) {
    if image.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if image.trim() != image {
        errors.push(FieldError::invalid(path, image, "must not have leading or trailing whitespace"));
    }
}

/// A container that goes on running.
fn running(errors: &mut Errors, path: Path<'_>, container: &Container, pod: &Pod<'_>) {
    if let Some(lifecycle) = &container.lifecycle {
        probe::lifecycle(errors, path.child("lifecycle"), lifecycle, pod.grace_seconds);
    }
    probe::probes(errors, path, container);
    if let Some(policy) = &container.restart_policy
        && container.restart_policy_rules.is_empty()
    {
        one_of(errors, path.child("restartPolicy"), policy, &["Always", "OnFailure", "Never"]);
    }
}

/// A container that runs before the others; a sidecar stays beside them and may be probed.
fn init(errors: &mut Errors, path: Path<'_>, container: &Container, pod: &Pod<'_>) {
    if container.restart_policy.as_deref() == Some("Always") {
        return running(errors, path, container, pod);
    }
    if let Some(policy) = &container.restart_policy {
        one_of(errors, path.child("restartPolicy"), policy, &["Always", "OnFailure", "Never"]);
    }
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

fn ports(errors: &mut Errors, path: Path<'_>, ports: &[ContainerPort], host_network: bool) {
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
        let host = path.child("hostPort");
        if entry.host_port != 0 {
            port(errors, host, entry.host_port);
        }
        if host_network && entry.host_port != 0 && entry.host_port != entry.container_port {
            errors.push(FieldError::invalid(
                host,
                entry.host_port,
                "must match `containerPort` when `hostNetwork` is true",
            ));
        }
        one_of(errors, path.child("protocol"), &entry.protocol, &["TCP", "UDP", "SCTP"]);
        if !entry.host_ip.is_empty() {
            super::check::ip(errors, path.child("hostIP"), &entry.host_ip);
        }
    }
    host_port_conflicts(errors, path, ports);
}

fn host_port_conflicts(errors: &mut Errors, path: Path<'_>, ports: &[ContainerPort]) {
    let mut taken = BTreeSet::new();
    for (index, entry) in ports.iter().enumerate().filter(|(_, entry)| entry.host_port != 0) {
        if !taken.insert((&entry.protocol, &entry.host_ip, entry.host_port)) {
            let shown = format!("{}/{}/{}", entry.protocol, entry.host_ip, entry.host_port);
            errors.push(FieldError::duplicate(path.index(index).child("hostPort"), shown.as_str()));
        }
    }
}

fn env(errors: &mut Errors, path: Path<'_>, variables: &[EnvVar]) {
    for (index, variable) in variables.iter().enumerate() {
        let path = path.index(index);
        if variable.name.is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        } else {
            shape(errors, path.child("name"), &variable.name, name::env_var);
        }
        if let Some(source) = &variable.value_from {
            env_source(errors, path.child("valueFrom"), source, !variable.value.is_empty());
        }
    }
}

/// Fields that an environment variable may show.
const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Resources that an environment variable or a file may show.
pub const RESOURCE_FIELDS: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

fn env_source(errors: &mut Errors, path: Path<'_>, source: &EnvVarSource, has_value: bool) {
    let mut given = 0;
    if let Some(selector) = &source.field_ref {
        given += 1;
        field_ref(errors, path.child("fieldRef"), &selector.api_version, &selector.field_path, ENV_FIELDS);
    }
    if let Some(selector) = &source.resource_field_ref {
        given += 1;
        resource_ref(errors, path.child("resourceFieldRef"), &selector.container_name, &selector.resource, false);
    }
    if let Some(selector) = &source.config_map_key_ref {
        given += 1;
        key_ref(errors, path.child("configMapKeyRef"), &selector.local_object_reference.name, &selector.key);
    }
    if let Some(selector) = &source.secret_key_ref {
        given += 1;
        key_ref(errors, path.child("secretKeyRef"), &selector.local_object_reference.name, &selector.key);
    }
    if source.file_key_ref.is_some() {
        given += 1;
    }
    if given == 0 {
        errors.push(FieldError::invalid(
            path,
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        ));
    } else if has_value {
        errors.push(FieldError::invalid(path, "", "may not be specified when `value` is not empty"));
    } else if given > 1 {
        errors.push(FieldError::invalid(path, "", "may not have more than one field specified at a time"));
    }
}

/// A field of the pod; labels and annotations may be named one by one.
pub fn field_ref(errors: &mut Errors, path: Path<'_>, api_version: &str, field: &str, allowed: &[&str]) {
    if api_version.is_empty() {
        errors.push(FieldError::required(path.child("apiVersion"), ""));
        return;
    }
    let at = path.child("fieldPath");
    if field.is_empty() {
        errors.push(FieldError::required(at, ""));
        return;
    }
    if let Some((map, key)) = field.strip_suffix(']').and_then(|field| field.split_once("['")) {
        let key = key.strip_suffix('\'').unwrap_or(key);
        match map {
            "metadata.labels" => shape(errors, at, key, name::qualified_name),
            "metadata.annotations" => shape(errors, at, &key.to_lowercase(), name::qualified_name),
            other => errors.push(FieldError::invalid(at, other, "does not support subscript")),
        }
        return;
    }
    one_of(errors, at, field, allowed);
}

/// A resource of a container; files must say which container.
pub fn resource_ref(errors: &mut Errors, path: Path<'_>, container: &str, resource: &str, in_file: bool) {
    if in_file && container.is_empty() {
        errors.push(FieldError::required(path.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(FieldError::required(path.child("resource"), ""));
    } else if !resource.starts_with("limits.hugepages-") && !resource.starts_with("requests.hugepages-") {
        one_of(errors, path.child("resource"), resource, RESOURCE_FIELDS);
    }
}

fn key_ref(errors: &mut Errors, path: Path<'_>, object: &str, key: &str) {
    required(errors, path.child("name"), object);
    if key.is_empty() {
        errors.push(FieldError::required(path.child("key"), ""));
    } else {
        shape(errors, path.child("key"), key, name::config_key);
    }
}

fn env_from(errors: &mut Errors, path: Path<'_>, sources: &[EnvFromSource]) {
    for (index, source) in sources.iter().enumerate() {
        let path = path.index(index);
        if !source.prefix.is_empty() {
            shape(errors, path.child("prefix"), &source.prefix, name::env_var);
        }
        if let Some(map) = &source.config_map_ref {
            required_shape(
                errors,
                path.child("configMapRef").child("name"),
                &map.local_object_reference.name,
                name::dns_subdomain,
            );
        }
        if let Some(secret) = &source.secret_ref {
            required_shape(
                errors,
                path.child("secretRef").child("name"),
                &secret.local_object_reference.name,
                name::dns_subdomain,
            );
        }
        match (&source.config_map_ref, &source.secret_ref) {
            (None, None) => {
                errors.push(FieldError::invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"));
            }
            (Some(_), Some(_)) => {
                errors.push(FieldError::invalid(path, "", "may not have more than one field specified at a time"));
            }
            _ => {}
        }
    }
}

fn mounts(
    errors: &mut Errors,
    path: Path<'_>,
    mounts: &[VolumeMount],
    devices: &[VolumeDevice],
    pod: &Pod<'_>,
    privileged: bool,
) {
    for (index, mount) in mounts.iter().enumerate() {
        let at = path.index(index);
        required(errors, at.child("name"), &mount.name);
        required(errors, at.child("mountPath"), &mount.mount_path);
        if !pod.volumes.iter().any(|(name, _)| *name == mount.name) {
            errors.push(FieldError::not_found(at.child("name"), &mount.name));
        }
        if mounts[..index].iter().any(|other| other.mount_path == mount.mount_path) {
            errors.push(FieldError::invalid(at.child("mountPath"), &mount.mount_path, "must be unique"));
        }
        if devices.iter().any(|device| device.name == mount.name) {
            let why = "must not already exist in volumeDevices";
            errors.push(FieldError::invalid(at.child("name"), &mount.name, why));
        }
        if devices.iter().any(|device| device.device_path == mount.mount_path) {
            let why = "must not already exist as a path in volumeDevices";
            errors.push(FieldError::invalid(at.child("mountPath"), &mount.mount_path, why));
        }
        sub_path(errors, path, mount);
        propagation(errors, path.child("mountPropagation"), mount, privileged);
    }
}

/// Upstream names these fields without the mount's index.
fn sub_path(errors: &mut Errors, path: Path<'_>, mount: &VolumeMount) {
    for (field, text) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
        if !text.is_empty() {
            super::check::local_path(errors, path.child(field), text);
        }
    }
    if !mount.sub_path.is_empty() && !mount.sub_path_expr.is_empty() {
        let why = "subPathExpr and subPath are mutually exclusive";
        errors.push(FieldError::invalid(path.child("subPathExpr"), &mount.sub_path_expr, why));
    }
    if let Some(recursive) = &mount.recursive_read_only {
        let path = path.child("recursiveReadOnly");
        if recursive != "Disabled" && !mount.read_only {
            errors.push(FieldError::forbidden(path, "may only be specified when readOnly is true"));
        }
        one_of(errors, path, recursive, &["Disabled", "IfPossible", "Enabled"]);
    }
}

fn propagation(errors: &mut Errors, path: Path<'_>, mount: &VolumeMount, privileged: bool) {
    let Some(propagation) = &mount.mount_propagation else { return };
    one_of(errors, path, propagation, &["Bidirectional", "HostToContainer", "None"]);
    if propagation == "Bidirectional" && !privileged {
        let why = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(FieldError::forbidden(path, why));
    }
}

fn devices(errors: &mut Errors, path: Path<'_>, devices: &[VolumeDevice], mounts: &[VolumeMount], pod: &Pod<'_>) {
    for (index, device) in devices.iter().enumerate() {
        let path = path.index(index);
        let name = path.child("name");
        required(errors, name, &device.name);
        match pod.volumes.iter().find(|(name, _)| *name == device.name) {
            _ if devices[..index].iter().any(|other| other.name == device.name) => {
                errors.push(FieldError::invalid(name, &device.name, "must be unique"));
            }
            None => errors.push(FieldError::not_found(name, &device.name)),
            Some((_, false)) => {
                let why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(FieldError::invalid(name, &device.name, why));
            }
            Some((_, true)) => {}
        }
        let at = path.child("devicePath");
        required(errors, at, &device.device_path);
        if devices[..index].iter().any(|other| other.device_path == device.device_path) {
            errors.push(FieldError::invalid(at, &device.device_path, "must be unique"));
        }
        no_back_steps(errors, at, &device.device_path);
        if mounts.iter().any(|mount| mount.name == device.name) {
            errors.push(FieldError::invalid(name, &device.name, "must not already exist in volumeMounts"));
        }
    }
}

fn security_context(errors: &mut Errors, path: Path<'_>, context: &SecurityContext, host_users: Option<bool>) {
    for (field, id) in [("runAsUser", context.run_as_user), ("runAsGroup", context.run_as_group)] {
        super::pod::id(errors, path.child(field), id);
    }
    if let Some(mount) = &context.proc_mount {
        one_of(errors, path.child("procMount"), mount, &["Default", "Unmasked"]);
        if host_users != Some(false) && mount == "Unmasked" {
            let why = "`hostUsers` must be false to use `Unmasked`";
            errors.push(FieldError::invalid(path.child("procMount"), mount, why));
        }
    }
    if let Some(profile) = &context.seccomp_profile {
        super::pod::seccomp(errors, path.child("seccompProfile"), profile);
    }
    if context.allow_privilege_escalation == Some(false) {
        if context.privileged == Some(true) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(path, super::error::Json(context), why));
        }
        let admin = context.capabilities.iter().flat_map(|capabilities| &capabilities.add);
        if admin.into_iter().any(|capability| matches!(capability.as_str(), "CAP_SYS_ADMIN" | "SYS_ADMIN")) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(path, super::error::Json(context), why));
        }
    }
}
