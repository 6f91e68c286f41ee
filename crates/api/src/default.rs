//! Defaults: what an object means where it says nothing.
//!
//! [`apply`] fills in an object just decoded, from a request or from the store; doing it twice changes nothing. What
//! depends on other objects or on the server (addresses, tokens, priorities) is admission's, not ours.

mod batch;
mod cluster;
mod pod;
mod service;
mod shared;
mod simple;
mod workload;

pub use pod::{container_requests, pull_policy};
pub use service::is_reached_from_outside;
pub use simple::claim_sources;

use proto::dynamic::DynObject;

/// Calls the defaults of the object's kind.
macro_rules! of_kind {
    ($object:expr; $($rule:path,)*) => {
        $(if let Some(object) = $object.downcast_mut() {
            $rule(object);
        } else)* {}
    };
}

/// Fills in an object's defaults.
pub fn apply(object: &mut dyn DynObject) {
    let any = object.as_any_mut();
    of_kind! { any;
        pod::pod,
        service::service,
        workload::deployment,
        workload::replica_set,
        workload::daemon_set,
        workload::stateful_set,
        workload::replication_controller,
        simple::namespace,
        simple::node,
        simple::secret,
        simple::persistent_volume,
        simple::persistent_volume_claim,
        simple::priority_class,
        batch::job,
        batch::cron_job,
        batch::autoscaler,
        batch::autoscaler_v1,
        cluster::validating_policy,
        cluster::mutating_policy,
        cluster::definition,
        cluster::flow_schema,
        cluster::ingress_class,
        cluster::network_policy,
        cluster::storage_class,
        cluster::csi_driver,
    }
    shared::apply(object.as_reflect_mut());
    if let Some(pod) = object.as_any_mut().downcast_mut() {
        pod::requests(pod);
    }
}

#[cfg(test)]
mod tests;
