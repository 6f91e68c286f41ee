//! What the proxy needs to know of a Service: addresses, ports and policies, checked and typed.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use proto::core::v1 as core;

/// Seconds a client sticks to an endpoint when the Service does not say.
const AFFINITY_DEFAULT_S: u32 = 10_800;
/// A Service with this label is served by somebody else.
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";

/// Namespace and name of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    pub namespace: String,
    pub name: String,
}

impl ServiceName {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// From the API's spelling; an absent protocol is TCP.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "TCP" | "" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }

    /// As nftables writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// From nftables' spelling.
    pub fn from_nft(text: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|protocol| protocol.as_str() == text)
    }
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServicePort {
    pub name: String,
    pub protocol: Protocol,
    pub port: u16,
    pub node_port: Option<u16>,
}

/// A Service that has a virtual address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub name: ServiceName,
    pub ports: Vec<ServicePort>,
    pub cluster_ips: Vec<IpAddr>,
    pub external_ips: Vec<IpAddr>,
    /// Addresses of the load balancer that deliver packets to the node unchanged (ipMode VIP).
    pub load_balancer_ips: Vec<IpAddr>,
    /// Who may use the load balancer's addresses; empty: everybody.
    pub source_ranges: Vec<IpNet>,
    /// internalTrafficPolicy: Local.
    pub internal_local: bool,
    /// externalTrafficPolicy: Local.
    pub external_local: bool,
    /// Seconds of ClientIP affinity; `None`: each connection is balanced on its own.
    pub affinity_s: Option<u32>,
    /// Port on which the node tells load balancers whether it has local endpoints.
    pub health_check_node_port: Option<u16>,
}

impl Service {
    /// Reads an API object; `None` for what has no virtual address here: headless Services, ExternalName, and those
    /// that another proxy serves. Addresses and ports that cannot be read are left out.
    pub fn from_api(service: &core::Service) -> Option<Self> {
        let (meta, spec) = (&service.metadata, &service.spec);
        if spec.r#type == "ExternalName" || meta.labels.contains_key(OTHER_PROXY) {
            return None;
        }
        let mut cluster_ips = addresses(&spec.cluster_ips);
        if cluster_ips.is_empty() {
            cluster_ips = addresses(std::slice::from_ref(&spec.cluster_ip));
        }
        if cluster_ips.is_empty() {
            return None;
        }
        let balancer = service.status.load_balancer.ingress.iter();
        let balancer_ips = balancer.filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"));
        Some(Self {
            name: ServiceName::new(&meta.namespace, &meta.name),
            ports: spec.ports.iter().filter_map(port).collect(),
            cluster_ips,
            external_ips: addresses(&spec.external_ips),
            load_balancer_ips: balancer_ips.filter_map(|ingress| ingress.ip.parse().ok()).collect(),
            source_ranges: spec
                .load_balancer_source_ranges
                .iter()
                .filter_map(|range| range.trim().parse().ok())
                .collect(),
            internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
            external_local: spec.external_traffic_policy == "Local",
            affinity_s: (spec.session_affinity == "ClientIP").then(|| affinity_seconds(spec)),
            health_check_node_port: u16::try_from(spec.health_check_node_port).ok().filter(|port| *port != 0),
        })
    }
}

fn addresses(texts: &[String]) -> Vec<IpAddr> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn port(port: &core::ServicePort) -> Option<ServicePort> {
    Some(ServicePort {
        name: port.name.clone(),
        protocol: Protocol::parse(&port.protocol)?,
        port: u16::try_from(port.port).ok()?,
        node_port: u16::try_from(port.node_port).ok().filter(|port| *port != 0),
    })
}

fn affinity_seconds(spec: &core::ServiceSpec) -> u32 {
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    config.and_then(|client| client.timeout_seconds).and_then(|s| u32::try_from(s).ok()).unwrap_or(AFFINITY_DEFAULT_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(cluster_ip: &str) -> core::Service {
        let mut service = core::Service::default();
        service.metadata.namespace = "shop".into();
        service.metadata.name = "web".into();
        service.spec.cluster_ip = cluster_ip.into();
        service.spec.ports = vec![core::ServicePort { port: 80, protocol: "TCP".into(), ..Default::default() }];
        service
    }

    #[test]
    fn headless_and_external_names_are_ignored() {
        assert_eq!(Service::from_api(&service("None")), None);
        assert_eq!(Service::from_api(&service("")), None);
        let mut external = service("10.96.0.1");
        external.spec.r#type = "ExternalName".into();
        assert_eq!(Service::from_api(&external), None);
    }

    #[test]
    fn a_labelled_service_belongs_to_another_proxy() {
        let mut other = service("10.96.0.1");
        other.metadata.labels.insert(OTHER_PROXY.into(), "mesh".into());
        assert_eq!(Service::from_api(&other), None);
    }

    #[test]
    fn affinity_lasts_three_hours_unless_said() {
        let mut sticky = service("10.96.0.1");
        sticky.spec.session_affinity = "ClientIP".into();
        assert_eq!(Service::from_api(&sticky).unwrap().affinity_s, Some(10_800));
        sticky.spec.session_affinity_config =
            Some(core::SessionAffinityConfig { client_ip: Some(core::ClientIpConfig { timeout_seconds: Some(7) }) });
        assert_eq!(Service::from_api(&sticky).unwrap().affinity_s, Some(7));
    }

    #[test]
    fn a_balancer_that_proxies_itself_is_not_captured() {
        let mut balanced = service("10.96.0.1");
        balanced.status.load_balancer.ingress = vec![
            core::LoadBalancerIngress { ip: "192.0.2.1".into(), ..Default::default() },
            core::LoadBalancerIngress { ip: "192.0.2.2".into(), ip_mode: Some("Proxy".into()), ..Default::default() },
        ];
        let ips = Service::from_api(&balanced).unwrap().load_balancer_ips;
        assert_eq!(ips, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    }
}
