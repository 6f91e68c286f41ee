//! Gives each node its range of pod addresses.

use api::meta::is_terminating;
use std::collections::HashSet;

use ipnet::Ipv4Net;
use proto::core::v1::Node;

use crate::plan::Plan;

/// The cluster's pod range, cut into ranges of one size.
#[derive(Debug, Clone, Copy)]
pub struct Ranges {
    pub cluster: Ipv4Net,
    /// `--node-cidr-mask-size`: 24 unless told.
    pub node_prefix: u8,
}

/// `nodes`: all nodes. Gives the first free range to `node`, or says in an event that none is left.
pub fn plan(node: &Node, nodes: &[&Node], ranges: Ranges) -> Plan {
    let mut plan = Plan::none();
    if is_terminating(&node.metadata) || !node.spec.pod_cidr.is_empty() {
        return plan;
    }
    let taken: HashSet<Ipv4Net> = nodes.iter().flat_map(|other| own_ranges(other)).collect();
    let free = ranges.cluster.subnets(ranges.node_prefix).ok().and_then(|mut subnets| {
        subnets.find(|subnet| !taken.iter().any(|used| used.contains(subnet) || subnet.contains(used)))
    });
    let mut node = node.clone();
    match free {
        Some(range) => {
            node.spec.pod_cidr = range.to_string();
            node.spec.pod_cidrs = vec![range.to_string()];
            plan.update(node);
        }
        None => plan.requeue(std::time::Duration::from_secs(30)),
    }
    plan
}

fn own_ranges(node: &Node) -> impl Iterator<Item = Ipv4Net> + '_ {
    node.spec.pod_cidrs.iter().chain([&node.spec.pod_cidr]).filter_map(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Write;

    fn node(name: &str, range: &str) -> Node {
        let mut node = Node::default();
        node.metadata.name = name.into();
        node.spec.pod_cidr = range.into();
        node
    }

    #[track_caller]
    fn check(cluster: &str, taken: &[&str], expect: Option<&str>) {
        let ranges = Ranges { cluster: cluster.parse().unwrap(), node_prefix: 24 };
        let new = node("new", "");
        let others: Vec<Node> = taken.iter().map(|range| node("other", range)).collect();
        let nodes: Vec<&Node> = others.iter().chain([&new]).collect();
        let plan = plan(&new, &nodes, ranges);
        let given = plan.steps.first().map(|step| match &step.write {
            Write::Update(object) => object.downcast_ref::<Node>().unwrap().spec.pod_cidr.clone(),
            _ => panic!("not an update"),
        });
        assert_eq!(given.as_deref(), expect);
    }

    #[test]
    fn the_first_free_range_is_given() {
        check("10.244.0.0/16", &[], Some("10.244.0.0/24"));
        check("10.244.0.0/16", &["10.244.0.0/24", "10.244.2.0/24"], Some("10.244.1.0/24"));
        check("10.244.0.0/23", &["10.244.0.0/24", "10.244.1.0/24"], None);
    }

    #[test]
    fn ranges_of_another_size_are_respected() {
        check("10.244.0.0/16", &["10.244.0.0/23"], Some("10.244.2.0/24"));
        check("10.244.0.0/16", &["10.244.0.128/25"], Some("10.244.1.0/24"));
    }
}
