//! Says in EndpointSlices which pods stand behind a Service.
//!
//! Endpoints that share their ports share slices, of at most [`ENDPOINTS_MAX`] each; an endpoint stays in its slice as
//! long as it can, so that one pod's change rewrites one slice.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::meta::{controller_reference, is_terminating};
use proto::core::v1::{ObjectReference, Pod, Service};
use proto::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};

use crate::plan::Plan;
use crate::pod;

/// Endpoints in one slice, as upstream's default.
pub const ENDPOINTS_MAX: usize = 100;
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";
pub const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
pub const MANAGED_BY: &str = "endpointslice-controller.k8s.io";
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// What endpoints must share to stand in one slice.
type Group = (String, Vec<PortKey>);
/// Name, protocol, port, application protocol.
pub type PortKey = (String, String, i32, Option<String>);

/// `pods`: those of the Service's namespace that its selector matches. `slices`: those of the Service that we manage.
pub fn plan(service: &Service, pods: &[&Pod], slices: &[&EndpointSlice]) -> Plan {
    let mut plan = Plan::none();
    if is_terminating(&service.metadata) || service.spec.selector.is_empty() || service.spec.r#type == "ExternalName" {
        return plan;
    }
    let mut wanted = groups(service, pods);
    let mut kept = Vec::new();
    for slice in slices {
        let group = group_of(slice);
        let Some(endpoints) = wanted.get_mut(&group) else {
            if !is_terminating(&slice.metadata) {
                kept.push(((*slice).clone(), group));
            }
            continue;
        };
        let mut next = (*slice).clone();
        next.endpoints = take_known(endpoints, &slice.endpoints);
        kept.push((next, group));
    }
    fill(&mut kept, &mut wanted);
    add_missing(service, wanted, &mut kept, &mut plan);
    write(service, kept, slices, &mut plan);
    plan
}

/// The endpoints of a Service, by the ports they serve.
fn groups(service: &Service, pods: &[&Pod]) -> BTreeMap<Group, Vec<Endpoint>> {
    let mut groups: BTreeMap<Group, Vec<Endpoint>> = BTreeMap::new();
    for family in families(service) {
        let mut any = false;
        for pod in pods.iter().filter(|pod| takes_part(pod)) {
            let Some(address) = address(pod, &family) else { continue };
            any = true;
            groups.entry((family.clone(), ports(service, pod))).or_default().push(endpoint(service, pod, address));
        }
        if !any {
            groups.entry((family, Vec::new())).or_default();
        }
    }
    groups
}

fn families(service: &Service) -> Vec<String> {
    if service.spec.ip_families.is_empty() { vec!["IPv4".to_owned()] } else { service.spec.ip_families.clone() }
}

/// A pod with an address that runs, or still runs while it is being deleted.
fn takes_part(pod: &Pod) -> bool {
    !pod.status.pod_ip.is_empty() && !pod::has_ended(pod)
}

fn address(pod: &Pod, family: &str) -> Option<String> {
    let of_family = |text: &&str| match text.parse::<IpAddr>() {
        Ok(address) => address.is_ipv4() == (family == "IPv4"),
        Err(_) => false,
    };
    let all = pod.status.pod_ips.iter().map(|ip| ip.ip.as_str()).chain([pod.status.pod_ip.as_str()]);
    all.into_iter().find(of_family).map(str::to_owned)
}

/// The Service's ports as this pod serves them; a named target port is looked up in the pod.
pub fn ports(service: &Service, pod: &Pod) -> Vec<PortKey> {
    let mut ports: Vec<PortKey> = service
        .spec
        .ports
        .iter()
        .filter_map(|port| {
            let number = target_port(port, pod)?;
            Some((port.name.clone(), port.protocol.clone(), number, port.app_protocol.clone()))
        })
        .collect();
    ports.sort();
    ports
}

fn target_port(port: &proto::core::v1::ServicePort, pod: &Pod) -> Option<i32> {
    let target = &port.target_port;
    if !api::int_or_string::is_string(target) {
        return Some(if target.int_val == 0 { port.port } else { target.int_val });
    }
    let sidecars = pod.spec.init_containers.iter().filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let mut all = pod.spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
    all.find(|of_pod| of_pod.name == target.str_val && of_pod.protocol == port.protocol).map(|of_pod| of_pod.container_port)
}

fn endpoint(service: &Service, pod: &Pod, address: String) -> Endpoint {
    let terminating = is_terminating(&pod.metadata);
    let serving = pod::is_ready(pod);
    let ready = service.spec.publish_not_ready_addresses || (serving && !terminating);
    let shares_name = pod.spec.subdomain == service.metadata.name && !pod.spec.hostname.is_empty();
    Endpoint {
        addresses: vec![address],
        conditions: EndpointConditions { ready: Some(ready), serving: Some(serving), terminating: Some(terminating) },
        hostname: shares_name.then(|| pod.spec.hostname.clone()),
        target_ref: Some(reference(pod)),
        node_name: (!pod.spec.node_name.is_empty()).then(|| pod.spec.node_name.clone()),
        ..Endpoint::default()
    }
}

/// The pod, as endpoints refer to it.
pub fn reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: "Pod".to_owned(),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

fn group_of(slice: &EndpointSlice) -> Group {
    let mut ports: Vec<PortKey> = slice
        .ports
        .iter()
        .map(|port| {
            let name = port.name.clone().unwrap_or_default();
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            (name, protocol, port.port.unwrap_or(0), port.app_protocol.clone())
        })
        .collect();
    ports.sort();
    (slice.address_type.clone(), ports)
}

/// Moves the endpoints that a slice already has, in its order, out of `wanted`, in their new state.
fn take_known(wanted: &mut Vec<Endpoint>, known: &[Endpoint]) -> Vec<Endpoint> {
    let mut taken = Vec::with_capacity(known.len());
    for old in known {
        let same = |new: &Endpoint| new.target_ref.as_ref().map(|r| &r.uid) == old.target_ref.as_ref().map(|r| &r.uid);
        if let Some(index) = wanted.iter().position(same) {
            taken.push(wanted.remove(index));
        }
    }
    taken
}

/// Puts what is left into slices with room; a slice whose group is gone takes a new group over.
fn fill(kept: &mut [(EndpointSlice, Group)], wanted: &mut BTreeMap<Group, Vec<Endpoint>>) {
    for (slice, group) in kept.iter_mut() {
        if let Some(left) = wanted.get_mut(group) {
            let room = ENDPOINTS_MAX.saturating_sub(slice.endpoints.len()).min(left.len());
            slice.endpoints.extend(left.drain(..room));
        }
    }
    let mut served: Vec<Group> = kept.iter().map(|(_, group)| group.clone()).collect();
    for (slice, group) in kept.iter_mut() {
        if wanted.contains_key(group) {
            continue;
        }
        slice.endpoints.clear();
        let unserved = wanted.iter_mut().find(|((family, ports), _)| {
            *family == slice.address_type && !served.contains(&(family.clone(), ports.clone()))
        });
        if let Some((new_group, left)) = unserved {
            let room = ENDPOINTS_MAX.min(left.len());
            slice.endpoints.extend(left.drain(..room));
            *group = new_group.clone();
            served.push(new_group.clone());
        }
    }
}

fn add_missing(service: &Service, wanted: BTreeMap<Group, Vec<Endpoint>>, kept: &mut [(EndpointSlice, Group)], plan: &mut Plan) {
    for (group, mut left) in wanted {
        let served = kept.iter().any(|(_, of_slice)| *of_slice == group);
        if left.is_empty() && served {
            continue;
        }
        loop {
            let room = ENDPOINTS_MAX.min(left.len());
            let mut slice = EndpointSlice { address_type: group.0.clone(), ..EndpointSlice::default() };
            slice.metadata.generate_name = format!("{}-", service.metadata.name);
            slice.metadata.namespace = service.metadata.namespace.clone();
            slice.metadata.owner_references = vec![controller_reference(service)];
            slice.endpoints = left.drain(..room).collect();
            slice.ports = port_list(&group);
            label(service, &mut slice);
            plan.create(slice);
            if left.is_empty() {
                break;
            }
        }
    }
}

fn write(service: &Service, kept: Vec<(EndpointSlice, Group)>, slices: &[&EndpointSlice], plan: &mut Plan) {
    // One empty slice stays, so that watchers see the Service has no endpoints.
    let mut empty_kept = kept.iter().any(|(slice, _)| !slice.endpoints.is_empty()) || !plan.steps.is_empty();
    for (mut slice, group) in kept {
        let Some(before) = slices.iter().find(|before| before.metadata.uid == slice.metadata.uid) else { continue };
        if slice.endpoints.is_empty() {
            if empty_kept {
                plan.delete(*before);
                continue;
            }
            empty_kept = true;
            slice.ports = Vec::new();
        } else {
            slice.ports = port_list(&group);
        }
        label(service, &mut slice);
        if slice != **before {
            plan.update(slice);
        }
    }
}

fn label(service: &Service, slice: &mut EndpointSlice) {
    let labels = &mut slice.metadata.labels;
    labels.insert(SERVICE_LABEL.to_owned(), service.metadata.name.clone());
    labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned());
    if service.spec.cluster_ip == "None" {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS_LABEL);
    }
}

fn port_list(group: &Group) -> Vec<EndpointPort> {
    group
        .1
        .iter()
        .map(|(name, protocol, port, app_protocol)| EndpointPort {
            name: Some(name.clone()),
            protocol: Some(protocol.clone()),
            port: Some(*port),
            app_protocol: app_protocol.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
