//! Defaults, validation and patches of `api`, called for a resource.

use api::validate::FieldError;
use proto::core::v1::{Container, Pod};
use proto::dynamic::{DynObject, KindInfo};

use super::Resource;
use crate::status::{Failure, Result, cause};
use crate::verbs::patch::PatchType;

/// Fills in what the object leaves out.
pub fn default(resource: &Resource, object: &mut dyn DynObject) {
    match &resource.custom {
        Some(version) => version.default(object),
        None => api::default::apply(object),
    }
}

/// Refuses a new object that breaks rules.
pub fn check_create(resource: &Resource, object: &dyn DynObject) -> Result<()> {
    let wrong = api::validate::create(object);
    match &resource.custom {
        Some(version) => version.refuse(resource, object, None, wrong),
        None => refuse(resource, object, wrong),
    }
}

/// Refuses a changed object that breaks rules, or changes what cannot change.
pub fn check_update(resource: &Resource, new: &dyn DynObject, old: &dyn DynObject) -> Result<()> {
    let wrong = api::validate::update(new, old);
    match &resource.custom {
        Some(version) => version.refuse(resource, new, Some(old), wrong),
        None => refuse(resource, new, wrong),
    }
}

/// Refuses a changed status, or other subresource, that breaks rules.
pub fn check_subresource(resource: &Resource, sub: &str, new: &dyn DynObject, old: &dyn DynObject) -> Result<()> {
    if let Some(version) = &resource.custom {
        return version.refuse(resource, new, Some(old), api::validate::update_status(new, old));
    }
    match (sub, new.downcast_ref(), old.downcast_ref()) {
        ("status", ..) => refuse(resource, new, api::validate::update_status(new, old)),
        ("ephemeralcontainers", Some(pod), Some(old)) => {
            refuse(resource, new, api::validate::update_ephemeral_containers(pod, old))
        }
        ("resize", Some(pod), Some(old)) => {
            refuse(resource, new, api::validate::update_resize(pod, old, super::pod::qos_class(&pod.spec)))
        }
        _ => Ok(()),
    }
}

fn refuse(resource: &Resource, object: &dyn DynObject, wrong: Vec<FieldError>) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    let causes = wrong.iter().map(FieldError::cause).collect();
    Err(resource.invalid(&object.metadata().name, causes))
}

/// A scale cannot be negative.
pub fn check_replicas(name: &str, replicas: i32) -> Result<()> {
    if replicas >= 0 {
        return Ok(());
    }
    let message = format!("Invalid value: {replicas}: must be greater than or equal to 0");
    let causes = vec![cause("FieldValueInvalid", "spec.replicas", message)];
    Err(Failure::invalid("autoscaling", "Scale", name, causes))
}

/// What a write of a pod's subresource may change: its ephemeral containers, or its containers' resources.
pub fn pod_subresource(subresource: &str, new: &dyn DynObject, old: &dyn DynObject) -> Result<Box<dyn DynObject>> {
    let (Some(new), Some(old)) = (new.downcast_ref::<Pod>(), old.downcast_ref::<Pod>()) else {
        return Err(Failure::no_resource());
    };
    let mut pod = old.clone();
    if subresource == "ephemeralcontainers" {
        pod.spec.ephemeral_containers.clone_from(&new.spec.ephemeral_containers);
    } else {
        pod.spec.containers = resized(&new.spec.containers, &old.spec.containers);
        pod.spec.init_containers = resized(&new.spec.init_containers, &old.spec.init_containers);
    }
    if pod.spec != old.spec {
        pod.metadata.generation += 1;
    }
    Ok(Box::new(pod))
}

/// The old containers with the new resources. Which there are, and in which order, is taken over for validation to judge.
fn resized(new: &[Container], old: &[Container]) -> Vec<Container> {
    let merged = |wanted: &Container| match old.iter().find(|container| container.name == wanted.name) {
        Some(container) => Container {
            resources: wanted.resources.clone(),
            resize_policy: wanted.resize_policy.clone(),
            ..container.clone()
        },
        None => wanted.clone(),
    };
    new.iter().map(merged).collect()
}

/// Applies a patch to an object's JSON.
pub fn patch(
    kind: PatchType,
    mut object: serde_json::Value,
    patch: &serde_json::Value,
    info: &'static KindInfo,
) -> Result<serde_json::Value> {
    let applied = match kind {
        PatchType::Json => api::patch::json(&mut object, patch),
        PatchType::Merge => api::patch::merge(&mut object, patch),
        PatchType::StrategicMerge => api::patch::strategic(&mut object, patch, info.message),
        PatchType::Apply => return Err(Failure::internal("a configuration is applied by its owners, not as a patch")),
    };
    match applied {
        Ok(()) => Ok(object),
        Err(api::patch::Error::Malformed(why)) => Err(Failure::bad_request(why)),
        Err(api::patch::Error::Unprocessable(why)) => Err(Failure::new(
            422,
            "Invalid",
            format!("the server rejected our request due to an error in our request: {why}"),
        )),
        Err(api::patch::Error::TooLarge(why)) => Err(Failure::too_large(&why)),
        // Upstream gives no reason here.
        Err(api::patch::Error::Directive(why)) => Err(Failure::new(500, "", why)),
    }
}
