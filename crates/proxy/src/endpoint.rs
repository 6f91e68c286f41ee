//! Endpoints of a Service, joined from its EndpointSlices, and the choice of those that get traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use proto::discovery::v1 as discovery;

use crate::service::Protocol;

/// Where one endpoint listens, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub address: SocketAddr,
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
    pub node: Option<String>,
    /// Zones and nodes whose clients it is meant for; empty: no hint.
    pub for_zones: Vec<String>,
    pub for_nodes: Vec<String>,
}

/// The place of this proxy, to which "local" and hints refer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub node: String,
    pub zone: Option<String>,
}

/// Endpoints of one Service by port name and protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    by_port: BTreeMap<(String, Protocol), BTreeSet<Endpoint>>,
}

/// The endpoints that take the traffic of one port in one address family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// For the policy Cluster.
    pub cluster: Vec<SocketAddr>,
    /// For the policy Local: on this node only.
    pub local: Vec<SocketAddr>,
}

impl Endpoints {
    /// Joins the slices of one Service. Addresses that cannot be read and FQDN slices are left out.
    pub fn from_slices<'a>(slices: impl IntoIterator<Item = &'a discovery::EndpointSlice>) -> Self {
        let mut joined = Self::default();
        for slice in slices.into_iter().filter(|slice| slice.address_type != "FQDN") {
            for port in &slice.ports {
                let Some(protocol) = Protocol::parse(port.protocol.as_deref().unwrap_or_default()) else {
                    continue;
                };
                let Some(number) = port.port.and_then(|port| u16::try_from(port).ok()) else {
                    continue;
                };
                let key = (port.name.clone().unwrap_or_default(), protocol);
                let found = slice.endpoints.iter().filter_map(|endpoint| read(endpoint, number));
                joined.by_port.entry(key).or_default().extend(found);
            }
        }
        joined
    }

    /// Every endpoint of a port, whatever its state.
    pub fn of(&self, name: &str, protocol: Protocol) -> impl Iterator<Item = &Endpoint> {
        self.by_port.get(&(name.to_owned(), protocol)).into_iter().flatten()
    }

    /// Who takes the traffic: the ready ones; when there are none, those that still serve while they terminate.
    /// Hints narrow the choice of policy Cluster only if every ready endpoint carries one.
    pub fn choose(&self, name: &str, protocol: Protocol, ipv4: bool, place: &Place) -> Chosen {
        let all: Vec<&Endpoint> = self.of(name, protocol).filter(|e| e.address.is_ipv4() == ipv4).collect();
        let local: Vec<&Endpoint> = all.iter().copied().filter(|e| e.node.as_deref() == Some(&*place.node)).collect();
        Chosen { cluster: addresses(&hinted(usable(&all), place)), local: addresses(&usable(&local)) }
    }

    /// How many endpoints of any port are ready on this node: what a health check node port answers.
    pub fn local_ready(&self, place: &Place) -> usize {
        let all = self.by_port.values().flatten();
        let here = all.filter(|e| e.ready && e.node.as_deref() == Some(&*place.node));
        here.map(|e| e.address.ip()).collect::<BTreeSet<IpAddr>>().len()
    }
}

fn read(endpoint: &discovery::Endpoint, port: u16) -> Option<Endpoint> {
    let conditions = &endpoint.conditions;
    let ready = conditions.ready.unwrap_or(true);
    let hints = endpoint.hints.as_ref();
    Some(Endpoint {
        address: SocketAddr::new(endpoint.addresses.first()?.parse().ok()?, port),
        ready,
        serving: conditions.serving.unwrap_or(ready),
        terminating: conditions.terminating.unwrap_or(false),
        node: endpoint.node_name.clone(),
        for_zones: hints.map(|h| h.for_zones.iter().map(|zone| zone.name.clone()).collect()).unwrap_or_default(),
        for_nodes: hints.map(|h| h.for_nodes.iter().map(|node| node.name.clone()).collect()).unwrap_or_default(),
    })
}

fn usable<'a>(endpoints: &[&'a Endpoint]) -> Vec<&'a Endpoint> {
    let ready: Vec<_> = endpoints.iter().copied().filter(|e| e.ready).collect();
    if !ready.is_empty() {
        return ready;
    }
    endpoints.iter().copied().filter(|e| e.serving && e.terminating).collect()
}

fn hinted<'a>(endpoints: Vec<&'a Endpoint>, place: &Place) -> Vec<&'a Endpoint> {
    let narrowed = |wanted: &str, names: fn(&Endpoint) -> &Vec<String>| -> Option<Vec<&'a Endpoint>> {
        if !endpoints.iter().all(|e| e.ready && !names(e).is_empty()) {
            return None;
        }
        let mine: Vec<_> = endpoints.iter().copied().filter(|e| names(e).iter().any(|name| name == wanted)).collect();
        (!mine.is_empty()).then_some(mine)
    };
    let by_node = narrowed(&place.node, |e| &e.for_nodes);
    let by_zone = || place.zone.as_ref().and_then(|zone| narrowed(zone, |e| &e.for_zones));
    by_node.or_else(by_zone).unwrap_or(endpoints)
}

fn addresses(endpoints: &[&Endpoint]) -> Vec<SocketAddr> {
    let unique: BTreeSet<SocketAddr> = endpoints.iter().map(|e| e.address).collect();
    unique.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `address flags node`: r ready, s serving, t terminating.
    fn slice(endpoints: &[(&str, &str, &str)]) -> discovery::EndpointSlice {
        discovery::EndpointSlice {
            address_type: "IPv4".into(),
            endpoints: endpoints
                .iter()
                .map(|(address, flags, node)| discovery::Endpoint {
                    addresses: vec![(*address).into()],
                    conditions: discovery::EndpointConditions {
                        ready: Some(flags.contains('r')),
                        serving: Some(flags.contains('s')),
                        terminating: Some(flags.contains('t')),
                    },
                    node_name: Some((*node).into()),
                    ..Default::default()
                })
                .collect(),
            ports: vec![discovery::EndpointPort { port: Some(80), ..Default::default() }],
            ..Default::default()
        }
    }

    #[track_caller]
    fn check(endpoints: &[(&str, &str, &str)], cluster: &[&str], local: &[&str]) {
        let place = Place { node: "here".into(), zone: None };
        let chosen = Endpoints::from_slices([&slice(endpoints)]).choose("", Protocol::Tcp, true, &place);
        let text = |addresses: &[SocketAddr]| addresses.iter().map(|a| a.ip().to_string()).collect::<Vec<_>>();
        assert_eq!(
            (text(&chosen.cluster), text(&chosen.local)),
            (cluster.iter().map(|a| (*a).to_owned()).collect(), local.iter().map(|a| (*a).to_owned()).collect(),)
        );
    }

    #[test]
    fn ready_endpoints_take_the_traffic() {
        check(
            &[("10.0.0.1", "rs", "here"), ("10.0.0.2", "", "here"), ("10.0.0.3", "rs", "there")],
            &["10.0.0.1", "10.0.0.3"],
            &["10.0.0.1"],
        );
    }

    #[test]
    fn terminating_ones_that_serve_help_out_only_when_none_is_ready() {
        check(&[("10.0.0.1", "st", "here"), ("10.0.0.2", "t", "here")], &["10.0.0.1"], &["10.0.0.1"]);
        check(&[("10.0.0.1", "st", "here"), ("10.0.0.2", "rs", "there")], &["10.0.0.2"], &["10.0.0.1"]);
    }

    #[test]
    fn absent_conditions_mean_ready() {
        let mut all = slice(&[("10.0.0.1", "", "here")]);
        all.endpoints[0].conditions = Default::default();
        let chosen = Endpoints::from_slices([&all]).choose("", Protocol::Tcp, true, &Place::default());
        assert_eq!(chosen.cluster.len(), 1);
    }

    #[test]
    fn hints_count_only_when_every_endpoint_has_one() {
        let place = Place { node: "here".into(), zone: Some("a".into()) };
        let mut all = slice(&[("10.0.0.1", "rs", "n1"), ("10.0.0.2", "rs", "n2")]);
        let hint = |zone: &str| {
            Some(discovery::EndpointHints {
                for_zones: vec![discovery::ForZone { name: zone.into() }],
                ..Default::default()
            })
        };
        all.endpoints[0].hints = hint("a");
        let count = |all: &discovery::EndpointSlice| {
            Endpoints::from_slices([all]).choose("", Protocol::Tcp, true, &place).cluster.len()
        };
        assert_eq!(count(&all), 2);
        all.endpoints[1].hints = hint("b");
        assert_eq!(count(&all), 1);
        all.endpoints[0].hints = hint("c");
        assert_eq!(count(&all), 2, "no endpoint for this zone: all of them");
    }

    #[test]
    fn ports_are_joined_by_name_and_protocol() {
        let joined =
            Endpoints::from_slices([&slice(&[("10.0.0.1", "rs", "here")]), &slice(&[("10.0.0.2", "rs", "here")])]);
        assert_eq!(joined.of("", Protocol::Tcp).count(), 2);
        assert_eq!(joined.of("", Protocol::Udp).count(), 0);
        assert_eq!(joined.of("http", Protocol::Tcp).count(), 0);
    }
}
