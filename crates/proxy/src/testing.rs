//! A small language for Services and endpoints in tests.
//!
//! ```text
//! service NAMESPACE/NAME IP[,IP] [affinity=SECONDS] [internal=Local] [external=Local] [external-ip=IP] [lb=IP]
//!         [ranges=CIDR,CIDR] [node-port=PORT:NODEPORT]...
//! port NAME PROTOCOL PORT                        (of the Service above; NAME - is no name)
//! endpoint NAMESPACE/NAME PORTNAME PROTOCOL ADDRESS NODE [ready|serving-terminating|not-ready]
//! ```

#![allow(clippy::unwrap_used)] // only tests use it; a bad script must stop them

use proto::discovery::v1 as discovery;

use crate::endpoint::{Endpoints, Place};
use crate::ruleset::{EndpointsOf, Services, Settings};
use crate::service::{Protocol, Service, ServiceName, ServicePort};

/// Node `node-1`, pods in 10.244.0.0/16 and fd00:10:244::/56.
pub fn settings() -> Settings {
    Settings {
        place: Place { node: "node-1".into(), zone: None },
        cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap(), "fd00:10:244::/56".parse().unwrap()],
        masquerade_all: false,
    }
}

pub fn parse_script(text: &str) -> (Services, EndpointsOf) {
    let (mut services, mut slices) = (Services::new(), std::collections::BTreeMap::<ServiceName, Vec<_>>::new());
    let mut current = None;
    let mut node_ports = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "service" => {
                let (service, ports) = service(&words[1..]);
                node_ports = ports;
                current = Some(service.name.clone());
                services.insert(service.name.clone(), service);
            }
            "port" => {
                let service = services.get_mut(current.as_ref().unwrap()).unwrap();
                let port = words[3].parse().unwrap();
                let node_port = node_ports.iter().find(|(of, _)| *of == port).map(|(_, node)| *node);
                service.ports.push(ServicePort {
                    name: dashed(words[1]),
                    protocol: protocol(words[2]),
                    port,
                    node_port,
                });
            }
            "endpoint" => slices.entry(name(words[1])).or_default().push(slice(&words[2..])),
            other => panic!("unknown word {other}"),
        }
    }
    let endpoints = slices.into_iter().map(|(name, slices)| (name, Endpoints::from_slices(&slices))).collect();
    (services, endpoints)
}

fn service(words: &[&str]) -> (Service, Vec<(u16, u16)>) {
    let mut service = Service {
        name: name(words[0]),
        ports: Vec::new(),
        cluster_ips: words[1].split(',').map(|ip| ip.parse().unwrap()).collect(),
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: Vec::new(),
        internal_local: false,
        external_local: false,
        affinity_s: None,
        health_check_node_port: None,
    };
    let mut node_ports = Vec::new();
    for word in &words[2..] {
        let (key, value) = word.split_once('=').unwrap();
        match key {
            "affinity" => service.affinity_s = Some(value.parse().unwrap()),
            "internal" => service.internal_local = value == "Local",
            "external" => service.external_local = value == "Local",
            "external-ip" => service.external_ips.push(value.parse().unwrap()),
            "lb" => service.load_balancer_ips.push(value.parse().unwrap()),
            "ranges" => service.source_ranges = value.split(',').map(|range| range.parse().unwrap()).collect(),
            "node-port" => {
                let (port, node) = value.split_once(':').unwrap();
                node_ports.push((port.parse().unwrap(), node.parse().unwrap()));
            }
            other => panic!("unknown setting {other}"),
        }
    }
    (service, node_ports)
}

fn slice(words: &[&str]) -> discovery::EndpointSlice {
    let address: std::net::SocketAddr = words[2].parse().unwrap();
    let state = words.get(4).copied().unwrap_or("ready");
    discovery::EndpointSlice {
        address_type: if address.is_ipv4() { "IPv4".into() } else { "IPv6".into() },
        endpoints: vec![discovery::Endpoint {
            addresses: vec![address.ip().to_string()],
            conditions: discovery::EndpointConditions {
                ready: Some(state == "ready"),
                serving: Some(state != "not-ready"),
                terminating: Some(state == "serving-terminating"),
            },
            node_name: Some(words[3].to_owned()),
            ..Default::default()
        }],
        ports: vec![discovery::EndpointPort {
            name: Some(dashed(words[0])),
            protocol: Some(words[1].to_uppercase()),
            port: Some(address.port().into()),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn name(text: &str) -> ServiceName {
    let (namespace, name) = text.split_once('/').unwrap();
    ServiceName::new(namespace, name)
}

fn dashed(text: &str) -> String {
    if text == "-" { String::new() } else { text.to_owned() }
}

fn protocol(text: &str) -> Protocol {
    Protocol::parse(&text.to_uppercase()).unwrap()
}
