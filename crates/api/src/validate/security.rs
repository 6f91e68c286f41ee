//! Validation of security contexts: users and groups, profiles, and what Windows knows instead.

use proto::core::v1::{
    AppArmorProfile, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext, WindowsSecurityContextOptions,
};

use super::check::{Errors, local_path, one_of, one_of_opt, shape};
use super::{FieldError, Path};
use crate::name;

/// Longest name of an AppArmor profile: the longest path but one byte.
const APP_ARMOR_BYTES_MAX: usize = 4095;
const CREDENTIAL_SPEC_BYTES_MAX: usize = 64 * 1024;
const WINDOWS_DOMAIN_BYTES_MAX: usize = 256;
const WINDOWS_USER_BYTES_MAX: usize = 104;

/// A pod's own context.
pub fn pod(errors: &mut Errors, path: Path<'_>, context: &PodSecurityContext, spec: &PodSpec) {
    id(errors, path.child("fsGroup"), context.fs_group);
    id(errors, path.child("runAsUser"), context.run_as_user);
    id(errors, path.child("runAsGroup"), context.run_as_group);
    let groups = path.child("supplementalGroups");
    for (index, group) in context.supplemental_groups.iter().enumerate() {
        id(errors, groups.index(index), Some(*group));
    }
    let sysctls = path.child("sysctls");
    for (index, sysctl) in context.sysctls.iter().enumerate() {
        sysctl_name(errors, sysctls, index, &sysctl.name, spec);
        if context.sysctls[..index].iter().any(|other| other.name == sysctl.name) {
            errors.push(FieldError::duplicate(sysctls.index(index).child("name"), &sysctl.name));
        }
    }
    let policies = ["OnRootMismatch", "Always"];
    one_of_opt(errors, path.child("fsGroupChangePolicy"), context.fs_group_change_policy.as_ref(), &policies);
    if let Some(profile) = &context.seccomp_profile {
        seccomp(errors, path.child("seccompProfile"), profile);
    }
    if let Some(options) = &context.windows_options {
        windows(errors, path.child("windowsOptions"), options);
    }
    if let Some(profile) = &context.app_armor_profile {
        app_armor(errors, path.child("appArmorProfile"), profile);
    }
    let policies = ["Merge", "Strict"];
    one_of_opt(errors, path.child("supplementalGroupsPolicy"), context.supplemental_groups_policy.as_ref(), &policies);
    let policies = ["MountOption", "Recursive"];
    one_of_opt(errors, path.child("seLinuxChangePolicy"), context.se_linux_change_policy.as_ref(), &policies);
}

/// A container's context.
pub fn container(errors: &mut Errors, path: Path<'_>, context: &SecurityContext, host_users: Option<bool>) {
    id(errors, path.child("runAsUser"), context.run_as_user);
    id(errors, path.child("runAsGroup"), context.run_as_group);
    if let Some(mount) = &context.proc_mount {
        one_of(errors, path.child("procMount"), mount, &["Default", "Unmasked"]);
        if host_users != Some(false) && mount == "Unmasked" {
            let why = "`hostUsers` must be false to use `Unmasked`";
            errors.push(FieldError::invalid(path.child("procMount"), mount, why));
        }
    }
    if let Some(profile) = &context.seccomp_profile {
        seccomp(errors, path.child("seccompProfile"), profile);
    }
    if context.allow_privilege_escalation == Some(false) {
        if context.privileged == Some(true) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(path, super::error::Json(context), why));
        }
        // The name without its prefix is let in, as upstream.
        let added = context.capabilities.iter().flat_map(|capabilities| &capabilities.add);
        for _ in added.filter(|capability| *capability == "CAP_SYS_ADMIN") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(path, super::error::Json(context), why));
        }
    }
    if let Some(options) = &context.windows_options {
        windows(errors, path.child("windowsOptions"), options);
    }
    if let Some(profile) = &context.app_armor_profile {
        app_armor(errors, path.child("appArmorProfile"), profile);
    }
}

/// A user or group number.
fn id(errors: &mut Errors, path: Path<'_>, id: Option<i64>) {
    if let Some(id) = id
        && !(0..=i64::from(i32::MAX)).contains(&id)
    {
        errors.push(FieldError::invalid(path, id, "must be between 0 and 2147483647, inclusive"));
    }
}

fn sysctl_name(errors: &mut Errors, path: Path<'_>, index: usize, text: &str, spec: &PodSpec) {
    let path = path.index(index);
    let path = path.child("name");
    let segment = |segment: &str| {
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        edge(segment.bytes().next()) && edge(segment.bytes().last()) && segment.bytes().all(inner)
    };
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if text.len() > name::SUBDOMAIN_MAX || !text.split(['.', '/']).all(segment) {
        let why = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
        errors.push(FieldError::invalid(path, text, why));
    }
    let dotted = text.replace('/', ".");
    let ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|begin| dotted.starts_with(begin))
        || dotted == "kernel.sem";
    if dotted.starts_with("net.") && spec.host_network {
        errors.push(FieldError::invalid(path, text, "may not be specified when 'hostNetwork' is true"));
    }
    if ipc && spec.host_ipc {
        errors.push(FieldError::invalid(path, text, "may not be specified when 'hostIPC' is true"));
    }
}

fn seccomp(errors: &mut Errors, path: Path<'_>, profile: &SeccompProfile) {
    match profile.r#type.as_str() {
        "" => errors.push(FieldError::required(path.child("type"), "type is required when seccompProfile is set")),
        kind => one_of(errors, path.child("type"), kind, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
    let file = path.child("localhostProfile");
    match (profile.r#type.as_str(), &profile.localhost_profile) {
        ("Localhost", None) => {
            errors.push(FieldError::required(file, "must be set when seccomp type is Localhost"));
        }
        ("Localhost", Some(text)) => local_path(errors, file, text),
        (_, Some(text)) => {
            errors.push(FieldError::invalid(file, text, "can only be set when seccomp type is Localhost"));
        }
        (_, None) => {}
    }
}

fn app_armor(errors: &mut Errors, path: Path<'_>, profile: &AppArmorProfile) {
    let at = path.child("localhostProfile");
    match (profile.r#type.as_str(), &profile.localhost_profile) {
        ("Localhost", Some(text)) => {
            if text.trim() != text {
                errors.push(FieldError::invalid(at, text, "must not be padded with whitespace"));
            } else if text.is_empty() {
                errors.push(FieldError::required(at, "must be set when AppArmor type is Localhost"));
            }
            if text.len() > APP_ARMOR_BYTES_MAX {
                errors.push(FieldError::too_long(at, APP_ARMOR_BYTES_MAX));
            }
        }
        ("Localhost", None) => {
            errors.push(FieldError::required(at, "must be set when AppArmor type is Localhost"));
        }
        ("RuntimeDefault" | "Unconfined", Some(text)) => {
            errors.push(FieldError::invalid(at, text, "can only be set when AppArmor type is Localhost"));
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("", _) => {
            errors.push(FieldError::required(path.child("type"), "type is required when appArmorProfile is set"));
        }
        (kind, _) => one_of(errors, path.child("type"), kind, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}

fn windows(errors: &mut Errors, path: Path<'_>, options: &WindowsSecurityContextOptions) {
    if let Some(text) = &options.gmsa_credential_spec_name {
        shape(errors, path.child("gmsaCredentialSpecName"), text, name::dns_subdomain);
    }
    if let Some(text) = &options.gmsa_credential_spec {
        let at = path.child("gmsaCredentialSpec");
        if text.is_empty() {
            errors.push(FieldError::invalid(at, text, "gmsaCredentialSpec cannot be an empty string"));
        } else if text.len() > CREDENTIAL_SPEC_BYTES_MAX {
            errors.push(FieldError::invalid(at, text, "gmsaCredentialSpec size must be under 64 KiB"));
        }
    }
    if let Some(text) = &options.run_as_user_name {
        shape(errors, path.child("runAsUserName"), text, windows_user);
    }
}

/// What is wrong with `DOMAIN\user`, where the domain may be left out; empty: nothing.
fn windows_user(text: &str) -> Vec<String> {
    let (domain, user) = match text.split('\\').collect::<Vec<_>>().as_slice() {
        _ if text.is_empty() => return vec!["runAsUserName cannot be an empty string".to_owned()],
        _ if text.bytes().any(|byte| byte.is_ascii_control()) => {
            return vec!["runAsUserName cannot contain control characters".to_owned()];
        }
        [user] => (None, *user),
        [domain, user] => (Some(*domain), *user),
        _ => return vec!["runAsUserName cannot contain more than one backslash".to_owned()],
    };
    let mut wrong = Vec::new();
    if let Some(domain) = domain {
        if domain.len() >= WINDOWS_DOMAIN_BYTES_MAX {
            wrong.push(format!("runAsUserName's Domain length must be under {WINDOWS_DOMAIN_BYTES_MAX} characters"));
        }
        if !is_net_bios(domain) && !is_windows_domain(domain) {
            wrong.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format".to_owned());
        }
    }
    if user.is_empty() {
        wrong.push("runAsUserName's User cannot be empty".to_owned());
    } else if user.len() > WINDOWS_USER_BYTES_MAX {
        wrong.push(format!("runAsUserName's User length must not be longer than {WINDOWS_USER_BYTES_MAX} characters"));
    }
    if !user.is_empty() && user.chars().all(|letter| matches!(letter, '.' | ' ')) {
        wrong.push("runAsUserName's User cannot contain only periods or spaces".to_owned());
    }
    let forbidden = "\"/\\:;|=,+*?<>@[]";
    if user.contains(|letter| forbidden.contains(letter)) {
        wrong.push(format!("runAsUserName's User cannot contain the following characters: {forbidden}"));
    }
    wrong
}

/// One to fifteen characters that NetBIOS takes; the first is no dot.
fn is_net_bios(domain: &str) -> bool {
    (1..=15).contains(&domain.chars().count())
        && !domain.starts_with('.')
        && !domain.contains(|letter| "\\/:*?\"<>|".contains(letter))
}

fn is_windows_domain(domain: &str) -> bool {
    name::dns_subdomain(&domain.to_ascii_lowercase()).is_empty()
        && domain.split('.').all(|label| label.len() <= name::LABEL_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(user: &str, expect: usize) {
        let found = windows_user(user);
        assert_eq!(found.len(), expect, "{user:?}: {found:?}");
    }

    #[test]
    fn users_of_windows_are_named_as_there() {
        for good in ["ContainerUser", "NT AUTHORITY\\SYSTEM", "corp.example.com\\o.user", "A b"] {
            check(good, 0);
        }
        check("", 1);
        check("a\tb", 1);
        check("a\\b\\c", 1);
        check("\\user", 1);
        check(".corp/\\user", 1);
        check("corp\\", 1);
        check("...", 1);
        check("a@b", 1);
        check(&"u".repeat(105), 1);
    }

    #[test]
    fn a_profile_file_is_named_only_with_its_type() {
        let of = |kind: &str, file: Option<&str>| {
            let mut errors = Errors::new();
            let (r#type, localhost_profile) = (kind.to_owned(), file.map(str::to_owned));
            app_armor(&mut errors, Path::root("p"), &AppArmorProfile { r#type, localhost_profile });
            errors.iter().map(|error| error.field.clone()).collect::<Vec<_>>()
        };
        assert_eq!(of("Localhost", Some("f")), Vec::<String>::new());
        assert_eq!(of("Localhost", None), ["p.localhostProfile"]);
        assert_eq!(of("Localhost", Some(" f")), ["p.localhostProfile"]);
        assert_eq!(of("RuntimeDefault", Some("f")), ["p.localhostProfile"]);
        assert_eq!(of("", None), ["p.type"]);
        assert_eq!(of("Other", None), ["p.type"]);
    }
}
