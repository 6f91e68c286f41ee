//! Flags of `keelson-dns`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Parser;

/// keelson-dns: answers for the cluster domain, and forwards the rest.
#[derive(Clone, Debug, Parser)]
#[command(name = "keelson-dns", about)]
pub struct Config {
    #[command(flatten)]
    pub common: daemon::cli::Common,

    /// kubeconfig with the API server and this server's identity.
    #[arg(long, value_name = "FILE", help_heading = "API server")]
    pub kubeconfig: PathBuf,

    /// Address to answer on, by UDP and TCP; may be given several times, and need not exist yet.
    #[arg(long, default_values_t = [IpAddr::V4(Ipv4Addr::UNSPECIFIED)], help_heading = "DNS")]
    pub bind_address: Vec<IpAddr>,
    /// Port to answer on.
    #[arg(long, default_value_t = 53, help_heading = "DNS")]
    pub port: u16,
    /// The cluster's domain.
    #[arg(long, default_value = "cluster.local", help_heading = "DNS")]
    pub cluster_domain: String,
    /// Seconds that an answer may be kept.
    #[arg(long, default_value_t = 30, help_heading = "DNS")]
    pub ttl_seconds: u32,
    /// Whose name servers are asked for other names.
    #[arg(long, value_name = "FILE", default_value = "/etc/resolv.conf", help_heading = "DNS")]
    pub resolv_conf: PathBuf,
    /// The addresses by which pods reach this server: never asked themselves, even if resolv.conf names them.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', default_value = "10.96.0.10", help_heading = "DNS")]
    pub cluster_dns: Vec<IpAddr>,

    /// Address of the port for health and metrics.
    #[arg(long, default_value = "127.0.0.1", help_heading = "Serving")]
    pub health_bind_address: IpAddr,
    /// That port; 0 serves nothing.
    #[arg(long, default_value_t = 8181, help_heading = "Serving")]
    pub health_port: u16,
}

impl daemon::cli::Flags for Config {
    fn common(&self) -> &daemon::cli::Common {
        &self.common
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_consistent() {
        let unexplained = daemon::cli::unexplained::<Config>();
        assert!(unexplained.is_empty(), "--help shows these without an explanation or a group: {unexplained:?}");
    }
}
