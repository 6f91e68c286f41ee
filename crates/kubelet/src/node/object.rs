//! The Node object as this kubelet wants it. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proto::Quantity;
use proto::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus, NodeSystemInfo,
    Taint,
};

use super::facts::Facts;
use crate::config::reserved::Reserved;
use crate::time::{self, Nanos};

/// Memory that is kept from pods, as upstream's default eviction threshold.
const MEMORY_RESERVED_KIB: u64 = 100 * 1024;

/// What the Node is made of.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub name: String,
    pub address: IpAddr,
    pub port: u16,
    pub facts: Facts,
    pub max_pods: u32,
    /// What pods do not get.
    pub reserved: Reserved,
    pub labels: Vec<String>,
    pub taints: Vec<Taint>,
    pub schedulable: bool,
    pub provider_id: String,
    pub runtime_version: String,
}

/// Why the node is not ready; empty: it is.
pub type Problems = Vec<String>;

/// What the node is short of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    pub memory: bool,
    pub disk: bool,
}

impl Wanted {
    /// The object of a node that registers.
    pub fn node(&self) -> Node {
        let mut node = Node::default();
        node.metadata.name = self.name.clone();
        node.metadata.labels = self.labels();
        let annotation = ("volumes.kubernetes.io/controller-managed-attach-detach".to_owned(), "true".to_owned());
        node.metadata.annotations = BTreeMap::from([annotation]);
        node.spec.taints = self.taints.clone();
        node.spec.unschedulable = !self.schedulable;
        node.spec.provider_id = self.provider_id.clone();
        node
    }

    pub fn labels(&self) -> BTreeMap<String, String> {
        let arch = architecture();
        let mut labels: BTreeMap<String, String> = [
            ("beta.kubernetes.io/arch", arch),
            ("beta.kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", arch),
            ("kubernetes.io/hostname", &self.name),
            ("kubernetes.io/os", "linux"),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
        let own = self.labels.iter().filter_map(|label| label.split_once('='));
        labels.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
        labels
    }

    /// The status now. Times of conditions that did not change are kept from `before`.
    pub fn status(
        &self,
        before: &NodeStatus,
        problems: &Problems,
        pressure: Pressure,
        images: &[ContainerImage],
        now: Nanos,
    ) -> NodeStatus {
        let mut status = before.clone();
        (status.capacity, status.allocatable) = (self.capacity(), self.allocatable());
        status.addresses = vec![
            NodeAddress { r#type: "InternalIP".into(), address: self.address.to_string() },
            NodeAddress { r#type: "Hostname".into(), address: self.name.clone() },
        ];
        status.daemon_endpoints = NodeDaemonEndpoints { kubelet_endpoint: DaemonEndpoint { port: self.port.into() } };
        status.node_info = self.system_info();
        status.images = images.to_vec();
        status.conditions = conditions(before, problems, pressure, now);
        status
    }

    pub fn capacity(&self) -> BTreeMap<String, Quantity> {
        let facts = &self.facts;
        self.resources(facts.cpus.to_string(), format!("{}Ki", facts.memory_kib), format!("{}Ki", facts.disk_kib))
    }

    /// What pods may use: a tenth of the disk, some memory, and what is reserved are kept back.
    pub fn allocatable(&self) -> BTreeMap<String, Quantity> {
        let kept = self.reserved;
        let cpu_m = (self.facts.cpus * 1000).saturating_sub(kept.cpu_m);
        let memory = self.facts.memory_kib.saturating_sub(MEMORY_RESERVED_KIB) * 1024;
        let memory = memory.saturating_sub(kept.memory_bytes);
        let disk = (self.facts.disk_kib * 1024 / 10 * 9).saturating_sub(kept.disk_bytes);
        let cpu = if cpu_m.is_multiple_of(1000) { (cpu_m / 1000).to_string() } else { format!("{cpu_m}m") };
        let memory = if memory.is_multiple_of(1024) { format!("{}Ki", memory / 1024) } else { memory.to_string() };
        self.resources(cpu, memory, disk.to_string())
    }

    fn resources(&self, cpu: String, memory: String, disk: String) -> BTreeMap<String, Quantity> {
        [
            ("cpu", cpu),
            ("ephemeral-storage", disk),
            ("hugepages-1Gi", "0".into()),
            ("hugepages-2Mi", "0".into()),
            ("memory", memory),
            ("pods", self.max_pods.to_string()),
        ]
        .into_iter()
        .map(|(name, string)| (name.to_owned(), Quantity { string }))
        .collect()
    }

    #[allow(deprecated)] // kubeProxyVersion is still served.
    fn system_info(&self) -> NodeSystemInfo {
        NodeSystemInfo {
            machine_id: self.facts.machine_id.clone(),
            system_uuid: self.facts.system_uuid.clone(),
            boot_id: self.facts.boot_id.clone(),
            kernel_version: self.facts.kernel.clone(),
            os_image: self.facts.os_image.clone(),
            container_runtime_version: format!("containerd://{}", self.runtime_version),
            kubelet_version: daemon::version::GIT_VERSION.into(),
            operating_system: "linux".into(),
            architecture: architecture().into(),
            ..NodeSystemInfo::default()
        }
    }
}

/// Go's word for this machine.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn conditions(before: &NodeStatus, problems: &Problems, pressure: Pressure, now: Nanos) -> Vec<NodeCondition> {
    let ready = match problems.as_slice() {
        [] => ("Ready", "True", "KubeletReady", "kubelet is posting ready status".to_owned()),
        some => ("Ready", "False", "KubeletNotReady", format!("[{}]", some.join(", "))),
    };
    let memory = match pressure.memory {
        true => ("True", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        false => ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    };
    let disk = match pressure.disk {
        true => ("True", "KubeletHasDiskPressure", "kubelet has disk pressure"),
        false => ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    };
    let ours = [
        ("MemoryPressure", memory.0, memory.1, memory.2.to_owned()),
        ("DiskPressure", disk.0, disk.1, disk.2.to_owned()),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available".to_owned()),
        ready,
    ];
    let foreign = before.conditions.iter().filter(|old| ours.iter().all(|(kind, ..)| *kind != old.r#type)).cloned();
    let own = ours.iter().map(|(kind, status, reason, message)| {
        let old = before.conditions.iter().find(|old| old.r#type == *kind);
        NodeCondition {
            r#type: (*kind).into(),
            status: (*status).into(),
            last_heartbeat_time: time::to_meta(now),
            last_transition_time: match old {
                Some(old) if old.status == *status => old.last_transition_time,
                _ => time::to_meta(now),
            },
            reason: (*reason).into(),
            message: message.clone(),
        }
    });
    foreign.chain(own).collect()
}

/// Whether two statuses differ in more than the time of their heartbeat.
pub fn differs(a: &NodeStatus, b: &NodeStatus) -> bool {
    let quiet = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in &mut status.conditions {
            condition.last_heartbeat_time = Default::default();
        }
        status
    };
    quiet(a) != quiet(b)
}

/// "key=value:effect" or "key:effect".
pub fn taint(text: &str) -> Option<Taint> {
    let (rest, effect) = text.rsplit_once(':')?;
    let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
    let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect);
    (known && !key.is_empty()).then(|| Taint {
        key: key.into(),
        value: value.into(),
        effect: effect.into(),
        time_added: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Pressure = Pressure { memory: false, disk: false };

    fn wanted() -> Wanted {
        Wanted {
            name: "node-1".into(),
            address: "192.0.2.1".parse().unwrap(),
            port: 10250,
            facts: Facts { cpus: 2, memory_kib: 24_684_096, disk_kib: 264_212_084, ..Facts::default() },
            max_pods: 110,
            reserved: Reserved::default(),
            labels: vec!["zone=a".into()],
            taints: Vec::new(),
            schedulable: true,
            provider_id: String::new(),
            runtime_version: "1.6.20".into(),
        }
    }

    #[test]
    fn a_registered_node_has_upstreams_labels_and_amounts() {
        let node = wanted().node();
        assert_eq!(node.metadata.labels["kubernetes.io/hostname"], "node-1");
        assert_eq!(node.metadata.labels["zone"], "a");
        assert_eq!(wanted().allocatable()["memory"].string, "24581696Ki");
        assert_eq!(wanted().capacity()["ephemeral-storage"].string, "264212084Ki");
    }

    #[test]
    fn pods_do_not_get_what_is_reserved() {
        let reserved = |text: &str| Wanted { reserved: text.parse().unwrap(), ..wanted() }.allocatable();
        let got = reserved("cpu=150m,memory=256Mi,ephemeral-storage=1Gi");
        assert_eq!((got["cpu"].string.as_str(), got["memory"].string.as_str()), ("1850m", "24319552Ki"));
        let disk = |list: &BTreeMap<String, Quantity>| list["ephemeral-storage"].amount().value();
        assert_eq!(disk(&wanted().allocatable()) - disk(&got), 1 << 30);
        assert_eq!(reserved("cpu=1")["cpu"].string, "1");
        let all = reserved("cpu=100,memory=1Ti");
        assert_eq!(
            (all["cpu"].string.as_str(), all["memory"].string.as_str()),
            ("0", "0Ki"),
            "never less than nothing"
        );
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let first = wanted().status(&NodeStatus::default(), &vec!["x".into()], NONE, &[], 1_000_000_000);
        let same = wanted().status(&first, &vec!["y".into()], NONE, &[], 2_000_000_000);
        let other = wanted().status(&same, &Vec::new(), NONE, &[], 3_000_000_000);
        let ready = |status: &NodeStatus| status.conditions.iter().find(|one| one.r#type == "Ready").unwrap().clone();
        assert_eq!(ready(&same).last_transition_time.seconds, 1);
        assert_eq!(ready(&other).last_transition_time.seconds, 3);
        assert!(
            differs(&first, &same) && !differs(&other, &wanted().status(&other, &Vec::new(), NONE, &[], 9_000_000_000))
        );
    }

    #[test]
    fn what_the_node_is_short_of_is_a_condition() {
        let short = Pressure { memory: true, disk: true };
        let status = wanted().status(&NodeStatus::default(), &Vec::new(), short, &[], 0);
        let got: Vec<_> = status.conditions.iter().map(|one| (one.r#type.as_str(), one.status.as_str())).collect();
        let expect =
            [("MemoryPressure", "True"), ("DiskPressure", "True"), ("PIDPressure", "False"), ("Ready", "True")];
        assert_eq!(got, expect);
    }

    #[test]
    fn taints_are_read_as_kubectl_writes_them() {
        assert_eq!(taint("a=b:NoSchedule").unwrap().value, "b");
        assert_eq!(taint("a:NoExecute").unwrap().key, "a");
        assert!(taint("a=b").is_none() && taint("a:Never").is_none());
    }
}
