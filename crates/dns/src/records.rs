//! What one Service and its EndpointSlices contribute to the zone. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proto::core::v1::Service;
use proto::discovery::v1::{Endpoint, EndpointSlice};

use crate::zone::{Entry, ServiceKey, ServiceRecords, Srv};

/// The names of a Service: its own, its ports' and, for a headless one, its endpoints'.
pub fn of(service: &Service, slices: &[&EndpointSlice]) -> ServiceRecords {
    let base = format!("{}.{}.svc", service.metadata.name, service.metadata.namespace);
    if service.spec.r#type.as_str() == "ExternalName" {
        return external(service, &base);
    }
    if is_headless(service) {
        return headless(&base, slices);
    }
    cluster_ip(service, &base)
}

/// The Service that an EndpointSlice belongs to, by its label.
pub fn owner(slice: &EndpointSlice) -> Option<ServiceKey> {
    let name = slice.metadata.labels.get("kubernetes.io/service-name")?;
    Some(ServiceKey { namespace: slice.metadata.namespace.clone(), name: name.clone() })
}

fn is_headless(service: &Service) -> bool {
    service.spec.cluster_ip.eq_ignore_ascii_case("none")
}

fn external(service: &Service, base: &str) -> ServiceRecords {
    let target = service.spec.external_name.trim_end_matches('.').to_ascii_lowercase();
    let entry = Entry { alias: Some(target), ..Entry::default() };
    ServiceRecords { names: BTreeMap::from([(base.to_owned(), entry)]), reverse: Vec::new() }
}

fn cluster_ip(service: &Service, base: &str) -> ServiceRecords {
    let addresses = cluster_addresses(service);
    if addresses.is_empty() {
        return ServiceRecords::default();
    }
    let mut names = BTreeMap::new();
    let mut all = Vec::new();
    for port in &service.spec.ports {
        let Ok(number) = u16::try_from(port.port) else { continue };
        let srv = Srv { port: number, target: base.to_owned() };
        all.push(srv.clone());
        add_port(&mut names, base, &port.name, &port.protocol, srv);
    }
    let reverse = addresses.iter().map(|address| (*address, base.to_owned())).collect();
    names.insert(base.to_owned(), Entry { addresses, services: all, alias: None });
    ServiceRecords { names, reverse }
}

fn cluster_addresses(service: &Service) -> Vec<IpAddr> {
    let mut texts: Vec<&str> = service.spec.cluster_ips.iter().map(String::as_str).collect();
    if texts.is_empty() {
        texts.push(&service.spec.cluster_ip);
    }
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn headless(base: &str, slices: &[&EndpointSlice]) -> ServiceRecords {
    let mut names: BTreeMap<String, Entry> = BTreeMap::new();
    let mut reverse = Vec::new();
    let mut own: BTreeSet<IpAddr> = BTreeSet::new();
    for slice in slices {
        for endpoint in slice.endpoints.iter().filter(|endpoint| is_ready(endpoint)) {
            for address in endpoint.addresses.iter().filter_map(|text| text.parse::<IpAddr>().ok()) {
                let name = format!("{}.{base}", host_label(endpoint, address));
                own.insert(address);
                let entry = names.entry(name.clone()).or_default();
                if !entry.addresses.contains(&address) {
                    entry.addresses.push(address);
                }
                if endpoint.hostname.is_some() {
                    reverse.push((address, name.clone()));
                }
                add_endpoint_ports(&mut names, base, slice, &name);
            }
        }
    }
    let services = names.get(base).map(|entry| entry.services.clone()).unwrap_or_default();
    names.insert(base.to_owned(), Entry { addresses: own.into_iter().collect(), services, alias: None });
    ServiceRecords { names, reverse }
}

fn add_endpoint_ports(names: &mut BTreeMap<String, Entry>, base: &str, slice: &EndpointSlice, target: &str) {
    for port in &slice.ports {
        let Some(number) = port.port.and_then(|number| u16::try_from(number).ok()) else { continue };
        let srv = Srv { port: number, target: target.to_owned() };
        push_unique(&mut names.entry(base.to_owned()).or_default().services, srv.clone());
        let (name, protocol) = (port.name.as_deref().unwrap_or_default(), port.protocol.as_deref().unwrap_or("TCP"));
        add_port(names, base, name, protocol, srv);
    }
}

/// `_http._tcp.web.default.svc`; an unnamed port has no name of its own.
fn add_port(names: &mut BTreeMap<String, Entry>, base: &str, port: &str, protocol: &str, srv: Srv) {
    if port.is_empty() {
        return;
    }
    let protocol = if protocol.is_empty() { "tcp".to_owned() } else { protocol.to_ascii_lowercase() };
    let name = format!("_{port}._{protocol}.{base}");
    push_unique(&mut names.entry(name).or_default().services, srv);
}

fn push_unique(list: &mut Vec<Srv>, srv: Srv) {
    if !list.contains(&srv) {
        list.push(srv);
    }
}

/// Unknown readiness counts as ready, as the EndpointSlice API says.
fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.ready.unwrap_or(true)
}

/// An endpoint's own label: its hostname, else its address with dashes.
fn host_label(endpoint: &Endpoint, address: IpAddr) -> String {
    match endpoint.hostname.as_deref() {
        Some(hostname) if !hostname.is_empty() => hostname.to_ascii_lowercase(),
        _ => address.to_string().replace(['.', ':'], "-"),
    }
}

#[cfg(test)]
mod tests;
