//! Where the name of a proxied pod, Service or node leads.

use std::net::IpAddr;

use proto::core::v1::{EndpointAddress, Endpoints, Node, Pod, Service};

use crate::outbound::{Destination, Place, Trust, guard};
use crate::relay;
use crate::server::Server;
use crate::status::{Failure, Result};
use crate::verbs::{Target, get};

/// What is proxied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A pod, at its own address.
    Pod,
    /// A Service, at the address of one of its ready pods.
    Service,
    /// A node: its kubelet, or another port of it.
    Node,
}

/// Where a request is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Whom to call.
    pub destination: Destination,
}

/// `https:web:8443` and its shorter forms.
#[derive(Debug, PartialEq, Eq)]
struct Named<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

impl<'a> Named<'a> {
    fn parse(id: &'a str) -> Option<Self> {
        let parts: Vec<&str> = id.split(':').collect();
        let (scheme, name, port) = match *parts.as_slice() {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme, name, port] => (scheme, name, port),
            _ => return None,
        };
        (!name.is_empty() && matches!(scheme, "" | "http" | "https")).then_some(Self { scheme, name, port })
    }

    fn scheme(&self) -> &'a str {
        if self.scheme.is_empty() { "http" } else { self.scheme }
    }
}

/// Finds the place.
///
/// # Errors
/// The object is not there, its name makes no sense, or it leads where no proxy goes.
pub async fn find(server: &Server, kind: Kind, namespace: &str, id: &str) -> Result<Location> {
    let what = match kind {
        Kind::Pod => "pod",
        Kind::Service => "service",
        Kind::Node => "node",
    };
    let named = Named::parse(id).ok_or_else(|| Failure::bad_request(format!("invalid {what} request {id:?}")))?;
    match kind {
        Kind::Pod => pod(server, namespace, &named).await,
        Kind::Service => service(server, namespace, &named).await,
        Kind::Node => node(server, &named).await,
    }
}

async fn pod(server: &Server, namespace: &str, named: &Named<'_>) -> Result<Location> {
    let pod: Pod = read(server, "pods", namespace, named.name).await?;
    let first_port = pod.spec.containers.iter().find_map(|container| container.ports.first());
    let port = match named.port {
        "" => first_port.map(|port| port.container_port.to_string()).unwrap_or_default(),
        port => port.to_owned(),
    };
    let allowed = pod.status.pod_ip.parse::<IpAddr>().ok().filter(|address| guard::allows(*address));
    let address = allowed.ok_or_else(|| Failure::bad_request(guard::NOT_ALLOWED))?;
    at(named.scheme(), &address.to_string(), &port)
}

async fn service(server: &Server, namespace: &str, named: &Named<'_>) -> Result<Location> {
    let mut port = named.port.to_owned();
    if let Ok(number) = port.parse::<i32>() {
        let service: Service = read(server, "services", namespace, named.name).await?;
        let found = service.spec.ports.iter().find(|port| port.port == number);
        let missing = || format!("no service port {number} found for service {:?}", named.name);
        port = found.ok_or_else(|| Failure::new(503, "ServiceUnavailable", missing()))?.name.clone();
    }
    // As upstream: a Service without Endpoints counts as none.
    let endpoints: Result<Endpoints> = read(server, "endpoints", namespace, named.name).await;
    let endpoints = endpoints.map_err(|failure| match failure.is_not_found() {
        true => Failure::not_found("", "services", named.name),
        false => failure,
    })?;
    let mut candidates = candidates(&endpoints, &port);
    if !candidates.is_empty() {
        let turn = rand::random_range(0..candidates.len());
        candidates.rotate_left(turn);
    }
    for (address, port) in candidates {
        if is_of_pod(server, namespace, address).await {
            return at(named.scheme(), &address.ip, &port.to_string());
        }
    }
    let message = format!(
        "no endpoints available for service {:?}",
        if endpoints.subsets.is_empty() { named.name } else { &endpoints.metadata.name }
    );
    Err(Failure::new(503, "ServiceUnavailable", message))
}

/// The ready addresses with a port of that name.
fn candidates<'a>(endpoints: &'a Endpoints, port: &str) -> Vec<(&'a EndpointAddress, i32)> {
    let with_port = |subset: &'a proto::core::v1::EndpointSubset| {
        let found = subset.ports.iter().find(|found| found.name == port)?;
        Some(subset.addresses.iter().map(move |address| (address, found.port)))
    };
    endpoints.subsets.iter().filter_map(with_port).flatten().collect()
}

/// Whether the address is that of the pod it says it is of: anybody may write Endpoints with any address.
async fn is_of_pod(server: &Server, namespace: &str, address: &EndpointAddress) -> bool {
    let Some(reference) = &address.target_ref else { return false };
    if reference.namespace != namespace {
        return false;
    }
    let Ok(pod) = read::<Pod>(server, "pods", namespace, &reference.name).await else { return false };
    pod.status.pod_ip == address.ip || pod.status.pod_ips.iter().any(|found| found.ip == address.ip)
}

async fn node(server: &Server, named: &Named<'_>) -> Result<Location> {
    let node: Node = read(server, "nodes", "", named.name).await?;
    let kubelet = relay::address(&node, server.kubelets.address_types()).ok_or_else(|| {
        let why = format!("node {} has no address in its status; is its kubelet running?", named.name);
        Failure::new(503, "ServiceUnavailable", why)
    })?;
    let port = kubelet.rsplit(':').next().unwrap_or_default();
    if named.port.is_empty() || named.port == port {
        // A kubelet is known by its certificate, wherever it is.
        let destination = Destination { place: Place::Origin(kubelet), trust: Trust::Kubelets, identify: false };
        return Ok(Location { destination });
    }
    let host = kubelet.trim_start_matches("https://").trim_end_matches(port).trim_end_matches(':');
    at(named.scheme(), host.trim_matches(['[', ']']), named.port)
}

/// A host that others chose, without a certificate that anybody knows.
fn at(scheme: &str, host: &str, port: &str) -> Result<Location> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let origin = match port {
        "" => format!("{scheme}://{host}"),
        port if port.parse::<u16>().is_ok_and(|port| port > 0) => format!("{scheme}://{host}:{port}"),
        port => return Err(Failure::bad_request(format!("{port:?} is no port: give a number from 1 to 65535"))),
    };
    Ok(Location { destination: Destination { place: Place::Guarded(origin), trust: Trust::Anything, identify: false } })
}

async fn read<T: proto::Object>(server: &Server, plural: &str, namespace: &str, name: &str) -> Result<T> {
    let target = Target::resolve(&server.registry, ("", "v1", plural), namespace, name, "")?;
    target.require_name()?;
    get::newest(server, &target).await?.read()
}

#[cfg(test)]
mod tests {
    use proto::core::v1::{EndpointPort, EndpointSubset};

    use super::*;

    #[test]
    fn names_say_scheme_and_port() {
        let named = |scheme, name, port| Some(Named { scheme, name, port });
        for (id, expect) in [
            ("web", named("", "web", "")),
            ("web:80", named("", "web", "80")),
            ("https:web:", named("https", "web", "")),
            ("http:web:main", named("http", "web", "main")),
            (":web:80", named("", "web", "80")),
            ("ftp:web:80", None),
            ("", None),
            ("https::80", None),
            ("a:b:c:d", None),
        ] {
            assert_eq!(Named::parse(id), expect, "{id}");
        }
    }

    #[test]
    fn places_have_a_port_that_can_be() {
        let origin = |host, port| match at("http", host, port).map(|location| location.destination.place) {
            Ok(Place::Guarded(origin)) => origin,
            other => format!("{other:?}"),
        };
        assert_eq!(origin("10.0.0.1", "80"), "http://10.0.0.1:80");
        assert_eq!(origin("fd00::1", ""), "http://[fd00::1]");
        for wrong in ["0", "65536", "main", "80/../x", "80@10.0.0.2"] {
            assert_eq!(at("http", "10.0.0.1", wrong).expect_err("no port").code(), 400, "{wrong}");
        }
    }

    #[test]
    fn a_port_is_looked_for_by_its_name() {
        let address = |ip: &str| EndpointAddress { ip: ip.into(), ..Default::default() };
        let subset = |port: &str, number, ip: &str| EndpointSubset {
            addresses: vec![address(ip)],
            not_ready_addresses: vec![address("10.9.9.9")],
            ports: vec![EndpointPort { name: port.into(), port: number, ..Default::default() }],
        };
        let endpoints = Endpoints {
            subsets: vec![subset("a", 1, "10.0.0.1"), subset("b", 2, "10.0.0.2"), subset("a", 3, "10.0.0.3")],
            ..Default::default()
        };
        let found: Vec<(&str, i32)> =
            candidates(&endpoints, "a").into_iter().map(|(address, port)| (address.ip.as_str(), port)).collect();
        assert_eq!(found, [("10.0.0.1", 1), ("10.0.0.3", 3)]);
        assert!(candidates(&endpoints, "").is_empty());
    }
}
