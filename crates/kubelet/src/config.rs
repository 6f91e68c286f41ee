//! Flags of `keelson-kubelet`, with upstream's names.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgAction, Parser};
use ipnet::Ipv4Net;

use crate::node::pressure::Thresholds;

/// keelson-kubelet: runs the pods that are bound to this node.
#[derive(Clone, Debug, Parser)]
#[command(name = "keelson-kubelet", about)]
pub struct Config {
    #[command(flatten)]
    pub common: daemon::cli::Common,

    /// kubeconfig with the API server and this node's identity.
    #[arg(long, value_name = "FILE", help_heading = "API server")]
    pub kubeconfig: Option<PathBuf>,
    /// Create the Node object; without, it must be created by somebody else.
    #[arg(long, action = ArgAction::Set, default_value_t = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "API server")]
    pub register_node: bool,
    /// How often the lease is renewed is a quarter of this; others take the node for dead after it (40s is accepted, too).
    #[arg(long, default_value = "40s", value_parser = seconds, help_heading = "API server")]
    pub node_lease_duration_seconds: u64,
    /// How often the node's status is looked at; it is written when it changed, and every five minutes.
    #[arg(long, default_value = "10s", value_parser = seconds, help_heading = "API server")]
    pub node_status_update_frequency: u64,

    /// The Node object's name; default: the host's name.
    #[arg(long, value_name = "NAME", help_heading = "Node")]
    pub hostname_override: Option<String>,
    /// The node's address; default: that of the interface with the default route.
    #[arg(long, value_name = "IP", help_heading = "Node")]
    pub node_ip: Option<IpAddr>,
    /// Labels that the Node gets when it registers: key=value,...
    #[arg(long, value_name = "LABELS", value_delimiter = ',', help_heading = "Node")]
    pub node_labels: Vec<String>,
    /// Taints that the Node gets when it registers: key=value:effect,...
    #[arg(long, value_name = "TAINTS", value_delimiter = ',', help_heading = "Node")]
    pub register_with_taints: Vec<String>,
    /// The Node is not scheduled to when it registers? false makes it unschedulable.
    #[arg(long, action = ArgAction::Set, default_value_t = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "Node")]
    pub register_schedulable: bool,
    /// Identity at a cloud provider, for spec.providerID.
    #[arg(long, default_value = "", help_heading = "Node")]
    pub provider_id: String,
    /// The most pods that the node takes.
    #[arg(long, default_value_t = 110, help_heading = "Node")]
    pub max_pods: u32,
    /// Sysctls that pods may set although they can harm others; `*` at the end stands for anything.
    #[arg(long, value_delimiter = ',', value_name = "NAMES", help_heading = "Node")]
    pub allowed_unsafe_sysctls: Vec<String>,

    /// containerd's socket.
    #[arg(long, default_value = "unix:///run/containerd/containerd.sock", help_heading = "Runtime")]
    pub container_runtime_endpoint: String,
    /// containerd's snapshotter.
    #[arg(long, default_value = "overlayfs", help_heading = "Runtime")]
    pub snapshotter: String,
    /// Where pods' volumes and records are.
    #[arg(long, default_value = "/var/lib/kubelet", value_name = "DIR", help_heading = "Runtime")]
    pub root_dir: PathBuf,
    /// Where containers' logs are.
    #[arg(
        long,
        visible_alias = "pod-logs-dir",
        default_value = "/var/log/pods",
        value_name = "DIR",
        help_heading = "Runtime"
    )]
    pub pod_log_dir: PathBuf,
    /// The cgroup below which pods live.
    #[arg(long, default_value = "/", help_heading = "Runtime")]
    pub cgroup_root: String,
    /// The size at which a log is rotated: 10Mi.
    #[arg(long, default_value = "10Mi", help_heading = "Runtime")]
    pub container_log_max_size: String,
    /// How many files of a log are kept.
    #[arg(long, default_value_t = 5, help_heading = "Runtime")]
    pub container_log_max_files: usize,
    /// When the node says that it is short of memory or disk, which keeps new pods away: SIGNAL<AMOUNT,...
    #[arg(long, default_value = crate::node::pressure::DEFAULT, value_name = "THRESHOLDS", help_heading = "Runtime")]
    pub eviction_hard: Thresholds,

    /// The servers that pods' resolv.conf names.
    #[arg(long, value_delimiter = ',', value_name = "IPS", help_heading = "Network")]
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's domain.
    #[arg(long, default_value = "cluster.local", help_heading = "Network")]
    pub cluster_domain: String,
    /// Range of this node's pods; default: what the Node's spec.podCIDR says.
    #[arg(long, value_name = "CIDR", help_heading = "Network")]
    pub pod_cidr: Option<Ipv4Net>,
    /// Traffic from pods to other places than these is masqueraded.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "10.244.0.0/16",
        value_name = "CIDRS",
        help_heading = "Network"
    )]
    pub non_masquerade_cidr: Vec<Ipv4Net>,

    /// Address of the port that the API server calls.
    #[arg(long, default_value = "0.0.0.0", help_heading = "Serving")]
    pub address: IpAddr,
    /// That port.
    #[arg(long, default_value_t = 10250, help_heading = "Serving")]
    pub port: u16,
    /// Address of /healthz.
    #[arg(long, default_value = "127.0.0.1", help_heading = "Serving")]
    pub healthz_bind_address: IpAddr,
    /// Port of /healthz; 0 serves none.
    #[arg(long, default_value_t = 10248, help_heading = "Serving")]
    pub healthz_port: u16,
    /// Certificate of the port; without one, nothing is served there.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file", help_heading = "Serving")]
    pub tls_cert_file: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file", help_heading = "Serving")]
    pub tls_private_key_file: Option<PathBuf>,
    /// CA of the clients that may use the port.
    #[arg(long, value_name = "FILE", help_heading = "Serving")]
    pub client_ca_file: Option<PathBuf>,
}

impl daemon::cli::Flags for Config {
    fn common(&self) -> &daemon::cli::Common {
        &self.common
    }
}

impl Config {
    /// The path in `--container-runtime-endpoint`.
    pub fn socket(&self) -> PathBuf {
        let endpoint = &self.container_runtime_endpoint;
        PathBuf::from(endpoint.strip_prefix("unix://").unwrap_or(endpoint))
    }
}

/// "40" or "40s" or "1m".
fn seconds(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix('s') {
        Some(number) => (number, 1),
        None => text.strip_suffix('m').map_or((text, 1), |number| (number, 60)),
    };
    let number = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    number.ok_or_else(|| format!("{text:?} is not a time like 10s"))
}
