//! What every part of the kubelet shares: who the node is, where things are, whom to talk to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::Ipv4Net;
use parking_lot::{Mutex, RwLock};
use proto::core::v1::Pod;
use sys::cgroup::Cgroups;
use tokio::sync::Semaphore;

use crate::admission::Offer;
use crate::cluster::Cluster;
use crate::dns;
use crate::images::Images;
use crate::logs;
use crate::network;
use crate::network::bridge::Bridge;
use crate::network::ipam::Ipam;
use crate::network::masquerade::{self, HostPort};
use crate::paths::Paths;
use crate::record;
use crate::resources::{self, Qos};
use crate::runtime::Containerd;

/// Containers started at once for each processor: measured by `cargo xtask bench podstart`.
const STARTS_PER_PROCESSOR: usize = 2;

/// Settings that pods depend on.
#[derive(Clone, Debug)]
pub struct Settings {
    pub dns: dns::Cluster,
    pub cluster_domain: String,
    /// The machine's own resolver.
    pub resolv_conf: PathBuf,
    pub cgroup_root: String,
    pub log_limits: logs::Limits,
    /// The program that is started as a log writer.
    pub program: PathBuf,
}

/// The pods' network of this node.
pub struct PodNetwork {
    pub bridge: Bridge,
    pub ipam: Mutex<Ipam>,
    /// Ranges within which pods keep their own addresses.
    pub inside: Vec<Ipv4Net>,
    /// Ports of the node that lead to pods, by the pod's uid.
    pub host_ports: tokio::sync::Mutex<BTreeMap<String, Vec<HostPort>>>,
}

impl PodNetwork {
    /// Makes these ports of the node lead to the pod; none takes its ports away.
    pub async fn set_host_ports(&self, uid: &str, ports: Vec<HostPort>) -> Result<(), network::Error> {
        let mut all = self.host_ports.lock().await;
        let before = match ports.is_empty() {
            true => all.remove(uid),
            false => all.insert(uid.to_owned(), ports.clone()),
        };
        if before.unwrap_or_default() == ports {
            return Ok(());
        }
        let list: Vec<HostPort> = all.values().flatten().cloned().collect();
        masquerade::load(&masquerade::ruleset(self.bridge.range(), &self.inside, &list)).await
    }
}

/// What this process may hand to containers.
#[derive(Clone, Debug)]
pub struct Own {
    pub capabilities: Vec<String>,
    /// Lower scores need CAP_SYS_RESOURCE.
    pub oom_score_min: i32,
}

impl Own {
    /// Reads it from /proc.
    pub fn detect() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            u64::from_str_radix(line.trim(), 16).ok()
        };
        let mask = mask("CapEff:").unwrap_or(0) & mask("CapBnd:").unwrap_or(0);
        let capabilities = crate::runtime::spec::capability_names(mask);
        let free = capabilities.iter().any(|name| name == "CAP_SYS_RESOURCE");
        let score = std::fs::read_to_string("/proc/self/oom_score_adj").ok();
        let score = score.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        Self { capabilities, oom_score_min: if free { -1000 } else { score } }
    }
}

/// The node, as the pods' workers see it. Shared by all of them.
pub struct Node {
    pub name: String,
    pub ip: IpAddr,
    pub paths: Paths,
    pub settings: Settings,
    pub containerd: Containerd,
    pub images: Images,
    pub cgroups: Cgroups,
    pub cluster: Arc<dyn Cluster>,
    pub own: Own,
    /// What pods may have of the node.
    pub offer: Offer,
    pub memory_bytes: i64,
    /// Containers that are made and started at once: more would only take the processors from each other, and the first
    /// of many pods would be ready as late as the last.
    pub starts: Semaphore,
    /// Pods whose files are counted at once: one, since it is no matter of seconds.
    pub measurements: Semaphore,
    network: RwLock<Option<Arc<PodNetwork>>>,
    /// What each burstable pod on the node asks of the CPU, by uid; None until the records were looked at.
    burstable: Mutex<Option<BTreeMap<String, i64>>>,
}

/// What a [`Node`] is made of.
pub struct Parts {
    pub name: String,
    pub ip: IpAddr,
    pub paths: Paths,
    pub settings: Settings,
    pub containerd: Containerd,
    pub cluster: Arc<dyn Cluster>,
    pub offer: Offer,
    pub memory_bytes: i64,
}

impl Node {
    pub fn new(parts: Parts) -> Self {
        Self {
            name: parts.name,
            ip: parts.ip,
            paths: parts.paths,
            settings: parts.settings,
            images: Images::new(parts.containerd.clone()),
            containerd: parts.containerd,
            cgroups: Cgroups::detect(),
            cluster: parts.cluster,
            own: Own::detect(),
            offer: parts.offer,
            memory_bytes: parts.memory_bytes,
            starts: Semaphore::new(STARTS_PER_PROCESSOR * std::thread::available_parallelism().map_or(1, usize::from)),
            measurements: Semaphore::new(1),
            network: RwLock::new(None),
            burstable: Mutex::new(None),
        }
    }

    /// Notes that a pod's cgroup comes or goes, and sets the groups above the pods accordingly. Blocks.
    pub fn weigh(&self, pod: &Pod, is_here: bool) -> Result<(), sys::Error> {
        // Held while the files are written: the last one to write knows of all.
        let mut burstable = self.burstable.lock();
        let known = burstable.get_or_insert_with(|| self.burstable_on_disk());
        match is_here && resources::qos(pod) == Qos::Burstable {
            true => known.insert(pod.metadata.uid.clone(), resources::requested_cpu(pod)),
            false => known.remove(&pod.metadata.uid),
        };
        let sum = known.values().fold(0_i64, |sum, cpu| sum.saturating_add(*cpu));
        let amount = |name: &str| self.offer.allocatable.get(name).copied();
        for (group, limits) in resources::qos_tree(&self.settings.cgroup_root, amount("cpu"), amount("memory"), sum) {
            self.cgroups.apply(&group, &limits)?;
        }
        Ok(())
    }

    /// The burstable pods that a kubelet before this one has left running.
    fn burstable_on_disk(&self) -> BTreeMap<String, i64> {
        let pods = record::list(&self.paths.pods()).into_iter().filter_map(|uid| record::load(&self.paths.pod(&uid)));
        pods.filter(|(desired, observed)| !observed.torn_down && resources::qos(&desired.pod) == Qos::Burstable)
            .map(|(desired, _)| (desired.uid().to_owned(), resources::requested_cpu(&desired.pod)))
            .collect()
    }

    /// None until the node has a range of addresses.
    pub fn pod_network(&self) -> Option<Arc<PodNetwork>> {
        self.network.read().clone()
    }

    pub fn set_pod_network(&self, network: PodNetwork) {
        *self.network.write() = Some(Arc::new(network));
    }

    /// The log writer of a pod.
    pub fn log_writer(&self, uid: &str) -> logs::Writer {
        logs::Writer::new(self.paths.pod(uid).log_socket(), self.settings.program.clone())
    }

    /// What environment and downward API may name.
    pub fn place(&self, pod_ip: Option<IpAddr>) -> crate::env::Place {
        crate::env::Place {
            node_name: self.name.clone(),
            host_ip: self.ip,
            pod_ip,
            allocatable: self.offer.allocatable.clone(),
        }
    }
}
