//! Asks the node's resolvers what the cluster does not know.
//!
//! Which they are may change while the server runs (a DHCP client, a VPN): a question looks at the file again when the
//! last look was a while ago, so an idle server does nothing.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use tokio::time::Instant;

/// How many answers are kept.
const CACHE_MAX: u64 = 4096;
/// How long one resolver may take before the next is asked.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How old the last look at resolv.conf may be.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// Why there are no resolvers to forward to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read --resolv-conf {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("--resolv-conf {path}: {source}")]
    Parse { path: String, source: resolv_conf::ParseError },
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
    current: Mutex<Current>,
    /// None: they never change.
    file: Option<File>,
}

struct Current {
    resolver: Option<Arc<TokioResolver>>,
    /// What the file held.
    text: Vec<u8>,
    read: Instant,
}

struct File {
    path: PathBuf,
    /// Name servers that are this server.
    ours: Vec<IpAddr>,
}

impl File {
    fn read(&self) -> Result<Vec<u8>, Error> {
        std::fs::read(&self.path).map_err(|source| Error::Read { path: self.path.display().to_string(), source })
    }

    fn resolver(&self, text: &[u8]) -> Result<Option<Arc<TokioResolver>>, Error> {
        let config = resolv_conf::Config::parse(text)
            .map_err(|source| Error::Parse { path: self.path.display().to_string(), source })?;
        let addresses = config.nameservers.into_iter().map(IpAddr::from);
        let servers: Vec<_> =
            addresses.filter(|ip| !self.ours.contains(ip)).map(NameServerConfig::udp_and_tcp).collect();
        if servers.is_empty() {
            tracing::warn!(path = %self.path.display(), "no name server to forward to: names outside the cluster are refused");
            return Ok(None);
        }
        resolver(servers).map(Some)
    }
}

fn resolver(servers: Vec<NameServerConfig>) -> Result<Arc<TokioResolver>, Error> {
    let config = ResolverConfig::from_name_servers(servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = TIMEOUT;
    options.cache_size = CACHE_MAX;
    options.use_hosts_file = ResolveHosts::Never;
    options.edns0 = true;
    Ok(Arc::new(builder.build()?))
}

impl Forwarder {
    /// Takes the name servers of a resolv.conf, without those in `ours`: asking ourselves would never end.
    pub fn from_resolv_conf(path: &Path, ours: &[IpAddr]) -> Result<Self, Error> {
        let file = File { path: path.to_owned(), ours: ours.to_vec() };
        let text = file.read()?;
        let resolver = file.resolver(&text)?;
        Ok(Self { current: Mutex::new(Current { resolver, text, read: Instant::now() }), file: Some(file) })
    }

    /// Forwards to these servers.
    pub fn to(servers: Vec<NameServerConfig>) -> Result<Self, Error> {
        Ok(Self::fixed(Some(resolver(servers)?)))
    }

    /// Refuses every name.
    pub fn none() -> Self {
        Self::fixed(None)
    }

    fn fixed(resolver: Option<Arc<TokioResolver>>) -> Self {
        Self { current: Mutex::new(Current { resolver, text: Vec::new(), read: Instant::now() }), file: None }
    }

    /// The resolver that the file asks for now. A file that cannot be read or understood changes nothing.
    fn resolver(&self) -> Option<Arc<TokioResolver>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = self.file.as_ref().filter(|_| current.read.elapsed() >= READ_AGAIN) else {
            return current.resolver.clone();
        };
        current.read = Instant::now();
        match file.read() {
            // A file that is being written is empty for a moment.
            Ok(text) if text.is_empty() || text == current.text => {}
            Ok(text) => match file.resolver(&text) {
                Ok(resolver) => {
                    tracing::info!(path = %file.path.display(), "other name servers are forwarded to from now on");
                    (current.resolver, current.text) = (resolver, text);
                }
                Err(error) => tracing::warn!("{error}; the name servers stay as they were"),
            },
            Err(error) => tracing::warn!("{error}; the name servers stay as they were"),
        }
        current.resolver.clone()
    }

    /// Asks for one name, taken as complete.
    pub async fn ask(&self, name: &Name, kind: RecordType) -> Forwarded {
        let Some(resolver) = self.resolver() else {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_name_servers_is_no_error() {
        let path = std::env::temp_dir().join(format!("keelson-resolv-none-{}.conf", std::process::id()));
        for text in ["", "search example.com\n"] {
            std::fs::write(&path, text).expect("written");
            let forwarder = Forwarder::from_resolv_conf(&path, &[]).expect("no error");
            assert!(forwarder.resolver().is_none(), "{text:?}");
        }
        std::fs::remove_file(&path).expect("removed");
    }

    #[tokio::test(start_paused = true)]
    async fn name_servers_are_read_again_when_they_change() {
        let path = std::env::temp_dir().join(format!("keelson-resolv-{}.conf", std::process::id()));
        let write = |text: &str| std::fs::write(&path, text).expect("written");
        write("nameserver 10.96.0.10\n");
        let forwarder = Forwarder::from_resolv_conf(&path, &[IpAddr::from([10, 96, 0, 10])]).expect("readable");
        assert!(forwarder.resolver().is_none(), "it is this server itself");
        write("nameserver 192.0.2.1\n");
        assert!(forwarder.resolver().is_none(), "looked at a moment ago");
        tokio::time::advance(READ_AGAIN).await;
        let first = forwarder.resolver().expect("a name server");
        for broken in ["", "nameserver not-an-address\n"] {
            write(broken);
            tokio::time::advance(READ_AGAIN).await;
            assert!(Arc::ptr_eq(&first, &forwarder.resolver().expect("kept")), "{broken:?}");
        }
        write("nameserver 192.0.2.2\n");
        tokio::time::advance(READ_AGAIN).await;
        assert!(!Arc::ptr_eq(&first, &forwarder.resolver().expect("another")));
        std::fs::remove_file(&path).expect("removed");
        tokio::time::advance(READ_AGAIN).await;
        assert!(forwarder.resolver().is_some());
    }
}
