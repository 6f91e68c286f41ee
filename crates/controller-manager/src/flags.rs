//! The daemon's flags, with upstream's names, and the settings they make.

mod names;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use daemon::cli::{self, Common};
use ipnet::IpNet;

/// Makes the cluster what its objects say: Deployments, ReplicaSets, endpoints, nodes, namespaces, garbage.
#[derive(Parser, Debug)]
#[command(name = "keelson-controller-manager")]
pub struct Flags {
    #[command(flatten)]
    pub common: Common,

    /// How to reach the API server, and as whom
    #[arg(long, value_name = "FILE", help_heading = "API server")]
    pub kubeconfig: Option<PathBuf>,

    /// Work only while holding the leader Lease
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false", help_heading = "Leader election")]
    pub leader_elect: bool,
    /// How long others wait for a leader that no longer renews
    #[arg(long, default_value = "15s", value_parser = duration, value_name = "DURATION", help_heading = "Leader election")]
    pub leader_elect_lease_duration: Duration,
    /// How long the leader tries to renew before it gives up
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION", help_heading = "Leader election")]
    pub leader_elect_renew_deadline: Duration,
    /// Pause between tries to lead or to renew
    #[arg(long, default_value = "2s", value_parser = duration, value_name = "DURATION", help_heading = "Leader election")]
    pub leader_elect_retry_period: Duration,
    /// Name of the leader Lease
    #[arg(long, default_value = "kube-controller-manager", value_name = "NAME", help_heading = "Leader election")]
    pub leader_elect_resource_name: String,
    /// Namespace of the leader Lease
    #[arg(long, default_value = "kube-system", value_name = "NAMESPACE", help_heading = "Leader election")]
    pub leader_elect_resource_namespace: String,

    /// Address of the health and metrics port
    #[arg(long, default_value = "0.0.0.0", value_name = "IP", help_heading = "Serving")]
    pub bind_address: String,
    /// Health and metrics port; 0 turns it off
    #[arg(long, default_value_t = 10257, value_name = "PORT", help_heading = "Serving")]
    pub secure_port: u16,
    /// Serving certificate; without one the port is plain HTTP on 127.0.0.1
    #[arg(long, value_name = "FILE", help_heading = "Serving")]
    pub tls_cert_file: Option<PathBuf>,
    /// Key of the serving certificate
    #[arg(long, value_name = "FILE", help_heading = "Serving")]
    pub tls_private_key_file: Option<PathBuf>,
    /// CA of callers' certificates; with it, metrics need one
    #[arg(long, value_name = "FILE", help_heading = "Serving")]
    pub client_ca_file: Option<PathBuf>,

    /// Which controllers run: * for all, NAME, -NAME
    #[arg(
        long,
        default_value = "*",
        value_delimiter = ',',
        allow_hyphen_values = true,
        value_name = "NAMES",
        help_heading = "Controllers"
    )]
    pub controllers: Vec<String>,
    /// Deployments worked on at once
    #[arg(long, default_value_t = 5, value_name = "N", help_heading = "Controllers")]
    pub concurrent_deployment_syncs: usize,
    /// ReplicaSets worked on at once
    #[arg(long, default_value_t = 5, value_name = "N", help_heading = "Controllers")]
    pub concurrent_replicaset_syncs: usize,
    /// Services whose endpoints are worked on at once
    #[arg(long, default_value_t = 5, value_name = "N", help_heading = "Controllers")]
    pub concurrent_endpoint_syncs: usize,
    /// Services whose endpoint slices are worked on at once
    #[arg(long, default_value_t = 5, value_name = "N", help_heading = "Controllers")]
    pub concurrent_service_endpoint_syncs: usize,
    /// Namespaces being deleted that are worked on at once
    #[arg(long, default_value_t = 10, value_name = "N", help_heading = "Controllers")]
    pub concurrent_namespace_syncs: usize,
    /// Objects collected at once
    #[arg(long, default_value_t = 20, value_name = "N", help_heading = "Controllers")]
    pub concurrent_gc_syncs: usize,
    /// Endpoints in one slice at most
    #[arg(long, default_value_t = 100, value_name = "N", help_heading = "Controllers")]
    pub max_endpoints_per_slice: usize,
    /// Ended pods that are kept before the oldest are deleted; 0: all
    #[arg(long, default_value_t = 12500, value_name = "N", help_heading = "Controllers")]
    pub terminated_pod_gc_threshold: usize,

    /// Give each node a part of --cluster-cidr for its pods
    #[arg(long, help_heading = "Nodes")]
    pub allocate_node_cidrs: bool,
    /// Range of pod addresses; two, joined by a comma, for dual stack
    #[arg(long, default_value = "10.244.0.0/16", value_delimiter = ',', value_name = "CIDR", help_heading = "Nodes")]
    pub cluster_cidr: Vec<IpNet>,
    /// Range of service addresses: never given to nodes
    #[arg(long, value_delimiter = ',', value_name = "CIDR", help_heading = "Nodes")]
    pub service_cluster_ip_range: Vec<IpNet>,
    /// Size of a node's IPv4 range
    #[arg(long, default_value_t = 24, value_name = "BITS", help_heading = "Nodes")]
    pub node_cidr_mask_size: u8,
    /// Size of a node's IPv4 range, for dual stack
    #[arg(long, value_name = "BITS", help_heading = "Nodes")]
    pub node_cidr_mask_size_ipv4: Option<u8>,
    /// Size of a node's IPv6 range
    #[arg(long, default_value_t = 64, value_name = "BITS", help_heading = "Nodes")]
    pub node_cidr_mask_size_ipv6: u8,
    /// How often nodes are looked at
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "DURATION", help_heading = "Nodes")]
    pub node_monitor_period: Duration,
    /// How long a node may be silent before it counts as gone
    #[arg(long, default_value = "50s", value_parser = duration, value_name = "DURATION", help_heading = "Nodes")]
    pub node_monitor_grace_period: Duration,
    /// The same for a node that has not reported yet
    #[arg(long, default_value = "1m", value_parser = duration, value_name = "DURATION", help_heading = "Nodes")]
    pub node_startup_grace_period: Duration,
    /// Nodes tainted for eviction per second
    #[arg(long, default_value_t = 0.1, value_name = "RATE", help_heading = "Nodes")]
    pub node_eviction_rate: f32,
    /// The same where most of a large zone is silent
    #[arg(long, default_value_t = 0.01, value_name = "RATE", help_heading = "Nodes")]
    pub secondary_node_eviction_rate: f32,
    /// Part of a zone's nodes (at least three) that makes it count as mostly silent
    #[arg(long, default_value_t = 0.55, value_name = "FRACTION", help_heading = "Nodes")]
    pub unhealthy_zone_threshold: f32,
    /// Nodes of a large zone; a smaller one that is mostly silent is not emptied at all
    #[arg(long, default_value_t = 50, value_name = "N", help_heading = "Nodes")]
    pub large_cluster_size_threshold: usize,

    /// CA certificate for pods (ConfigMap kube-root-ca.crt in every namespace)
    #[arg(long, value_name = "FILE", help_heading = "Service accounts")]
    pub root_ca_file: Option<PathBuf>,
    #[command(flatten)]
    pub taken: Taken,

    /// Key of service account tokens. The API server signs them; taken so that upstream's command lines start
    #[arg(long, value_name = "FILE", help_heading = "Service accounts")]
    pub service_account_private_key_file: Option<PathBuf>,
    /// Taken so that upstream's command lines start; all controllers share one identity
    #[arg(long, help_heading = "Service accounts")]
    pub use_service_account_credentials: bool,
}

/// Flags of upstream's manifests that change nothing here, each for the reason that it says.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Taken for upstream's command lines")]
pub struct Taken {
    /// Callers of the port are told apart by their certificates alone
    #[arg(long, value_name = "FILE")]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// Callers of the port are told apart by their certificates alone
    #[arg(long, value_name = "FILE")]
    pub authorization_kubeconfig: Option<PathBuf>,
    /// Nobody comes through an aggregating proxy
    #[arg(long, value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Cloud providers name what they make after it; there are none here
    #[arg(long, default_value = "kubernetes", value_name = "NAME")]
    pub cluster_name: String,
    /// Certificate requests are not signed here
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_cert_file: Option<PathBuf>,
    /// Certificate requests are not signed here
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_key_file: Option<PathBuf>,
    /// Certificate requests are not signed here
    #[arg(long, default_value = "8760h", value_parser = duration, value_name = "DURATION")]
    pub cluster_signing_duration: Duration,
    /// Certificate requests are not signed here
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_kube_apiserver_client_cert_file: Option<PathBuf>,
    /// Certificate requests are not signed here
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_kube_apiserver_client_key_file: Option<PathBuf>,
    /// Certificate requests are not signed here
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_kubelet_client_cert_file: Option<PathBuf>,
    /// Certificate requests are not signed here
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_kubelet_client_key_file: Option<PathBuf>,
    /// Certificate requests are not signed here
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_kubelet_serving_cert_file: Option<PathBuf>,
    /// Certificate requests are not signed here
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_kubelet_serving_key_file: Option<PathBuf>,
    /// Certificate requests are not signed here
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_legacy_unknown_cert_file: Option<PathBuf>,
    /// Certificate requests are not signed here
    #[arg(long, value_name = "FILE")]
    pub cluster_signing_legacy_unknown_key_file: Option<PathBuf>,
}

impl cli::Flags for Flags {
    fn common(&self) -> &Common {
        &self.common
    }
}

/// What plans need to know of the flags.
#[derive(Clone, Debug)]
pub struct Settings {
    /// PEM; empty: no root CA is published.
    pub root_ca: String,
    /// Ranges of pod addresses and the size of a node's part; empty: none are given.
    pub node_ranges: Vec<(IpNet, u8)>,
    /// Ranges that no node may get.
    pub service_ranges: Vec<IpNet>,
    pub max_endpoints_per_slice: usize,
    pub terminated_pod_gc_threshold: usize,
    pub node_monitor_period: Duration,
    pub node_monitor_grace_period: Duration,
    pub node_startup_grace_period: Duration,
    pub node_eviction_rate: f32,
    pub secondary_node_eviction_rate: f32,
    pub unhealthy_zone_threshold: f32,
    pub large_cluster_size_threshold: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            root_ca: String::new(),
            node_ranges: Vec::new(),
            service_ranges: Vec::new(),
            max_endpoints_per_slice: 100,
            terminated_pod_gc_threshold: 12_500,
            node_monitor_period: Duration::from_secs(5),
            node_monitor_grace_period: Duration::from_secs(50),
            node_startup_grace_period: Duration::from_secs(60),
            node_eviction_rate: 0.1,
            secondary_node_eviction_rate: 0.01,
            unhealthy_zone_threshold: 0.55,
            large_cluster_size_threshold: 50,
        }
    }
}

/// Why flags do not make sense together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The CA for pods cannot be read.
    #[error("cannot read --root-ca-file {}: {source}", path.display())]
    RootCa {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A node's part is larger than the whole.
    #[error("--cluster-cidr {range} cannot be cut into parts of /{size}; set --node-cidr-mask-size to {} or more", range.prefix_len())]
    MaskSize {
        /// The whole.
        range: IpNet,
        /// A part.
        size: u8,
    },
    /// A controller that does not exist.
    #[error("--controllers: there is no controller {name:?}; there are: {known}")]
    UnknownController {
        /// As given.
        name: String,
        /// All names.
        known: String,
    },
}

impl Flags {
    /// The settings for plans.
    pub fn settings(&self) -> Result<Settings, Error> {
        let root_ca = match &self.root_ca_file {
            Some(path) => {
                std::fs::read_to_string(path).map_err(|source| Error::RootCa { path: path.clone(), source })?
            }
            None => String::new(),
        };
        let mut node_ranges = Vec::new();
        for range in self.cluster_cidr.iter().filter(|_| self.allocate_node_cidrs) {
            let size = match range {
                IpNet::V4(_) => self.node_cidr_mask_size_ipv4.unwrap_or(self.node_cidr_mask_size),
                IpNet::V6(_) => self.node_cidr_mask_size_ipv6,
            };
            if size < range.prefix_len() || size > range.max_prefix_len() {
                return Err(Error::MaskSize { range: *range, size });
            }
            node_ranges.push((*range, size));
        }
        Ok(Settings {
            root_ca,
            node_ranges,
            service_ranges: self.service_cluster_ip_range.clone(),
            max_endpoints_per_slice: self.max_endpoints_per_slice.max(1),
            terminated_pod_gc_threshold: self.terminated_pod_gc_threshold,
            node_monitor_period: self.node_monitor_period,
            node_monitor_grace_period: self.node_monitor_grace_period,
            node_startup_grace_period: self.node_startup_grace_period,
            node_eviction_rate: self.node_eviction_rate,
            secondary_node_eviction_rate: self.secondary_node_eviction_rate,
            unhealthy_zone_threshold: self.unhealthy_zone_threshold,
            large_cluster_size_threshold: self.large_cluster_size_threshold,
        })
    }

    /// Whether a controller runs.
    pub fn runs(&self, name: &str) -> bool {
        let is = |entry: &str| names::full(entry) == name;
        let listed = |prefix: &str| self.controllers.iter().any(|entry| entry.strip_prefix(prefix).is_some_and(is));
        !listed("-") && (listed("") || self.controllers.iter().any(|entry| entry == "*"))
    }

    /// Refuses names that are no controllers.
    pub fn check_controllers(&self, known: &[&str]) -> Result<(), Error> {
        for entry in &self.controllers {
            let name = entry.strip_prefix('-').unwrap_or(entry);
            let full = names::full(name);
            if names::is_upstreams_only(full) {
                tracing::debug!(controller = full, "there is no such controller here yet; it is left out");
            } else if name != "*" && !known.contains(&full) {
                return Err(Error::UnknownController { name: name.to_owned(), known: known.join(", ") });
            }
        }
        Ok(())
    }
}

/// Go's durations: `15s`, `1m30s`, `500ms`, `2h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write 15s, 1m30s or 500ms");
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest == "0" {
        return Ok(total);
    }
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
            "us" | "µs" => 0.000_001,
            "ns" => 0.000_000_001,
            _ => return Err(wrong()),
        };
        rest = &rest[unit..];
        total += Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Flags {
        cli::parse_from(["x"].iter().chain(args).map(Into::into).collect()).expect("valid flags")
    }

    #[test]
    fn flags_are_consistent() {
        let unexplained = daemon::cli::unexplained::<Flags>();
        assert!(unexplained.is_empty(), "--help shows these without an explanation or a group: {unexplained:?}");
    }

    #[test]
    fn durations_are_gos() {
        for (text, ms) in [("15s", 15_000), ("1m30s", 90_000), ("500ms", 500), ("0", 0), ("1.5h", 5_400_000)] {
            assert_eq!(duration(text).expect(text).as_millis(), ms, "{text}");
        }
        for text in ["", "15", "s", "1x"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn controllers_are_chosen_by_name() {
        let flags = parse(&["--controllers=*,-garbage-collector-controller"]);
        assert!(flags.runs("deployment-controller") && !flags.runs("garbage-collector-controller"));
        let flags = parse(&["--controllers=deployment-controller"]);
        assert!(flags.runs("deployment-controller") && !flags.runs("replicaset-controller"));
        let error = flags.check_controllers(&["other"]).expect_err("unknown").to_string();
        assert!(error.contains("deployment-controller") && error.contains("other"), "{error}");
    }

    #[test]
    fn upstreams_command_line_starts() {
        let flags = parse(&[
            "--allocate-node-cidrs=true",
            "--cluster-cidr=10.244.0.0/16,fd00::/48",
            "--leader-elect=false",
            "--node-monitor-grace-period=4s",
            "--use-service-account-credentials=true",
            "--service-account-private-key-file=/k",
            "--authentication-kubeconfig=/etc/kubernetes/controller-manager.conf",
            "--authorization-kubeconfig=/etc/kubernetes/controller-manager.conf",
            "--client-ca-file=/etc/kubernetes/pki/ca.crt",
            "--cluster-name=kubernetes",
            "--cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt",
            "--cluster-signing-key-file=/etc/kubernetes/pki/ca.key",
            "--cluster-signing-duration=8760h",
            "--controllers=*,bootstrapsigner,tokencleaner,-garbagecollector",
            "--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt",
        ]);
        assert!(!flags.leader_elect);
        flags.check_controllers(&["garbage-collector-controller"]).expect("upstream's names");
        assert!(!flags.runs("garbage-collector-controller") && flags.runs("deployment-controller"));
        let settings = flags.settings().expect("valid");
        assert_eq!(settings.node_ranges.iter().map(|(_, size)| *size).collect::<Vec<_>>(), [24, 64]);
        assert_eq!(settings.node_monitor_grace_period, Duration::from_secs(4));
        let small = parse(&["--allocate-node-cidrs", "--cluster-cidr=10.0.0.0/25"]);
        assert!(small.settings().expect_err("too small").to_string().contains("--node-cidr-mask-size"));
    }
}
