//! Annotations of pods that fields have replaced.

use proto::core::v1::{PodSpec, SecurityContext};
use proto::meta::v1::ObjectMeta;

use super::{Warnings, container};
use crate::validate::Path;

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Annotations that do nothing any more: since when, and the field to use instead.
const GONE: &[(&str, &str, &str)] = &[
    ("scheduler.alpha.kubernetes.io/critical-pod", "v1.16", "priorityClassName"),
    ("security.alpha.kubernetes.io/sysctls", "v1.11", "sysctls"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "v1.11", "sysctls"),
];

/// Annotations at `path` (metadata.annotations) of a pod.
pub fn pod(warnings: &mut Warnings, path: Path<'_>, meta: &ObjectMeta, spec: &PodSpec) {
    if meta.annotations.is_empty() {
        return;
    }
    for (key, since, field) in GONE.iter().filter(|(key, ..)| meta.annotations.contains_key(*key)) {
        warnings.push(format!("{}: non-functional in {since}+; use the \"{field}\" field instead", path.key(key)));
    }
    let security = spec.security_context.clone().unwrap_or_default();
    if meta.annotations.contains_key(SECCOMP_POD) && security.seccomp_profile.is_none() {
        warnings.push(seccomp(path.key(SECCOMP_POD)));
    }
    container::each(Path::root("spec"), spec, |_, container| {
        let set = |field: fn(&SecurityContext) -> bool| container.security.is_some_and(field);
        let key = format!("{SECCOMP}{}", container.name);
        if meta.annotations.contains_key(&key) && !set(|context| context.seccomp_profile.is_some()) {
            warnings.push(seccomp(path.key(&key)));
        }
        let key = format!("{APP_ARMOR}{}", container.name);
        let covered = security.app_armor_profile.is_some() || set(|context| context.app_armor_profile.is_some());
        if meta.annotations.contains_key(&key) && !covered {
            let path = path.key(&key);
            warnings.push(format!("{path}: deprecated since v1.30; use the \"appArmorProfile\" field instead"));
        }
    });
}

fn seccomp(path: Path<'_>) -> String {
    format!("{path}: non-functional in v1.27+; use the \"seccompProfile\" field instead")
}
