//! The members of a first start as DNS names them: SRV records, in etcd's form.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::{RData, RecordType};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use crate::config::Config;

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// How long one name server may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Services, and what their members speak.
const SERVICES: [(&str, &str); 2] = [("etcd-server-ssl", "https"), ("etcd-server", "http")];

#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    #[error("--discovery-srv: reading {RESOLV_CONF}; name a server with --discovery-srv-server")]
    Read(#[source] std::io::Error),
    #[error("--discovery-srv: {RESOLV_CONF}: {0}")]
    Parse(#[from] resolv_conf::ParseError),
    #[error("--discovery-srv: no resolver can be made: {0}")]
    Build(#[from] NetError),
    #[error("--discovery-srv: DNS has no members of {domain}: {reasons}")]
    Nobody { domain: String, reasons: String },
    #[error(
        "--discovery-srv: none of the members ({members}) is this one: --initial-advertise-peer-urls ({own}) must be one of them"
    )]
    NotNamed { members: String, own: String },
}

/// Where a record says that a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    scheme: &'static str,
    host: String,
    port: u16,
}

impl Place {
    fn url(&self) -> String {
        format!("{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// Names and peer URLs, as --initial-cluster would give them. Of the others only the URLs count: names are numbers.
pub async fn discover(config: &Config, domain: &str) -> Result<BTreeMap<String, Vec<String>>, DiscoveryError> {
    let resolver = resolver(config.cluster.discovery_srv_server)?;
    let places = places(&resolver, config.cluster.discovery_srv_name.as_deref(), domain).await?;
    let own_urls = config.advertised_peer_urls();
    let mut own = BTreeSet::new();
    for url in &own_urls {
        own.extend(addresses(&resolver, url).await);
    }
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (number, place) in places.iter().enumerate() {
        let url = place.url();
        let is_own = own_urls.contains(&url) || !own.is_disjoint(&addresses(&resolver, &url).await);
        let name = if is_own { config.name.clone() } else { number.to_string() };
        members.entry(name).or_default().push(url);
    }
    if !members.contains_key(&config.name) {
        let all = places.iter().map(Place::url).collect::<Vec<_>>().join(",");
        return Err(DiscoveryError::NotNamed { members: all, own: own_urls.join(",") });
    }
    tracing::info!(domain, ?members, "--discovery-srv: the members");
    Ok(members)
}

fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, DiscoveryError> {
    let servers = match server {
        Some(address) => vec![name_server(address.ip(), address.port())],
        None => {
            let text = std::fs::read(RESOLV_CONF).map_err(DiscoveryError::Read)?;
            let parsed = resolv_conf::Config::parse(text)?;
            parsed.nameservers.into_iter().map(|ip| name_server(IpAddr::from(ip), 53)).collect()
        }
    };
    let config = ResolverConfig::from_name_servers(servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().timeout = TIMEOUT;
    Ok(builder.build()?)
}

fn name_server(ip: IpAddr, port: u16) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(ip);
    server.connections.iter_mut().for_each(|connection| connection.port = port);
    server
}

async fn places(resolver: &TokioResolver, suffix: Option<&str>, domain: &str) -> Result<Vec<Place>, DiscoveryError> {
    let mut places = Vec::new();
    let mut reasons = Vec::new();
    for (service, scheme) in SERVICES {
        let name = record_name(service, suffix, domain);
        match resolver.lookup(name.as_str(), RecordType::SRV).await {
            Ok(found) => places.extend(found.answers().iter().filter_map(|record| place(&record.data, scheme))),
            Err(error) => reasons.push(format!("{name}: {error}")),
        }
    }
    places.sort_by_key(Place::url);
    match places.is_empty() {
        true => Err(DiscoveryError::Nobody { domain: domain.to_owned(), reasons: reasons.join("; ") }),
        false => Ok(places),
    }
}

/// Fully qualified, so that no search domain is tried.
fn record_name(service: &str, suffix: Option<&str>, domain: &str) -> String {
    let suffix = suffix.map(|suffix| format!("-{suffix}")).unwrap_or_default();
    format!("_{service}{suffix}._tcp.{}.", domain.trim_end_matches('.'))
}

fn place(data: &RData, scheme: &'static str) -> Option<Place> {
    let RData::SRV(srv) = data else { return None };
    let host = srv.target.to_string().trim_end_matches('.').to_owned();
    Some(Place { scheme, host, port: srv.port })
}

/// Where a URL leads; nowhere when its host cannot be resolved.
async fn addresses(resolver: &TokioResolver, url: &str) -> BTreeSet<SocketAddr> {
    let Ok(uri) = url.parse::<http::Uri>() else { return BTreeSet::new() };
    let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else { return BTreeSet::new() };
    let host = host.trim_matches(['[', ']']);
    if let Ok(ip) = host.parse::<IpAddr>() {
        return BTreeSet::from([SocketAddr::new(ip, port)]);
    }
    match resolver.lookup_ip(format!("{}.", host.trim_end_matches('.'))).await {
        Ok(found) => found.iter().map(|ip| SocketAddr::new(ip, port)).collect(),
        Err(_) => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_etcd_s_names() {
        assert_eq!(record_name("etcd-server", None, "example.com"), "_etcd-server._tcp.example.com.");
        assert_eq!(record_name("etcd-server-ssl", Some("a"), "example.com."), "_etcd-server-ssl-a._tcp.example.com.");
    }
}
