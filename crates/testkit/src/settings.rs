//! What a cluster is made of: its daemons, ranges, ports and nodes. Written beside its state, read by later runs.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// One kind of process of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Daemon {
    /// `keelson-store`.
    Store,
    /// `keelson-apiserver`.
    Apiserver,
    /// `keelson-controller-manager`.
    ControllerManager,
    /// `keelson-scheduler`.
    Scheduler,
    /// `keelson-kubelet`, and the containerd that is private to it.
    Kubelet,
    /// `keelson-proxy`.
    Proxy,
    /// `keelson-dns`.
    Dns,
}

impl Daemon {
    /// Every daemon, in the order in which they are started.
    pub const ALL: [Self; 7] =
        [Self::Store, Self::Apiserver, Self::ControllerManager, Self::Scheduler, Self::Kubelet, Self::Proxy, Self::Dns];

    /// The name on the command line, in records and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Apiserver => "apiserver",
            Self::ControllerManager => "controller-manager",
            Self::Scheduler => "scheduler",
            Self::Kubelet => "kubelet",
            Self::Proxy => "proxy",
            Self::Dns => "dns",
        }
    }

    /// The program's file name.
    pub fn program(self) -> String {
        format!("keelson-{}", self.name())
    }

    /// Whether every node has one.
    pub fn is_on_every_node(self) -> bool {
        matches!(self, Self::Kubelet | Self::Proxy)
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Daemon {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|daemon| daemon.name() == text) {
            Some(daemon) => Ok(daemon),
            None => bail!("no daemon is called {text:?}; there are {}", Self::ALL.map(Self::name).join(", ")),
        }
    }
}

/// The ports of the daemons, the same on every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the port of the daemon it is named after")]
pub struct Ports {
    pub store: u16,
    pub store_peer: u16,
    pub apiserver: u16,
    pub kubelet: u16,
    pub kubelet_health: u16,
    pub scheduler: u16,
    pub controller_manager: u16,
    pub proxy_health: u16,
    pub proxy_metrics: u16,
    pub dns: u16,
    pub dns_health: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            store: 2379,
            store_peer: 2380,
            apiserver: 6443,
            kubelet: 10250,
            kubelet_health: 10248,
            scheduler: 10259,
            controller_manager: 10257,
            proxy_health: 10256,
            proxy_metrics: 10249,
            dns: 53,
            dns_health: 8181,
        }
    }
}

/// A machine, or a network namespace that plays one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The Node object's name.
    pub name: String,
    /// The address that other nodes and clients reach it by.
    pub address: IpAddr,
    /// The named network namespace it lives in; the host's if none.
    pub network: Option<String>,
}

/// A whole cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where everything of the cluster lies.
    pub dir: PathBuf,
    /// Where the programs lie.
    pub programs: PathBuf,
    /// Which daemons run, in the order of [`Daemon::ALL`].
    pub daemons: Vec<Daemon>,
    /// ClusterIPs come from here.
    pub service_range: Ipv4Net,
    /// Pod addresses come from here.
    pub pod_range: Ipv4Net,
    /// Ports of the daemons.
    pub ports: Ports,
    /// The first node also runs the control plane and DNS.
    pub nodes: Vec<Node>,
    /// Flags added to a daemon's own.
    #[serde(default)]
    pub extra_flags: BTreeMap<Daemon, Vec<String>>,
    /// Environment added to a daemon's.
    #[serde(default)]
    pub environment: BTreeMap<Daemon, Vec<(String, String)>>,
}

/// The range of ClusterIPs unless a flag says otherwise.
pub const SERVICE_RANGE: &str = "10.96.0.0/12";
/// The range of pod addresses unless a flag says otherwise.
pub const POD_RANGE: &str = "10.244.0.0/16";

impl Settings {
    /// A cluster of all daemons on one node.
    pub fn new(dir: PathBuf, programs: PathBuf, node: Node) -> Self {
        Self {
            dir,
            programs,
            daemons: Daemon::ALL.to_vec(),
            service_range: SERVICE_RANGE.parse().expect("the constant is a network"),
            pod_range: POD_RANGE.parse().expect("the constant is a network"),
            ports: Ports::default(),
            nodes: vec![node],
            extra_flags: BTreeMap::new(),
            environment: BTreeMap::new(),
        }
    }

    /// Whether a daemon belongs to the cluster.
    pub fn has(&self, daemon: Daemon) -> bool {
        self.daemons.contains(&daemon)
    }

    /// The node that runs the control plane.
    pub fn first_node(&self) -> &Node {
        &self.nodes[0]
    }

    /// The address of the Service `kubernetes`: the first of the range.
    pub fn kubernetes_address(&self) -> Result<Ipv4Addr> {
        nth(self.service_range, 1)
    }

    /// The address of the Service `kube-dns`: the tenth of the range.
    pub fn dns_address(&self) -> Result<Ipv4Addr> {
        nth(self.service_range, 10)
    }

    /// Where clients on `node` reach the apiserver.
    pub fn server_url(&self, node: &Node) -> String {
        let local = node.network == self.first_node().network;
        let address = if local { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { self.first_node().address };
        format!("https://{address}:{}", self.ports.apiserver)
    }
}

fn nth(range: Ipv4Net, index: usize) -> Result<Ipv4Addr> {
    range.hosts().nth(index.saturating_sub(1)).with_context(|| format!("the service range {range} is too small"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_services_have_their_usual_addresses() {
        let node = Node { name: "node".to_owned(), address: Ipv4Addr::LOCALHOST.into(), network: None };
        let settings = Settings::new("/state".into(), "/bin".into(), node);
        assert_eq!(settings.kubernetes_address().unwrap(), Ipv4Addr::new(10, 96, 0, 1));
        assert_eq!(settings.dns_address().unwrap(), Ipv4Addr::new(10, 96, 0, 10));
    }

    #[test]
    fn an_unknown_daemon_is_refused_with_the_names_there_are() {
        let error = "shceduler".parse::<Daemon>().unwrap_err().to_string();
        assert!(error.contains("scheduler"), "{error}");
    }
}
