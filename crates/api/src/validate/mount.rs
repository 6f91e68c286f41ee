//! Validation of where a container sees its volumes: as folders and as devices.

use proto::core::v1::{Container, VolumeDevice, VolumeMount};

use super::check::{Errors, local_path, one_of, required};
use super::container::Pod;
use super::{FieldError, Path};

pub fn mounts(errors: &mut Errors, list: Path<'_>, container: &Container, pod: &Pod<'_>) {
    let (mounts, devices) = (&container.volume_mounts, &container.volume_devices);
    let privileged = container.security_context.as_ref().and_then(|context| context.privileged) == Some(true);
    for (index, mount) in mounts.iter().enumerate() {
        let at = list.index(index);
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
        if !mount.sub_path.is_empty() && !mount.sub_path_expr.is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(at.child("subPathExpr"), &mount.sub_path_expr, why));
        }
        without_index(errors, list, mount, privileged);
    }
}

/// Fields that upstream names without the mount's index.
fn without_index(errors: &mut Errors, path: Path<'_>, mount: &VolumeMount, privileged: bool) {
    for (field, text) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
        if !text.is_empty() {
            local_path(errors, path.child(field), text);
        }
    }
    if let Some(propagation) = &mount.mount_propagation {
        let path = path.child("mountPropagation");
        one_of(errors, path, propagation, &["Bidirectional", "HostToContainer", "None"]);
        if propagation == "Bidirectional" && !privileged {
            let why = "Bidirectional mount propagation is available only to privileged containers";
            errors.push(FieldError::forbidden(path, why));
        }
    }
    let path = path.child("recursiveReadOnly");
    match mount.recursive_read_only.as_deref() {
        None | Some("Disabled") => {}
        Some("IfPossible" | "Enabled") => {
            if !mount.read_only {
                errors.push(FieldError::forbidden(path, "may only be specified when readOnly is true"));
            }
            if mount.mount_propagation.as_deref().is_some_and(|propagation| propagation != "None") {
                let why = "may only be specified when mountPropagation is None or not specified";
                errors.push(FieldError::forbidden(path, why));
            }
        }
        Some(other) => one_of(errors, path, other, &["Disabled", "IfPossible", "Enabled"]),
    }
}

pub fn devices(errors: &mut Errors, list: Path<'_>, devices: &[VolumeDevice], mounts: &[VolumeMount], pod: &Pod<'_>) {
    for (index, device) in devices.iter().enumerate() {
        let path = list.index(index);
        let name = path.child("name");
        required(errors, name, &device.name);
        if !device.name.is_empty() && devices[..index].iter().any(|other| other.name == device.name) {
            errors.push(FieldError::invalid(name, &device.name, "must be unique"));
        }
        match pod.volumes.iter().find(|(name, _)| *name == device.name) {
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
        if device.device_path.split('/').any(|part| part == "..") {
            errors.push(FieldError::invalid(at, &device.device_path, "can not contain backsteps ('..')"));
        }
        if mounts.iter().any(|mount| mount.name == device.name) {
            errors.push(FieldError::invalid(name, &device.name, "must not already exist in volumeMounts"));
        }
        if mounts.iter().any(|mount| mount.mount_path == device.device_path) {
            let why = "must not already exist as a path in volumeMounts";
            errors.push(FieldError::invalid(at, &device.device_path, why));
        }
    }
}
