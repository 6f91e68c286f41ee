//! Validation of Services. Addresses and node ports that are taken or out of range are the allocators' to refuse.

use std::collections::BTreeSet;

use proto::core::v1::{Service, ServicePort, ServiceSpec};

use super::check::{Errors, ip, labels, not_negative, one_of, port, port_or_name, shape};
use super::{FieldError, Path};
use crate::default::is_reached_from_outside;
use crate::{int_or_string, name};

const SPEC: Path<'static> = Path::root("spec");
const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const AFFINITY_SECONDS_MAX: i32 = 86_400;
/// The kubelet's own port.
const KUBELET_PORT: i32 = 10_250;
const HEADLESS: &str = "None";

pub fn create(errors: &mut Errors, service: &Service) {
    let spec = &service.spec;
    let headless = spec.cluster_ip == HEADLESS;
    if spec.ports.is_empty() && !headless && spec.r#type != "ExternalName" {
        errors.push(FieldError::required(SPEC.child("ports"), ""));
    }
    match spec.r#type.as_str() {
        "LoadBalancer" => {
            for (index, entry) in spec.ports.iter().enumerate().filter(|(_, entry)| entry.port == KUBELET_PORT) {
                let path = SPEC.child("ports");
                let why = "may not expose port 10250 externally since it is used by kubelet";
                errors.push(FieldError::invalid(path.index(index), entry.port, why));
            }
        }
        "ExternalName" => external_name(errors, spec),
        _ => {}
    }
    ports(errors, spec, headless);
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
    load_balancer(errors, spec);
    policies(errors, spec);
}

fn external_name(errors: &mut Errors, spec: &ServiceSpec) {
    if !spec.cluster_ip.is_empty() || !spec.cluster_ips.is_empty() {
        let why = "may not be set for ExternalName services";
        errors.push(FieldError::forbidden(SPEC.child("clusterIPs"), why));
    }
    let path = SPEC.child("externalName");
    match spec.external_name.trim_end_matches('.') {
        "" => errors.push(FieldError::required(path, "")),
        text => shape(errors, path, text, name::dns_subdomain),
    }
}

fn ports(errors: &mut Errors, spec: &ServiceSpec, headless: bool) {
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
        service_port(errors, path, entry, headless);
    }
    let pair = |entry: &ServicePort| (entry.protocol.clone(), entry.port);
    for (index, entry) in spec.ports.iter().enumerate() {
        if spec.ports[..index].iter().any(|other| pair(other) == pair(entry)) {
            let shown = format!("{}/{}", entry.protocol, entry.port);
            errors.push(FieldError::duplicate(path.index(index), shown.as_str()));
        }
    }
}

fn service_port(errors: &mut Errors, path: Path<'_>, entry: &ServicePort, headless: bool) {
    port(errors, path.child("port"), entry.port);
    match entry.protocol.as_str() {
        "" => errors.push(FieldError::required(path.child("protocol"), "")),
        text => one_of(errors, path.child("protocol"), text, &["SCTP", "TCP", "UDP"]),
    }
    let target = path.child("targetPort");
    port_or_name(errors, target, &entry.target_port);
    if let Some(protocol) = &entry.app_protocol {
        shape(errors, path.child("appProtocol"), protocol, name::qualified_name);
    }
    if headless && !int_or_string::is_string(&entry.target_port) && entry.target_port.int_val != entry.port {
        let why = "must be equal to the value of 'port' when clusterIP = None";
        errors.push(FieldError::invalid(target, &entry.target_port, why));
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
        ("ClientIP", Some(given)) => {
            let client = config.child("clientIP");
            let seconds = given.client_ip.as_ref().and_then(|client| client.timeout_seconds);
            match seconds {
                None => errors.push(FieldError::required(config, "")),
                Some(seconds) if !(1..=AFFINITY_SECONDS_MAX).contains(&seconds) => {
                    let why = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
                    errors.push(FieldError::invalid(client.child("timeoutSeconds"), seconds, why));
                }
                Some(_) => {}
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
    for (index, address) in spec.cluster_ips.iter().enumerate() {
        let path = path.index(index);
        if address == HEADLESS && index == 0 {
            if matches!(spec.r#type.as_str(), "NodePort" | "LoadBalancer") {
                let why = format!("may not be set to 'None' for {} services", spec.r#type);
                errors.push(FieldError::invalid(path, HEADLESS, why));
            }
            if spec.cluster_ips.len() > 1 {
                errors.push(FieldError::invalid(path, HEADLESS, "may not be set with other values"));
            }
            return;
        }
        let found = ip(errors, path, address);
        let family = spec.ip_families.get(index).map(String::as_str);
        let wanted = found.map(|found| if found.is_ipv4() { "IPv4" } else { "IPv6" });
        if let (Some(wanted), Some(family)) = (wanted, family)
            && wanted != family
        {
            let why = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            errors.push(FieldError::invalid(path, address, why));
        }
    }
}

/// An address outside the cluster that can be anyone's.
fn outside_ip(errors: &mut Errors, path: Path<'_>, address: &str) {
    let Some(found) = ip(errors, path, address) else { return };
    let wrong = [
        (found.is_unspecified(), "may not be unspecified (0.0.0.0 or ::)"),
        (found.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (is_link_local(&found), "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
    ];
    for (_, why) in wrong.iter().filter(|(is, _)| *is) {
        errors.push(FieldError::invalid(path, address, *why));
    }
}

/// Reached only on its own link.
pub fn is_link_local(address: &std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(v4) => v4.is_link_local(),
        std::net::IpAddr::V6(v6) => (v6.segments()[0] & 0xffc0) == 0xfe80,
    }
}

fn node_ports(errors: &mut Errors, spec: &ServiceSpec) {
    let path = SPEC.child("ports");
    if matches!(spec.r#type.as_str(), "ClusterIP" | "ExternalName") {
        for (index, _) in spec.ports.iter().enumerate().filter(|(_, entry)| entry.node_port != 0) {
            let why = format!("may not be used when `type` is '{}'", spec.r#type);
            errors.push(FieldError::forbidden(path.index(index).child("nodePort"), why));
        }
    }
}

fn load_balancer(errors: &mut Errors, spec: &ServiceSpec) {
    let is = spec.r#type == "LoadBalancer";
    let only = "may only be used when `type` is 'LoadBalancer'";
    if !spec.load_balancer_source_ranges.is_empty() {
        let path = SPEC.child("LoadBalancerSourceRanges");
        if !is {
            errors.push(FieldError::forbidden(path, only));
        }
        for (index, range) in spec.load_balancer_source_ranges.iter().enumerate() {
            if range.trim().parse::<ipnet::IpNet>().is_err() {
                let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
                errors.push(FieldError::invalid(path.index(index), range, why));
            }
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
    if spec.r#type != "ExternalName" {
        let path = SPEC.child("internalTrafficPolicy");
        match &spec.internal_traffic_policy {
            None => errors.push(FieldError::required(path, "")),
            Some(text) => one_of(errors, path, text, &["Cluster", "Local"]),
        }
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
    create(errors, new);
}

/// The first address and family stay; a second may come and go.
fn kept(errors: &mut Errors, new: &ServiceSpec, old: &ServiceSpec) {
    for (field, new, old) in
        [("clusterIPs", &new.cluster_ips, &old.cluster_ips), ("ipFamilies", &new.ip_families, &old.ip_families)]
    {
        let path = SPEC.child(field);
        for (index, (new_value, old_value)) in new.iter().zip(old).enumerate() {
            if new_value != old_value {
                let shown = serde_json::json!(new).to_string();
                errors.push(FieldError::invalid(path.index(index), shown.as_str(), "may not change once set"));
            }
        }
        if new.is_empty() && !old.is_empty() {
            errors.push(FieldError::invalid(path.index(0), "[]", "may not change once set"));
        }
    }
}
