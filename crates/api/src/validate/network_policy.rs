//! Validation of NetworkPolicies.

use proto::networking::v1::{IpBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec};

use super::check::{Errors, cidr, label_selector, label_selector_opt, one_of, port, port_or_name};
use super::{FieldError, Path, meta};
use crate::int_or_string;

const SPEC: Path<'static> = Path::root("spec");

pub fn create(errors: &mut Errors, policy: &NetworkPolicy) {
    spec(errors, &policy.spec);
}

/// A changed policy is judged as a new one, then as a changed one: what is wrong with it is told twice.
pub fn update(errors: &mut Errors, new: &NetworkPolicy, _old: &NetworkPolicy) {
    meta::create(errors, new);
    spec(errors, &new.spec);
    spec(errors, &new.spec);
}

fn spec(errors: &mut Errors, spec: &NetworkPolicySpec) {
    label_selector(errors, SPEC.child("podSelector"), &spec.pod_selector);
    let path = SPEC.child("ingress");
    for (index, rule) in spec.ingress.iter().enumerate() {
        self::rule(errors, path.index(index), &rule.ports, ("from", &rule.from));
    }
    let path = SPEC.child("egress");
    for (index, rule) in spec.egress.iter().enumerate() {
        self::rule(errors, path.index(index), &rule.ports, ("to", &rule.to));
    }
    let path = SPEC.child("policyTypes");
    if spec.policy_types.len() > 2 {
        let why = "may not specify more than two policyTypes";
        errors.push(FieldError::invalid(path, &spec.policy_types, why));
        return;
    }
    for (index, kind) in spec.policy_types.iter().enumerate() {
        one_of(errors, path.index(index), kind, &["Ingress", "Egress"]);
    }
}

fn rule(errors: &mut Errors, path: Path<'_>, ports: &[NetworkPolicyPort], peers: (&str, &[NetworkPolicyPeer])) {
    let at = path.child("ports");
    for (index, port) in ports.iter().enumerate() {
        self::policy_port(errors, at.index(index), port);
    }
    let at = path.child(peers.0);
    for (index, peer) in peers.1.iter().enumerate() {
        self::peer(errors, at.index(index), peer);
    }
}

fn policy_port(errors: &mut Errors, path: Path<'_>, policy: &NetworkPolicyPort) {
    if let Some(protocol) = &policy.protocol {
        one_of(errors, path.child("protocol"), protocol, &["TCP", "UDP", "SCTP"]);
    }
    let (at, at_end) = (path.child("port"), path.child("endPort"));
    match (&policy.port, policy.end_port) {
        (None, None) => {}
        (None, Some(end)) => {
            errors.push(FieldError::invalid(at_end, end, "may not be specified when `port` is not specified"));
        }
        (Some(first), None) => port_or_name(errors, at, first),
        (Some(name), Some(end)) if int_or_string::is_string(name) => {
            errors.push(FieldError::invalid(at_end, end, "may not be specified when `port` is non-numeric"));
            port_or_name(errors, at, name);
        }
        (Some(first), Some(end)) => {
            port_or_name(errors, at, first);
            if end < first.int_val {
                errors.push(FieldError::invalid(at_end, first.int_val, "must be greater than or equal to `port`"));
            }
            port(errors, at_end, end);
        }
    }
}

fn peer(errors: &mut Errors, path: Path<'_>, peer: &NetworkPolicyPeer) {
    label_selector_opt(errors, path.child("podSelector"), peer.pod_selector.as_ref());
    label_selector_opt(errors, path.child("namespaceSelector"), peer.namespace_selector.as_ref());
    let selects = peer.pod_selector.is_some() || peer.namespace_selector.is_some();
    if let Some(block) = &peer.ip_block {
        self::block(errors, path.child("ipBlock"), block);
        if selects {
            errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer"));
        }
    } else if !selects {
        errors.push(FieldError::required(path, "must specify a peer"));
    }
}

fn block(errors: &mut Errors, path: Path<'_>, block: &IpBlock) {
    if block.cidr.is_empty() {
        errors.push(FieldError::required(path.child("cidr"), ""));
        return;
    }
    let Some(whole) = cidr(errors, path.child("cidr"), &block.cidr) else { return };
    let path = path.child("except");
    for (index, text) in block.except.iter().enumerate() {
        let path = path.index(index);
        let Some(part) = cidr(errors, path, text) else { return };
        if !whole.contains(&part.addr()) || part.prefix_len() <= whole.prefix_len() {
            errors.push(FieldError::invalid(path, text, "must be a strict subset of `cidr`"));
        }
    }
}
