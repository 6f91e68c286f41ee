//! The controls of the Pod Security Standards, each with what it says of a pod that breaks it.

use proto::core::v1::{Capabilities, Container, Pod, PodSpec, SecurityContext};

/// Capabilities that the baseline lets a container add.
const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];
const SELINUX_TYPES: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

/// What is wrong with a pod, first of what the baseline asks, then of what only the restricted level asks.
pub fn violations(pod: &Pod, restricted: bool) -> Vec<String> {
    let spec = &pod.spec;
    let all: Vec<&Container> = spec.init_containers.iter().chain(&spec.containers).collect();
    let mut wrong = Vec::new();
    if !restricted {
        wrong.extend(added_capabilities(&all));
    }
    wrong.extend(host_namespaces(spec));
    if !restricted {
        wrong.extend(host_paths(spec));
    }
    wrong.extend(host_ports(&all));
    let privileged = |context: &SecurityContext| context.privileged == Some(true);
    wrong.extend(containers(&all, "privileged", "must not set securityContext.privileged=true", privileged));
    let unmasked = |context: &SecurityContext| context.proc_mount.as_deref().is_some_and(|mount| mount != "Default");
    wrong.extend(containers(&all, "procMount", "must not set securityContext.procMount to \"Unmasked\"", unmasked));
    wrong.extend(se_linux(spec, &all));
    if !restricted {
        wrong.extend(seccomp_unconfined(spec, &all));
    }
    wrong.extend(sysctls(spec));
    wrong.extend(host_process(spec, &all));
    if restricted {
        wrong.extend(self::restricted(spec, &all));
    }
    wrong
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn some_containers(names: &[String]) -> String {
    let what = if names.len() == 1 { "container" } else { "containers" };
    format!("{what} {}", quoted(names))
}

fn context(container: &Container) -> SecurityContext {
    container.security_context.clone().unwrap_or_default()
}

/// Containers whose security context is as `is_wrong` says.
fn names(all: &[&Container], is_wrong: impl Fn(&SecurityContext) -> bool) -> Vec<String> {
    all.iter().filter(|container| is_wrong(&context(container))).map(|container| container.name.clone()).collect()
}

fn containers(
    all: &[&Container],
    what: &str,
    must: &str,
    is_wrong: impl Fn(&SecurityContext) -> bool,
) -> Option<String> {
    let names = names(all, is_wrong);
    (!names.is_empty()).then(|| format!("{what} ({} {must})", some_containers(&names)))
}

fn added<'a>(capabilities: &'a Capabilities, allowed: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    capabilities.add.iter().filter(|name| !allowed.contains(&name.as_str())).cloned()
}

fn added_capabilities(all: &[&Container]) -> Option<String> {
    let (mut names, mut found) = (Vec::new(), std::collections::BTreeSet::new());
    for container in all {
        let context = context(container);
        let wrong: Vec<String> =
            context.capabilities.iter().flat_map(|capabilities| added(capabilities, CAPABILITIES)).collect();
        if !wrong.is_empty() {
            names.push(container.name.clone());
            found.extend(wrong);
        }
    }
    let found: Vec<String> = found.into_iter().collect();
    (!names.is_empty()).then(|| {
        let found = quoted(&found);
        format!(
            "non-default capabilities ({} must not include {found} in securityContext.capabilities.add)",
            some_containers(&names)
        )
    })
}

fn host_namespaces(spec: &PodSpec) -> Option<String> {
    let shared: Vec<&str> =
        [("hostNetwork=true", spec.host_network), ("hostPID=true", spec.host_pid), ("hostIPC=true", spec.host_ipc)]
            .into_iter()
            .filter_map(|(name, shared)| shared.then_some(name))
            .collect();
    (!shared.is_empty()).then(|| format!("host namespaces ({})", shared.join(", ")))
}

fn host_paths(spec: &PodSpec) -> Option<String> {
    let on_host = spec.volumes.iter().filter(|volume| volume.volume_source.host_path.is_some());
    let names: Vec<String> = on_host.map(|volume| volume.name.clone()).collect();
    let what = if names.len() == 1 { "volume" } else { "volumes" };
    (!names.is_empty()).then(|| format!("hostPath volumes ({what} {})", quoted(&names)))
}

fn host_ports(all: &[&Container]) -> Option<String> {
    let (mut names, mut ports) = (Vec::new(), std::collections::BTreeSet::new());
    for container in all {
        let found: Vec<i32> = container.ports.iter().map(|port| port.host_port).filter(|port| *port != 0).collect();
        if !found.is_empty() {
            names.push(container.name.clone());
            ports.extend(found);
        }
    }
    let shown: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let (uses, what) =
        (if names.len() == 1 { "uses" } else { "use" }, if ports.len() == 1 { "hostPort" } else { "hostPorts" });
    (!names.is_empty()).then(|| format!("hostPort ({} {uses} {what} {})", some_containers(&names), shown.join(", ")))
}

fn se_linux(spec: &PodSpec, all: &[&Container]) -> Option<String> {
    let of_pod = spec.security_context.as_ref().and_then(|context| context.se_linux_options.clone());
    let mut wrong = Vec::new();
    let mut setters = Vec::new();
    let mut judge = |setter: String, options: &proto::core::v1::SeLinuxOptions| {
        let mut found = Vec::new();
        if !SELINUX_TYPES.contains(&options.r#type.as_str()) {
            found.push(format!("type \"{}\"", options.r#type));
        }
        if !options.user.is_empty() {
            found.push("user may not be set".to_owned());
        }
        if !options.role.is_empty() {
            found.push("role may not be set".to_owned());
        }
        if !found.is_empty() {
            setters.push(setter);
            wrong.extend(found);
        }
    };
    if let Some(options) = &of_pod {
        judge("pod".to_owned(), options);
    }
    for container in all {
        if let Some(options) = context(container).se_linux_options {
            judge(format!("container \"{}\"", container.name), &options);
        }
    }
    let (setters, mut wrong) = (setters.join(" and "), wrong);
    wrong.dedup();
    (!wrong.is_empty()).then(|| {
        format!("seLinuxOptions ({setters} set forbidden securityContext.seLinuxOptions: {})", wrong.join("; "))
    })
}

fn seccomp_unconfined(spec: &PodSpec, all: &[&Container]) -> Option<String> {
    let unconfined = |profile: Option<&proto::core::v1::SeccompProfile>| {
        profile.is_some_and(|profile| profile.r#type == "Unconfined")
    };
    let mut setters = Vec::new();
    if unconfined(spec.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref())) {
        setters.push("pod".to_owned());
    }
    let names = names(all, |context| unconfined(context.seccomp_profile.as_ref()));
    if !names.is_empty() {
        setters.push(some_containers(&names));
    }
    (!setters.is_empty()).then(|| {
        let setters = setters.join(" and ");
        format!("seccompProfile ({setters} must not set securityContext.seccompProfile.type to \"Unconfined\")")
    })
}

fn sysctls(spec: &PodSpec) -> Option<String> {
    let set = spec.security_context.as_ref().map(|context| context.sysctls.as_slice()).unwrap_or_default();
    let names: Vec<&str> =
        set.iter().map(|sysctl| sysctl.name.as_str()).filter(|name| !SYSCTLS.contains(name)).collect();
    (!names.is_empty()).then(|| format!("forbidden sysctls ({})", names.join(", ")))
}

fn host_process(spec: &PodSpec, all: &[&Container]) -> Option<String> {
    let is_host = |options: Option<&proto::core::v1::WindowsSecurityContextOptions>| {
        options.is_some_and(|options| options.host_process == Some(true))
    };
    let mut setters = Vec::new();
    if is_host(spec.security_context.as_ref().and_then(|context| context.windows_options.as_ref())) {
        setters.push("pod".to_owned());
    }
    let names = names(all, |context| is_host(context.windows_options.as_ref()));
    if !names.is_empty() {
        setters.push(some_containers(&names));
    }
    (!setters.is_empty()).then(|| {
        let setters = setters.join(" and ");
        format!("hostProcess ({setters} must not set securityContext.windowsOptions.hostProcess=true)")
    })
}

/// What only the restricted level asks.
fn restricted(spec: &PodSpec, all: &[&Container]) -> Vec<String> {
    let mut wrong = Vec::new();
    let must = "must set securityContext.allowPrivilegeEscalation=false";
    let escalates = |context: &SecurityContext| context.allow_privilege_escalation != Some(false);
    wrong.extend(containers(all, "allowPrivilegeEscalation != false", must, escalates));
    wrong.extend(kept_capabilities(all));
    wrong.extend(volumes(spec));
    let of_pod = spec.security_context.clone().unwrap_or_default();
    let root = |context: &SecurityContext| context.run_as_non_root.or(of_pod.run_as_non_root) != Some(true);
    let names = self::names(all, root);
    if !names.is_empty() {
        let who = format!("pod or {}", some_containers(&names));
        wrong.push(format!("runAsNonRoot != true ({who} must set securityContext.runAsNonRoot=true)"));
    }
    if of_pod.run_as_user == Some(0) {
        wrong.push("runAsUser=0 (pod must not set runAsUser=0)".to_owned());
    } else {
        let as_root = |context: &SecurityContext| context.run_as_user == Some(0);
        wrong.extend(containers(all, "runAsUser=0", "must not set runAsUser=0", as_root));
    }
    let fine = |profile: Option<&proto::core::v1::SeccompProfile>| {
        profile.is_some_and(|profile| matches!(profile.r#type.as_str(), "RuntimeDefault" | "Localhost"))
    };
    let open = |context: &SecurityContext| !fine(context.seccomp_profile.as_ref().or(of_pod.seccomp_profile.as_ref()));
    let names = self::names(all, open);
    if !names.is_empty() {
        let who = format!("pod or {}", some_containers(&names));
        wrong.push(format!(
            "seccompProfile ({who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
        ));
    }
    wrong
}

fn kept_capabilities(all: &[&Container]) -> Option<String> {
    let keeps = |context: &SecurityContext| {
        !context.capabilities.as_ref().is_some_and(|capabilities| capabilities.drop.iter().any(|name| name == "ALL"))
    };
    let adds = |context: &SecurityContext| {
        context.capabilities.as_ref().is_some_and(|found| added(found, &["NET_BIND_SERVICE"]).next().is_some())
    };
    let (kept, more) = (names(all, keeps), names(all, adds));
    let mut parts = Vec::new();
    if !kept.is_empty() {
        parts.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", some_containers(&kept)));
    }
    if !more.is_empty() {
        let which: std::collections::BTreeSet<String> = all
            .iter()
            .filter_map(|container| context(container).capabilities)
            .flat_map(|found| added(&found, &["NET_BIND_SERVICE"]).collect::<Vec<_>>())
            .collect();
        let which: Vec<String> = which.into_iter().collect();
        let which = quoted(&which);
        parts.push(format!("{} must not include {which} in securityContext.capabilities.add", some_containers(&more)));
    }
    (!parts.is_empty()).then(|| format!("unrestricted capabilities ({})", parts.join("; ")))
}

fn volumes(spec: &PodSpec) -> Option<String> {
    let kind = |volume: &proto::core::v1::Volume| -> Option<String> {
        let tree = proto::json::to_value(&volume.volume_source);
        let fields = tree.as_object()?;
        let allowed = [
            "configMap",
            "csi",
            "downwardAPI",
            "emptyDir",
            "ephemeral",
            "image",
            "persistentVolumeClaim",
            "projected",
            "secret",
        ];
        fields.keys().find(|name| !allowed.contains(&name.as_str())).cloned()
    };
    let found: Vec<(String, String)> =
        spec.volumes.iter().filter_map(|volume| Some((volume.name.clone(), kind(volume)?))).collect();
    let names: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
    let kinds: std::collections::BTreeSet<String> = found.iter().map(|(_, kind)| kind.clone()).collect();
    let kinds: Vec<String> = kinds.into_iter().collect();
    let (what, uses, which) = (
        if names.len() == 1 { "volume" } else { "volumes" },
        if names.len() == 1 { "uses" } else { "use" },
        if kinds.len() == 1 { "restricted volume type" } else { "restricted volume types" },
    );
    (!names.is_empty())
        .then(|| format!("restricted volume types ({what} {} {uses} {which} {})", quoted(&names), quoted(&kinds)))
}
