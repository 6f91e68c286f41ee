//! Says in Endpoints, for clients that do not read EndpointSlices, which pods stand behind a Service.

use std::collections::BTreeMap;

use api::meta::is_terminating;
use proto::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service};

use crate::endpointslice::{PortKey, ports, reference};
use crate::plan::Plan;
use crate::pod;

const MANAGED_BY_LABEL: &str = "endpoints.kubernetes.io/managed-by";
const MANAGED_BY: &str = "endpoint-controller";
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
/// Addresses in one object, as upstream; further ones are left out and an annotation says so.
const ADDRESSES_MAX: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// Ready and not ready addresses.
type Addresses = (Vec<EndpointAddress>, Vec<EndpointAddress>);

/// `pods`: those of the Service's namespace that its selector matches. `found`: the Endpoints of the same name.
pub fn plan(service: &Service, pods: &[&Pod], found: Option<&Endpoints>) -> Plan {
    let mut plan = Plan::none();
    if is_terminating(&service.metadata) || service.spec.selector.is_empty() || service.spec.r#type == "ExternalName" {
        return plan;
    }
    let mut next = found.cloned().unwrap_or_default();
    let truncated = fill(&mut next, service, pods);
    describe(&mut next, service, truncated);
    match found {
        None => {
            plan.create(next);
        }
        Some(before) if *before != next => {
            plan.update(next);
        }
        Some(_) => {}
    }
    plan
}

/// Returns whether some addresses had no room.
fn fill(endpoints: &mut Endpoints, service: &Service, pods: &[&Pod]) -> bool {
    let mut by_ports: BTreeMap<Vec<PortKey>, Addresses> = BTreeMap::new();
    let taking_part: Vec<&&Pod> = pods.iter().filter(|pod| takes_part(service, pod)).collect();
    for pod in taking_part.iter().take(ADDRESSES_MAX) {
        let entry = by_ports.entry(ports(service, pod)).or_default();
        let ready = service.spec.publish_not_ready_addresses || pod::is_ready(pod);
        let list = if ready { &mut entry.0 } else { &mut entry.1 };
        list.push(address(service, pod));
    }
    endpoints.subsets = by_ports.into_iter().map(|(ports, addresses)| subset(ports, addresses)).collect();
    taking_part.len() > ADDRESSES_MAX
}

fn takes_part(service: &Service, pod: &Pod) -> bool {
    let leaving = is_terminating(&pod.metadata) && !service.spec.publish_not_ready_addresses;
    !pod.status.pod_ip.is_empty() && !pod::has_ended(pod) && !leaving
}

fn address(service: &Service, pod: &Pod) -> EndpointAddress {
    let shares_name = pod.spec.subdomain == service.metadata.name;
    EndpointAddress {
        ip: pod.status.pod_ip.clone(),
        hostname: if shares_name { pod.spec.hostname.clone() } else { String::new() },
        node_name: (!pod.spec.node_name.is_empty()).then(|| pod.spec.node_name.clone()),
        target_ref: Some(reference(pod)),
    }
}

fn subset(ports: Vec<PortKey>, (mut ready, mut not_ready): Addresses) -> EndpointSubset {
    ready.sort_by(|a, b| a.ip.cmp(&b.ip));
    not_ready.sort_by(|a, b| a.ip.cmp(&b.ip));
    let ports = ports
        .into_iter()
        .map(|(name, protocol, port, app_protocol)| EndpointPort { name, port, protocol, app_protocol })
        .collect();
    EndpointSubset { addresses: ready, not_ready_addresses: not_ready, ports }
}

fn describe(endpoints: &mut Endpoints, service: &Service, truncated: bool) {
    let metadata = &mut endpoints.metadata;
    metadata.name = service.metadata.name.clone();
    metadata.namespace = service.metadata.namespace.clone();
    metadata.labels = service.metadata.labels.clone();
    metadata.labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned());
    if service.spec.cluster_ip == "None" {
        metadata.labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    }
    if truncated {
        metadata.annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    } else {
        metadata.annotations.remove(OVER_CAPACITY);
    }
}
