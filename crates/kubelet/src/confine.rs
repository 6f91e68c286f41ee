//! Confinement beyond users and capabilities: seccomp profiles, and what a pod asks for that this kubelet does not do.

use std::path::{Component, Path};

use proto::core::v1::{Container, Pod, SeccompProfile};
use serde_json::{Value, json};

use crate::identity::is_privileged;

/// Calls that no ordinary program needs: they change the kernel, its clock, its devices, or other containers.
const REFUSED: [&str; 41] = [
    "acct",
    "add_key",
    "create_module",
    "delete_module",
    "finit_module",
    "get_kernel_syms",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mbind",
    "migrate_pages",
    "move_pages",
    "name_to_handle_at",
    "nfsservctl",
    "open_by_handle_at",
    "process_vm_readv",
    "process_vm_writev",
    "query_module",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "set_mempolicy",
    "stime",
    "swapoff",
    "swapon",
    "sysfs",
    "_sysctl",
    "userfaultfd",
    "uselib",
    "ustat",
    "vm86",
    "vm86old",
];
/// Calls for which CAP_SYS_ADMIN is meant: whoever has that may make them.
const ADMINISTRATION: [&str; 17] = [
    "bpf",
    "fanotify_init",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "setns",
    "syslog",
    "umount",
    "umount2",
    "unshare",
];
const CLOCK: [&str; 4] = ["clock_adjtime", "clock_settime", "clock_settime64", "settimeofday"];
/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const NEW_NAMESPACES: [u64; 7] =
    [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// The profile of `RuntimeDefault`: everything is allowed but what only administers the machine. Pure.
pub fn runtime_default(capabilities: &[String]) -> Value {
    let has = |name: &str| capabilities.iter().any(|own| own == name);
    let refuse = |names: &[&str], errno: u32| json!({"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": errno});
    let mut rules = vec![refuse(&REFUSED, EPERM)];
    if !has("CAP_SYS_TIME") {
        rules.push(refuse(&CLOCK, EPERM));
    }
    if !has("CAP_SYS_ADMIN") {
        rules.push(refuse(&ADMINISTRATION, EPERM));
        // Its flags lie in memory, where no filter sees them: libraries go back to clone.
        rules.push(refuse(&["clone3"], ENOSYS));
        rules.extend(NEW_NAMESPACES.map(|flag| {
            json!({
                "names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM,
                "args": [{"index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ"}],
            })
        }));
    }
    json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures(), "syscalls": rules})
}

fn architectures() -> Value {
    match std::env::consts::ARCH {
        "x86_64" => json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
        "aarch64" => json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
        _ => json!([]),
    }
}

/// The container's seccomp profile in OCI's form; None: it is not confined. Profiles of the node are below `profiles`.
pub fn seccomp(
    pod: &Pod,
    container: &Container,
    capabilities: &[String],
    profiles: &Path,
) -> Result<Option<Value>, String> {
    let own = container.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
    let shared = pod.spec.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
    let Some(wanted) = own.or(shared).filter(|_| !is_privileged(container)) else { return Ok(None) };
    match wanted.r#type.as_str() {
        "RuntimeDefault" => Ok(Some(runtime_default(capabilities))),
        "Localhost" => local(wanted, profiles).map(Some),
        _ => Ok(None),
    }
}

fn local(wanted: &SeccompProfile, profiles: &Path) -> Result<Value, String> {
    let name = wanted.localhost_profile.as_deref().unwrap_or_default();
    let failed = |why: String| format!("cannot load seccomp profile {name:?}: {why}");
    let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !inside {
        return Err(failed("it must be a path below the kubelet's folder of profiles".into()));
    }
    let path = profiles.join(name);
    let bytes = std::fs::read(&path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
    let profile: Value = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
    match profile.get("defaultAction").is_some_and(Value::is_string) {
        true => Ok(profile),
        false => Err(failed("it has no defaultAction".into())),
    }
}

/// What the container asks for and does not get, for people. Pure.
pub fn unheeded(pod: &Pod, container: &Container) -> Vec<&'static str> {
    let own = container.security_context.as_ref();
    let shared = pod.spec.security_context.as_ref();
    let app_armor = own.and_then(|context| context.app_armor_profile.as_ref());
    let app_armor = app_armor.or(shared.and_then(|context| context.app_armor_profile.as_ref()));
    let annotated = format!("container.apparmor.security.beta.kubernetes.io/{}", container.name);
    let annotated = pod.metadata.annotations.get(&annotated).map(String::as_str);
    let se_linux = own.is_some_and(|context| context.se_linux_options.is_some())
        || shared.is_some_and(|context| context.se_linux_options.is_some());
    let mut out = Vec::new();
    if app_armor.is_some_and(|profile| profile.r#type != "Unconfined")
        || annotated.is_some_and(|profile| profile != "unconfined")
    {
        out.push("appArmorProfile is not supported by this kubelet; the container is not confined by AppArmor");
    }
    if se_linux {
        out.push("seLinuxOptions are not supported by this kubelet; the container gets no label");
    }
    if pod.spec.share_process_namespace == Some(true) {
        out.push("shareProcessNamespace is not supported by this kubelet; each container sees its own processes only");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::core::v1::{AppArmorProfile, PodSecurityContext, SecurityContext};

    fn of(kind: &str, file: Option<&str>) -> (Pod, Container) {
        let profile = SeccompProfile { r#type: kind.into(), localhost_profile: file.map(Into::into) };
        let context = SecurityContext { seccomp_profile: Some(profile), ..SecurityContext::default() };
        (Pod::default(), Container { security_context: Some(context), ..Container::default() })
    }

    #[test]
    fn a_profile_is_what_the_pod_names_and_privileged_containers_have_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("log.json"), r#"{"defaultAction":"SCMP_ACT_LOG"}"#).unwrap();
        std::fs::write(dir.path().join("bad.json"), "[]").unwrap();
        let get = |(pod, container): (Pod, Container)| seccomp(&pod, &container, &[], dir.path());
        assert_eq!(get((Pod::default(), Container::default())), Ok(None));
        assert_eq!(get(of("Unconfined", None)), Ok(None));
        assert_eq!(get(of("RuntimeDefault", None)).unwrap().unwrap()["defaultAction"], "SCMP_ACT_ALLOW");
        assert_eq!(get(of("Localhost", Some("log.json"))).unwrap().unwrap()["defaultAction"], "SCMP_ACT_LOG");
        for wrong in ["../log.json", "/etc/passwd", "", "bad.json", "missing.json"] {
            assert!(get(of("Localhost", Some(wrong))).unwrap_err().contains(wrong), "{wrong}");
        }
        let (pod, mut container) = of("RuntimeDefault", None);
        container.security_context.as_mut().unwrap().privileged = Some(true);
        assert_eq!(get((pod, container)), Ok(None));
    }

    #[test]
    fn an_administrator_may_mount() {
        let text = |capabilities: &[String]| runtime_default(capabilities).to_string();
        assert!(text(&[]).contains("\"mount\""));
        assert!(!text(&["CAP_SYS_ADMIN".into()]).contains("\"mount\""));
    }

    #[test]
    fn what_is_not_done_is_said() {
        let mut pod = Pod::default();
        assert!(unheeded(&pod, &Container::default()).is_empty());
        pod.spec.share_process_namespace = Some(true);
        let profile = AppArmorProfile { r#type: "RuntimeDefault".into(), ..AppArmorProfile::default() };
        pod.spec.security_context =
            Some(PodSecurityContext { app_armor_profile: Some(profile), ..PodSecurityContext::default() });
        assert_eq!(unheeded(&pod, &Container::default()).len(), 2);
    }
}
