//! Flags of `keelson-proxy`, with upstream's names.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

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
    #[arg(long, alias = "mode", default_value = "nftables", value_parser = ["nftables"], help_heading = "Rules")]
    pub proxy_mode: String,
    /// How often the tables are compared with the kernel's and mended: 30s, 1m; 0: never.
    #[arg(long, value_name = "DURATION", default_value = "60s", alias = "nftables-sync-period-seconds", value_parser = duration, help_heading = "Rules")]
    pub nftables_sync_period: Duration,

    /// Where /healthz is served; empty: nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:10256", help_heading = "Serving")]
    pub healthz_bind_address: String,
    /// Where /metrics is served; empty: nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:10249", help_heading = "Serving")]
    pub metrics_bind_address: String,

    /// Remove our tables and end.
    #[arg(long, help_heading = "Process")]
    pub cleanup: bool,

    #[command(flatten)]
    pub taken: Taken,
}

/// Settings of upstream's command lines and files that change nothing here, each for the reason that it says.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Taken for upstream's command lines")]
pub struct Taken {
    /// The addresses of ports are named one by one
    #[arg(long, value_name = "IP")]
    pub bind_address: Option<IpAddr>,
    /// An address that cannot be had ends the process
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    pub bind_address_hard_fail: Option<bool>,
    /// Informers follow changes, and need no period
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub config_sync_period: Option<Duration>,
    /// What is local is told by --cluster-cidr
    #[arg(long, value_name = "MODE", value_parser = ["ClusterCIDR"])]
    pub detect_local_mode: Option<String>,
    /// Changes that come together share a transaction anyhow
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub nftables_min_sync_period: Option<Duration>,
    /// There is no iptables mode
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub iptables_sync_period: Option<Duration>,
    /// There is no iptables mode
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub iptables_min_sync_period: Option<Duration>,
    /// Limits of conntrack are the machine's
    #[arg(long, value_name = "N")]
    pub conntrack_max_per_core: Option<u32>,
    /// Limits of conntrack are the machine's
    #[arg(long, value_name = "N")]
    pub conntrack_min: Option<u32>,
    /// Limits of conntrack are the machine's
    #[arg(long, alias = "conntrack-tcp-established-timeout", value_name = "DURATION", value_parser = duration)]
    pub conntrack_tcp_timeout_established: Option<Duration>,
    /// Limits of conntrack are the machine's
    #[arg(long, alias = "conntrack-tcp-close-wait-timeout", value_name = "DURATION", value_parser = duration)]
    pub conntrack_tcp_timeout_close_wait: Option<Duration>,
    /// The machine's manager of services sets it
    #[arg(long, allow_hyphen_values = true, value_name = "SCORE")]
    pub oom_score_adj: Option<i32>,
    /// One connection, few calls
    #[arg(long, value_name = "RATE")]
    pub kube_api_qps: Option<f32>,
    /// One connection, few calls
    #[arg(long, value_name = "N")]
    pub kube_api_burst: Option<i32>,
    /// The API is spoken to by gRPC
    #[arg(long, value_name = "TYPE")]
    pub kube_api_content_type: Option<String>,
    /// What upstream has behind gates is either done here or not
    #[arg(long, value_delimiter = ',', value_parser = daemon::cli::taken::feature_gate, value_name = "NAME=true|false,...")]
    pub feature_gates: Vec<String>,
}

/// Go's durations (`30s`, `1m30s`, `500ms`), or bare seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write 30s, 1m30s or 500ms");
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = match &rest[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return Err(wrong()),
        };
        rest = &rest[unit..];
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        total = total.checked_add(part).ok_or_else(wrong)?;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
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
        let unexplained = daemon::cli::unexplained::<Config>();
        assert!(unexplained.is_empty(), "--help shows these without an explanation or a group: {unexplained:?}");
    }

    /// As upstream's tools write it, with every key.
    const UPSTREAMS: &str = "\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection: {acceptContentTypes: \"\", burst: 10, contentType: \"\", kubeconfig: /etc/proxy.conf, qps: 5}
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 15m0s
conntrack: {maxPerCore: 32768, min: null, tcpBeLiberal: false, tcpCloseWaitTimeout: 1h0m0s, tcpEstablishedTimeout: 24h0m0s,
  udpStreamTimeout: 0s, udpTimeout: 0s}
detectLocal: {bridgeInterface: \"\", interfaceNamePrefix: \"\"}
detectLocalMode: \"\"
enableProfiling: false
healthzBindAddress: \"\"
hostnameOverride: node-1
iptables: {localhostNodePorts: null, masqueradeAll: false, masqueradeBit: 14, minSyncPeriod: 1s, syncPeriod: 30s}
ipvs: {excludeCIDRs: null, minSyncPeriod: 0s, scheduler: \"\", strictARP: false, syncPeriod: 0s, tcpTimeout: 0s}
kind: KubeProxyConfiguration
logging: {flushFrequency: 0, options: {json: {infoBufferSize: \"0\"}, text: {infoBufferSize: \"0\"}}, verbosity: 0}
metricsBindAddress: \"\"
mode: nftables
nftables: {masqueradeAll: true, masqueradeBit: 15, minSyncPeriod: 1s, syncPeriod: 90s}
nodePortAddresses: null
oomScoreAdj: -999
portRange: \"\"
showHiddenMetricsForVersion: \"\"
winkernel: {enableDSR: false, networkName: \"\", sourceVip: \"\"}
";

    #[test]
    fn upstreams_file_is_read() {
        let path = std::env::temp_dir().join(format!("keelson-proxy-{}.yaml", std::process::id()));
        std::fs::write(&path, UPSTREAMS).unwrap();
        let args = ["x".into(), format!("--config={}", path.display()).into()];
        let config = daemon::cli::parse_from::<Config>(args.into()).unwrap_or_else(|error| panic!("{error}"));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(config.kubeconfig, Some(PathBuf::from("/etc/proxy.conf")));
        assert_eq!((config.node_name().as_str(), config.iptables_masquerade_bit), ("node-1", 15));
        assert!(config.masquerade_all);
        assert_eq!(config.nftables_sync_period, Duration::from_secs(90));
        assert_eq!(config.healthz_bind_address, "0.0.0.0:10256", "empty is the default there");
    }

    /// As scripts start kube-proxy without a file.
    const KUBE_PROXY: &str = "kube-proxy --kubeconfig=/etc/proxy.conf --hostname-override=Node-1 --cluster-cidr=10.244.0.0/16 \
        --proxy-mode=nftables --detect-local-mode=ClusterCIDR --bind-address=0.0.0.0 --bind-address-hard-fail=false \
        --healthz-bind-address=0.0.0.0:10256 --metrics-bind-address=127.0.0.1:10249 --iptables-masquerade-bit=14 \
        --nodeport-addresses=primary --masquerade-all=false --config-sync-period=15m0s --conntrack-max-per-core=32768 \
        --conntrack-min=131072 --conntrack-tcp-timeout-established=24h0m0s --conntrack-tcp-timeout-close-wait=1h0m0s \
        --iptables-sync-period=30s --iptables-min-sync-period=1s --nftables-sync-period=30s --nftables-min-sync-period=1s \
        --kube-api-qps=5 --kube-api-burst=10 --kube-api-content-type=application/vnd.kubernetes.protobuf \
        --oom-score-adj=-998 --feature-gates=SomeGate=true --logging-format=json --v=2";

    #[test]
    fn kube_proxys_flags_start_this_proxy() {
        let parse = |more: &str| {
            let line = format!("{KUBE_PROXY} {more}");
            daemon::cli::parse_from::<Config>(line.split_whitespace().map(Into::into).collect())
        };
        let config = parse("").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((config.node_name().as_str(), config.cluster_cidr.len()), ("node-1", 1));
        assert_eq!((config.nftables_sync_period, config.common.v), (Duration::from_secs(30), 2));
        for wrong in ["--proxy-mode=iptables", "--proxy-mode=ipvs", "--detect-local-mode=NodeCIDR", "--feature-gates=x"]
        {
            let refused = parse(wrong).expect_err(wrong).to_string();
            assert!(refused.contains(wrong.split('=').next().expect("a flag")), "{wrong}: {refused}");
        }
    }

    #[test]
    fn durations_are_gos_or_seconds() {
        for (text, ms) in [("30s", 30_000), ("1m30s", 90_000), ("0", 0), ("60", 60_000), ("500ms", 500)] {
            assert_eq!(duration(text).unwrap().as_millis(), ms, "{text}");
        }
        assert!(["", "x", "5x", "s"].iter().all(|text| duration(text).is_err()));
    }

    #[test]
    fn node_port_addresses_are_ranges_or_primary() {
        let parse = |text: &str| Config::parse_from(["x", "--nodeport-addresses", text]).node_ports();
        assert_eq!(parse("primary").unwrap(), None);
        assert_eq!(parse("10.0.0.0/8").unwrap(), Some(NodePortAddresses::Within(vec!["10.0.0.0/8".parse().unwrap()])));
        assert!(parse("nonsense").is_err());
    }
}
