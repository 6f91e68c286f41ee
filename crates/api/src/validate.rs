//! Validation: whether an object may be stored.
//!
//! [`create`] judges a new object, [`update`] a changed one beside the one it replaces, [`update_status`] a change of
//! its status; all after defaults. The errors name field, reason and value as upstream does; texts are our own, except
//! where clients match on them. Kinds without rules here are judged by their metadata only.

mod admission_policy;
mod annotation;
mod api_service;
mod autoscaler;
mod certificate;
mod check;
mod conditions;
mod config;
mod container;
mod controller;
mod cron;
mod cron_job;
mod daemon;
mod definition;
mod device;
mod disruption;
mod endpoint;
mod env;
mod ephemeral;
mod error;
mod event;
mod expression;
mod flow;
mod ingress;
mod job;
mod job_policy;
mod job_status;
mod kinds;
mod match_rules;
pub(crate) mod meta;
mod mount;
mod network_policy;
mod os;
mod path;
mod pod;
mod pod_update;
mod probe;
mod projection;
mod quota;
mod rbac;
mod resize;
mod resource_slice;
mod resources;
mod runtime_class;
mod scheduling;
mod schema;
mod security;
mod selectable;
mod service;
mod simple;
mod stateful;
mod storage;
mod storage_class;
mod volume;
mod volume_vendor;
mod webhook;
mod workload;

use proto::core::v1::{Binding, Pod};
use proto::dynamic::DynObject;

pub use error::{FieldError, Reason};
pub use path::Path;

/// What is wrong with a new object; empty: nothing.
pub fn create(object: &dyn DynObject) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !object.as_any().is::<Binding>() {
        meta::create(&mut errors, object);
    }
    kinds::create(&mut errors, object.as_any());
    errors
}

/// What is wrong with a change; empty: nothing.
///
/// Metadata is judged twice, once for every object and once for the kind, as upstream's answers show.
pub fn update(new: &dyn DynObject, old: &dyn DynObject) -> Vec<FieldError> {
    let mut errors = Vec::new();
    meta::update(&mut errors, new.metadata(), old.metadata());
    // Budgets are not judged as a kind of their own here.
    if new.info().kind != "PodDisruptionBudget" {
        meta::update(&mut errors, new.metadata(), old.metadata());
    }
    kinds::update(&mut errors, new.as_any(), old.as_any());
    errors
}

/// What is wrong with a change of the status; empty: nothing.
pub fn update_status(new: &dyn DynObject, old: &dyn DynObject) -> Vec<FieldError> {
    let mut errors = Vec::new();
    meta::update(&mut errors, new.metadata(), old.metadata());
    kinds::update_status(&mut errors, new.as_any(), old.as_any());
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
