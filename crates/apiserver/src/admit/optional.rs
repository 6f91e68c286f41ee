//! Plugins that run only where they are switched on: AlwaysPullImages, ExtendedResourceToleration,
//! LimitPodHardAntiAffinityTopology, DenyServiceExternalIPs.

use std::collections::BTreeSet;

use proto::core::v1::{Container, Pod, Service, Toleration};
use proto::dynamic::DynObject;

use crate::registry::Resource;
use crate::status::Result;

const ALWAYS: &str = "Always";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// AlwaysPullImages: images are pulled at each start, so that who may not pull one cannot run it.
pub fn always_pull(object: &mut dyn DynObject) {
    let Some(pod) = object.downcast_mut::<Pod>() else { return };
    let spec = &mut pod.spec;
    for container in spec.init_containers.iter_mut().chain(&mut spec.containers) {
        container.image_pull_policy = ALWAYS.to_owned();
    }
    for container in &mut spec.ephemeral_containers {
        container.ephemeral_container_common.image_pull_policy = ALWAYS.to_owned();
    }
}

/// ExtendedResourceToleration: who asks for an extended resource bears the taint of nodes that are kept for it.
pub fn tolerate_extended(object: &mut dyn DynObject) {
    let Some(pod) = object.downcast_mut::<Pod>() else { return };
    let spec = &pod.spec;
    let asked: BTreeSet<String> = spec
        .init_containers
        .iter()
        .chain(&spec.containers)
        .flat_map(|container: &Container| container.resources.requests.keys())
        .filter(|name| is_extended(name))
        .cloned()
        .collect();
    for key in asked {
        let wanted = Toleration { key, operator: "Exists".to_owned(), ..Toleration::default() };
        if !pod.spec.tolerations.iter().any(|one| one.key == wanted.key && one.operator == wanted.operator) {
            pod.spec.tolerations.push(wanted);
        }
    }
}

fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    !native && !name.starts_with("requests.")
}

/// LimitPodHardAntiAffinityTopology: what must not be together can only be kept apart by node.
pub fn check_anti_affinity(resource: &Resource, object: &dyn DynObject) -> Result<()> {
    let Some(pod) = object.downcast_ref::<Pod>() else { return Ok(()) };
    let affinity = pod.spec.affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let terms = affinity.map(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_slice());
    match terms.unwrap_or_default().iter().find(|term| term.topology_key != HOSTNAME) {
        None => Ok(()),
        Some(term) => {
            let why = format!(
                "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {} but only key {HOSTNAME} is allowed",
                term.topology_key
            );
            Err(resource.forbidden(&pod.metadata.name, &why))
        }
    }
}

/// DenyServiceExternalIPs: a Service takes no more external addresses than it had.
pub fn check_external_ips(resource: &Resource, new: &dyn DynObject, old: Option<&dyn DynObject>) -> Result<()> {
    let Some(service) = new.downcast_ref::<Service>() else { return Ok(()) };
    let before = old.and_then(|old| old.downcast_ref::<Service>()).map(|old| old.spec.external_ips.as_slice());
    let before = before.unwrap_or_default();
    match service.spec.external_ips.iter().all(|address| before.contains(address)) {
        true => Ok(()),
        false => {
            let why = "Use of external IPs is denied by admission control";
            Err(resource.forbidden(&service.metadata.name, why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn images_are_always_pulled() {
        let mut pod = Pod::default();
        pod.spec.containers = vec![Container { image_pull_policy: "Never".into(), ..Default::default() }];
        always_pull(&mut pod);
        assert_eq!(pod.spec.containers[0].image_pull_policy, ALWAYS);
    }

    #[test]
    fn an_extended_resource_is_tolerated_once() {
        let mut pod = Pod::default();
        let mut container = Container::default();
        for name in ["cpu", "example.com/gpu", "kubernetes.io/batch"] {
            container.resources.requests.insert(name.into(), "1".parse().expect("a quantity"));
        }
        pod.spec.containers = vec![container];
        tolerate_extended(&mut pod);
        tolerate_extended(&mut pod);
        let keys: Vec<&str> = pod.spec.tolerations.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(keys, ["example.com/gpu"]);
    }

    #[test]
    fn external_addresses_are_only_kept() {
        let registry = Registry::new();
        let services = registry.core("services").expect("served");
        let mut old = Service::default();
        old.spec.external_ips = vec!["192.0.2.1".into()];
        let mut more = old.clone();
        more.spec.external_ips.push("192.0.2.2".into());
        assert!(check_external_ips(services, &old, None).is_err());
        assert!(check_external_ips(services, &old, Some(&old)).is_ok());
        assert!(check_external_ips(services, &more, Some(&old)).is_err());
        assert!(check_external_ips(services, &Service::default(), Some(&old)).is_ok());
    }
}
