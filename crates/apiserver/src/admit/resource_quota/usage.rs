//! What an object uses of a quota, and which quotas it counts for.

use api::default::container_requests;
use api::quantity::{self, ResourceList};
use proto::Quantity;
use proto::core::v1::{Container, PersistentVolumeClaim, Pod, ResourceQuota, Service};
use proto::dynamic::DynObject;

/// Resources of pods that a quota may count under these names.
const OF_PODS: &[&str] = &["cpu", "memory", "ephemeral-storage"];
/// Resources without a group of which a quota may count the objects by their plain name.
const PLAIN: &[&str] = &[
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
];

fn one() -> Quantity {
    Quantity { string: "1".to_owned() }
}

/// What a new object uses.
pub fn of(object: &dyn DynObject, group: &str, plural: &str) -> ResourceList {
    let mut used = ResourceList::new();
    let counted = if group.is_empty() { format!("count/{plural}") } else { format!("count/{plural}.{group}") };
    used.insert(counted, one());
    if group.is_empty() && PLAIN.contains(&plural) {
        used.insert(plural.to_owned(), one());
    }
    if let Some(pod) = object.downcast_ref::<Pod>() {
        self::pod(&mut used, pod);
    } else if let Some(claim) = object.downcast_ref::<PersistentVolumeClaim>() {
        self::claim(&mut used, claim);
    } else if let Some(service) = object.downcast_ref::<Service>() {
        self::service(&mut used, service);
    }
    used
}

fn limits(pod: &Pod) -> ResourceList {
    let mut spec = pod.spec.clone();
    for container in spec.containers.iter_mut().chain(&mut spec.init_containers) {
        container.resources.requests = std::mem::take(&mut container.resources.limits);
    }
    container_requests(&spec)
}

fn pod(used: &mut ResourceList, pod: &Pod) {
    let mut requests = container_requests(&pod.spec);
    let mut limits = limits(pod);
    quantity::add(&mut requests, &pod.spec.overhead);
    quantity::add(&mut limits, &pod.spec.overhead);
    for (name, amount) in requests {
        if OF_PODS.contains(&name.as_str()) || name.starts_with("hugepages-") {
            used.insert(name.clone(), amount.clone());
        }
        used.insert(format!("requests.{name}"), amount);
    }
    for (name, amount) in limits.into_iter().filter(|(name, _)| OF_PODS.contains(&name.as_str())) {
        used.insert(format!("limits.{name}"), amount);
    }
}

fn claim(used: &mut ResourceList, claim: &PersistentVolumeClaim) {
    let class = claim.spec.storage_class_name.as_deref().filter(|class| !class.is_empty());
    let of_class = |what: &str| class.map(|class| format!("{class}.storageclass.storage.k8s.io/{what}"));
    if let Some(name) = of_class("persistentvolumeclaims") {
        used.insert(name, one());
    }
    if let Some(storage) = claim.spec.resources.requests.get("storage") {
        used.insert("requests.storage".to_owned(), storage.clone());
        if let Some(name) = of_class("requests.storage") {
            used.insert(name, storage.clone());
        }
    }
}

fn service(used: &mut ResourceList, service: &Service) {
    let balanced = service.spec.r#type == "LoadBalancer";
    let ports = match service.spec.r#type.as_str() {
        "NodePort" => service.spec.ports.len(),
        "LoadBalancer" if service.spec.allocate_load_balancer_node_ports != Some(false) => service.spec.ports.len(),
        "LoadBalancer" => service.spec.ports.iter().filter(|port| port.node_port != 0).count(),
        _ => 0,
    };
    used.insert("services.nodeports".to_owned(), Quantity { string: ports.to_string() });
    used.insert("services.loadbalancers".to_owned(), Quantity { string: i32::from(balanced).to_string() });
}

/// What a quota counts of a pod and some container does not say: `requests.cpu for: a,b`, in order.
pub fn unsaid(object: &dyn DynObject, hard: &ResourceList) -> Vec<String> {
    let Some(pod) = object.downcast_ref::<Pod>() else { return Vec::new() };
    let all: Vec<&Container> = pod.spec.containers.iter().chain(&pod.spec.init_containers).collect();
    let level = pod.spec.resources.as_ref();
    let missing = |resource: &String| {
        let (requested, name) = match resource.split_once('.') {
            Some(("requests", name)) => (true, name),
            Some(("limits", name)) => (false, name),
            _ => (true, resource.as_str()),
        };
        if !OF_PODS.contains(&name) {
            return None;
        }
        let says = |resources: &proto::core::v1::ResourceRequirements| {
            if requested { resources.requests.contains_key(name) } else { resources.limits.contains_key(name) }
        };
        if level.is_some_and(says) {
            return None;
        }
        let silent: Vec<&str> =
            all.iter().filter(|each| !says(&each.resources)).map(|each| each.name.as_str()).collect();
        (!silent.is_empty()).then(|| format!("{resource} for: {}", silent.join(",")))
    };
    hard.keys().filter_map(missing).collect()
}

/// Whether an object is in every scope of a quota. Scopes tell pods apart, and claims by their class.
pub fn is_counted(object: &dyn DynObject, quota: &ResourceQuota) -> bool {
    let selector = quota.spec.scope_selector.as_ref();
    let terms = selector.map(|selector| selector.match_expressions.as_slice()).unwrap_or_default();
    if quota.spec.scopes.is_empty() && terms.is_empty() {
        return true;
    }
    let Some(pod) = object.downcast_ref::<Pod>() else { return false };
    let in_scope = |scope: &str| match scope {
        "Terminating" => pod.spec.active_deadline_seconds.is_some(),
        "NotTerminating" => pod.spec.active_deadline_seconds.is_none(),
        "BestEffort" => crate::registry::pod::qos_class(&pod.spec) == "BestEffort",
        "NotBestEffort" => crate::registry::pod::qos_class(&pod.spec) != "BestEffort",
        "PriorityClass" => !pod.spec.priority_class_name.is_empty(),
        "CrossNamespacePodAffinity" => affine_elsewhere(pod),
        _ => false,
    };
    quota.spec.scopes.iter().all(|scope| in_scope(scope))
        && terms.iter().all(|term| {
            let class = term.scope_name == "PriorityClass";
            let listed = class && term.values.contains(&pod.spec.priority_class_name);
            match term.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "DoesNotExist" => !in_scope(&term.scope_name),
                _ => in_scope(&term.scope_name),
            }
        })
}

fn affine_elsewhere(pod: &Pod) -> bool {
    let Some(affinity) = &pod.spec.affinity else { return false };
    let near = affinity.pod_affinity.iter().flat_map(|near| {
        let preferred = near.preferred_during_scheduling_ignored_during_execution.iter();
        near.required_during_scheduling_ignored_during_execution
            .iter()
            .chain(preferred.map(|each| &each.pod_affinity_term))
    });
    let apart = affinity.pod_anti_affinity.iter().flat_map(|apart| {
        let preferred = apart.preferred_during_scheduling_ignored_during_execution.iter();
        apart
            .required_during_scheduling_ignored_during_execution
            .iter()
            .chain(preferred.map(|each| &each.pod_affinity_term))
    });
    near.chain(apart).any(|term| !term.namespaces.is_empty() || term.namespace_selector.is_some())
}
