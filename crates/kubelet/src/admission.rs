//! Whether the node takes a pod that is bound to it. Whoever binds past the scheduler, or raced with it, is told by the pod's
//! status: phase Failed, with upstream's reasons. Pods that the kubelet has already are not asked again.

use std::collections::BTreeMap;

use api::scheduling::resource::{Resources, requests};
use api::scheduling::selector::{NodeTerm, Selector};
use proto::core::v1::Pod;

/// Sysctls of a pod's own namespaces that cannot harm others.
/// <https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/#safe-and-unsafe-sysctls>
const SAFE_SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// What the node has to give.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Amounts that pods may use, as the Node says: CPU in thousandths, else bytes.
    pub allocatable: BTreeMap<String, i64>,
    /// The most pods.
    pub pods_max: i64,
    /// Sysctls that are allowed although they may harm others; `*` at the end stands for anything.
    pub unsafe_sysctls: Vec<String>,
}

/// Why the node does not take a pod, as an event says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: &'static str,
    pub why: String,
}

impl Rejection {
    fn new(reason: &'static str, why: impl Into<String>) -> Self {
        Self { reason, why: why.into() }
    }

    /// As the pod's status says it.
    pub fn message(&self) -> String {
        format!("Pod was rejected: {}", self.why)
    }
}

/// Whether a pod says which nodes it may be on: [`check_labels`] can then refuse it.
pub fn is_choosy(pod: &Pod) -> bool {
    !pod.spec.node_selector.is_empty() || required_nodes(pod).is_some()
}

/// Whether the node is one of those that the pod may be on.
pub fn check_labels(pod: &Pod, node: &str, labels: &BTreeMap<String, String>) -> Result<(), Rejection> {
    let selected = Selector::from_labels(&pod.spec.node_selector).matches(labels);
    let required = required_nodes(pod).is_none_or(|terms| terms.iter().any(|term| term.matches(node, labels)));
    match selected && required {
        true => Ok(()),
        false => Err(Rejection::new(
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        )),
    }
}

/// Whether the node has room beside `others`, and may set what the pod wants set.
pub fn check<'a>(pod: &Pod, others: impl Iterator<Item = &'a Pod>, offer: &Offer) -> Result<(), Rejection> {
    let sysctls = pod.spec.security_context.iter().flat_map(|context| &context.sysctls);
    for sysctl in sysctls {
        if !is_allowed(&sysctl.name, &offer.unsafe_sysctls) {
            let why = format!("forbidden sysctl: {:?} not allowlisted", sysctl.name);
            return Err(Rejection::new("SysctlForbidden", why));
        }
    }
    match room(pod, others, offer) {
        None => Ok(()),
        Some((name, why)) => Err(Rejection::new(out_of(name), why)),
    }
}

fn out_of(name: &str) -> &'static str {
    match name {
        "pods" => "OutOfpods",
        "cpu" => "OutOfcpu",
        "memory" => "OutOfmemory",
        _ => "OutOfephemeral-storage",
    }
}

/// What the node has not enough of beside `others`, and how much is missing.
pub fn room<'a>(pod: &Pod, others: impl Iterator<Item = &'a Pod>, offer: &Offer) -> Option<(&'static str, String)> {
    let (mut used, mut pods) = (Resources::default(), 0);
    for other in others {
        used.add(&requests(&other.spec));
        pods += 1;
    }
    let wanted = requests(&pod.spec);
    let allocatable = |name: &str| offer.allocatable.get(name).copied().unwrap_or(0);
    let amounts = [
        ("pods", 1, pods, offer.pods_max),
        ("cpu", wanted.cpu_m, used.cpu_m, allocatable("cpu")),
        ("memory", wanted.memory, used.memory, allocatable("memory")),
        ("ephemeral-storage", wanted.ephemeral, used.ephemeral, allocatable("ephemeral-storage")),
    ];
    // Who asks for nothing fits, however full the node is.
    let lacks = |(_, requested, used, capacity): &(_, i64, i64, i64)| {
        *requested > 0 && *requested > capacity.saturating_sub(*used)
    };
    let (name, requested, used, capacity) = amounts.into_iter().find(lacks)?;
    let why =
        format!("Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}");
    Some((name, why))
}

/// What the pod asks more of than the node has at all.
pub fn beyond(pod: &Pod, offer: &Offer) -> Option<String> {
    let wanted = requests(&pod.spec);
    let capacity = |name: &str| offer.allocatable.get(name).copied().unwrap_or(0);
    let amounts = [("memory", wanted.memory), ("cpu", wanted.cpu_m)];
    let (name, requested) = amounts.into_iter().find(|(name, requested)| *requested > capacity(name))?;
    Some(format!("{name}, requested: {requested}, capacity: {}", capacity(name)))
}

fn required_nodes(pod: &Pod) -> Option<Vec<NodeTerm>> {
    let affinity = pod.spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    Some(required.node_selector_terms.iter().map(NodeTerm::from_api).collect())
}

fn is_allowed(name: &str, unsafe_ones: &[String]) -> bool {
    // The kernel knows both spellings.
    let name = name.replace('/', ".");
    SAFE_SYSCTLS.contains(&name.as_str())
        || unsafe_ones.iter().any(|one| match one.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *one,
        })
}

#[cfg(test)]
mod tests {
    use proto::Quantity;
    use proto::core::v1::{Affinity, Container, NodeAffinity, NodeSelector, PodSecurityContext, Sysctl};

    use super::*;

    fn pod(cpu: &str) -> Pod {
        let mut container = Container::default();
        container.resources.requests.insert("cpu".into(), Quantity { string: cpu.into() });
        let mut pod = Pod::default();
        pod.spec.containers.push(container);
        pod
    }

    fn offer() -> Offer {
        Offer {
            allocatable: BTreeMap::from([("cpu".into(), 2000), ("memory".into(), 1 << 30)]),
            pods_max: 2,
            unsafe_sysctls: vec!["kernel.shm*".into()],
        }
    }

    #[track_caller]
    fn check_room(pod: &Pod, others: &[Pod], expect: &str) {
        let found = check(pod, others.iter(), &offer()).map_err(|rejection| {
            assert_eq!(rejection.message(), format!("Pod was rejected: {}", rejection.why));
            format!("{}: {}", rejection.reason, rejection.why)
        });
        assert_eq!(found.err().unwrap_or_default(), expect);
    }

    #[test]
    fn a_pod_must_fit_beside_the_others() {
        check_room(&pod("2"), &[], "");
        check_room(&pod("1500m"), &[pod("500m")], "");
        check_room(
            &pod("1501m"),
            &[pod("500m")],
            "OutOfcpu: Node didn't have enough resource: cpu, requested: 1501, used: 500, capacity: 2000",
        );
        check_room(
            &pod("0"),
            &[pod("0"), pod("0")],
            "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2",
        );
    }

    #[test]
    fn who_asks_for_nothing_fits_on_a_full_node() {
        check_room(&pod("0"), &[pod("4")], "");
    }

    #[test]
    fn sysctls_are_safe_or_allowed() {
        let with = |name: &str| {
            let sysctls = vec![Sysctl { name: name.into(), value: "1".into() }];
            let mut pod = pod("0");
            pod.spec.security_context = Some(PodSecurityContext { sysctls, ..Default::default() });
            pod
        };
        for name in ["net.ipv4.tcp_syncookies", "net/ipv4/tcp_syncookies", "kernel.shmmax"] {
            check_room(&with(name), &[], "");
        }
        check_room(&with("kernel.msgmax"), &[], "SysctlForbidden: forbidden sysctl: \"kernel.msgmax\" not allowlisted");
    }

    #[test]
    fn the_node_must_be_one_that_the_pod_may_be_on() {
        let labels = BTreeMap::from([("disk".to_owned(), "fast".to_owned())]);
        let check = |pod: &Pod| check_labels(pod, "node", &labels).map_err(|rejection| rejection.reason);
        let mut selective = pod("0");
        assert!(!is_choosy(&selective));
        selective.spec.node_selector = labels.clone();
        assert!(is_choosy(&selective));
        assert_eq!(check(&selective), Ok(()));
        selective.spec.node_selector.insert("disk".into(), "slow".into());
        assert_eq!(check(&selective), Err("NodeAffinity"));
        let mut required = pod("0");
        let none = NodeSelector::default();
        let affinity =
            NodeAffinity { required_during_scheduling_ignored_during_execution: Some(none), ..Default::default() };
        required.spec.affinity = Some(Affinity { node_affinity: Some(affinity), ..Default::default() });
        assert_eq!(check(&required), Err("NodeAffinity"));
    }
}
