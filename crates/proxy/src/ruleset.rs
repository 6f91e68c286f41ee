//! What the tables must hold for a Service: a pure function of it, its endpoints and the settings.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::diff::Ruleset;
use crate::endpoint::{Endpoints, Place};
use crate::service::{Protocol, Service, ServiceName, ServicePort};
use crate::table::{DROP_CHAIN, Family, Key, Map, REJECT_CHAIN, Rule, Target};

/// Services by name.
pub type Services = BTreeMap<ServiceName, Service>;
/// Endpoints by the name of their Service.
pub type EndpointsOf = BTreeMap<ServiceName, Endpoints>;

/// Settings that shape the rules of every Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub place: Place,
    /// The pods' address ranges; empty: nothing is known to be off-cluster.
    pub cluster_cidrs: Vec<IpNet>,
    /// Masquerade all traffic to cluster IPs.
    pub masquerade_all: bool,
}

/// The part of the tables that one Service owns, by family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    pub sets: BTreeMap<(Family, String), u32>,
    pub chains: BTreeMap<(Family, String), Vec<Rule>>,
    pub elements: BTreeMap<(Family, Map, Key), Target>,
}

/// The whole ruleset of these Services.
pub fn ruleset(services: &Services, endpoints: &EndpointsOf, settings: &Settings) -> Ruleset {
    let none = Endpoints::default();
    let mut all = Ruleset::default();
    for (name, service) in services {
        let part = fragment(service, endpoints.get(name).unwrap_or(&none), settings);
        all.replace(name, Some(part));
    }
    all
}

/// What one Service owns.
pub fn fragment(service: &Service, endpoints: &Endpoints, settings: &Settings) -> Fragment {
    let mut part = Fragment::default();
    for family in Family::ALL {
        if !service.cluster_ips.iter().any(|ip| Family::of(*ip) == family) {
            continue;
        }
        for port in &service.ports {
            PortPart { service, port, family, settings, part: &mut part }.write(endpoints);
        }
    }
    part
}

/// One port of a Service in one family, while its rules are written.
struct PortPart<'a> {
    service: &'a Service,
    port: &'a ServicePort,
    family: Family,
    settings: &'a Settings,
    part: &'a mut Fragment,
}

impl PortPart<'_> {
    fn write(&mut self, endpoints: &Endpoints) {
        let ipv4 = self.family == Family::V4;
        let chosen = endpoints.choose(&self.port.name, self.port.protocol, ipv4, &self.settings.place);
        let (service, has_external) = (self.service, self.has_external());
        let none_at_all = chosen.cluster.is_empty() && chosen.local.is_empty();

        let uses_local = service.internal_local || (service.external_local && has_external);
        let uses_cluster = !service.internal_local || has_external;
        if uses_cluster && !chosen.cluster.is_empty() {
            self.balancer("svc", &chosen.cluster);
        }
        if uses_local && !chosen.local.is_empty() {
            self.balancer("local", &chosen.local);
        }

        let internal = if service.internal_local { ("local", &chosen.local) } else { ("svc", &chosen.cluster) };
        for ip in self.ips(&service.cluster_ips) {
            self.element(Map::ClusterIps, Key::Ip(ip), Target::Member);
            let target = self.target(internal.0, internal.1, none_at_all);
            self.address(ip, target);
        }
        if has_external {
            // Policy Local without local endpoints still serves pods and the node itself, so its chain decides whom to drop.
            let endpoints = if chosen.cluster.is_empty() { &chosen.local } else { &chosen.cluster };
            let target = self.target("ext", endpoints, none_at_all);
            if is_chain(&target) {
                self.external_chain(!chosen.cluster.is_empty(), !chosen.local.is_empty());
            }
            self.external(target);
        }
    }

    /// Where packets for these endpoints go: to the chain of that kind; without endpoints they are rejected, or, where
    /// other nodes have endpoints and the policy forbids to use them, dropped.
    fn target(&self, kind: &str, endpoints: &[SocketAddr], none_at_all: bool) -> Target {
        match (endpoints.is_empty(), none_at_all) {
            (false, _) => Target::Goto(self.chain_name(kind)),
            (true, true) => Target::Goto(REJECT_CHAIN.to_owned()),
            (true, false) => Target::Drop,
        }
    }

    fn has_external(&self) -> bool {
        self.port.node_port.is_some()
            || !self.ips(&self.service.external_ips).is_empty()
            || !self.ips(&self.service.load_balancer_ips).is_empty()
    }

    /// Elements of everything but the cluster IP.
    fn external(&mut self, target: Target) {
        let service = self.service;
        for ip in self.ips(&service.external_ips) {
            self.address(ip, target.clone());
        }
        for ip in self.ips(&service.load_balancer_ips) {
            self.address(ip, target.clone());
            self.firewall(ip);
        }
        if let Some(port) = self.port.node_port {
            let map = if is_chain(&target) { Map::NodePorts } else { Map::NoEndpointNodePorts };
            self.element(map, Key::Port(self.port.protocol, port), target);
        }
    }

    fn firewall(&mut self, ip: IpAddr) {
        let ranges = &self.service.source_ranges;
        if ranges.is_empty() {
            return;
        }
        let inside = ranges.iter().copied().filter(|range| Family::of(range.addr()) == self.family).collect();
        let chain = self.chain(self.chain_name("fw"), vec![Rule::DropOutside { inside }]);
        self.element(Map::FirewallIps, self.key(ip), Target::Goto(chain));
    }

    /// The chain for packets from outside: how they get to the endpoints, and whether they must be masqueraded.
    fn external_chain(&mut self, any_cluster: bool, any_local: bool) {
        let cluster = self.chain_name("svc");
        let mut rules = Vec::new();
        if self.service.external_local {
            // Pods and the node itself reach external addresses as if the policy were Cluster.
            let inside = self.cluster_cidrs();
            if any_cluster && !inside.is_empty() {
                rules.push(Rule::FromGoto { inside, chain: cluster.clone() });
            }
            if any_cluster {
                rules.push(Rule::FromNodeGoto { chain: cluster });
            }
            rules.push(Rule::Goto(if any_local { self.chain_name("local") } else { DROP_CHAIN.to_owned() }));
        } else {
            rules = vec![Rule::Masquerade, Rule::Goto(cluster)];
        }
        self.chain(self.chain_name("ext"), rules);
    }

    /// A chain that sends a packet to one of the endpoints.
    fn balancer(&mut self, kind: &str, endpoints: &[SocketAddr]) {
        let mut rules = self.masquerade_rules();
        match self.service.affinity_s {
            None => rules.push(Rule::Balance { protocol: self.port.protocol, endpoints: endpoints.to_vec() }),
            Some(timeout_s) => {
                let chains: Vec<String> = endpoints.iter().map(|e| self.sticky_endpoint(*e, timeout_s)).collect();
                rules.extend(endpoints.iter().zip(&chains).map(|(endpoint, chain)| Rule::Sticky {
                    set: self.endpoint_name("aff", *endpoint),
                    chain: chain.clone(),
                }));
                rules.push(Rule::Spread { chains });
            }
        }
        for endpoint in endpoints {
            self.element(Map::Hairpin, Key::Ip(endpoint.ip()), Target::Member);
        }
        self.chain(self.chain_name(kind), rules);
    }

    fn masquerade_rules(&self) -> Vec<Rule> {
        let inside = if self.settings.masquerade_all { Vec::new() } else { self.cluster_cidrs() };
        if inside.is_empty() && !self.settings.masquerade_all {
            return Vec::new();
        }
        let ips = self.ips(&self.service.cluster_ips).into_iter();
        ips.map(|to| Rule::MasqueradeOffCluster { to, inside: inside.clone() }).collect()
    }

    /// The set and chain of one endpoint of a Service with affinity; gives the chain's name.
    fn sticky_endpoint(&mut self, endpoint: SocketAddr, timeout_s: u32) -> String {
        let set = self.endpoint_name("aff", endpoint);
        self.part.sets.insert((self.family, set.clone()), timeout_s);
        let balance = Rule::Balance { protocol: self.port.protocol, endpoints: vec![endpoint] };
        self.chain(self.endpoint_name("ep", endpoint), vec![Rule::Remember { set }, balance])
    }

    fn address(&mut self, ip: IpAddr, target: Target) {
        let map = if is_chain(&target) { Map::ServiceIps } else { Map::NoEndpointIps };
        self.element(map, self.key(ip), target);
    }

    fn key(&self, ip: IpAddr) -> Key {
        Key::Address(ip, self.port.protocol, self.port.port)
    }

    fn element(&mut self, map: Map, key: Key, target: Target) {
        self.part.elements.insert((self.family, map, key), target);
    }

    fn chain(&mut self, name: String, rules: Vec<Rule>) -> String {
        self.part.chains.insert((self.family, name.clone()), rules);
        name
    }

    fn ips(&self, all: &[IpAddr]) -> Vec<IpAddr> {
        all.iter().copied().filter(|ip| Family::of(*ip) == self.family).collect()
    }

    fn cluster_cidrs(&self) -> Vec<IpNet> {
        let all = self.settings.cluster_cidrs.iter().copied();
        all.filter(|range| Family::of(range.addr()) == self.family).collect()
    }

    fn chain_name(&self, kind: &str) -> String {
        let (protocol, port) = (self.port.protocol.as_str(), &self.port.name);
        format!("{kind}/{}/{protocol}/{port}", self.service.name)
    }

    fn endpoint_name(&self, kind: &str, endpoint: SocketAddr) -> String {
        let ip = endpoint.ip().to_string().replace(':', ".");
        format!("{}/{ip}/{}", self.chain_name(kind), endpoint.port())
    }
}

fn is_chain(target: &Target) -> bool {
    matches!(target, Target::Goto(chain) if chain != REJECT_CHAIN)
}

/// The protocols and endpoints of UDP ports by every key under which clients reach them: what conntrack must forget.
pub fn udp_flows(part: &Fragment) -> BTreeMap<Key, Vec<SocketAddr>> {
    let mut flows = BTreeMap::new();
    for ((family, _, key), target) in &part.elements {
        let (Key::Address(_, Protocol::Udp, _) | Key::Port(Protocol::Udp, _)) = key else {
            continue;
        };
        let endpoints = match target {
            Target::Goto(chain) => reachable(part, *family, chain),
            Target::Drop | Target::Member => Vec::new(),
        };
        flows.entry(*key).or_insert_with(Vec::new).extend(endpoints);
    }
    for endpoints in flows.values_mut() {
        endpoints.sort_unstable();
        endpoints.dedup();
    }
    flows
}

fn reachable(part: &Fragment, family: Family, chain: &str) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for rule in part.chains.get(&(family, chain.to_owned())).into_iter().flatten() {
        match rule {
            Rule::Balance { endpoints, .. } => found.extend(endpoints),
            Rule::Goto(next)
            | Rule::FromGoto { chain: next, .. }
            | Rule::FromNodeGoto { chain: next }
            | Rule::Sticky { chain: next, .. } => {
                found.extend(reachable(part, family, next));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests;
