//! Validation of kinds that have only a few rules.

use std::net::IpAddr;

use proto::coordination::v1::Lease;
use proto::core::v1::{Binding, Namespace, Node};
use proto::networking::v1::{IpAddress, ServiceCidr};
use proto::scheduling::v1::PriorityClass;

use super::check::{Errors, cidr, not_negative, one_of, positive, required, shape};
use super::{FieldError, Path, meta, resources, scheduling};
use crate::name;

const SPEC: Path<'static> = Path::root("spec");
const META: Path<'static> = Path::root("metadata");
/// Greatest priority that a user may give.
const USER_PRIORITY_MAX: i32 = 1_000_000_000;
/// Classes of the system itself, with their values.
const SYSTEM_CLASSES: &[(&str, i32)] =
    &[("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

pub fn namespace(errors: &mut Errors, namespace: &Namespace) {
    let path = SPEC.child("finalizers");
    for finalizer in &namespace.spec.finalizers {
        shape(errors, path, finalizer, name::qualified_name);
        meta::plain_finalizer(errors, path, finalizer);
    }
}

/// Phases say whether the namespace ends.
pub fn namespace_status(errors: &mut Errors, namespace: &Namespace) {
    let ends = namespace.metadata.deletion_timestamp.is_some();
    let (phase, but) = if ends { ("Terminating", "is not empty") } else { ("Active", "is empty") };
    if namespace.status.phase != phase {
        let why = format!("may only be '{phase}' if `deletionTimestamp` {but}");
        errors.push(FieldError::invalid(Path::root("status.Phase"), &namespace.status.phase, why));
    }
}

pub fn node(errors: &mut Errors, node: &Node) {
    scheduling::taints(errors, META.child("taints"), &node.spec.taints);
    amounts(errors, node);
    let path = SPEC.child("podCIDRs");
    let ranges = &node.spec.pod_cidrs;
    let families: Vec<bool> = ranges
        .iter()
        .enumerate()
        .filter_map(|(index, range)| cidr(errors, path.index(index), range))
        .map(|range| range.addr().is_ipv4())
        .collect();
    if ranges.len() > 2 || matches!(families.as_slice(), [one, other] if one == other) {
        let why = "may specify no more than one CIDR for each IP family";
        errors.push(FieldError::invalid(path, ranges, why));
    }
    for (index, range) in ranges.iter().enumerate().filter(|(index, range)| ranges[..*index].contains(range)) {
        errors.push(FieldError::duplicate(path.index(index), range));
    }
}

fn amounts(errors: &mut Errors, node: &Node) {
    for (field, list) in [("capacity", &node.status.capacity), ("allocatable", &node.status.allocatable)] {
        let status = Path::root("status");
        let path = status.child(field);
        for (name, quantity) in list {
            resources::amount(errors, path.child(name), name, quantity);
        }
    }
}

#[allow(deprecated, reason = "a deprecated field is judged too")]
pub fn node_update(errors: &mut Errors, new: &Node, old: &Node) {
    amounts(errors, new);
    let addresses = &new.status.addresses;
    for (index, address) in addresses.iter().enumerate().filter(|(index, one)| addresses[..*index].contains(one)) {
        let path = Path::root("status");
        let path = path.child("addresses");
        errors.push(FieldError::duplicate(path.index(index), super::error::Json(address)));
    }
    let once = |what: &str| format!("node updates may not change {what} except from \"\" to valid");
    if !old.spec.pod_cidrs.is_empty() && new.spec.pod_cidrs != old.spec.pod_cidrs {
        errors.push(FieldError::forbidden(SPEC.child("podCIDRs"), once("podCIDR")));
    }
    if !old.spec.provider_id.is_empty() && new.spec.provider_id != old.spec.provider_id {
        errors.push(FieldError::forbidden(SPEC.child("providerID"), once("providerID")));
    }
    scheduling::taints(errors, META.child("taints"), &new.spec.taints);
    if new.spec.external_id != old.spec.external_id {
        errors.push(FieldError::forbidden(SPEC.child("externalID"), "may not be updated"));
    }
}

pub fn lease(errors: &mut Errors, lease: &Lease) {
    let spec = &lease.spec;
    if let Some(seconds) = spec.lease_duration_seconds {
        positive(errors, SPEC.child("leaseDurationSeconds"), i64::from(seconds));
    }
    if let Some(transitions) = spec.lease_transitions {
        not_negative(errors, SPEC.child("leaseTransitions"), i64::from(transitions));
    }
    if let Some(strategy) = &spec.strategy {
        shape(errors, SPEC.child("strategy"), strategy, name::qualified_name);
    }
    if spec.preferred_holder.as_deref().is_some_and(|holder| !holder.is_empty())
        && spec.strategy.as_deref().unwrap_or_default().is_empty()
    {
        let why = "strategy must be specified when preferredHolder is set";
        errors.push(FieldError::forbidden(SPEC.child("preferredHolder"), why));
    }
}

pub fn priority_class(errors: &mut Errors, class: &PriorityClass) {
    let name = class.metadata.name.as_str();
    if name.starts_with("system-") {
        let known = SYSTEM_CLASSES.iter().find(|(system, _)| *system == name);
        match known {
            None => {
                let why = format!(
                    "priority class names with 'system-' prefix are reserved for system use only. error: {name} is not a known system priority class"
                );
                errors.push(FieldError::forbidden(META.child("name"), why));
            }
            Some((_, value)) if *value != class.value => {
                errors.push(FieldError::forbidden(
                    META.child("name"),
                    format!("value of {name} PriorityClass must be {value}"),
                ));
            }
            Some(_) => {}
        }
    } else if class.value > USER_PRIORITY_MAX {
        let why = format!("maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}");
        errors.push(FieldError::forbidden(Path::root("value"), why));
    }
    if let Some(policy) = &class.preemption_policy {
        one_of(errors, Path::root("preemptionPolicy"), policy, &["PreemptLowerPriority", "Never"]);
    }
}

pub fn priority_class_update(errors: &mut Errors, new: &PriorityClass, old: &PriorityClass) {
    if new.value != old.value {
        errors.push(FieldError::forbidden(Path::root("value"), "may not be changed in an update."));
    }
    if new.preemption_policy != old.preemption_policy {
        let policy = new.preemption_policy.as_deref().unwrap_or_default();
        errors.push(FieldError::invalid(Path::root("preemptionPolicy"), policy, "field is immutable"));
    }
}

pub fn service_cidr(errors: &mut Errors, cidr: &ServiceCidr) {
    let path = SPEC.child("cidrs");
    let ranges = &cidr.spec.cidrs;
    let shown = || serde_json::json!(ranges).to_string();
    if ranges.is_empty() {
        errors.push(FieldError::required(path, "at least one CIDR required"));
        return;
    }
    if ranges.len() > 2 {
        let why = "may only hold up to 2 values";
        errors.push(FieldError::invalid(path, shown().as_str(), why));
    }
    let parsed: Vec<Option<ipnet::IpNet>> = ranges.iter().map(|range| range.parse().ok()).collect();
    if let [Some(first), Some(second), ..] = parsed.as_slice()
        && first.addr().is_ipv4() == second.addr().is_ipv4()
    {
        let why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(FieldError::invalid(path, shown().as_str(), why));
    }
    for (index, (text, range)) in ranges.iter().zip(&parsed).enumerate() {
        let path = path.index(index);
        match range {
            None => {
                let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
                errors.push(FieldError::invalid(path, text, why));
            }
            Some(range) if range.trunc().to_string() != *text => {
                let why = format!("must be in canonical form (\"{}\")", range.trunc());
                errors.push(FieldError::invalid(path, text, why));
            }
            Some(_) => {}
        }
    }
}

/// A second family may be added; nothing else changes.
pub fn service_cidr_update(errors: &mut Errors, new: &ServiceCidr, old: &ServiceCidr) {
    let path = SPEC.child("cidrs");
    if !new.spec.cidrs.starts_with(&old.spec.cidrs) {
        let shown = serde_json::json!(new.spec.cidrs).to_string();
        errors.push(FieldError::invalid(path, shown.as_str(), "field is immutable"));
        return;
    }
    service_cidr(errors, new);
}

pub fn ip_address(errors: &mut Errors, address: &IpAddress) {
    let name = address.metadata.name.as_str();
    let canonical = name.parse::<IpAddr>().is_ok_and(|found| found.to_string() == name);
    if !name.is_empty() && !canonical {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        errors.push(FieldError::invalid(META.child("name"), name, why));
    }
    let path = SPEC.child("parentRef");
    let Some(parent) = &address.spec.parent_ref else {
        errors.push(FieldError::required(path, ""));
        return;
    };
    if !parent.group.is_empty() {
        shape(errors, path.child("group"), &parent.group, name::dns_subdomain);
    }
    required(errors, path.child("resource"), &parent.resource);
    shape(errors, path.child("resource"), &parent.resource, name::path_segment);
    required(errors, path.child("name"), &parent.name);
    shape(errors, path.child("name"), &parent.name, name::path_segment);
    shape(errors, path.child("namespace"), &parent.namespace, name::path_segment);
}

pub fn ip_address_update(errors: &mut Errors, new: &IpAddress, old: &IpAddress) {
    if new.spec.parent_ref != old.spec.parent_ref {
        let shown = new.spec.parent_ref.as_ref().map(proto::json::to_string).unwrap_or_default();
        errors.push(FieldError::invalid(SPEC.child("parentRef"), shown.as_str(), "field is immutable"));
    }
}

/// A pod can be bound to a node, to nothing else.
pub fn binding(errors: &mut Errors, binding: &Binding) {
    let path = Path::root("target");
    if !matches!(binding.target.kind.as_str(), "" | "Node") {
        errors.push(FieldError::not_supported(path.child("kind"), &binding.target.kind, &["Node", "<empty>"]));
    }
    required(errors, path.child("name"), &binding.target.name);
}
