//! Validation of Endpoints and EndpointSlices.

use proto::core::v1::{EndpointAddress, EndpointSubset, Endpoints};
use proto::discovery::v1::{Endpoint, EndpointSlice};

use super::check::{Errors, ip, one_of, port, required, shape};
use super::service::not_special;
use super::{FieldError, Path};
use crate::name;

const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;
const PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];

pub fn endpoints(errors: &mut Errors, endpoints: &Endpoints) {
    for (index, subset) in endpoints.subsets.iter().enumerate() {
        let path = Path::root("subsets");
        self::subset(errors, path.index(index), subset);
    }
}

fn subset(errors: &mut Errors, path: Path<'_>, subset: &EndpointSubset) {
    if subset.addresses.is_empty() && subset.not_ready_addresses.is_empty() {
        errors.push(FieldError::required(path, "must specify `addresses` or `notReadyAddresses`"));
    }
    for (field, addresses) in [("addresses", &subset.addresses), ("notReadyAddresses", &subset.not_ready_addresses)] {
        let path = path.child(field);
        for (index, address) in addresses.iter().enumerate() {
            self::address(errors, path.index(index), address);
        }
    }
    let ports = path.child("ports");
    for (index, entry) in subset.ports.iter().enumerate() {
        let path = ports.index(index);
        if entry.name.is_empty() {
            if subset.ports.len() > 1 {
                errors.push(FieldError::required(path.child("name"), ""));
            }
        } else {
            shape(errors, path.child("name"), &entry.name, name::dns_label);
        }
        port(errors, path.child("port"), entry.port);
        match entry.protocol.as_str() {
            "" => errors.push(FieldError::required(path.child("protocol"), "")),
            text => one_of(errors, path.child("protocol"), text, PROTOCOLS),
        }
        if let Some(protocol) = &entry.app_protocol {
            shape(errors, path.child("appProtocol"), protocol, name::qualified_name);
        }
    }
}

fn address(errors: &mut Errors, path: Path<'_>, address: &EndpointAddress) {
    endpoint_ip(errors, path.child("ip"), &address.ip);
    // What is no address is told twice, as upstream.
    if address.ip.parse::<std::net::IpAddr>().is_err() {
        errors.push(FieldError::invalid(path.child("ip"), &address.ip, "must be a valid IP address"));
    }
    if !address.hostname.is_empty() {
        shape(errors, path.child("hostname"), &address.hostname, name::dns_label);
    }
    if let Some(node) = &address.node_name {
        shape(errors, path.child("nodeName"), node, name::dns_subdomain);
    }
}

/// An address at which another machine can be reached.
fn endpoint_ip(errors: &mut Errors, path: Path<'_>, text: &str) {
    if let Some(found) = ip(errors, path, text) {
        not_special(errors, path, text, &found);
    }
}

pub fn slice(errors: &mut Errors, slice: &EndpointSlice) {
    let path = Path::root("addressType");
    match slice.address_type.as_str() {
        "" => errors.push(FieldError::required(path, "")),
        text => one_of(errors, path, text, &["FQDN", "IPv4", "IPv6"]),
    }
    let endpoints = Path::root("endpoints");
    if slice.endpoints.len() > ENDPOINTS_MAX {
        errors.push(FieldError::too_many(endpoints, slice.endpoints.len(), ENDPOINTS_MAX));
    } else {
        for (index, endpoint) in slice.endpoints.iter().enumerate() {
            self::endpoint(errors, endpoints.index(index), endpoint, &slice.address_type);
        }
    }
    slice_ports(errors, slice);
}

fn endpoint(errors: &mut Errors, path: Path<'_>, endpoint: &Endpoint, address_type: &str) {
    let addresses = path.child("addresses");
    if endpoint.addresses.is_empty() {
        errors.push(FieldError::required(addresses, "must contain at least 1 address"));
    } else if endpoint.addresses.len() > ADDRESSES_MAX {
        errors.push(FieldError::too_many(addresses, endpoint.addresses.len(), ADDRESSES_MAX));
    }
    for (index, text) in endpoint.addresses.iter().enumerate() {
        let path = addresses.index(index);
        match address_type {
            "IPv4" | "IPv6" => {
                let found = text.parse::<std::net::IpAddr>().ok();
                if found.is_some_and(|found| found.is_ipv4() != (address_type == "IPv4")) {
                    errors.push(FieldError::invalid(path, text, format!("must be an {address_type} address")));
                }
                endpoint_ip(errors, path, text);
            }
            "FQDN" => shape(errors, path, text, name::dns_subdomain),
            _ => {}
        }
    }
    if let Some(node) = &endpoint.node_name {
        shape(errors, path.child("nodeName"), node, name::dns_subdomain);
    }
    if let Some(host) = &endpoint.hostname {
        shape(errors, path.child("hostname"), host, name::dns_label);
    }
    for key in endpoint.deprecated_topology.keys() {
        shape(errors, path.child("deprecatedTopology"), key, name::qualified_name);
    }
    let zones = endpoint.hints.iter().flat_map(|hints| &hints.for_zones);
    for (index, zone) in zones.into_iter().enumerate() {
        let path = path.child("hints");
        let path = path.child("forZones");
        required(errors, path.index(index).child("name"), &zone.name);
    }
}

fn slice_ports(errors: &mut Errors, slice: &EndpointSlice) {
    let path = Path::root("ports");
    if slice.ports.len() > PORTS_MAX {
        errors.push(FieldError::too_many(path, slice.ports.len(), PORTS_MAX));
        return;
    }
    for (index, entry) in slice.ports.iter().enumerate() {
        let path = path.index(index);
        let text = entry.name.as_deref().unwrap_or_default();
        if !text.is_empty() {
            shape(errors, path.child("name"), text, name::dns_label);
        }
        if slice.ports[..index].iter().any(|other| other.name.as_deref().unwrap_or_default() == text) {
            errors.push(FieldError::duplicate(path.child("name"), text));
        }
        match entry.protocol.as_deref() {
            None => errors.push(FieldError::required(path.child("protocol"), "")),
            Some(text) => one_of(errors, path.child("protocol"), text, PROTOCOLS),
        }
        if let Some(protocol) = &entry.app_protocol {
            shape(errors, path.child("appProtocol"), protocol, name::qualified_name);
        }
    }
}

pub fn slice_update(errors: &mut Errors, new: &EndpointSlice, old: &EndpointSlice) {
    slice(errors, new);
    if new.address_type != old.address_type {
        errors.push(FieldError::invalid(Path::root("addressType"), &new.address_type, "field is immutable"));
    }
}
