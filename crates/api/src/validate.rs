//! Validation: whether an object may be stored.
//!
//! [`create`] judges a new object, [`update`] a changed one beside the one it replaces, [`update_status`] a change of
//! its status; all after defaults. The errors name field, reason and value as upstream does; texts are our own, except
//! where clients match on them. Kinds without rules here are judged by their metadata only.

mod check;
mod config;
mod container;
mod endpoint;
mod ephemeral;
mod error;
mod event;
mod meta;
mod path;
mod pod;
mod pod_update;
mod probe;
mod resize;
mod resources;
mod scheduling;
mod service;
mod simple;
mod storage;
mod volume;
mod workload;

use std::any::Any;

use proto::apps::v1::{Deployment, ReplicaSet};
use proto::coordination::v1::Lease;
use proto::core::v1::{
    Binding, ConfigMap, Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service,
};
use proto::discovery::v1::EndpointSlice;
use proto::dynamic::DynObject;
use proto::networking::v1::{IpAddress, ServiceCidr};
use proto::scheduling::v1::PriorityClass;

pub use error::{FieldError, Reason};
pub use path::Path;

/// What is wrong with a new object; empty: nothing.
pub fn create(object: &dyn DynObject) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !object.as_any().is::<Binding>() {
        meta::create(&mut errors, object);
    }
    kind_create(&mut errors, object.as_any());
    errors
}

/// What is wrong with a change; empty: nothing.
///
/// Metadata is judged twice, once for every object and once for the kind, as upstream's answers show.
pub fn update(new: &dyn DynObject, old: &dyn DynObject) -> Vec<FieldError> {
    let mut errors = Vec::new();
    meta::update(&mut errors, new.metadata(), old.metadata());
    meta::update(&mut errors, new.metadata(), old.metadata());
    kind_update(&mut errors, new.as_any(), old.as_any());
    errors
}

/// What is wrong with a change of the status; empty: nothing.
pub fn update_status(new: &dyn DynObject, old: &dyn DynObject) -> Vec<FieldError> {
    let mut errors = Vec::new();
    meta::update(&mut errors, new.metadata(), old.metadata());
    let (new, old) = (new.as_any(), old.as_any());
    if let (Some(new), Some(old)) = both::<Pod>(new, old) {
        pod_update::update_status(&mut errors, new, old);
    } else if let (Some(new), Some(old)) = both::<Deployment>(new, old) {
        workload::deployment_status(&mut errors, &new.status, &old.status);
    } else if let Some(new) = new.downcast_ref::<ReplicaSet>() {
        workload::replica_set_status(&mut errors, &new.status);
    }
    errors
}

/// What is wrong with a pod's ephemeral containers; empty: nothing.
pub fn update_ephemeral_containers(new: &Pod, old: &Pod) -> Vec<FieldError> {
    let mut errors = Vec::new();
    meta::update(&mut errors, &new.metadata, &old.metadata);
    ephemeral::update(&mut errors, new, old);
    errors
}

/// What is wrong with a change of a pod's resources, which make it a pod of that class; empty: nothing.
pub fn update_resize(new: &Pod, old: &Pod, qos_class: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    meta::update(&mut errors, &new.metadata, &old.metadata);
    resize::update(&mut errors, new, old, qos_class);
    errors
}

fn both<'a, T: Any>(new: &'a dyn Any, old: &'a dyn Any) -> (Option<&'a T>, Option<&'a T>) {
    (new.downcast_ref(), old.downcast_ref())
}

fn kind_create(errors: &mut Vec<FieldError>, object: &dyn Any) {
    if let Some(pod) = object.downcast_ref::<Pod>() {
        pod::create(errors, pod);
    } else if let Some(service) = object.downcast_ref::<Service>() {
        service::create(errors, service);
    } else if let Some(deployment) = object.downcast_ref::<Deployment>() {
        workload::deployment(errors, deployment);
    } else if let Some(set) = object.downcast_ref::<ReplicaSet>() {
        workload::replica_set(errors, set);
    } else if let Some(map) = object.downcast_ref::<ConfigMap>() {
        config::config_map(errors, map);
    } else if let Some(secret) = object.downcast_ref::<Secret>() {
        config::secret(errors, secret);
    } else if let Some(volume) = object.downcast_ref::<PersistentVolume>() {
        storage::volume(errors, volume);
    } else if let Some(claim) = object.downcast_ref::<PersistentVolumeClaim>() {
        storage::claim(errors, claim);
    } else if let Some(event) = object.downcast_ref::<proto::core::v1::Event>() {
        event::core_event(errors, event);
    } else if let Some(event) = object.downcast_ref::<proto::events::v1::Event>() {
        event::event(errors, event);
    } else {
        small_create(errors, object);
    }
}

fn small_create(errors: &mut Vec<FieldError>, object: &dyn Any) {
    if let Some(namespace) = object.downcast_ref::<Namespace>() {
        simple::namespace(errors, namespace);
    } else if let Some(node) = object.downcast_ref::<Node>() {
        simple::node(errors, node);
    } else if let Some(lease) = object.downcast_ref::<Lease>() {
        simple::lease(errors, lease);
    } else if let Some(class) = object.downcast_ref::<PriorityClass>() {
        simple::priority_class(errors, class);
    } else if let Some(cidr) = object.downcast_ref::<ServiceCidr>() {
        simple::service_cidr(errors, cidr);
    } else if let Some(address) = object.downcast_ref::<IpAddress>() {
        simple::ip_address(errors, address);
    } else if let Some(endpoints) = object.downcast_ref::<Endpoints>() {
        endpoint::endpoints(errors, endpoints);
    } else if let Some(slice) = object.downcast_ref::<EndpointSlice>() {
        endpoint::slice(errors, slice);
    } else if let Some(binding) = object.downcast_ref::<Binding>() {
        simple::binding(errors, binding);
    }
}

fn kind_update(errors: &mut Vec<FieldError>, new: &dyn Any, old: &dyn Any) {
    if let (Some(new), Some(old)) = both::<Pod>(new, old) {
        pod_update::update(errors, new, old);
    } else if let (Some(new), Some(old)) = both::<Service>(new, old) {
        service::update(errors, new, old);
    } else if let (Some(new), Some(old)) = both::<Deployment>(new, old) {
        workload::deployment_update(errors, new, old);
    } else if let (Some(new), Some(old)) = both::<ReplicaSet>(new, old) {
        workload::replica_set_update(errors, new, old);
    } else if let (Some(new), Some(old)) = both::<ConfigMap>(new, old) {
        config::config_map_update(errors, new, old);
    } else if let (Some(new), Some(old)) = both::<Secret>(new, old) {
        config::secret_update(errors, new, old);
    } else if let (Some(new), Some(old)) = both::<PersistentVolume>(new, old) {
        storage::volume_update(errors, new, old);
    } else if let (Some(new), Some(old)) = both::<PersistentVolumeClaim>(new, old) {
        storage::claim_update(errors, new, old);
    } else if let (Some(new), Some(old)) = both::<Node>(new, old) {
        simple::node_update(errors, new, old);
    } else if let (Some(new), Some(old)) = both::<PriorityClass>(new, old) {
        simple::priority_class_update(errors, new, old);
    } else if let (Some(new), Some(old)) = both::<ServiceCidr>(new, old) {
        simple::service_cidr_update(errors, new, old);
    } else if let (Some(new), Some(old)) = both::<IpAddress>(new, old) {
        simple::ip_address_update(errors, new, old);
    } else if let (Some(new), Some(old)) = both::<EndpointSlice>(new, old) {
        endpoint::slice_update(errors, new, old);
    } else if let (Some(new), Some(old)) = both::<proto::events::v1::Event>(new, old) {
        event::update(errors, new, old);
    } else {
        kind_create(errors, new);
    }
}
