//! Whether a pod has written more than it may: whoever exceeds a limit of its disk is ended, with upstream's texts. Pure.

use std::collections::BTreeMap;

use api::quantity;
use proto::Quantity;
use proto::core::v1::{Pod, Volume};

use crate::pod::{Role, members};

/// The reason in the pod's status, and of the event.
pub const REASON: &str = "Evicted";
/// How long an evicted pod has to end.
pub const GRACE_SECONDS: i64 = 1;
/// Pods of this priority and above keep the node itself alive: they are never evicted.
const CRITICAL_PRIORITY: i32 = 2_000_000_000;

const STORAGE: &str = "ephemeral-storage";

/// What a pod has on the node's disk, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Volumes that live and end with the pod, by name.
    pub volumes: BTreeMap<String, u64>,
    /// Logs, and what was written into the root file system, by container.
    pub containers: BTreeMap<String, u64>,
}

impl Usage {
    fn total(&self) -> u64 {
        self.volumes.values().chain(self.containers.values()).fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
}

/// Whether there is any limit that the pod could exceed: others need not be measured.
pub fn is_limited(pod: &Pod) -> bool {
    let may_be_evicted = pod.spec.priority.is_none_or(|priority| priority < CRITICAL_PRIORITY);
    let limits_volume = pod.spec.volumes.iter().any(|volume| size_limit(volume).is_some());
    let limits_container = members(pod).any(|member| member.container.resources.limits.contains_key(STORAGE));
    may_be_evicted && (limits_volume || limits_container)
}

/// Whether the volume is a folder on the node's disk that goes with the pod.
pub fn is_on_disk(volume: &Volume) -> bool {
    volume.volume_source.empty_dir.as_ref().is_some_and(|source| source.medium.is_empty())
}

/// Why the pod must end, as its status says it; None while it keeps to its limits.
pub fn exceeded(pod: &Pod, usage: &Usage) -> Option<String> {
    volume_exceeds(pod, usage).or_else(|| pod_exceeds(pod, usage)).or_else(|| container_exceeds(pod, usage))
}

/// Those in memory are held to their size by the kernel.
fn size_limit(volume: &Volume) -> Option<&Quantity> {
    let limit = volume.volume_source.empty_dir.as_ref()?.size_limit.as_ref()?;
    Some(limit).filter(|limit| is_on_disk(volume) && limit.amount().value() > 0)
}

fn volume_exceeds(pod: &Pod, usage: &Usage) -> Option<String> {
    pod.spec.volumes.iter().find_map(|volume| {
        let (limit, used) = (size_limit(volume)?, *usage.volumes.get(&volume.name)?);
        let (name, text) = (&volume.name, &limit.string);
        is_more(used, limit).then(|| format!("Usage of EmptyDir volume \"{name}\" exceeds the limit \"{text}\". "))
    })
}

fn pod_exceeds(pod: &Pod, usage: &Usage) -> Option<String> {
    let limit = pod_limit(pod)?;
    let text = &limit.string;
    is_more(usage.total(), &limit)
        .then(|| format!("Pod ephemeral local storage usage exceeds the total limit of containers {text}. "))
}

fn container_exceeds(pod: &Pod, usage: &Usage) -> Option<String> {
    members(pod).filter(|member| member.role != Role::Init).find_map(|member| {
        let name = &member.container.name;
        let (limit, used) = (member.container.resources.limits.get(STORAGE)?, *usage.containers.get(name)?);
        let text = &limit.string;
        is_more(used, limit)
            .then(|| format!("Container {name} exceeded its local ephemeral storage limit \"{text}\". "))
    })
}

/// What the containers may have together, as far as they name a limit. An init container runs beside the sidecars that
/// come before it, and alone otherwise.
fn pod_limit(pod: &Pod) -> Option<Quantity> {
    let (mut together, mut beside, mut most) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for member in members(pod) {
        let Some(limit) = member.container.resources.limits.get(STORAGE) else { continue };
        let own = BTreeMap::from([(STORAGE.to_owned(), limit.clone())]);
        if member.role != Role::Init {
            quantity::add(&mut together, &own);
        }
        match member.role {
            Role::Sidecar => quantity::add(&mut beside, &own),
            Role::Init => {
                let mut sum = beside.clone();
                quantity::add(&mut sum, &own);
                quantity::raise(&mut most, &sum);
            }
            _ => {}
        }
    }
    quantity::raise(&mut most, &together);
    most.remove(STORAGE)
}

fn is_more(used: u64, limit: &Quantity) -> bool {
    i64::try_from(used).unwrap_or(i64::MAX) > limit.amount().value()
}

#[cfg(test)]
mod tests {
    use proto::core::v1::{Container, EmptyDirVolumeSource};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn quantity(text: &str) -> Quantity {
        Quantity { string: text.into() }
    }

    fn container(name: &str, limit: &str) -> Container {
        let mut container = Container { name: name.into(), ..Container::default() };
        if !limit.is_empty() {
            container.resources.limits.insert(STORAGE.into(), quantity(limit));
        }
        container
    }

    fn volume(name: &str, medium: &str, limit: Option<&str>) -> Volume {
        let source = EmptyDirVolumeSource { medium: medium.into(), size_limit: limit.map(quantity) };
        let mut volume = Volume { name: name.into(), ..Volume::default() };
        volume.volume_source.empty_dir = Some(source);
        volume
    }

    fn pod(volumes: Vec<Volume>, containers: Vec<Container>) -> Pod {
        let mut pod = Pod::default();
        (pod.spec.volumes, pod.spec.containers) = (volumes, containers);
        pod
    }

    fn usage(volumes: &[(&str, u64)], containers: &[(&str, u64)]) -> Usage {
        let map = |list: &[(&str, u64)]| list.iter().map(|(name, mib)| ((*name).to_owned(), mib * MIB)).collect();
        Usage { volumes: map(volumes), containers: map(containers) }
    }

    #[track_caller]
    fn check(pod: &Pod, usage: &Usage, expect: &str) {
        assert!(is_limited(pod));
        assert_eq!(exceeded(pod, usage).unwrap_or_default(), expect);
    }

    #[test]
    fn a_volume_may_be_as_large_as_its_limit_and_no_larger() {
        let pod = pod(vec![volume("d", "", Some("1Mi"))], vec![container("c", "")]);
        check(&pod, &usage(&[("d", 1)], &[("c", 9)]), "");
        check(&pod, &usage(&[("d", 4)], &[]), "Usage of EmptyDir volume \"d\" exceeds the limit \"1Mi\". ");
    }

    #[test]
    fn a_container_answers_for_its_logs_and_layer_and_the_pod_for_all_of_it() {
        let pod = pod(vec![volume("d", "", None)], vec![container("a", "2Mi"), container("b", "3Mi")]);
        check(&pod, &usage(&[("d", 1)], &[("a", 2), ("b", 2)]), "");
        let expect = "Container a exceeded its local ephemeral storage limit \"2Mi\". ";
        check(&pod, &usage(&[], &[("a", 3), ("b", 2)]), expect);
        let expect = "Pod ephemeral local storage usage exceeds the total limit of containers 5Mi. ";
        check(&pod, &usage(&[("d", 4)], &[("a", 1), ("b", 1)]), expect);
    }

    #[test]
    fn what_a_container_without_a_limit_writes_counts_for_the_pod() {
        let pod = pod(Vec::new(), vec![container("a", "2Mi"), container("b", "")]);
        let expect = "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ";
        check(&pod, &usage(&[], &[("b", 3)]), expect);
    }

    #[test]
    fn an_init_container_may_have_more_than_those_that_follow() {
        let mut pod = pod(Vec::new(), vec![container("c", "2Mi")]);
        let sidecar = Container { restart_policy: Some("Always".into()), ..container("s", "1Mi") };
        pod.spec.init_containers = vec![sidecar, container("i", "4Mi")];
        check(&pod, &usage(&[], &[("i", 4)]), "");
        check(
            &pod,
            &usage(&[], &[("i", 6)]),
            "Pod ephemeral local storage usage exceeds the total limit of containers 5Mi. ",
        );
    }

    #[test]
    fn only_what_has_a_limit_on_disk_is_measured_and_never_what_the_node_needs() {
        assert!(!is_limited(&pod(vec![volume("d", "", None)], vec![container("c", "")])));
        assert!(!is_limited(&pod(vec![volume("m", "Memory", Some("1Mi"))], vec![container("c", "")])));
        assert!(!is_limited(&pod(vec![volume("d", "", Some("0"))], vec![container("c", "")])));
        let mut critical = pod(vec![volume("d", "", Some("1Mi"))], vec![container("c", "1Mi")]);
        critical.spec.priority = Some(CRITICAL_PRIORITY);
        assert!(!is_limited(&critical));
    }
}
