//! Which warnings are whose: one line for each kind.

use std::any::Any;

use proto::core::v1 as core;
use proto::{
    apiextensions::v1 as extensions, apps::v1 as apps, batch::v1 as batch, discovery::v1 as discovery,
    networking::v1 as networking, node::v1 as node, storage::v1 as volumes,
};

use super::{Warnings, definition, network, pod, secret, service, simple, storage, workload};

/// Calls the rule of the object's kind with the object and the one it replaces.
macro_rules! of_kind {
    ($warnings:expr, $new:expr, $old:expr; $($kind:ty => $rule:path,)*) => {
        $(if let Some(new) = $new.downcast_ref::<$kind>() {
            $rule($warnings, new, $old.and_then(|old| old.downcast_ref::<$kind>()));
        } else)* {}
    };
}

/// Warnings about a new object.
pub fn create(warnings: &mut Warnings, new: &dyn Any) {
    if let Some(ingress) = new.downcast_ref() {
        network::ingress(warnings, ingress);
    } else {
        judge(warnings, new, None);
    }
}

/// Warnings about a changed object.
pub fn update(warnings: &mut Warnings, new: &dyn Any, old: &dyn Any) {
    judge(warnings, new, Some(old));
}

fn judge(warnings: &mut Warnings, new: &dyn Any, old: Option<&dyn Any>) {
    of_kind! { warnings, new, old;
        core::Pod => pod::pod,
        core::PodTemplate => workload::pod_template,
        core::ReplicationController => workload::replication_controller,
        core::Service => service::service,
        core::Endpoints => network::endpoints,
        core::Node => simple::node,
        core::PersistentVolume => storage::volume,
        core::PersistentVolumeClaim => storage::claim,
        core::Secret => secret::secret,
        core::ServiceAccount => simple::service_account,
        apps::DaemonSet => workload::daemon_set,
        apps::Deployment => workload::deployment,
        apps::ReplicaSet => workload::replica_set,
        apps::StatefulSet => workload::stateful_set,
        batch::CronJob => workload::cron_job,
        batch::Job => workload::job,
        discovery::EndpointSlice => network::slice,
        extensions::CustomResourceDefinition => definition::definition,
        networking::NetworkPolicy => network::policy,
        networking::ServiceCidr => network::service_cidr,
        node::RuntimeClass => simple::runtime_class,
        volumes::CsiStorageCapacity => storage::capacity,
        volumes::StorageClass => storage::class,
    }
}
