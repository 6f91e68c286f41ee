//! Validation of pods and pod templates.

use proto::core::v1::{Pod, PodDnsConfig, PodSpec, PodTemplateSpec, Volume};
use proto::meta::v1::ObjectMeta;

use super::check::{Errors, ip, labels, one_of, shape};
use super::{FieldError, Path, annotation, container, meta, os, resources, scheduling, security, volume};
use crate::default::container_requests;
use crate::name;

const SPEC: Path<'static> = Path::root("spec");
/// Annotations of a pod.
pub const ANNOTATIONS: Path<'static> = Path::root("metadata.annotations");
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
/// All search paths and the spaces between them.
const SEARCH_BYTES_MAX: usize = 2048;

/// Longest name that a host can have.
const HOST_NAME_BYTES_MAX: usize = 64;

pub fn create(errors: &mut Errors, pod: &Pod) {
    annotation::of_pod(errors, ANNOTATIONS, &pod.metadata.annotations, &pod.spec);
    spec(errors, SPEC, &pod.spec, Some(&pod.metadata));
    if !pod.spec.ephemeral_containers.is_empty() {
        let why = "cannot be set on create";
        errors.push(FieldError::forbidden(SPEC.child("ephemeralContainers"), why));
    }
    if !pod.spec.node_name.is_empty() && !pod.spec.scheduling_gates.is_empty() {
        let why = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(SPEC.child("nodeName"), why));
    }
    annotation::agree(errors, SPEC, &pod.metadata, &pod.spec);
}

/// A template: what its pods will be.
pub fn template(errors: &mut Errors, path: Path<'_>, template: &PodTemplateSpec) {
    // Upstream names labels and annotations without the metadata that they stand in.
    meta::template(errors, path, &template.metadata);
    annotation::of_pod(errors, path.child("annotations"), &template.metadata.annotations, &template.spec);
    spec(errors, path.child("spec"), &template.spec, None);
    annotation::agree(errors, path.child("spec"), &template.metadata, &template.spec);
    if !template.spec.ephemeral_containers.is_empty() {
        let why = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(path.child("spec").child("ephemeralContainers"), why));
    }
}

/// A pod's spec, or with no metadata that of a template.
pub fn spec(errors: &mut Errors, path: Path<'_>, spec: &PodSpec, meta: Option<&ObjectMeta>) {
    let volumes = volume::list(errors, path.child("volumes"), &spec.volumes, meta);
    let pod = context(spec, volumes, meta.is_some());
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
    resources::overhead(errors, path.child("overhead"), &spec.overhead);
    if let Some(resources) = &spec.resources {
        resources::pod_level(errors, path.child("resources"), resources, &container_requests(spec));
    }
    host_name(errors, path, spec);
    os::os(errors, path, spec);
}

/// A host name instead of the pod's own.
fn host_name(errors: &mut Errors, path: Path<'_>, spec: &PodSpec) {
    let Some(text) = &spec.hostname_override else { return };
    let at = path.child("hostnameOverride");
    if spec.set_hostname_as_fqdn == Some(true) {
        errors.push(FieldError::forbidden(at, "may not be specified when `setHostnameAsFQDN` is true"));
    }
    if spec.host_network {
        errors.push(FieldError::forbidden(at, "may not be specified when `hostNetwork` is true"));
    }
    if text.len() > HOST_NAME_BYTES_MAX {
        errors.push(FieldError::too_long(at, HOST_NAME_BYTES_MAX));
    }
    shape(errors, at, text, name::dns_subdomain);
}

/// What containers' rules need to know of their pod.
fn context<'s>(spec: &'s PodSpec, volumes: Vec<&'s Volume>, is_pod: bool) -> container::Pod<'s> {
    let volumes = volumes.into_iter().map(|volume| {
        let source = &volume.volume_source;
        (volume.name.as_str(), source.persistent_volume_claim.is_some() || source.ephemeral.is_some())
    });
    container::Pod {
        spec,
        volumes: volumes.collect(),
        grace_seconds: spec.termination_grace_period_seconds.unwrap_or(30),
        is_pod,
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
            return errors.push(FieldError::required(path, "must provide `dnsConfig` when `dnsPolicy` is None"));
        }
        let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        return errors.push(FieldError::required(path.child("nameservers"), why));
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
    let at = path.child("securityContext");
    if let Some(context) = &spec.security_context {
        security::pod(errors, at, context, spec);
    }
    if spec.share_process_namespace == Some(true) && spec.host_pid {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(at.child("shareProcessNamespace"), true, why));
    }
    if spec.host_users == Some(false) {
        for (field, set) in [("hostNetwork", spec.host_network), ("HostPID", spec.host_pid), ("HostIPC", spec.host_ipc)]
        {
            if set {
                errors.push(FieldError::forbidden(path.child(field), "when `hostUsers` is false"));
            }
        }
    }
}
