//! Asks the node's resolvers what the cluster does not know.

use std::path::Path;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};

/// How many answers are kept.
const CACHE_MAX: u64 = 4096;
/// How long one resolver may take before the next is asked.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Why there are no resolvers to forward to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read --resolv-conf {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("--resolv-conf {path}: {source}")]
    Parse { path: String, source: NetError },
    #[error("no resolver can be made: {0}")]
    Build(#[from] NetError),
}

/// What a resolver of the node said.
#[derive(Debug)]
pub enum Forwarded {
    Records(Vec<Record>),
    /// No records, with the code that says whether the name exists, and the SOA that came along.
    Nothing {
        code: ResponseCode,
        soa: Vec<Record>,
    },
    Failed(String),
}

/// The node's resolvers; none where the node has none.
pub struct Forwarder {
    resolver: Option<TokioResolver>,
}

impl Forwarder {
    /// Takes the name servers of a resolv.conf, without those in `ours`: asking ourselves would never end.
    pub fn from_resolv_conf(path: &Path, ours: &[std::net::IpAddr]) -> Result<Self, Error> {
        let shown = || path.display().to_string();
        let text = std::fs::read(path).map_err(|source| Error::Read { path: shown(), source })?;
        let (config, _) = hickory_resolver::system_conf::parse_resolv_conf(text)
            .map_err(|source| Error::Parse { path: shown(), source })?;
        let servers: Vec<NameServerConfig> =
            config.name_servers.into_iter().filter(|server| !ours.contains(&server.ip)).collect();
        if servers.is_empty() {
            tracing::warn!(path = %path.display(), "no name server to forward to: names outside the cluster are refused");
            return Ok(Self::none());
        }
        Self::to(servers)
    }

    /// Forwards to these servers.
    pub fn to(servers: Vec<NameServerConfig>) -> Result<Self, Error> {
        let config = ResolverConfig::from_name_servers(servers);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = TIMEOUT;
        options.cache_size = CACHE_MAX;
        options.use_hosts_file = ResolveHosts::Never;
        options.edns0 = true;
        Ok(Self { resolver: Some(builder.build()?) })
    }

    /// Refuses every name.
    pub fn none() -> Self {
        Self { resolver: None }
    }

    /// Asks for one name, taken as complete.
    pub async fn ask(&self, name: &Name, kind: RecordType) -> Forwarded {
        let Some(resolver) = &self.resolver else {
            return Forwarded::Nothing { code: ResponseCode::Refused, soa: Vec::new() };
        };
        let mut name = name.clone();
        name.set_fqdn(true);
        match resolver.lookup(name, kind).await {
            Ok(lookup) => Forwarded::Records(lookup.answers().to_vec()),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                let soa = none.soa.map(|soa| soa.into_record_of_rdata()).into_iter().collect();
                Forwarded::Nothing { code: none.response_code, soa }
            }
            Err(error) => Forwarded::Failed(error.to_string()),
        }
    }
}
