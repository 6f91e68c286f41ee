//! Requests and limits: quality of service, and what the kernel is told. Pure.

use std::collections::BTreeMap;

use api::quantity;
use proto::Quantity;
use proto::core::v1::{Container, Pod, ResourceRequirements};
use sys::cgroup::Limits;

use crate::pod::{Role, members};

/// The quality of service of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl Qos {
    pub fn name(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

/// A quantity in thousandths, rounded up.
pub fn milli(quantity: &Quantity) -> Option<i64> {
    Some(quantity.amount().milli())
}

/// A quantity in whole units, rounded up.
pub fn units(quantity: &Quantity) -> Option<i64> {
    Some(quantity.amount().value())
}

/// A request that is left out equals its limit.
pub fn with_defaults(resources: &ResourceRequirements) -> ResourceRequirements {
    let mut resources = resources.clone();
    for (name, limit) in &resources.limits {
        resources.requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
    resources
}

/// The pod's class, by the CPU and memory of all its containers.
pub fn qos(pod: &Pod) -> Qos {
    if !pod.status.qos_class.is_empty() {
        return match pod.status.qos_class.as_str() {
            "Guaranteed" => Qos::Guaranteed,
            "Burstable" => Qos::Burstable,
            _ => Qos::BestEffort,
        };
    }
    let (mut any, mut all) = (false, true);
    for member in members(pod) {
        let resources = with_defaults(&member.container.resources);
        for name in ["cpu", "memory"] {
            let read = |map: &BTreeMap<String, Quantity>| map.get(name).and_then(milli).filter(|value| *value > 0);
            let (request, limit) = (read(&resources.requests), read(&resources.limits));
            any |= request.is_some() || limit.is_some();
            all &= limit.is_some() && request == limit;
        }
    }
    match (any, all) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

/// The sum over the containers that run together; a limit only where all of them have one.
pub fn total(pod: &Pod) -> ResourceRequirements {
    if let Some(own) = &pod.spec.resources {
        return with_defaults(own);
    }
    let together: Vec<ResourceRequirements> = members(pod)
        .filter(|member| member.role != Role::Init)
        .map(|member| with_defaults(&member.container.resources))
        .collect();
    let mut sum = ResourceRequirements::default();
    for resources in &together {
        quantity::add(&mut sum.limits, &resources.limits);
        quantity::add(&mut sum.requests, &resources.requests);
    }
    sum
}

/// CPU shares for thousandths of a CPU: 1024 a CPU, never less than 2.
pub fn shares(milli_cpu: i64) -> u64 {
    ((milli_cpu.max(0) as u64).saturating_mul(1024) / 1000).clamp(2, 262_144)
}

/// CPU time per period for thousandths of a CPU, never less than a millisecond.
pub fn quota(milli_cpu: i64) -> i64 {
    (milli_cpu.saturating_mul(sys::cgroup::CPU_PERIOD_US as i64) / 1000).max(1000)
}

/// A container's limits in the kernel's units.
pub fn container(container: &Container) -> crate::runtime::spec::Resources {
    let resources = with_defaults(&container.resources);
    let get =
        |map: &BTreeMap<String, Quantity>, name: &str, read: fn(&Quantity) -> Option<i64>| map.get(name).and_then(read);
    crate::runtime::spec::Resources {
        cpu_shares: shares(get(&resources.requests, "cpu", milli).unwrap_or(0)),
        cpu_quota_us: get(&resources.limits, "cpu", milli).filter(|limit| *limit > 0).map(quota),
        memory_bytes: get(&resources.limits, "memory", units).filter(|limit| *limit > 0),
        unified: Vec::new(),
    }
}

/// The pod's own cgroup: the sum of its containers, a limit only where every container has one.
pub fn pod(pod: &Pod) -> Limits {
    let main: Vec<ResourceRequirements> = members(pod)
        .filter(|member| member.role != Role::Init)
        .map(|member| with_defaults(&member.container.resources))
        .collect();
    let sum = |pick: fn(&ResourceRequirements) -> &BTreeMap<String, Quantity>,
               name: &str,
               read: fn(&Quantity) -> Option<i64>| {
        main.iter().map(|resources| pick(resources).get(name).and_then(read)).collect::<Vec<Option<i64>>>()
    };
    let whole = |values: Vec<Option<i64>>| {
        let sum = values.into_iter().try_fold(0_i64, |sum, value| Some(sum.saturating_add(value?)));
        sum.filter(|sum| *sum > 0)
    };
    // An ordinary init container runs alone but within the pod's limits too.
    let init = |name: &str, read: fn(&Quantity) -> Option<i64>| {
        let inits = members(pod).filter(|member| member.role == Role::Init);
        inits.map(|member| member.container.resources.limits.get(name).and_then(read)).collect::<Option<Vec<i64>>>()
    };
    let limit = |name: &str, read: fn(&Quantity) -> Option<i64>| {
        let main = whole(sum(|resources| &resources.limits, name, read))?;
        Some(init(name, read)?.into_iter().fold(main, i64::max))
    };
    Limits {
        cpu_shares: Some(shares(requested_cpu(pod))),
        cpu_quota_us: limit("cpu", milli).map(quota),
        memory_max: limit("memory", units),
        pids_max: None,
    }
}

/// Thousandths of a CPU that the containers that run together ask for.
pub fn requested_cpu(pod: &Pod) -> i64 {
    let together = members(pod).filter(|member| member.role != Role::Init);
    let requests =
        together.filter_map(|member| with_defaults(&member.container.resources).requests.get("cpu").and_then(milli));
    requests.fold(0, |sum, request| sum.saturating_add(request.max(0)))
}

/// The group of all pods of a class, below the kubelet's root group. Guaranteed pods are directly in the pods' group.
fn class_group(root: &str, class: Qos) -> String {
    let root = root.trim_end_matches('/');
    match class {
        Qos::Guaranteed => format!("{root}/kubepods"),
        Qos::Burstable => format!("{root}/kubepods/burstable"),
        Qos::BestEffort => format!("{root}/kubepods/besteffort"),
    }
}

/// The group of a pod below the kubelet's root group.
pub fn cgroup(root: &str, pod: &Pod) -> String {
    format!("{}/pod{}", class_group(root, qos(pod)), pod.metadata.uid)
}

/// What the groups above the pods get, so that the classes are held apart: all pods together have what the node may
/// give, burstable ones the sum of what they ask for, and best-effort ones what is left over.
pub fn qos_tree(
    root: &str,
    node_cpu: Option<i64>,
    node_memory: Option<i64>,
    burstable_cpu: i64,
) -> [(String, Limits); 3] {
    let limits = |cpu_shares: Option<u64>| Limits { cpu_shares, ..Limits::default() };
    let all = Limits { memory_max: node_memory.filter(|bytes| *bytes > 0), ..limits(node_cpu.map(shares)) };
    [
        (class_group(root, Qos::Guaranteed), all),
        (class_group(root, Qos::Burstable), limits(Some(shares(burstable_cpu)))),
        (class_group(root, Qos::BestEffort), limits(Some(shares(0)))),
    ]
}

/// Whom the kernel kills first when memory runs out: upstream's scores.
pub fn oom_score(pod: &Pod, container: &Container, node_memory_bytes: i64) -> i32 {
    if matches!(pod.spec.priority_class_name.as_str(), "system-node-critical") {
        return -997;
    }
    match qos(pod) {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let request = with_defaults(&container.resources).requests.get("memory").and_then(units).unwrap_or(0);
            let share = 1000 - (1000 * request as i128 / i128::from(node_memory_bytes.max(1))) as i64;
            share.clamp(3, 999) as i32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod_of(resources: &[(&str, &str, &str)]) -> Pod {
        let mut container = Container::default();
        for (list, name, value) in resources {
            let map = match *list {
                "limit" => &mut container.resources.limits,
                _ => &mut container.resources.requests,
            };
            map.insert((*name).into(), Quantity { string: (*value).into() });
        }
        let mut pod = Pod::default();
        pod.metadata.uid = "u".into();
        pod.spec.containers = vec![container];
        pod
    }

    #[test]
    fn quality_of_service_follows_requests_and_limits() {
        assert_eq!(qos(&pod_of(&[])), Qos::BestEffort);
        assert_eq!(qos(&pod_of(&[("request", "cpu", "1")])), Qos::Burstable);
        assert_eq!(qos(&pod_of(&[("limit", "cpu", "1"), ("limit", "memory", "1Gi")])), Qos::Guaranteed);
    }

    #[test]
    fn cpu_becomes_shares_and_quota() {
        let limits = container(&pod_of(&[("limit", "cpu", "500m"), ("limit", "memory", "16Mi")]).spec.containers[0]);
        assert_eq!((limits.cpu_shares, limits.cpu_quota_us, limits.memory_bytes), (512, Some(50_000), Some(16 << 20)));
    }

    #[test]
    fn amounts_beyond_every_machine_are_the_most_there_is() {
        let pod = pod_of(&[("limit", "cpu", "1E"), ("limit", "memory", "16E"), ("request", "cpu", "8E")]);
        let limits = container(&pod.spec.containers[0]);
        assert_eq!((limits.cpu_shares, limits.cpu_quota_us.is_some()), (262_144, true));
        let mut twice = pod.clone();
        twice.spec.containers.push(pod.spec.containers[0].clone());
        assert_eq!(super::pod(&twice).memory_max, Some(i64::MAX));
        assert_eq!(requested_cpu(&twice), i64::MAX);
    }

    #[test]
    fn classes_weigh_what_their_pods_ask_for() {
        let tree = qos_tree("/", Some(2000), Some(1 << 30), 1500);
        let got: Vec<_> =
            tree.iter().map(|(path, limits)| (path.as_str(), limits.cpu_shares, limits.memory_max)).collect();
        let expect = [
            ("/kubepods", Some(2048), Some(1 << 30)),
            ("/kubepods/burstable", Some(1536), None),
            ("/kubepods/besteffort", Some(2), None),
        ];
        assert_eq!(got, expect);
        assert_eq!(requested_cpu(&pod_of(&[("limit", "cpu", "500m")])), 500);
    }

    #[test]
    fn groups_follow_the_class() {
        assert_eq!(cgroup("/", &pod_of(&[])), "/kubepods/besteffort/podu");
        assert_eq!(cgroup("/", &pod_of(&[("limit", "cpu", "1"), ("limit", "memory", "1Gi")])), "/kubepods/podu");
    }
}
