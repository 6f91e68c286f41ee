//! EndpointSlices: which pods stand behind a Service, by address family and ports.

mod reconcile;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::int_or_string;
use client::informer::Key;
use proto::core::v1::{ObjectReference, Pod, Service, ServicePort};
use proto::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use proto::time::Time;

use crate::pods;
use crate::view::{BY_SERVICE, View};
use crate::write::{Plan, Write};

/// Upstream's name of this controller.
pub const NAME: &str = "endpointslice-controller";
pub(super) const HEADLESS: &str = "service.kubernetes.io/headless";
pub(super) const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const ZONE: &str = "topology.kubernetes.io/zone";

/// What slices are grouped by: everything in one slice shares its family and ports.
type Group = (String, Vec<EndpointPort>);

/// Endpoints that share their ports.
type ByPorts = (Vec<EndpointPort>, Vec<Endpoint>);

/// `key` names a Service.
pub fn plan(view: &View, key: &Key, _now: Time) -> Plan {
    let Some(service) = view.services.get_key(key) else { return remove_all(view, key) };
    if service.spec.selector.is_empty() || service.spec.r#type == "ExternalName" {
        return Plan::none();
    }
    if service.metadata.deletion_timestamp.is_some() {
        return Plan::none();
    }
    let families = families(&service);
    let pods = selected(view, &service);
    let mut groups: BTreeMap<String, Vec<ByPorts>> = BTreeMap::new();
    for family in &families {
        let of_family = groups.entry(family.clone()).or_default();
        for pod in &pods {
            let Some(endpoint) = endpoint(view, &service, pod, family) else { continue };
            let ports = ports(&service, pod);
            match of_family.iter_mut().find(|(known, _)| *known == ports) {
                Some((_, endpoints)) => endpoints.push(endpoint),
                None => of_family.push((ports, vec![endpoint])),
            }
        }
    }
    let desired: Vec<(Group, Vec<Endpoint>)> = groups
        .into_iter()
        .flat_map(|(family, groups)| {
            let empty = groups.is_empty().then(|| ((family.clone(), Vec::new()), Vec::new()));
            let full = groups.into_iter().map(move |(ports, endpoints)| ((family.clone(), ports), endpoints));
            full.chain(empty).collect::<Vec<_>>()
        })
        .collect();
    reconcile::plan(view, &service, owned(view, key), desired, trigger_time(&service, &pods))
}

/// The Services that a pod's change concerns.
pub fn concerned(view: &View, pod: &Pod) -> Vec<Key> {
    let services = view.services.list_in(&pod.metadata.namespace);
    let selects = |service: &&Arc<Service>| {
        let selector = &service.spec.selector;
        !selector.is_empty() && selector.iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value))
    };
    services.iter().filter(selects).map(|service| Key::of(&**service)).collect()
}

/// The Service of a slice of ours.
pub fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let labels = &slice.metadata.labels;
    let ours = labels.get(MANAGED_BY).is_some_and(|manager| manager == MANAGER);
    labels.get(SERVICE_NAME).filter(|_| ours).map(|name| Key::new(&slice.metadata.namespace, name))
}

/// The slices of ours for a Service.
fn owned(view: &View, key: &Key) -> Vec<Arc<EndpointSlice>> {
    let slices = view.slices.by_index(BY_SERVICE, &format!("{}/{}", key.namespace, key.name));
    slices
        .into_iter()
        .filter(|slice| slice.metadata.labels.get(MANAGED_BY).is_some_and(|manager| manager == MANAGER))
        .filter(|slice| slice.metadata.deletion_timestamp.is_none())
        .collect()
}

fn remove_all(view: &View, key: &Key) -> Plan {
    let mut plan = Plan::none();
    for slice in owned(view, key) {
        plan.push(Write::delete(&*slice));
    }
    plan
}

/// The address families of a Service, in its order.
fn families(service: &Service) -> Vec<String> {
    if service.spec.ip_families.is_empty() {
        let six = service.spec.cluster_ip.contains(':');
        return vec![if six { "IPv6" } else { "IPv4" }.to_owned()];
    }
    service.spec.ip_families.clone()
}

/// The pods that a Service selects, that are not ended and have an address, by name.
pub(super) fn selected(view: &View, service: &Service) -> Vec<Arc<Pod>> {
    let selector = &service.spec.selector;
    let pods = view.pods.list_in(&service.metadata.namespace);
    pods.into_iter()
        .filter(|pod| selector.iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value)))
        .filter(|pod| !pods::is_terminal(pod) && !pod.status.pod_ip.is_empty())
        .collect()
}

/// A pod's address of a family.
pub(super) fn address<'a>(pod: &'a Pod, family: &str) -> Option<&'a str> {
    let addresses = pod.status.pod_ips.iter().map(|address| address.ip.as_str());
    let mut addresses = addresses.chain([pod.status.pod_ip.as_str()]).filter(|address| !address.is_empty());
    addresses.find(|address| address.contains(':') == (family == "IPv6"))
}

/// A pod as an Event or an endpoint names it.
pub(super) fn target(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: "Pod".to_owned(),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// The name that DNS gives a pod of a headless Service.
pub(super) fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let named = !pod.spec.hostname.is_empty() && pod.spec.subdomain == service.metadata.name;
    named.then(|| pod.spec.hostname.clone())
}

fn endpoint(view: &View, service: &Service, pod: &Pod, family: &str) -> Option<Endpoint> {
    let address = address(pod, family)?.to_owned();
    let serving = pods::is_ready(pod);
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let node = view.nodes.get("", &pod.spec.node_name);
    Some(Endpoint {
        addresses: vec![address],
        conditions: EndpointConditions {
            ready: Some(service.spec.publish_not_ready_addresses || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        },
        hostname: hostname(service, pod),
        target_ref: Some(target(pod)),
        node_name: Some(pod.spec.node_name.clone()).filter(|name| !name.is_empty()),
        zone: node.and_then(|node| node.metadata.labels.get(ZONE).cloned()),
        ..Endpoint::default()
    })
}

/// The Service's ports as they are on a pod. A named port that the pod does not have is left out.
fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let mut ports: Vec<EndpointPort> = service
        .spec
        .ports
        .iter()
        .filter_map(|port| {
            Some(EndpointPort {
                name: Some(port.name.clone()),
                protocol: Some(port.protocol.clone()),
                port: Some(target_port(port, pod)?),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort_by(|a, b| (&a.name, &a.protocol, a.port).cmp(&(&b.name, &b.protocol, b.port)));
    ports
}

/// The number that a Service's port has on a pod.
pub(super) fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    if !int_or_string::is_string(&port.target_port) {
        let number = int_or_string::int_value(&port.target_port);
        return Some(if number == 0 { port.port } else { number });
    }
    let wanted = &port.target_port.str_val;
    let sidecars =
        pod.spec.init_containers.iter().filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let containers = pod.spec.containers.iter().chain(sidecars);
    containers
        .flat_map(|container| &container.ports)
        .find(|found| found.name == *wanted && found.protocol == port.protocol)
        .map(|found| found.container_port)
}

/// The newest moment at which something about the Service's endpoints became due.
pub(super) fn trigger_time(service: &Service, pods: &[Arc<Pod>]) -> String {
    let transitions =
        pods.iter().filter_map(|pod| pods::condition(pod, "Ready")).map(|ready| ready.last_transition_time);
    let newest = transitions.chain([service.metadata.creation_timestamp]).max().unwrap_or_default();
    newest.to_string()
}

#[cfg(test)]
mod tests;
