//! A part of the cluster's pod range for each node (`spec.podCIDR`, `spec.podCIDRs`).

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use client::informer::Key;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proto::core::v1::Node;
use proto::time::Time;

use crate::view::View;
use crate::write::{Note, Plan, Write};

/// Upstream's name of this controller.
pub const NAME: &str = "node-ipam-controller";
const COMPONENT: &str = "cidrAllocator";

/// `key` names a node. One worker only: two nodes must not be given the same part.
pub fn plan(view: &View, key: &Key, _now: Time) -> Plan {
    let ranges = &view.settings.node_ranges;
    let Some(node) = view.nodes.get("", &key.name) else { return Plan::none() };
    let meta = &node.metadata;
    if ranges.is_empty() || !node.spec.pod_cidr.is_empty() || meta.deletion_timestamp.is_some() {
        return Plan::none();
    }
    let used: HashSet<IpNet> = view.nodes.list().iter().flat_map(|node| parts_of(node)).collect();
    let mut parts = Vec::new();
    for (range, size) in ranges {
        match free_part(*range, *size, &used, &view.settings.service_ranges) {
            Some(part) => parts.push(part.to_string()),
            None => {
                let message = format!("Node {} status is now: CIDRNotAvailable", meta.name);
                return Plan::one(Write::tell(Note::normal(COMPONENT, &*node, "CIDRNotAvailable", message)));
            }
        }
    }
    let mut node = (*node).clone();
    node.spec.pod_cidr = parts[0].clone();
    node.spec.pod_cidrs = parts;
    Plan::one(Write::update(node))
}

fn parts_of(node: &Node) -> Vec<IpNet> {
    let spec = &node.spec;
    spec.pod_cidrs.iter().chain([&spec.pod_cidr]).filter_map(|text| text.parse().ok()).collect()
}

/// The first part of `range` that nothing uses.
fn free_part(range: IpNet, size: u8, used: &HashSet<IpNet>, reserved: &[IpNet]) -> Option<IpNet> {
    let is_free = |part: &IpNet| {
        !used.contains(part)
            && !used.iter().any(|other| other.contains(part) || part.contains(other))
            && !reserved.iter().any(|other| other.contains(part) || part.contains(other))
    };
    // Where n parts are used, or overlap reserved ranges, a free one is among the first parts beyond them; the search
    // is bounded by the range itself.
    (0..part_count(range, size)).map(|index| nth_part(range, size, index)).find(is_free)
}

fn part_count(range: IpNet, size: u8) -> u128 {
    1_u128.checked_shl(u32::from(size - range.prefix_len())).unwrap_or(u128::MAX)
}

fn nth_part(range: IpNet, size: u8, index: u128) -> IpNet {
    let shift = u32::from(range.max_prefix_len() - size);
    match range.network() {
        IpAddr::V4(base) => {
            let offset = u32::try_from(index << shift).unwrap_or(0);
            let address = Ipv4Addr::from(u32::from(base) | offset);
            IpNet::V4(Ipv4Net::new(address, size).unwrap_or_default())
        }
        IpAddr::V6(base) => {
            let address = Ipv6Addr::from(u128::from(base) | (index << shift));
            IpNet::V6(Ipv6Net::new(address, size).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Settings;
    use crate::sim::node;
    use crate::write::Verb;

    fn allocate(view: &View, name: &str) -> Option<Vec<String>> {
        let plan = plan(view, &Key::new("", name), Time::default());
        let write = plan.writes.into_iter().next()?;
        let Verb::Update(node) = write.verb else { return None };
        let node = node.downcast_ref::<Node>().expect("a node").clone();
        let parts = node.spec.pod_cidrs.clone();
        assert_eq!(node.spec.pod_cidr, parts[0]);
        view.nodes.put(node);
        Some(parts)
    }

    fn net(text: &str) -> IpNet {
        text.parse().expect("a range")
    }

    fn view(ranges: &[(&str, u8)], reserved: &[&str]) -> View {
        View::new(Settings {
            node_ranges: ranges.iter().map(|(range, size)| (net(range), *size)).collect(),
            service_ranges: reserved.iter().map(|range| net(range)).collect(),
            ..Settings::default()
        })
    }

    #[test]
    fn nodes_get_different_parts_and_freed_ones_are_given_again() {
        let view = view(&[("10.244.0.0/16", 24)], &[]);
        for name in ["a", "b", "c"] {
            view.nodes.put(node(name));
        }
        assert_eq!(allocate(&view, "a").expect("a part"), ["10.244.0.0/24"]);
        assert_eq!(allocate(&view, "b").expect("a part"), ["10.244.1.0/24"]);
        assert_eq!(allocate(&view, "b"), None, "it has one");
        let gone = view.nodes.get("", "a").expect("there");
        view.nodes.remove((*gone).clone());
        assert_eq!(allocate(&view, "c").expect("a part"), ["10.244.0.0/24"]);
    }

    #[test]
    fn full_range_is_told() {
        let view = view(&[("10.0.0.0/24", 25)], &["10.0.0.128/25"]);
        view.nodes.put(node("a"));
        view.nodes.put(node("b"));
        assert_eq!(allocate(&view, "a").expect("a part"), ["10.0.0.0/25"]);
        let plan = plan(&view, &Key::new("", "b"), Time::default());
        assert_eq!(plan.writes[0].told.as_ref().expect("told").reason, "CIDRNotAvailable");
    }

    #[test]
    fn dual_stack_nodes_get_one_part_of_each() {
        let view = view(&[("10.244.0.0/16", 24), ("fd00::/48", 64)], &[]);
        view.nodes.put(node("a"));
        view.nodes.put(node("b"));
        allocate(&view, "a");
        assert_eq!(allocate(&view, "b").expect("parts"), ["10.244.1.0/24", "fd00:0:0:1::/64"]);
    }
}
