//! Which rules are whose: one line for each kind.

use std::any::Any;

use proto::core::v1 as core;
use proto::{
    admissionregistration::v1 as admission, apiextensions::v1 as extensions, apiregistration::v1 as registration,
    apps::v1 as apps, autoscaling, batch::v1 as batch, certificates::v1 as certificates,
    coordination::v1 as coordination, discovery::v1 as discovery, events::v1 as events, flowcontrol::v1 as flowcontrol,
    networking::v1 as networking, node::v1 as node, policy::v1 as policy, rbac::v1 as roles, resource::v1 as devices,
    scheduling::v1 as priorities, storage::v1 as volumes,
};

use super::check::Errors;
use super::{
    admission_policy, api_service, autoscaler, certificate, config, controller, cron_job, daemon, definition, device,
    disruption, endpoint, event, flow, ingress, job, job_status, network_policy, pod, pod_update, quota, rbac,
    resource_slice, runtime_class, service, simple, stateful, storage, storage_class, webhook, workload,
};

/// Calls the rule of the object's kind; true where there is one.
macro_rules! of_kind {
    ($errors:expr, $object:expr; $($kind:ty => $rule:path,)*) => {
        $(if let Some(object) = $object.downcast_ref::<$kind>() {
            $rule($errors, object);
            true
        } else)* {
            false
        }
    };
}

/// As [`of_kind`], for an object and the one it replaces.
macro_rules! of_kind_change {
    ($errors:expr, $new:expr, $old:expr; $($kind:ty => $rule:path,)*) => {
        $(if let (Some(new), Some(old)) = ($new.downcast_ref::<$kind>(), $old.downcast_ref::<$kind>()) {
            $rule($errors, new, old);
            true
        } else)* {
            false
        }
    };
}

/// Rules of a new object.
pub fn create(errors: &mut Errors, object: &dyn Any) {
    let _known = core_kind(errors, object) || workload_kind(errors, object) || cluster_kind(errors, object);
}

fn core_kind(errors: &mut Errors, object: &dyn Any) -> bool {
    of_kind! { errors, object;
        core::Binding => simple::binding,
        core::ConfigMap => config::config_map,
        core::Endpoints => endpoint::endpoints,
        core::Event => event::core_event,
        core::LimitRange => quota::limits,
        core::Namespace => simple::namespace,
        core::Node => simple::node,
        core::PersistentVolume => storage::volume,
        core::PersistentVolumeClaim => storage::claim,
        core::Pod => pod::create,
        core::PodTemplate => controller::pod_template,
        core::ReplicationController => controller::replication,
        core::ResourceQuota => quota::quota,
        core::Secret => config::secret,
        core::Service => service::create,
    }
}

fn workload_kind(errors: &mut Errors, object: &dyn Any) -> bool {
    of_kind! { errors, object;
        apps::ControllerRevision => controller::revision,
        apps::DaemonSet => daemon::create,
        apps::Deployment => workload::deployment,
        apps::ReplicaSet => workload::replica_set,
        apps::StatefulSet => stateful::create,
        autoscaling::v1::HorizontalPodAutoscaler => autoscaler::create_v1,
        autoscaling::v2::HorizontalPodAutoscaler => autoscaler::create,
        batch::CronJob => cron_job::create,
        batch::Job => job::create,
        policy::PodDisruptionBudget => disruption::create,
        events::Event => event::event,
        coordination::Lease => simple::lease,
        discovery::EndpointSlice => endpoint::slice,
        networking::Ingress => ingress::create,
        networking::IngressClass => ingress::class,
        networking::IpAddress => simple::ip_address,
        networking::NetworkPolicy => network_policy::create,
        networking::ServiceCidr => simple::service_cidr,
        devices::DeviceClass => device::class,
        devices::ResourceClaim => device::claim,
        devices::ResourceClaimTemplate => device::template,
        devices::ResourceSlice => resource_slice::create,
    }
}

fn cluster_kind(errors: &mut Errors, object: &dyn Any) -> bool {
    of_kind! { errors, object;
        admission::MutatingAdmissionPolicy => admission_policy::mutating,
        admission::MutatingAdmissionPolicyBinding => admission_policy::mutating_binding,
        admission::MutatingWebhookConfiguration => webhook::mutating,
        admission::ValidatingAdmissionPolicy => admission_policy::validating,
        admission::ValidatingAdmissionPolicyBinding => admission_policy::validating_binding,
        admission::ValidatingWebhookConfiguration => webhook::validating,
        certificates::CertificateSigningRequest => certificate::create,
        extensions::CustomResourceDefinition => definition::create,
        flowcontrol::FlowSchema => flow::schema,
        flowcontrol::PriorityLevelConfiguration => flow::level,
        node::RuntimeClass => runtime_class::create,
        priorities::PriorityClass => simple::priority_class,
        registration::ApiService => api_service::create,
        roles::ClusterRole => rbac::cluster_role,
        roles::ClusterRoleBinding => rbac::cluster_binding,
        roles::Role => rbac::role,
        roles::RoleBinding => rbac::binding,
        volumes::CsiDriver => storage_class::driver,
        volumes::CsiNode => storage_class::node,
        volumes::CsiStorageCapacity => storage_class::capacity,
        volumes::StorageClass => storage_class::class,
        volumes::VolumeAttachment => storage_class::attachment,
        volumes::VolumeAttributesClass => storage_class::attributes_class,
    }
}

/// Rules of a changed object; where a kind has none of its own, those of a new one.
pub fn update(errors: &mut Errors, new: &dyn Any, old: &dyn Any) {
    let changed = of_kind_change! { errors, new, old;
        core::ConfigMap => config::config_map_update,
        core::Node => simple::node_update,
        core::PersistentVolume => storage::volume_update,
        core::PersistentVolumeClaim => storage::claim_update,
        core::Pod => pod_update::update,
        core::ReplicationController => controller::replication_update,
        core::ResourceQuota => quota::quota_update,
        core::Secret => config::secret_update,
        core::Service => service::update,
        apps::ControllerRevision => controller::revision_update,
        apps::DaemonSet => daemon::update,
        apps::Deployment => workload::deployment_update,
        apps::ReplicaSet => workload::replica_set_update,
        apps::StatefulSet => stateful::update,
        batch::CronJob => cron_job::update,
        batch::Job => job::update,
        discovery::EndpointSlice => endpoint::slice_update,
        events::Event => event::update,
        networking::Ingress => ingress::update,
        networking::IngressClass => ingress::class_update,
        networking::IpAddress => simple::ip_address_update,
        networking::NetworkPolicy => network_policy::update,
        networking::ServiceCidr => simple::service_cidr_update,
        devices::ResourceClaim => device::claim_update,
        devices::ResourceClaimTemplate => device::template_update,
        devices::ResourceSlice => resource_slice::update,
    };
    if !changed && !cluster_change(errors, new, old) {
        create(errors, new);
    }
}

fn cluster_change(errors: &mut Errors, new: &dyn Any, old: &dyn Any) -> bool {
    of_kind_change! { errors, new, old;
        extensions::CustomResourceDefinition => definition::update,
        node::RuntimeClass => runtime_class::update,
        priorities::PriorityClass => simple::priority_class_update,
        roles::ClusterRoleBinding => rbac::cluster_binding_update,
        roles::RoleBinding => rbac::binding_update,
        volumes::CsiDriver => storage_class::driver_update,
        volumes::CsiNode => storage_class::node_update,
        volumes::CsiStorageCapacity => storage_class::capacity_update,
        volumes::StorageClass => storage_class::class_update,
        volumes::VolumeAttachment => storage_class::attachment_update,
        volumes::VolumeAttributesClass => storage_class::attributes_class_update,
    }
}

/// Rules of a changed status.
pub fn update_status(errors: &mut Errors, new: &dyn Any, old: &dyn Any) {
    let changed = of_kind_change! { errors, new, old;
        core::Node => simple::node_update,
        core::Pod => pod_update::update_status,
        apps::DaemonSet => daemon::update_status,
        apps::Deployment => workload::deployment_status,
        apps::StatefulSet => stateful::update_status,
        batch::Job => job_status::update,
        certificates::CertificateSigningRequest => certificate::update_status,
        devices::ResourceClaim => device::claim_status,
    };
    let _known = changed
        || of_kind! { errors, new;
            core::Namespace => simple::namespace_status,
            core::ReplicationController => controller::replication_status,
            core::Service => service::update_status,
            core::ResourceQuota => quota::quota_status,
            apps::ReplicaSet => workload::replica_set_status,
            autoscaling::v2::HorizontalPodAutoscaler => autoscaler::update_status,
            networking::Ingress => ingress::update_status,
            policy::PodDisruptionBudget => disruption::update_status,
        };
}
