//! Endpoints, slices of them, Ingresses, network policies and ranges of addresses.

use proto::core::v1::Endpoints;
use proto::discovery::v1::EndpointSlice;
use proto::networking::v1::{Ingress, NetworkPolicy, NetworkPolicyPeer, ServiceCidr};

use super::{SPEC, Warnings, address};
use crate::status::quoted;
use crate::validate::Path;

const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";
/// Who sees to a slice, or to Endpoints. Controllers copy addresses that were complained about already.
const SLICE_MANAGER: &str = "endpointslice.kubernetes.io/managed-by";
const ENDPOINTS_MANAGER: &str = "endpoints.kubernetes.io/managed-by";

/// Endpoints.
pub fn endpoints(warnings: &mut Warnings, new: &Endpoints, _: Option<&Endpoints>) {
    const SUBSETS: Path<'static> = Path::root("subsets");
    if new.metadata.labels.contains_key(ENDPOINTS_MANAGER) {
        return;
    }
    for (index, subset) in new.subsets.iter().enumerate() {
        let path = SUBSETS.index(index);
        for (field, addresses) in [("addresses", &subset.addresses), ("notReadyAddresses", &subset.not_ready_addresses)]
        {
            let path = path.child(field);
            for (index, address) in addresses.iter().enumerate() {
                address::ip(warnings, path.index(index).child("ip"), &address.ip);
            }
        }
    }
}

/// A slice of endpoints.
pub fn slice(warnings: &mut Warnings, new: &EndpointSlice, _: Option<&EndpointSlice>) {
    const ENDPOINTS: Path<'static> = Path::root("endpoints");
    if new.address_type == "FQDN" {
        // The field is not below spec; upstream says so nevertheless.
        warnings.push(format!("{}: FQDN endpoints are deprecated", SPEC.child("addressType")));
        return;
    }
    if new.metadata.labels.get(SLICE_MANAGER).is_some_and(|by| by == "endpointslice-controller.k8s.io") {
        return;
    }
    for (index, endpoint) in new.endpoints.iter().enumerate() {
        address::ips(warnings, ENDPOINTS.index(index).child("addresses"), &endpoint.addresses);
    }
}

/// A new Ingress: what class it is of is said by a field now.
pub fn ingress(warnings: &mut Warnings, new: &Ingress) {
    if new.metadata.annotations.contains_key(INGRESS_CLASS) && new.spec.ingress_class_name.is_none() {
        let name = quoted(INGRESS_CLASS);
        warnings.push(format!("annotation {name} is deprecated, please use 'spec.ingressClassName' instead"));
    }
}

/// A network policy.
pub fn policy(warnings: &mut Warnings, new: &NetworkPolicy, _: Option<&NetworkPolicy>) {
    let path = SPEC.child("ingress");
    for (index, rule) in new.spec.ingress.iter().enumerate() {
        peers(warnings, path.index(index).child("from"), &rule.from);
    }
    let path = SPEC.child("egress");
    for (index, rule) in new.spec.egress.iter().enumerate() {
        peers(warnings, path.index(index).child("to"), &rule.to);
    }
}

fn peers(warnings: &mut Warnings, path: Path<'_>, peers: &[NetworkPolicyPeer]) {
    for (index, peer) in peers.iter().enumerate() {
        let Some(block) = &peer.ip_block else { continue };
        let path = path.index(index);
        let path = path.child("ipBlock");
        address::cidr(warnings, path.child("cidr"), &block.cidr);
        address::cidrs(warnings, path.child("except"), &block.except);
    }
}

/// A range of Services' addresses.
pub fn service_cidr(warnings: &mut Warnings, new: &ServiceCidr, _: Option<&ServiceCidr>) {
    address::cidrs(warnings, SPEC.child("cidrs"), &new.spec.cidrs);
}
