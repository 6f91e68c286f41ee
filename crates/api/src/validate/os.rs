//! What a pod's operating system leaves it: Windows pods have no Linux settings, and the other way round.

use proto::core::v1::{PodSpec, SecurityContext};

use super::check::{Errors, one_of};
use super::{FieldError, Path};

pub fn os(errors: &mut Errors, path: Path<'_>, spec: &PodSpec) {
    host_process(errors, path, spec);
    let Some(os) = &spec.os else { return };
    match os.name.as_str() {
        "" => errors.push(FieldError::required(path.child("os").child("name"), "cannot be empty")),
        "linux" => linux(errors, path, spec),
        "windows" => windows(errors, path, spec),
        other => one_of(errors, path.child("os"), other, &["linux", "windows"]),
    }
}

/// Calls `visit` with the list, the place and the security context of every container.
fn contexts<'s>(spec: &'s PodSpec, mut visit: impl FnMut(&'static str, usize, Option<&'s SecurityContext>)) {
    for (list, containers) in [("initContainers", &spec.init_containers), ("containers", &spec.containers)] {
        for (index, container) in containers.iter().enumerate() {
            visit(list, index, container.security_context.as_ref());
        }
    }
    for (index, container) in spec.ephemeral_containers.iter().enumerate() {
        visit("ephemeralContainers", index, container.ephemeral_container_common.security_context.as_ref());
    }
}

fn linux(errors: &mut Errors, path: Path<'_>, spec: &PodSpec) {
    let why = "windows options cannot be set for a linux pod";
    if spec.security_context.as_ref().is_some_and(|context| context.windows_options.is_some()) {
        errors.push(FieldError::forbidden(path.child("securityContext").child("windowsOptions"), why));
    }
    contexts(spec, |list, index, context| {
        if context.is_some_and(|context| context.windows_options.is_some()) {
            let at = path.child(list);
            let at = at.index(index);
            errors.push(FieldError::forbidden(at.child("securityContext").child("windowsOptions"), why));
        }
    });
}

fn windows(errors: &mut Errors, path: Path<'_>, spec: &PodSpec) {
    let why = "cannot be set for a windows pod";
    for (field, set) in [
        ("hostUsers", spec.host_users.is_some()),
        ("hostPID", spec.host_pid),
        ("hostIPC", spec.host_ipc),
        ("shareProcessNamespace", spec.share_process_namespace.is_some()),
    ] {
        if set {
            errors.push(FieldError::forbidden(path.child(field), why));
        }
    }
    if let Some(context) = &spec.security_context {
        let path = path.child("securityContext");
        for (field, set) in [
            ("appArmorProfile", context.app_armor_profile.is_some()),
            ("seLinuxOptions", context.se_linux_options.is_some()),
            ("seccompProfile", context.seccomp_profile.is_some()),
            ("fsGroup", context.fs_group.is_some()),
            ("fsGroupChangePolicy", context.fs_group_change_policy.is_some()),
            ("sysctls", !context.sysctls.is_empty()),
            ("runAsUser", context.run_as_user.is_some()),
            ("runAsGroup", context.run_as_group.is_some()),
            ("supplementalGroups", !context.supplemental_groups.is_empty()),
            ("supplementalGroupsPolicy", context.supplemental_groups_policy.is_some()),
            ("seLinuxChangePolicy", context.se_linux_change_policy.is_some()),
        ] {
            if set {
                errors.push(FieldError::forbidden(path.child(field), why));
            }
        }
    }
    contexts(spec, |list, index, context| {
        let Some(context) = context else { return };
        let at = path.child(list);
        let at = at.index(index);
        let at = at.child("securityContext");
        for (field, set) in [
            ("appArmorProfile", context.app_armor_profile.is_some()),
            ("seLinuxOptions", context.se_linux_options.is_some()),
            ("seccompProfile", context.seccomp_profile.is_some()),
            ("capabilities", context.capabilities.is_some()),
            ("readOnlyRootFilesystem", context.read_only_root_filesystem.is_some()),
            ("privileged", context.privileged.is_some()),
            ("allowPrivilegeEscalation", context.allow_privilege_escalation.is_some()),
            ("procMount", context.proc_mount.is_some()),
            ("runAsUser", context.run_as_user.is_some()),
            ("runAsGroup", context.run_as_group.is_some()),
        ] {
            if set {
                errors.push(FieldError::forbidden(at.child(field), why));
            }
        }
    });
}

/// Containers of Windows that run on the host: all of a pod's or none, and in the host's network.
fn host_process(errors: &mut Errors, path: Path<'_>, spec: &PodSpec) {
    let pod = spec.security_context.as_ref().and_then(|context| context.windows_options.as_ref());
    let pod = pod.and_then(|options| options.host_process);
    let (mut all, mut on_host) = (0_usize, 0_usize);
    contexts(spec, |list, index, context| {
        let own = context.and_then(|context| context.windows_options.as_ref()).and_then(|options| options.host_process);
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let at = path.child(list);
            let at = at.index(index);
            let at = at.child("securityContext");
            let why = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            errors.push(FieldError::invalid(at.child("windowsOptions").child("hostProcess"), own, why));
        }
        all += 1;
        on_host += usize::from(own.or(pod) == Some(true));
    });
    if on_host == 0 {
        return;
    }
    if on_host != all {
        let why = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(FieldError::invalid(path, "", why));
    }
    if !spec.host_network {
        let why = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(FieldError::invalid(path.child("hostNetwork"), false, why));
    }
}
