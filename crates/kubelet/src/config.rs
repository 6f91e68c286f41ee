//! Flags of `keelson-kubelet`, with upstream's names.

pub mod reserved;
pub mod taken;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Parser};
use ipnet::Ipv4Net;

use crate::node::pressure::Thresholds;
use reserved::Reserved;
use taken::Taken;

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
    #[arg(long, default_value = "40s", value_parser = daemon::cli::seconds_of, help_heading = "API server")]
    pub node_lease_duration_seconds: u64,
    /// How often the node's status is looked at; it is written when it changed, and every five minutes.
    #[arg(long, default_value = "10s", value_parser = daemon::cli::seconds_of, help_heading = "API server")]
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
    /// What Kubernetes' daemons need of the node; pods do not get it: cpu=100m,memory=256Mi,ephemeral-storage=1Gi.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "AMOUNTS", help_heading = "Node")]
    pub kube_reserved: Reserved,
    /// What the system's daemons need of the node; pods do not get it.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "AMOUNTS", help_heading = "Node")]
    pub system_reserved: Reserved,
    /// Refuse to start while the machine swaps; false unless asked for.
    #[arg(long, help_heading = "Node")]
    pub fail_swap_on: bool,
    /// Folder of static pods, which are not run: it must be empty, or not there.
    #[arg(long, value_name = "DIR", help_heading = "Node")]
    pub pod_manifest_path: Option<PathBuf>,
    /// Sysctls that pods may set although they can harm others; `*` at the end stands for anything.
    #[arg(long, value_delimiter = ',', value_name = "NAMES", help_heading = "Node")]
    pub allowed_unsafe_sysctls: Vec<String>,

    /// containerd's socket.
    #[arg(long, default_value = "unix:///run/containerd/containerd.sock", help_heading = "Runtime")]
    pub container_runtime_endpoint: String,
    /// Images are in the same containerd: no other socket than the one above.
    #[arg(long, value_name = "SOCKET", help_heading = "Runtime")]
    pub image_service_endpoint: Option<String>,
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
    /// The machine's own resolver: for pods with dnsPolicy Default, and the domains that others search last; empty: none.
    #[arg(long, default_value = "/etc/resolv.conf", value_name = "FILE", help_heading = "Network")]
    pub resolv_conf: PathBuf,
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
    /// Folder with kubelet.crt and kubelet.key, which are used where no certificate is named.
    #[arg(long, value_name = "DIR", help_heading = "Serving")]
    pub cert_dir: Option<PathBuf>,
    /// Certificate of the port; without one, nothing is served there.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file", help_heading = "Serving")]
    pub tls_cert_file: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file", help_heading = "Serving")]
    pub tls_private_key_file: Option<PathBuf>,
    /// CA of the clients that may use the port.
    #[arg(long, value_name = "FILE", help_heading = "Serving")]
    pub client_ca_file: Option<PathBuf>,

    #[command(flatten)]
    pub taken: Taken,
}

/// Settings that ask for what this kubelet does not do, on this machine.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    #[error("--image-service-endpoint: images and containers are in one containerd; leave it out, or name {0}")]
    Images(String),
    #[error("--fail-swap-on: the machine swaps to {0}; switch it off with swapoff, or leave the flag out")]
    Swap(String),
    #[error("--pod-manifest-path: static pods are not run, and {0} is one; make it a pod of the API")]
    StaticPod(String),
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
        path_of(endpoint)
    }

    /// Refuses what cannot be had here. `swaps` is the text of /proc/swaps.
    pub fn check(&self, swaps: &str) -> Result<(), Refused> {
        let images = self.image_service_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty());
        if images.is_some_and(|endpoint| path_of(endpoint) != self.socket()) {
            return Err(Refused::Images(self.container_runtime_endpoint.clone()));
        }
        let swap = swaps.lines().nth(1).and_then(|line| line.split_whitespace().next());
        if let Some(swap) = swap.filter(|_| self.fail_swap_on) {
            return Err(Refused::Swap(swap.to_owned()));
        }
        match self.pod_manifest_path.as_deref().and_then(manifest_in) {
            Some(manifest) => Err(Refused::StaticPod(manifest.display().to_string())),
            None => Ok(()),
        }
    }

    /// What pods do not get, for whatever reason.
    pub fn reserved(&self) -> Reserved {
        self.kube_reserved.plus(self.system_reserved)
    }

    /// Certificate and key of the port: those that are named, else those that are in the folder.
    pub fn serving_files(&self) -> Option<(PathBuf, PathBuf)> {
        let named = self.tls_cert_file.clone().zip(self.tls_private_key_file.clone());
        let found = || {
            let dir = self.cert_dir.as_ref()?;
            let files = (dir.join("kubelet.crt"), dir.join("kubelet.key"));
            (files.0.is_file() && files.1.is_file()).then_some(files)
        };
        named.or_else(found)
    }
}

fn path_of(endpoint: &str) -> PathBuf {
    PathBuf::from(endpoint.strip_prefix("unix://").unwrap_or(endpoint))
}

/// The first manifest of a static pod: the file itself, or one in the folder that is not hidden, as upstream reads them.
fn manifest_in(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_owned());
    }
    let visible = |file: &PathBuf| file.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."));
    let mut files: Vec<PathBuf> = std::fs::read_dir(path).ok()?.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.is_file() && visible(file));
    files.sort();
    files.into_iter().next()
}

#[cfg(test)]
mod tests;
