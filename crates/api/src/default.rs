//! Defaults: what an object means where it says nothing.
//!
//! [`apply`] fills in an object just decoded, from a request or from the store; doing it twice changes nothing. What
//! depends on other objects or on the server (addresses, tokens, priorities) is admission's, not ours.

mod pod;
mod service;
mod shared;
mod simple;
mod workload;

pub use pod::{container_requests, pull_policy};
pub use service::is_reached_from_outside;
pub use simple::claim_sources;

use proto::dynamic::DynObject;

/// Fills in an object's defaults.
pub fn apply(object: &mut dyn DynObject) {
    let any = object.as_any_mut();
    if let Some(pod) = any.downcast_mut() {
        pod::pod(pod);
    } else if let Some(service) = any.downcast_mut() {
        service::service(service);
    } else if let Some(deployment) = any.downcast_mut() {
        workload::deployment(deployment);
    } else if let Some(set) = any.downcast_mut() {
        workload::replica_set(set);
    } else if let Some(namespace) = any.downcast_mut() {
        simple::namespace(namespace);
    } else if let Some(node) = any.downcast_mut() {
        simple::node(node);
    } else if let Some(secret) = any.downcast_mut() {
        simple::secret(secret);
    } else if let Some(volume) = any.downcast_mut() {
        simple::persistent_volume(volume);
    } else if let Some(claim) = any.downcast_mut() {
        simple::persistent_volume_claim(claim);
    } else if let Some(job) = any.downcast_mut() {
        simple::job(job);
    } else if let Some(class) = any.downcast_mut() {
        simple::priority_class(class);
    }
    shared::apply(object.as_reflect_mut());
    if let Some(pod) = object.as_any_mut().downcast_mut() {
        pod::requests(pod);
    }
}

#[cfg(test)]
mod tests;
