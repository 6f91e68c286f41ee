//! Where a Service is: the addresses of its ready endpoints, else its cluster address.

use std::sync::Arc;

use proto::core::v1::{Service, ServicePort};
use proto::discovery::v1::EndpointSlice;

use crate::registry::Resource;
use crate::watch_cache::Filter;

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Why a Service cannot be called. The texts are upstream's where it has some.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// It does not exist.
    #[error("service \"{0}\" not found")]
    Service(String),
    /// It has no such port.
    #[error("no service port {port} found for service {name:?}")]
    Port {
        /// The port.
        port: u16,
        /// The Service.
        name: String,
    },
    /// Nobody stands behind it.
    #[error("no endpoints available for service {0:?}")]
    Endpoints(String),
    /// What is stored cannot be read.
    #[error("{0}")]
    Malformed(String),
}

/// A host, name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// An address, or a name of the DNS.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// The Services and their endpoints, as the watch caches have them.
#[derive(Debug, Clone)]
pub struct Services {
    services: Arc<Resource>,
    slices: Arc<Resource>,
}

impl Services {
    /// Of the resources `services` and `endpointslices`.
    pub fn new(services: Arc<Resource>, slices: Arc<Resource>) -> Self {
        Self { services, slices }
    }

    /// One Service.
    pub fn get(&self, namespace: &str, name: &str) -> Result<Service, Missing> {
        let entry = self.services.cache.get(&self.services.key(namespace, name));
        let entry = entry.ok_or_else(|| Missing::Service(name.to_owned()))?;
        prost::Message::decode(entry.bytes.clone()).map_err(|error| Missing::Malformed(error.to_string()))
    }

    /// The slices of a Service.
    pub fn slices(&self, namespace: &str, name: &str) -> Result<Vec<EndpointSlice>, Missing> {
        let filter = Filter { namespace: namespace.to_owned(), ..Filter::default() };
        let (entries, _) = self.slices.cache.list(&filter);
        let own = entries.iter().filter(|entry| entry.labels.get(SERVICE_NAME).is_some_and(|owner| owner == name));
        let read = own.map(|entry| prost::Message::decode(entry.bytes.clone()));
        read.collect::<Result<_, prost::DecodeError>>().map_err(|error| Missing::Malformed(error.to_string()))
    }

    /// Where to call that port of a Service, the best place first; `turn` is any number, which spreads the calls.
    pub fn candidates(&self, namespace: &str, name: &str, port: u16, turn: usize) -> Result<Vec<Candidate>, Missing> {
        let service = self.get(namespace, name)?;
        candidates(&service, &self.slices(namespace, name)?, port, turn)
    }
}

/// The Service's port of that number.
pub fn port(service: &Service, port: u16) -> Option<&ServicePort> {
    service.spec.ports.iter().find(|found| found.port == i32::from(port))
}

/// The addresses of ready endpoints behind a port of that name.
pub fn ready<'a>(slices: &'a [EndpointSlice], port: &'a str) -> impl Iterator<Item = Candidate> + 'a {
    slices.iter().flat_map(move |slice| {
        let numbers = slice.ports.iter().filter(move |found| found.name.as_deref().unwrap_or_default() == port);
        let numbers = numbers.filter_map(|found| found.port.and_then(|port| u16::try_from(port).ok()));
        numbers.flat_map(move |port| {
            let ready = slice.endpoints.iter().filter(|endpoint| endpoint.conditions.ready != Some(false));
            ready.filter_map(move |endpoint| Some(Candidate { host: endpoint.addresses.first()?.clone(), port }))
        })
    })
}

fn candidates(
    service: &Service,
    slices: &[EndpointSlice],
    number: u16,
    turn: usize,
) -> Result<Vec<Candidate>, Missing> {
    let name = &service.metadata.name;
    let spec = &service.spec;
    if spec.r#type == "ExternalName" {
        return Ok(vec![Candidate { host: spec.external_name.clone(), port: number }]);
    }
    let port = port(service, number).ok_or_else(|| Missing::Port { port: number, name: name.clone() })?;
    let mut found: Vec<Candidate> = ready(slices, &port.name).collect();
    if !found.is_empty() {
        let turn = turn % found.len();
        found.rotate_left(turn);
    }
    if !spec.cluster_ip.is_empty() && spec.cluster_ip != "None" {
        found.push(Candidate { host: spec.cluster_ip.clone(), port: number });
    }
    match found.is_empty() {
        true => Err(Missing::Endpoints(name.clone())),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use proto::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};

    use super::*;

    fn service(cluster_ip: &str) -> Service {
        let mut service = Service::default();
        service.metadata.name = "s".into();
        service.spec.cluster_ip = cluster_ip.into();
        service.spec.ports = vec![ServicePort { name: "https".into(), port: 443, ..Default::default() }];
        service
    }

    fn slice(addresses: &[(&str, Option<bool>)]) -> EndpointSlice {
        let endpoint = |(address, ready): &(&str, Option<bool>)| Endpoint {
            addresses: vec![(*address).into()],
            conditions: EndpointConditions { ready: *ready, ..Default::default() },
            ..Default::default()
        };
        let port = |name: &str, port| EndpointPort { name: Some(name.into()), port: Some(port), ..Default::default() };
        EndpointSlice {
            endpoints: addresses.iter().map(endpoint).collect(),
            ports: vec![port("metrics", 1), port("https", 8443)],
            ..Default::default()
        }
    }

    #[track_caller]
    fn check(service: &Service, slices: &[EndpointSlice], turn: usize, expect: &[(&str, u16)]) {
        let found = candidates(service, slices, 443, turn).expect("somewhere");
        let found: Vec<(&str, u16)> = found.iter().map(|found| (found.host.as_str(), found.port)).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn ready_endpoints_come_before_the_cluster_address() {
        let slices = [slice(&[("10.0.0.1", Some(true)), ("10.0.0.2", Some(false)), ("10.0.0.3", None)])];
        check(&service("10.96.0.9"), &slices, 0, &[("10.0.0.1", 8443), ("10.0.0.3", 8443), ("10.96.0.9", 443)]);
        check(&service("10.96.0.9"), &slices, 3, &[("10.0.0.3", 8443), ("10.0.0.1", 8443), ("10.96.0.9", 443)]);
        check(&service("10.96.0.9"), &[], 3, &[("10.96.0.9", 443)]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = candidates(&service("None"), &[], 443, 0).expect_err("nobody");
        assert_eq!(none.to_string(), "no endpoints available for service \"s\"");
        let none = candidates(&service("None"), &[], 80, 0).expect_err("no port");
        assert_eq!(none.to_string(), "no service port 80 found for service \"s\"");
    }

    #[test]
    fn an_external_name_is_called_by_that_name() {
        let mut external = service("");
        external.spec.r#type = "ExternalName".into();
        external.spec.external_name = "api.example".into();
        check(&external, &[], 0, &[("api.example", 443)]);
    }
}
