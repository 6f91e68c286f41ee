//! Flags of `keelson-proxy`, with upstream's names.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use ipnet::IpNet;

use crate::render::NodePortAddresses;

/// keelson-proxy: makes Services reachable through nftables.
#[derive(Clone, Debug, Parser)]
#[command(name = "keelson-proxy", about)]
pub struct Config {
    #[command(flatten)]
    pub common: daemon::cli::Common,

    /// kubeconfig with the API server and this proxy's identity.
    #[arg(long, value_name = "FILE", help_heading = "API server")]
    pub kubeconfig: Option<PathBuf>,
    /// The Node's name; the machine's when left out.
    #[arg(long, value_name = "NAME", help_heading = "Node")]
    pub hostname_override: Option<String>,

    /// The pods' address ranges: traffic to Services from elsewhere is masqueraded.
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',', help_heading = "Rules")]
    pub cluster_cidr: Vec<IpNet>,
    /// Masquerade all traffic to cluster IPs.
    #[arg(long, help_heading = "Rules")]
    pub masquerade_all: bool,
    /// Bit of the packet mark that says "masquerade me", 0 to 31.
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u8).range(0..32), alias = "nftables-masquerade-bit", help_heading = "Rules")]
    pub iptables_masquerade_bit: u8,
    /// Addresses on which node ports are served: ranges, or primary for the Node's own addresses. Never loopback.
    #[arg(
        long,
        value_name = "CIDR,...|primary",
        value_delimiter = ',',
        default_value = "primary",
        help_heading = "Rules"
    )]
    pub nodeport_addresses: Vec<String>,
    /// Only nftables is there.
    #[arg(long, default_value = "nftables", value_parser = ["nftables"], help_heading = "Rules")]
    pub proxy_mode: String,
    /// Seconds after which the tables are compared with the kernel's and mended; 0: never.
    #[arg(long, default_value_t = 60, help_heading = "Rules")]
    pub nftables_sync_period_seconds: u64,

    /// Where /healthz is served; empty: nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:10256", help_heading = "Serving")]
    pub healthz_bind_address: String,
    /// Where /metrics is served; empty: nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:10249", help_heading = "Serving")]
    pub metrics_bind_address: String,

    /// Remove our tables and end.
    #[arg(long, help_heading = "Process")]
    pub cleanup: bool,
}

impl daemon::cli::Flags for Config {
    fn common(&self) -> &daemon::cli::Common {
        &self.common
    }
}

/// Why flags do not make sense.
#[derive(Debug, thiserror::Error)]
#[error("--nodeport-addresses: {value} is neither a range such as 10.0.0.0/8 nor primary")]
pub struct BadNodePortAddress {
    value: String,
}

impl Config {
    /// The Node's name, lower case as Node names are.
    pub fn node_name(&self) -> String {
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        self.hostname_override.clone().unwrap_or_else(host).trim().to_lowercase()
    }

    /// `None`: the Node's own addresses.
    pub fn node_ports(&self) -> Result<Option<NodePortAddresses>, BadNodePortAddress> {
        if self.nodeport_addresses.iter().any(|value| value == "primary") {
            return Ok(None);
        }
        let parse = |value: &String| value.parse().map_err(|_| BadNodePortAddress { value: value.clone() });
        let ranges = self
            .nodeport_addresses
            .iter()
            .filter(|value| !value.is_empty())
            .map(parse)
            .collect::<Result<Vec<IpNet>, _>>()?;
        Ok(Some(if ranges.is_empty() { NodePortAddresses::All } else { NodePortAddresses::Within(ranges) }))
    }
}

/// An address to listen on; a bare address gets the port.
pub fn listen_address(text: &str, port: u16) -> Option<String> {
    match text {
        "" => None,
        text if text.parse::<SocketAddr>().is_ok() => Some(text.to_owned()),
        text => Some(text.parse().map_or_else(|_| text.to_owned(), |ip| SocketAddr::new(ip, port).to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_consistent() {
        use clap::CommandFactory;
        Config::command().debug_assert();
    }

    #[test]
    fn node_port_addresses_are_ranges_or_primary() {
        let parse = |text: &str| Config::parse_from(["x", "--nodeport-addresses", text]).node_ports();
        assert_eq!(parse("primary").unwrap(), None);
        assert_eq!(parse("10.0.0.0/8").unwrap(), Some(NodePortAddresses::Within(vec!["10.0.0.0/8".parse().unwrap()])));
        assert!(parse("nonsense").is_err());
    }
}
