//! Endpoints: the older form of what stands behind a Service, one object a Service.

use client::informer::Key;
use proto::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service};
use proto::time::Time;

use super::endpointslice::{HEADLESS, TRIGGER_TIME, address, hostname, selected, target, target_port, trigger_time};
use crate::pods;
use crate::view::View;
use crate::write::{Plan, Write};

/// Upstream's name of this controller.
pub const NAME: &str = "endpoints-controller";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Addresses in one object at most.
const ADDRESSES_MAX: usize = 1000;

/// `key` names a Service.
pub fn plan(view: &View, key: &Key, _now: Time) -> Plan {
    let found = view.endpoints.get_key(key);
    let Some(service) = view.services.get_key(key) else {
        let ours = found.filter(|found| found.metadata.labels.contains_key(MANAGED_BY));
        return ours.map(|ours| Plan::one(Write::delete(&*ours))).unwrap_or_default();
    };
    let spec = &service.spec;
    if spec.selector.is_empty() || spec.r#type == "ExternalName" || service.metadata.deletion_timestamp.is_some() {
        return Plan::none();
    }
    let family = spec.ip_families.first().map_or("IPv4", String::as_str);
    let pods = selected(view, &service);
    let mut subsets: Vec<EndpointSubset> = Vec::new();
    let mut room = ADDRESSES_MAX;
    for pod in &pods {
        let going = pod.metadata.deletion_timestamp.is_some();
        if going && !spec.publish_not_ready_addresses {
            continue;
        }
        let Some(address) = endpoint_address(&service, pod, family) else { continue };
        let ready = spec.publish_not_ready_addresses || pods::is_ready(pod);
        if room == 0 {
            break;
        }
        room -= 1;
        add(&mut subsets, address, ready, ports(&service, pod));
    }
    for subset in &mut subsets {
        subset.addresses.sort_by(|a, b| a.ip.cmp(&b.ip));
        subset.not_ready_addresses.sort_by(|a, b| a.ip.cmp(&b.ip));
    }
    let mut wanted = found.as_deref().cloned().unwrap_or_default();
    wanted.metadata.namespace = key.namespace.clone();
    wanted.metadata.name = key.name.clone();
    wanted.metadata.labels = labels(&service);
    wanted.subsets = subsets;
    if room == 0 {
        wanted.metadata.annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    } else {
        wanted.metadata.annotations.remove(OVER_CAPACITY);
    }
    write(found.as_deref(), wanted, trigger_time(&service, &pods))
}

fn write(found: Option<&Endpoints>, mut wanted: Endpoints, trigger: String) -> Plan {
    if found.is_some_and(|found| *found == wanted) {
        return Plan::none();
    }
    wanted.metadata.annotations.insert(TRIGGER_TIME.to_owned(), trigger);
    Plan::one(if found.is_some() { Write::update(wanted) } else { Write::create(wanted) })
}

fn endpoint_address(service: &Service, pod: &Pod, family: &str) -> Option<EndpointAddress> {
    Some(EndpointAddress {
        ip: address(pod, family)?.to_owned(),
        hostname: hostname(service, pod).unwrap_or_default(),
        node_name: Some(pod.spec.node_name.clone()).filter(|name| !name.is_empty()),
        target_ref: Some(target(pod)),
    })
}

fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let mut ports: Vec<EndpointPort> = service
        .spec
        .ports
        .iter()
        .filter_map(|port| {
            Some(EndpointPort {
                name: port.name.clone(),
                port: target_port(port, pod)?,
                protocol: port.protocol.clone(),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort_by(|a, b| (&a.name, a.port).cmp(&(&b.name, b.port)));
    ports
}

/// Addresses with the same ports share a subset.
fn add(subsets: &mut Vec<EndpointSubset>, address: EndpointAddress, ready: bool, ports: Vec<EndpointPort>) {
    let index = match subsets.iter().position(|subset| subset.ports == ports) {
        Some(index) => index,
        None => {
            subsets.push(EndpointSubset { ports, ..EndpointSubset::default() });
            subsets.len() - 1
        }
    };
    let subset = &mut subsets[index];
    if ready { subset.addresses.push(address) } else { subset.not_ready_addresses.push(address) }
}

fn labels(service: &Service) -> std::collections::BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone();
    labels.remove(HEADLESS);
    if service.spec.cluster_ip == "None" {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}
