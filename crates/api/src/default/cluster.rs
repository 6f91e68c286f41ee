//! Defaults of kinds that configure the cluster: policies, webhooks, roles, classes, flow control.

use std::any::Any;

use proto::admissionregistration::v1::{
    MatchResources, MutatingAdmissionPolicy, MutatingWebhook, ParamRef, Rule, ServiceReference,
    ValidatingAdmissionPolicy, ValidatingWebhook,
};
use proto::apiextensions::v1::{CustomResourceConversion, CustomResourceDefinition};
use proto::core::v1::LimitRangeItem;
use proto::flowcontrol::v1::{
    ExemptPriorityLevelConfiguration, FlowSchema, LimitedPriorityLevelConfiguration, QueuingConfiguration,
};
use proto::networking::v1::{IngressClass, NetworkPolicy, NetworkPolicyPort};
use proto::rbac::v1::{RoleRef, Subject};
use proto::resource::v1::{DeviceSubRequest, DeviceToleration, ExactDeviceRequest};
use proto::storage::v1::{CsiDriver, StorageClass};
use proto::{apiextensions, apiregistration};

use super::shared::{point, set};

const ROLES: &str = "rbac.authorization.k8s.io";
const HTTPS: i32 = 443;

/// Messages of these kinds, wherever they occur.
pub fn one(message: &mut dyn Any) {
    if let Some(rule) = message.downcast_mut::<Rule>() {
        point(&mut rule.scope, "*");
    } else if let Some(hook) = message.downcast_mut::<ValidatingWebhook>() {
        point(&mut hook.failure_policy, "Fail");
        point(&mut hook.match_policy, "Equivalent");
        hook.namespace_selector.get_or_insert_with(Default::default);
        hook.object_selector.get_or_insert_with(Default::default);
        hook.timeout_seconds.get_or_insert(10);
    } else if let Some(hook) = message.downcast_mut::<MutatingWebhook>() {
        point(&mut hook.failure_policy, "Fail");
        point(&mut hook.match_policy, "Equivalent");
        hook.namespace_selector.get_or_insert_with(Default::default);
        hook.object_selector.get_or_insert_with(Default::default);
        hook.timeout_seconds.get_or_insert(10);
        point(&mut hook.reinvocation_policy, "Never");
    } else if let Some(what) = message.downcast_mut::<MatchResources>() {
        point(&mut what.match_policy, "Equivalent");
        what.namespace_selector.get_or_insert_with(Default::default);
        what.object_selector.get_or_insert_with(Default::default);
    } else if let Some(param) = message.downcast_mut::<ParamRef>() {
        point(&mut param.parameter_not_found_action, "Deny");
    } else if let Some(service) = message.downcast_mut::<ServiceReference>() {
        service.port.get_or_insert(HTTPS);
    } else if let Some(service) = message.downcast_mut::<apiregistration::v1::ServiceReference>() {
        service.port.get_or_insert(HTTPS);
    } else if let Some(service) = message.downcast_mut::<apiextensions::v1::ServiceReference>() {
        service.port.get_or_insert(HTTPS);
    } else {
        small(message);
    }
}

fn small(message: &mut dyn Any) {
    if let Some(subject) = message.downcast_mut::<Subject>() {
        if matches!(subject.kind.as_str(), "User" | "Group") {
            set(&mut subject.api_group, ROLES);
        }
    } else if let Some(role) = message.downcast_mut::<RoleRef>() {
        set(&mut role.api_group, ROLES);
    } else if let Some(port) = message.downcast_mut::<NetworkPolicyPort>() {
        point(&mut port.protocol, "TCP");
    } else if let Some(limited) = message.downcast_mut::<LimitedPriorityLevelConfiguration>() {
        limited.nominal_concurrency_shares.get_or_insert(30);
        limited.lendable_percent.get_or_insert(0);
    } else if let Some(exempt) = message.downcast_mut::<ExemptPriorityLevelConfiguration>() {
        exempt.nominal_concurrency_shares.get_or_insert(0);
        exempt.lendable_percent.get_or_insert(0);
    } else if let Some(queuing) = message.downcast_mut::<QueuingConfiguration>() {
        for (value, default) in
            [(&mut queuing.queues, 64), (&mut queuing.hand_size, 8), (&mut queuing.queue_length_limit, 50)]
        {
            if *value == 0 {
                *value = default;
            }
        }
    } else if let Some(request) = message.downcast_mut::<ExactDeviceRequest>() {
        count(&mut request.allocation_mode, &mut request.count);
    } else if let Some(request) = message.downcast_mut::<DeviceSubRequest>() {
        count(&mut request.allocation_mode, &mut request.count);
    } else if let Some(toleration) = message.downcast_mut::<DeviceToleration>() {
        set(&mut toleration.operator, "Equal");
    } else if let Some(item) = message.downcast_mut::<LimitRangeItem>() {
        limits(item);
    }
}

/// One device, where nothing is said of how many.
fn count(mode: &mut String, count: &mut i64) {
    set(mode, "ExactCount");
    if mode == "ExactCount" && *count == 0 {
        *count = 1;
    }
}

/// Of a container's resource, the most is the default limit, and that or else the least is the default request.
fn limits(item: &mut LimitRangeItem) {
    if item.r#type != "Container" {
        return;
    }
    for (name, quantity) in &item.max {
        item.default.entry(name.clone()).or_insert_with(|| quantity.clone());
    }
    for (name, quantity) in &item.default {
        // A least without a default request is the default request.
        if !item.min.contains_key(name) || item.default_request.contains_key(name) {
            item.default_request.entry(name.clone()).or_insert_with(|| quantity.clone());
        }
    }
    for (name, quantity) in &item.min {
        item.default_request.entry(name.clone()).or_insert_with(|| quantity.clone());
    }
}

pub fn validating_policy(policy: &mut ValidatingAdmissionPolicy) {
    point(&mut policy.spec.failure_policy, "Fail");
}

pub fn mutating_policy(policy: &mut MutatingAdmissionPolicy) {
    point(&mut policy.spec.failure_policy, "Fail");
}

pub fn definition(definition: &mut CustomResourceDefinition) {
    let spec = &mut definition.spec;
    if spec.names.singular.is_empty() {
        spec.names.singular = spec.names.kind.to_lowercase();
    }
    if spec.names.list_kind.is_empty() && !spec.names.kind.is_empty() {
        spec.names.list_kind = format!("{}List", spec.names.kind);
    }
    let none = || CustomResourceConversion { strategy: "None".to_owned(), webhook: None };
    spec.conversion.get_or_insert_with(none);
}

pub fn flow_schema(schema: &mut FlowSchema) {
    if schema.spec.matching_precedence == 0 {
        schema.spec.matching_precedence = 1000;
    }
}

pub fn ingress_class(class: &mut IngressClass) {
    if let Some(parameters) = &mut class.spec.parameters {
        point(&mut parameters.scope, "Cluster");
    }
}

/// A policy is about what comes in, and about what goes out where it says so.
pub fn network_policy(policy: &mut NetworkPolicy) {
    let spec = &mut policy.spec;
    if spec.policy_types.is_empty() {
        spec.policy_types.push("Ingress".to_owned());
        if !spec.egress.is_empty() {
            spec.policy_types.push("Egress".to_owned());
        }
    }
}

pub fn storage_class(class: &mut StorageClass) {
    point(&mut class.reclaim_policy, "Delete");
    point(&mut class.volume_binding_mode, "Immediate");
}

pub fn csi_driver(driver: &mut CsiDriver) {
    let spec = &mut driver.spec;
    spec.attach_required.get_or_insert(true);
    spec.pod_info_on_mount.get_or_insert(false);
    spec.storage_capacity.get_or_insert(false);
    point(&mut spec.fs_group_policy, "ReadWriteOnceWithFSType");
    if spec.volume_lifecycle_modes.is_empty() {
        spec.volume_lifecycle_modes.push("Persistent".to_owned());
    }
    spec.requires_republish.get_or_insert(false);
    spec.se_linux_mount.get_or_insert(false);
}
