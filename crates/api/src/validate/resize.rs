//! Validation of a resize: CPU and memory of containers may change, and nothing that they stand for.

use proto::core::v1::{Container, Pod};

use super::annotation::MIRROR;
use super::check::Errors;
use super::{FieldError, Path};
use crate::quantity::ResourceList;

const SPEC: Path<'static> = Path::root("spec");
/// What may change.
const RESIZABLE: &[&str] = &["cpu", "memory"];

/// `qos_class` is the one that the new resources amount to.
pub fn update(errors: &mut Errors, new: &Pod, old: &Pod, qos_class: &str) {
    super::pod::spec(errors, SPEC, &new.spec, Some(&new.metadata));
    if old.metadata.annotations.contains_key(MIRROR) {
        return errors.push(FieldError::forbidden("metadata", "static pods cannot be resized"));
    }
    if !is_supported(old) {
        errors.push(FieldError::forbidden("metadata", "Pod running on node without support for resize"));
    }
    if old.status.qos_class != qos_class && !old.status.qos_class.is_empty() {
        errors.push(FieldError::invalid(SPEC, qos_class, "Pod QOS Class may not change as a result of resizing"));
    }
    list(errors, SPEC.child("containers"), &new.spec.containers, &old.spec.containers, |_| true);
    let sidecar = |container: &Container| container.restart_policy.as_deref() == Some("Always");
    list(errors, SPEC.child("initContainers"), &new.spec.init_containers, &old.spec.init_containers, sidecar);
}

/// A kubelet that tells what running containers have can also change it.
fn is_supported(pod: &Pod) -> bool {
    let mut running = pod.status.container_statuses.iter().filter(|status| status.state.running.is_some());
    running.all(|status| status.resources.is_some())
}

fn list(
    errors: &mut Errors,
    path: Path<'_>,
    new: &[Container],
    old: &[Container],
    is_resizable: impl Fn(&Container) -> bool,
) {
    if new.len() != old.len() {
        return errors.push(FieldError::forbidden(path, "containers may not be added or removed on resize"));
    }
    for (index, (new, old)) in new.iter().zip(old).enumerate() {
        let path = path.index(index);
        if new.name != old.name {
            let why = "containers may not be renamed or reordered on resize";
            errors.push(FieldError::forbidden(path.child("name"), why));
        } else if !is_resizable(old) && new.resources != old.resources {
            let why = "resources of init containers that are no sidecars are immutable";
            errors.push(FieldError::forbidden(path.child("resources"), why));
        } else {
            resources(errors, path.child("resources"), new, old);
        }
    }
}

fn resources(errors: &mut Errors, path: Path<'_>, new: &Container, old: &Container) {
    let (new, old) = (&new.resources, &old.resources);
    if is_removed(&new.requests, &old.requests) {
        errors.push(FieldError::forbidden(path.child("requests"), "resource requests cannot be removed"));
    }
    if is_removed(&new.limits, &old.limits) {
        errors.push(FieldError::forbidden(path.child("limits"), "resource limits cannot be removed"));
    }
    if others(&new.requests) != others(&old.requests)
        || others(&new.limits) != others(&old.limits)
        || new.claims != old.claims
    {
        errors.push(FieldError::forbidden(SPEC, "only cpu and memory resources are mutable"));
    }
}

fn is_removed(new: &ResourceList, old: &ResourceList) -> bool {
    RESIZABLE.iter().any(|name| old.contains_key(*name) && !new.contains_key(*name))
}

fn others(list: &ResourceList) -> ResourceList {
    let mut list = list.clone();
    list.retain(|name, _| !RESIZABLE.contains(&name.as_str()));
    list
}

#[cfg(test)]
mod tests {
    use proto::Quantity;
    use proto::core::v1::{ContainerState, ContainerStateRunning, ContainerStatus};

    use super::*;

    fn container(name: &str, requests: &[(&str, &str)], limits: &[(&str, &str)]) -> Container {
        let list = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, text)| ((*name).to_owned(), Quantity { string: (*text).to_owned() })).collect()
        };
        let mut container = Container { name: name.into(), ..Container::default() };
        (container.resources.requests, container.resources.limits) = (list(requests), list(limits));
        container
    }

    fn pod(containers: Vec<Container>) -> Pod {
        let mut pod = Pod::default();
        pod.status.qos_class = "Burstable".into();
        pod.spec.containers = containers;
        pod
    }

    /// What resizing alone finds; the rules for every spec have tests of their own.
    #[track_caller]
    fn check(new: &Pod, old: &Pod, class: &str, expect: &[&str]) {
        let (mut all, mut of_spec) = (Vec::new(), Vec::new());
        update(&mut all, new, old, class);
        super::super::pod::spec(&mut of_spec, SPEC, &new.spec, Some(&new.metadata));
        let found: Vec<String> = all[of_spec.len()..].iter().map(|error| error.detail.clone()).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn cpu_and_memory_may_change_and_be_added() {
        let old = pod(vec![container("c", &[("cpu", "1")], &[])]);
        let new = pod(vec![container("c", &[("cpu", "2"), ("memory", "1Gi")], &[("cpu", "3")])]);
        check(&new, &old, "Burstable", &[]);
    }

    #[test]
    fn nothing_is_removed_and_nothing_else_changes() {
        let old = pod(vec![container("c", &[("cpu", "1"), ("ephemeral-storage", "1Gi")], &[("memory", "1Gi")])]);
        let new = pod(vec![container("c", &[("ephemeral-storage", "2Gi")], &[])]);
        check(
            &new,
            &old,
            "Burstable",
            &[
                "resource requests cannot be removed",
                "resource limits cannot be removed",
                "only cpu and memory resources are mutable",
            ],
        );
    }

    #[test]
    fn the_class_stays() {
        let old = pod(vec![container("c", &[("cpu", "1")], &[])]);
        check(&old, &old, "Guaranteed", &["Pod QOS Class may not change as a result of resizing"]);
    }

    #[test]
    fn containers_stay_where_they_are() {
        let old = pod(vec![container("a", &[], &[]), container("b", &[], &[])]);
        let moved = pod(vec![container("b", &[], &[]), container("a", &[], &[])]);
        let why = "containers may not be renamed or reordered on resize";
        check(&moved, &old, "Burstable", &[why, why]);
        let fewer = pod(vec![container("a", &[], &[])]);
        check(&fewer, &old, "Burstable", &["containers may not be added or removed on resize"]);
    }

    #[test]
    fn of_the_init_containers_only_sidecars_are_resized() {
        let with = |cpu: &str, policy: Option<&str>| {
            let mut pod = pod(vec![container("c", &[], &[])]);
            let init = container("i", &[("cpu", cpu)], &[]);
            pod.spec.init_containers = vec![Container { restart_policy: policy.map(Into::into), ..init }];
            pod
        };
        check(&with("2", Some("Always")), &with("1", Some("Always")), "Burstable", &[]);
        let why = "resources of init containers that are no sidecars are immutable";
        check(&with("2", None), &with("1", None), "Burstable", &[why]);
    }

    #[test]
    fn the_node_must_be_able_to() {
        let mut old = pod(vec![container("c", &[("cpu", "1")], &[])]);
        let running = Some(ContainerStateRunning::default());
        let state = ContainerState { running, ..ContainerState::default() };
        old.status.container_statuses = vec![ContainerStatus { state, ..ContainerStatus::default() }];
        check(&old, &old, "Burstable", &["Pod running on node without support for resize"]);
        old.status.container_statuses[0].resources = Some(Default::default());
        check(&old, &old, "Burstable", &[]);
        old.metadata.annotations.insert(MIRROR.into(), "x".into());
        check(&old, &old, "Burstable", &["static pods cannot be resized"]);
    }
}
