//! What must hold of the flags together.

use super::Config;
use crate::auth::jwt::JwtError;

/// What is wrong with the flags together.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("--initial-cluster: {0:?} is not NAME=URL")]
    Member(String),
    #[error("--initial-cluster does not name this member ({0}, set by --name)")]
    NotNamed(String),
    #[error("{flag}: {url:?} is not http://HOST:PORT or https://HOST:PORT")]
    Url { flag: &'static str, url: String },
    #[error("{flag} has an https URL, but {needed} is not set")]
    NoCertificate { flag: &'static str, needed: &'static str },
    #[error("{flag} is set, but {needed} is not: nobody would know which certificates to trust")]
    NoCa { flag: &'static str, needed: &'static str },
    #[error("--{flag} is not there: {why}")]
    Refused { flag: &'static str, why: &'static str },
    #[error(transparent)]
    AuthToken(#[from] JwtError),
    #[error("--auto-compaction-retention: {text:?} is no {wanted}")]
    Retention { text: String, wanted: &'static str },
    #[error("--election-timeout ({election} ms) must be at least five times --heartbeat-interval ({heartbeat} ms)")]
    Timeouts { election: u64, heartbeat: u64 },
}

/// Where a listener binds: host:port, and whether it is encrypted.
pub struct Listen {
    pub address: String,
    pub tls: bool,
}

pub fn listen(flag: &'static str, url: &str) -> Result<Listen, ConfigError> {
    let bad = || ConfigError::Url { flag, url: url.to_owned() };
    let uri: http::Uri = url.trim().parse().map_err(|_| bad())?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(bad()),
    };
    let host = uri.host().ok_or_else(bad)?;
    let port = uri.port_u16().ok_or_else(bad)?;
    let host = if host == "localhost" { "127.0.0.1" } else { host };
    Ok(Listen { address: format!("{host}:{port}"), tls })
}

impl Config {
    /// Refuses flags that do not go together, naming the one to change.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.refused.check().map_err(|(flag, why)| ConfigError::Refused { flag, why })?;
        self.limits.auto_compaction()?;
        if self.election_timeout < 5 * self.heartbeat_interval {
            return Err(ConfigError::Timeouts { election: self.election_timeout, heartbeat: self.heartbeat_interval });
        }
        let lists = [
            ("--listen-client-urls", &self.listen_client_urls, "--cert-file", self.security.cert_file.is_some()),
            ("--listen-peer-urls", &self.listen_peer_urls, "--peer-cert-file", self.security.peer_cert_file.is_some()),
            ("--listen-metrics-urls", &self.listen_metrics_urls, "--cert-file", self.security.cert_file.is_some()),
        ];
        for (flag, urls, needed, certified) in lists {
            for url in urls {
                if listen(flag, url)?.tls && !certified {
                    return Err(ConfigError::NoCertificate { flag, needed });
                }
            }
        }
        self.security.check()
    }
}
