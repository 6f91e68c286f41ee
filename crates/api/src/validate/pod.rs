//! Validation of pods and pod templates.

use proto::core::v1::{Pod, PodDnsConfig, PodSecurityContext, PodSpec, PodTemplateSpec, SeccompProfile};

use super::check::{Errors, ip, labels, one_of, required, shape};
use super::{FieldError, Path, container, meta, resources, scheduling, volume};
use crate::default::container_requests;
use crate::name;

const SPEC: Path<'static> = Path::root("spec");
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
/// All search paths and the spaces between them.
const SEARCH_BYTES_MAX: usize = 2048;

pub fn create(errors: &mut Errors, pod: &Pod) {
    spec(errors, SPEC, &pod.spec);
    if pod.spec.containers.iter().chain(&pod.spec.init_containers).any(|container| container.name.is_empty()) {
        return;
    }
    if !pod.spec.ephemeral_containers.is_empty() {
        let why = "cannot be set on create";
        errors.push(FieldError::forbidden(SPEC.child("ephemeralContainers"), why));
    }
}

/// A template: what its pods will be.
pub fn template(errors: &mut Errors, path: Path<'_>, template: &PodTemplateSpec) {
    meta::template(errors, path.child("metadata"), &template.metadata);
    spec(errors, path.child("spec"), &template.spec);
    if !template.spec.ephemeral_containers.is_empty() {
        let why = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(path.child("spec").child("ephemeralContainers"), why));
    }
}

pub fn spec(errors: &mut Errors, path: Path<'_>, spec: &PodSpec) {
    volume::list(errors, path.child("volumes"), &spec.volumes);
    let pod = context(spec);
    let containers = path.child("containers");
    if spec.containers.is_empty() {
        errors.push(FieldError::required(containers, ""));
    }
    container::list(errors, containers, &spec.containers, container::Role::Main, &pod);
    container::list(errors, path.child("initContainers"), &spec.init_containers, container::Role::Init, &pod);
    super::ephemeral::list(errors, path.child("ephemeralContainers"), &pod);
    resources::pod_claims(errors, path.child("resourceClaims"), &spec.resource_claims);
    one_of(errors, path.child("restartPolicy"), &spec.restart_policy, &["Always", "OnFailure", "Never"]);
    one_of(
        errors,
        path.child("dnsPolicy"),
        &spec.dns_policy,
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
    );
    labels(errors, path.child("nodeSelector"), &spec.node_selector);
    security(errors, path, spec);
    for (index, reference) in spec.image_pull_secrets.iter().enumerate() {
        required(errors, path.child("imagePullSecrets").index(index).child("name"), &reference.name);
    }
    if let Some(affinity) = &spec.affinity {
        scheduling::affinity(errors, path.child("affinity"), affinity);
    }
    dns(errors, path.child("dnsConfig"), &spec.dns_policy, spec.dns_config.as_ref());
    for (index, gate) in spec.readiness_gates.iter().enumerate() {
        let path = path.child("readinessGates");
        let path = path.index(index);
        shape(errors, path.child("conditionType"), &gate.condition_type, name::qualified_name);
    }
    scheduling::gates(errors, path.child("schedulingGates"), &spec.scheduling_gates);
    scheduling::spread(errors, path.child("topologySpreadConstraints"), &spec.topology_spread_constraints);
    names(errors, path, spec);
    if let Some(seconds) = spec.active_deadline_seconds
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let why = "must be between 1 and 2147483647, inclusive";
        errors.push(FieldError::invalid(path.child("activeDeadlineSeconds"), seconds, why));
    }
    scheduling::tolerations(errors, path.child("tolerations"), &spec.tolerations);
    aliases(errors, path.child("hostAliases"), spec);
    if let Some(policy) = &spec.preemption_policy {
        one_of(errors, path.child("preemptionPolicy"), policy, &["PreemptLowerPriority", "Never"]);
    }
    for (name, quantity) in &spec.overhead {
        let path = path.child("overhead");
        resources::amount(errors, path.key(name), name, quantity);
    }
    if let Some(resources) = &spec.resources {
        resources::pod_level(errors, path.child("resources"), resources, &container_requests(spec));
    }
    os(errors, path, spec);
}

/// What containers' rules need to know of their pod.
pub fn context(spec: &PodSpec) -> container::Pod<'_> {
    let volumes = spec.volumes.iter().map(|volume| {
        let source = &volume.volume_source;
        (volume.name.as_str(), source.persistent_volume_claim.is_some() || source.ephemeral.is_some())
    });
    container::Pod {
        spec,
        volumes: volumes.collect(),
        grace_seconds: spec.termination_grace_period_seconds.unwrap_or(30),
    }
}

fn names(errors: &mut Errors, path: Path<'_>, spec: &PodSpec) {
    for (field, text, rule) in [
        ("serviceAccountName", &spec.service_account_name, name::dns_subdomain as fn(&str) -> Vec<String>),
        ("nodeName", &spec.node_name, name::dns_subdomain),
        ("hostname", &spec.hostname, name::dns_label),
        ("subdomain", &spec.subdomain, name::dns_label),
        ("priorityClassName", &spec.priority_class_name, name::dns_subdomain),
    ] {
        if !text.is_empty() {
            shape(errors, path.child(field), text, rule);
        }
    }
    if let Some(class) = &spec.runtime_class_name {
        shape(errors, path.child("runtimeClassName"), class, name::dns_subdomain);
    }
}

fn dns(errors: &mut Errors, path: Path<'_>, policy: &str, config: Option<&PodDnsConfig>) {
    if policy == "None" && config.is_none_or(|config| config.nameservers.is_empty()) {
        if config.is_none() {
            errors.push(FieldError::required(path, "must provide `dnsConfig` when `dnsPolicy` is None"));
            return;
        }
        let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.push(FieldError::required(path.child("nameservers"), why));
    }
    let Some(config) = config else { return };
    let servers = path.child("nameservers");
    if config.nameservers.len() > NAMESERVERS_MAX {
        let shown = serde_json::json!(config.nameservers).to_string();
        let why = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        errors.push(FieldError::invalid(servers, shown.as_str(), why));
    }
    for (index, server) in config.nameservers.iter().enumerate() {
        ip(errors, servers.index(index), server);
    }
    let searches = path.child("searches");
    if config.searches.len() > SEARCHES_MAX {
        let why = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.push(FieldError::invalid(searches, config.searches.len(), why));
    }
    if config.searches.iter().map(|search| search.len() + 1).sum::<usize>() > SEARCH_BYTES_MAX + 1 {
        let why =
            format!("must not have more than {SEARCH_BYTES_MAX} characters (including spaces) in the search list");
        errors.push(FieldError::invalid(searches, "", why));
    }
    for (index, search) in config.searches.iter().enumerate().filter(|(_, search)| search.as_str() != ".") {
        shape(errors, searches.index(index), search.strip_suffix('.').unwrap_or(search), search_path);
    }
    let options = path.child("options");
    for (index, option) in config.options.iter().enumerate() {
        if option.name.is_empty() {
            errors.push(FieldError::required(options.index(index), "must not be empty"));
        }
    }
}

/// A subdomain that may have underscores.
fn search_path(text: &str) -> Vec<String> {
    name::dns_subdomain(&text.replace('_', "a"))
}

fn aliases(errors: &mut Errors, path: Path<'_>, spec: &PodSpec) {
    for (index, alias) in spec.host_aliases.iter().enumerate() {
        let path = path.index(index);
        ip(errors, path.child("ip"), &alias.ip);
        for (index, host) in alias.hostnames.iter().enumerate() {
            let path = path.child("hostnames");
            shape(errors, path.index(index), host, name::dns_subdomain);
        }
    }
}

fn security(errors: &mut Errors, path: Path<'_>, spec: &PodSpec) {
    let context = spec.security_context.as_ref();
    if let Some(context) = context {
        security_context(errors, path.child("securityContext"), context, spec);
    }
    if spec.share_process_namespace == Some(true) && spec.host_pid {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(path.child("shareProcessNamespace"), true, why));
    }
    if spec.host_users == Some(false) {
        for (field, set) in [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)]
        {
            if set {
                errors.push(FieldError::forbidden(path.child(field), "when `hostUsers` is false"));
            }
        }
    }
}

fn security_context(errors: &mut Errors, path: Path<'_>, context: &PodSecurityContext, spec: &PodSpec) {
    id(errors, path.child("fsGroup"), context.fs_group);
    id(errors, path.child("runAsUser"), context.run_as_user);
    id(errors, path.child("runAsGroup"), context.run_as_group);
    let groups = path.child("supplementalGroups");
    for (index, group) in context.supplemental_groups.iter().enumerate() {
        id(errors, groups.index(index), Some(*group));
    }
    if let Some(policy) = &context.supplemental_groups_policy {
        one_of(errors, path.child("supplementalGroupsPolicy"), policy, &["Merge", "Strict"]);
    }
    if let Some(policy) = &context.fs_group_change_policy {
        one_of(errors, path.child("fsGroupChangePolicy"), policy, &["OnRootMismatch", "Always"]);
    }
    if let Some(profile) = &context.seccomp_profile {
        seccomp(errors, path.child("seccompProfile"), profile);
    }
    let sysctls = path.child("sysctls");
    for (index, sysctl) in context.sysctls.iter().enumerate() {
        sysctl_name(errors, sysctls, index, &sysctl.name, spec);
        if context.sysctls[..index].iter().any(|other| other.name == sysctl.name) {
            errors.push(FieldError::duplicate(sysctls.index(index).child("name"), &sysctl.name));
        }
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
        return;
    }
    if text.len() > name::SUBDOMAIN_MAX || !text.split(['.', '/']).all(segment) {
        let why = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
        errors.push(FieldError::invalid(path, text, why));
        return;
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

/// A user or group number.
pub fn id(errors: &mut Errors, path: Path<'_>, id: Option<i64>) {
    if let Some(id) = id
        && !(0..=i64::from(i32::MAX)).contains(&id)
    {
        errors.push(FieldError::invalid(path, id, "must be between 0 and 2147483647, inclusive"));
    }
}

pub fn seccomp(errors: &mut Errors, path: Path<'_>, profile: &SeccompProfile) {
    let file = path.child("localhostProfile");
    match (profile.r#type.as_str(), &profile.localhost_profile) {
        ("", _) => errors.push(FieldError::required(path.child("type"), "type is required when seccompProfile is set")),
        ("Localhost", None) => {
            errors.push(FieldError::required(file, "must be set when seccomp type is Localhost"));
        }
        ("Localhost", Some(text)) => super::check::local_path(errors, file, text),
        ("RuntimeDefault" | "Unconfined", Some(text)) => {
            errors.push(FieldError::invalid(file, text, "can only be set when seccomp type is Localhost"));
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        (other, _) => errors.push(FieldError::not_supported(
            path.child("type"),
            other,
            &["Localhost", "RuntimeDefault", "Unconfined"],
        )),
    }
}

/// Windows pods have no Linux settings.
fn os(errors: &mut Errors, path: Path<'_>, spec: &PodSpec) {
    let Some(os) = &spec.os else { return };
    if os.name.is_empty() {
        errors.push(FieldError::required(path.child("os").child("name"), "cannot be empty"));
        return;
    }
    one_of(errors, path.child("os"), &os.name, &["linux", "windows"]);
    let Some(context) = spec.security_context.as_ref().filter(|_| os.name == "windows") else { return };
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
    ] {
        if set {
            errors.push(FieldError::forbidden(path.child(field), "cannot be set for a windows pod"));
        }
    }
}
