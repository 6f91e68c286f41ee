//! Validation of Services. Addresses and node ports that are taken or out of range are the allocators' to refuse.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proto::core::v1::{Service, ServicePort, ServiceSpec};

use super::check::{Errors, cidr, ip, labels, not_negative, one_of, port, port_or_name, shape};
use super::{FieldError, Path};
use crate::default::is_reached_from_outside;
use crate::name;

const SPEC: Path<'static> = Path::root("spec");
const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const AFFINITY_SECONDS_MAX: i32 = 86_400;
const HEADLESS: &str = "None";

pub fn create(errors: &mut Errors, service: &Service) {
    let spec = &service.spec;
    hints_agree(errors, service);
    let headless = spec.cluster_ip == HEADLESS;
    if spec.ports.is_empty() && !headless && spec.r#type != "ExternalName" {
        errors.push(FieldError::required(SPEC.child("ports"), ""));
    }
    if spec.r#type == "ExternalName" {
        external_name(errors, spec);
    }
    ports(errors, spec);
    labels(errors, SPEC.child("selector"), &spec.selector);
    affinity(errors, spec);
    addresses(errors, spec);
    for (index, address) in spec.external_ips.iter().enumerate() {
        let path = SPEC.child("externalIPs");
        outside_ip(errors, path.index(index), address);
    }
    match spec.r#type.as_str() {
        "" => errors.push(FieldError::required(SPEC.child("type"), "")),
        text => one_of(errors, SPEC.child("type"), text, TYPES),
    }
    node_ports(errors, spec);
    load_balancer(errors, service);
    policies(errors, spec);
}

/// The annotation for topology, and its old name, say the same.
fn hints_agree(errors: &mut Errors, service: &Service) {
    let said = |name: &str| service.metadata.annotations.get(name);
    let (mode, old) = ("service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints");
    if let (Some(new), Some(before)) = (said(mode), said(old))
        && new != before
    {
        let path = Path::root("metadata.annotations");
        let why = format!("must match annotations[{old}] when both are specified");
        errors.push(FieldError::invalid(path.key(mode), new, why));
    }
}

fn external_name(errors: &mut Errors, spec: &ServiceSpec) {
    if !spec.cluster_ip.is_empty() || !spec.cluster_ips.is_empty() {
        let why = "may not be set for ExternalName services";
        errors.push(FieldError::forbidden(SPEC.child("clusterIPs"), why));
    }
    let path = SPEC.child("externalName");
    match spec.external_name.strip_suffix('.').unwrap_or(&spec.external_name) {
        "" => errors.push(FieldError::required(path, "")),
        text => shape(errors, path, text, name::dns_subdomain),
    }
}

fn ports(errors: &mut Errors, spec: &ServiceSpec) {
    let path = SPEC.child("ports");
    let mut names = BTreeSet::new();
    for (index, entry) in spec.ports.iter().enumerate() {
        let path = path.index(index);
        if entry.name.is_empty() {
            if spec.ports.len() > 1 {
                errors.push(FieldError::required(path.child("name"), ""));
            }
        } else {
            shape(errors, path.child("name"), &entry.name, name::dns_label);
            if !names.insert(&entry.name) {
                errors.push(FieldError::duplicate(path.child("name"), &entry.name));
            }
        }
        service_port(errors, path, entry);
    }
    let pair = |entry: &ServicePort| (entry.protocol.clone(), entry.port);
    for (index, entry) in spec.ports.iter().enumerate() {
        if spec.ports[..index].iter().any(|other| pair(other) == pair(entry)) {
            let shown = format!("{}/{}", entry.protocol, entry.port);
            errors.push(FieldError::duplicate(path.index(index), shown.as_str()));
        }
    }
}

fn service_port(errors: &mut Errors, path: Path<'_>, entry: &ServicePort) {
    port(errors, path.child("port"), entry.port);
    match entry.protocol.as_str() {
        "" => errors.push(FieldError::required(path.child("protocol"), "")),
        text => one_of(errors, path.child("protocol"), text, &["SCTP", "TCP", "UDP"]),
    }
    port_or_name(errors, path.child("targetPort"), &entry.target_port);
    if let Some(protocol) = &entry.app_protocol {
        shape(errors, path.child("appProtocol"), protocol, name::qualified_name);
    }
}

fn affinity(errors: &mut Errors, spec: &ServiceSpec) {
    let path = SPEC.child("sessionAffinity");
    match spec.session_affinity.as_str() {
        "" => errors.push(FieldError::required(path, "")),
        text => one_of(errors, path, text, &["ClientIP", "None"]),
    }
    let config = SPEC.child("sessionAffinityConfig");
    match (spec.session_affinity.as_str(), &spec.session_affinity_config) {
        ("ClientIP", given) => {
            let why = "when session affinity type is ClientIP";
            let client = config.child("clientIP");
            let at = client.child("timeoutSeconds");
            match given.as_ref().map(|given| given.client_ip.as_ref().map(|client| client.timeout_seconds)) {
                None => errors.push(FieldError::required(config, why)),
                Some(None) => errors.push(FieldError::required(client, why)),
                Some(Some(None)) => errors.push(FieldError::required(at, why)),
                Some(Some(Some(seconds))) if !(1..=AFFINITY_SECONDS_MAX).contains(&seconds) => {
                    let why = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
                    errors.push(FieldError::invalid(at, seconds, why));
                }
                Some(Some(Some(_))) => {}
            }
        }
        ("None", Some(_)) => {
            let why = "must not be set when session affinity is None";
            errors.push(FieldError::forbidden(config, why));
        }
        _ => {}
    }
}

/// Cluster addresses and their families.
fn addresses(errors: &mut Errors, spec: &ServiceSpec) {
    let (at_ips, at_policy, at_families) =
        (SPEC.child("clusterIPs"), SPEC.child("ipFamilyPolicy"), SPEC.child("ipFamilies"));
    if spec.r#type == "ExternalName" {
        let why = "may not be set for ExternalName services";
        if spec.ip_family_policy.is_some() {
            errors.push(FieldError::forbidden(at_policy, why));
        }
        if !spec.ip_families.is_empty() {
            errors.push(FieldError::forbidden(at_families, why));
        }
        return;
    }
    let shown = || serde_json::json!(spec.cluster_ips).to_string();
    if spec.cluster_ips.first().is_some_and(|first| *first != spec.cluster_ip) {
        errors.push(FieldError::invalid(at_ips, shown().as_str(), "first value must match `clusterIP`"));
    }
    let policy = spec.ip_family_policy.as_deref();
    if let Some(policy) = policy {
        one_of(errors, at_policy, policy, &["PreferDualStack", "RequireDualStack", "SingleStack"]);
    }
    if policy == Some("SingleStack") {
        let why =
            |what: &str| format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
        if spec.ip_families.len() > 1 && distinct(&spec.ip_families) {
            errors.push(FieldError::invalid(at_policy, "SingleStack", why("IP families")));
        }
        if spec.cluster_ips.len() > 1 {
            errors.push(FieldError::invalid(at_policy, "SingleStack", why("cluster IPs")));
        }
    }
    for (index, family) in spec.ip_families.iter().enumerate() {
        let path = at_families.index(index);
        one_of(errors, path, family, &["IPv4", "IPv6"]);
        if spec.ip_families[..index].contains(family) {
            errors.push(FieldError::duplicate(path, family));
        }
    }
    cluster_ips(errors, at_ips, spec);
}

fn distinct(texts: &[String]) -> bool {
    texts.iter().enumerate().all(|(index, text)| !texts[..index].contains(text))
}

fn cluster_ips(errors: &mut Errors, path: Path<'_>, spec: &ServiceSpec) {
    if spec.cluster_ips.is_empty() && spec.cluster_ip == HEADLESS && spec.r#type != "ClusterIP" {
        let why = format!("may not be set to 'None' for {} services", spec.r#type);
        errors.push(FieldError::invalid(path.index(0), HEADLESS, why));
    }
    if spec.cluster_ips.len() > 2 {
        let shown = serde_json::json!(spec.cluster_ips).to_string();
        errors.push(FieldError::invalid(path, shown.as_str(), "may only hold up to 2 values"));
    }
    if spec.cluster_ips.first().is_some_and(|first| first == HEADLESS) {
        if matches!(spec.r#type.as_str(), "NodePort" | "LoadBalancer") {
            let why = format!("may not be set to 'None' for {} services", spec.r#type);
            errors.push(FieldError::invalid(path.index(0), HEADLESS, why));
        }
        if spec.cluster_ips.len() > 1 {
            errors.push(FieldError::invalid(path, &spec.cluster_ips, "'None' must be the first and only value"));
        }
        return;
    }
    let before = errors.len();
    let parsed = spec.cluster_ips.iter().enumerate().filter_map(|(index, text)| ip(errors, path.index(index), text));
    let found: Vec<IpAddr> = parsed.collect();
    if errors.len() > before {
        return;
    }
    if matches!(found.as_slice(), [one, other, ..] if one.is_ipv4() == other.is_ipv4()) {
        let why = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid(path, &spec.cluster_ips, why));
    }
    for (index, (address, family)) in found.iter().zip(&spec.ip_families).enumerate() {
        let is = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        if matches!(family.as_str(), "IPv4" | "IPv6") && family != is {
            let why = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            errors.push(FieldError::invalid(path.index(index), &spec.cluster_ips[index], why));
        }
    }
}

/// An address outside the cluster that can be anyone's.
fn outside_ip(errors: &mut Errors, path: Path<'_>, address: &str) {
    if let Some(found) = ip(errors, path, address) {
        not_special(errors, path, address, &found);
    }
}

/// An address at which another machine can be reached.
pub fn not_special(errors: &mut Errors, path: Path<'_>, text: &str, address: &IpAddr) {
    let (link_local, multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => ((v6.segments()[0] & 0xffc0) == 0xfe80, (v6.segments()[0] & 0xff0f) == 0xff02),
    };
    let wrong = [
        (address.is_unspecified(), "may not be unspecified (0.0.0.0 or ::)"),
        (address.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ];
    for (_, why) in wrong.iter().filter(|(is, _)| *is) {
        errors.push(FieldError::invalid(path, text, *why));
    }
}

fn node_ports(errors: &mut Errors, spec: &ServiceSpec) {
    let path = SPEC.child("ports");
    if spec.r#type == "ClusterIP" {
        for (index, _) in spec.ports.iter().enumerate().filter(|(_, entry)| entry.node_port != 0) {
            let why = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(path.index(index).child("nodePort"), why));
        }
    }
}

/// Source ranges as they were written before there was a field.
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

fn load_balancer(errors: &mut Errors, service: &Service) {
    let spec = &service.spec;
    let is = spec.r#type == "LoadBalancer";
    let only = "may only be used when `type` is 'LoadBalancer'";
    let annotated = service.metadata.annotations.get(SOURCE_RANGES);
    if let Some(text) = annotated.filter(|_| spec.load_balancer_source_ranges.is_empty()) {
        let path = Path::root("metadata.annotations");
        let path = path.key(SOURCE_RANGES);
        if !is {
            errors.push(FieldError::forbidden(path, only));
        }
        for range in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
            cidr(errors, path, range);
        }
    }
    if !spec.load_balancer_source_ranges.is_empty() {
        let path = SPEC.child("LoadBalancerSourceRanges");
        if !is {
            errors.push(FieldError::forbidden(path, only));
        }
        for (index, range) in spec.load_balancer_source_ranges.iter().enumerate() {
            cidr(errors, path.index(index), range.trim());
        }
    }
    let path = SPEC.child("allocateLoadBalancerNodePorts");
    match spec.allocate_load_balancer_node_ports {
        None if is => errors.push(FieldError::required(path, "")),
        Some(_) if !is => errors.push(FieldError::forbidden(path, only)),
        _ => {}
    }
    if let Some(class) = &spec.load_balancer_class {
        let path = SPEC.child("loadBalancerClass");
        if is {
            shape(errors, path, class, name::qualified_name);
        } else {
            errors.push(FieldError::forbidden(path, only));
        }
    }
}

fn policies(errors: &mut Errors, spec: &ServiceSpec) {
    let path = SPEC.child("externalTrafficPolicy");
    let policy = spec.external_traffic_policy.as_str();
    if is_reached_from_outside(spec) {
        match policy {
            "" => errors.push(FieldError::required(path, "")),
            text => one_of(errors, path, text, &["Cluster", "Local"]),
        }
    } else if !policy.is_empty() {
        let why = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(path, policy, why));
    }
    let path = SPEC.child("healthCheckNodePort");
    let wanted = spec.r#type == "LoadBalancer" && policy == "Local";
    if wanted {
        not_negative(errors, path, i64::from(spec.health_check_node_port));
    } else if spec.health_check_node_port != 0 {
        let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(FieldError::invalid(path, spec.health_check_node_port, why));
    }
    let path = SPEC.child("internalTrafficPolicy");
    match &spec.internal_traffic_policy {
        None if spec.r#type != "ExternalName" => errors.push(FieldError::required(path, "")),
        None => {}
        Some(text) => one_of(errors, path, text, &["Cluster", "Local"]),
    }
    if let Some(distribution) = &spec.traffic_distribution {
        let path = SPEC.child("trafficDistribution");
        one_of(errors, path, distribution, &["PreferClose", "PreferSameZone", "PreferSameNode"]);
    }
}

pub fn update(errors: &mut Errors, new: &Service, old: &Service) {
    let was_outside = old.spec.r#type == "ExternalName";
    let is_outside = new.spec.r#type == "ExternalName";
    if !was_outside && !is_outside {
        kept(errors, &new.spec, &old.spec);
    }
    if new.spec.r#type == "LoadBalancer"
        && old.spec.r#type == "LoadBalancer"
        && new.spec.load_balancer_class != old.spec.load_balancer_class
    {
        let class = new.spec.load_balancer_class.as_deref().unwrap_or_default();
        errors.push(FieldError::invalid(SPEC.child("loadBalancerClass"), class, "may not change once set"));
    }
    let checked = |spec: &ServiceSpec| spec.r#type == "LoadBalancer" && spec.external_traffic_policy == "Local";
    if checked(&new.spec) && checked(&old.spec) && new.spec.health_check_node_port != old.spec.health_check_node_port {
        errors.push(FieldError::forbidden(SPEC.child("healthCheckNodePort"), "field is immutable"));
    }
    create(errors, new);
}

/// The first address and family stay; a second may come, and go where the Service says that it has one only.
fn kept(errors: &mut Errors, new: &ServiceSpec, old: &ServiceSpec) {
    let headless = |spec: &ServiceSpec| spec.cluster_ips.len() == 1 && spec.cluster_ips[0] == HEADLESS;
    let (was, is) = (headless(old), headless(new));
    if was && is {
        return;
    }
    stays(errors, "clusterIPs", &new.cluster_ips, &old.cluster_ips, new);
    if was == is {
        stays(errors, "ipFamilies", &new.ip_families, &old.ip_families, new);
    }
}

fn stays(errors: &mut Errors, field: &str, new: &Vec<String>, old: &Vec<String>, spec: &ServiceSpec) {
    let (path, once) = (SPEC.child(field), "may not change once set");
    let what = if field == "clusterIPs" { "clusterIP" } else { "ipFamily" };
    if new.len() == old.len() {
        for (index, _) in new.iter().zip(old).enumerate().filter(|(_, (new, old))| new != old) {
            // Upstream tells of families at the first one.
            let index = if field == "clusterIPs" { index } else { 0 };
            errors.push(FieldError::invalid(path.index(index), new, once));
        }
        return;
    }
    if new.is_empty() {
        errors.push(FieldError::invalid(path.index(0), new, format!("primary {what} can not be unset")));
    }
    if matches!((new.first(), old.first()), (Some(new), Some(old)) if new != old) {
        errors.push(FieldError::invalid(path.index(0), new, once));
    }
    if old.len() > new.len() && new.len() == 1 && spec.ip_family_policy.as_deref() != Some("SingleStack") {
        let policy = spec.ip_family_policy.as_deref().unwrap_or_default();
        let why = format!("must be set to 'SingleStack' when releasing the secondary {what}");
        errors.push(FieldError::invalid(SPEC.child("ipFamilyPolicy"), policy, why));
    }
}

/// Where a load balancer can be reached.
pub fn update_status(errors: &mut Errors, service: &Service) {
    let path = Path::root("status.loadBalancer");
    let path = path.child("ingress");
    let ingress = &service.status.load_balancer.ingress;
    if service.spec.r#type != "LoadBalancer" && !ingress.is_empty() {
        let why = "may only be used when `spec.type` is 'LoadBalancer'";
        return errors.push(FieldError::forbidden(path, why));
    }
    for (index, point) in ingress.iter().enumerate() {
        let path = path.index(index);
        let mode = path.child("ipMode");
        if !point.ip.is_empty() {
            ip(errors, path.child("ip"), &point.ip);
        }
        match point.ip_mode.as_deref() {
            None if !point.ip.is_empty() => {
                errors.push(FieldError::required(mode, "must be specified when `ip` is set"));
            }
            None => {}
            Some(_) if point.ip.is_empty() => {
                errors.push(FieldError::forbidden(mode, "may not be specified when `ip` is not set"));
            }
            Some(text) => one_of(errors, mode, text, &["Proxy", "VIP"]),
        }
        if !point.hostname.is_empty() {
            let at = path.child("hostname");
            shape(errors, at, &point.hostname, name::dns_subdomain);
            if point.hostname.parse::<IpAddr>().is_ok() {
                errors.push(FieldError::invalid(at, &point.hostname, "must be a DNS name, not an IP address"));
            }
        }
    }
}
