//! The kinds that have replicas, seen as a Scale.

use proto::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use proto::autoscaling::v1::{Scale, ScaleSpec, ScaleStatus};
use proto::core::v1::ReplicationController;
use proto::dynamic::DynObject;
use proto::meta::v1::{LabelSelector, ObjectMeta};

use super::Resource;
use crate::status::{Failure, Result};

/// The scale of an object of that resource.
pub fn of(resource: &Resource, object: &dyn DynObject) -> Result<Scale> {
    match &resource.custom {
        Some(version) => version.scale_of(object),
        None => of_built_in(object).ok_or_else(Failure::no_resource),
    }
}

/// Where an object of that resource keeps how many replicas are wanted.
pub fn path(resource: &Resource) -> Vec<&str> {
    let custom = resource.custom.as_ref().and_then(|version| version.scale.as_ref());
    match custom {
        Some(paths) => api::structural::path::steps(&paths.spec_replicas_path),
        None => api::apply::scale::REPLICAS.to_vec(),
    }
}

fn of_built_in(object: &dyn DynObject) -> Option<Scale> {
    let (wanted, present, selector) = if let Some(it) = object.downcast_ref::<Deployment>() {
        (it.spec.replicas, it.status.replicas, selector(it.spec.selector.as_ref()))
    } else if let Some(it) = object.downcast_ref::<ReplicaSet>() {
        (it.spec.replicas, it.status.replicas, selector(it.spec.selector.as_ref()))
    } else if let Some(it) = object.downcast_ref::<StatefulSet>() {
        (it.spec.replicas, it.status.replicas, selector(it.spec.selector.as_ref()))
    } else if let Some(it) = object.downcast_ref::<ReplicationController>() {
        let selector = api::selector::labels::Selector::from_map(&it.spec.selector).to_string();
        (it.spec.replicas, it.status.replicas, selector)
    } else {
        return None;
    };
    let meta = object.metadata();
    Some(Scale {
        metadata: ObjectMeta {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            creation_timestamp: meta.creation_timestamp,
            ..Default::default()
        },
        spec: ScaleSpec { replicas: wanted.unwrap_or(0) },
        status: ScaleStatus { replicas: present, selector },
    })
}

/// Sets how many replicas are wanted.
pub fn set(resource: &Resource, object: &mut dyn DynObject, replicas: i32) {
    if let Some(version) = &resource.custom {
        version.set_scale(object, replicas);
    } else if let Some(it) = object.downcast_mut::<Deployment>() {
        it.spec.replicas = Some(replicas);
    } else if let Some(it) = object.downcast_mut::<ReplicaSet>() {
        it.spec.replicas = Some(replicas);
    } else if let Some(it) = object.downcast_mut::<StatefulSet>() {
        it.spec.replicas = Some(replicas);
    } else if let Some(it) = object.downcast_mut::<ReplicationController>() {
        it.spec.replicas = Some(replicas);
    }
}

/// How many replicas a Scale wants.
pub fn replicas(scale: &dyn DynObject) -> i32 {
    scale.downcast_ref::<Scale>().map_or(0, |scale| scale.spec.replicas)
}

fn selector(selector: Option<&LabelSelector>) -> String {
    api::selector::labels::Selector::from_selector(selector).map(|selector| selector.to_string()).unwrap_or_default()
}
