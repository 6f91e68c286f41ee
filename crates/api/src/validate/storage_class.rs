//! Validation of the storage group: classes, drivers, attachments and capacities.

use std::collections::BTreeMap;

use proto::core::v1::TopologySelectorTerm;
use proto::storage::v1::{
    CsiDriver, CsiNode, CsiNodeDriver, CsiStorageCapacity, StorageClass, VolumeAttachment, VolumeAttributesClass,
};

use super::check::{
    Errors, amount_not_negative, driver_name, immutable, label_selector_opt, one_of, one_of_opt, one_of_required,
    required_shape, shape,
};
use super::error::{Json, JsonOpt};
use super::{FieldError, Path, storage};
use crate::name;

const SPEC: Path<'static> = Path::root("spec");
const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 * 1024;
const NODE_ID_BYTES_MAX: usize = 192;
const TOKEN_SECONDS_MIN: i64 = 600;

pub fn class(errors: &mut Errors, class: &StorageClass) {
    let path = Path::root("provisioner");
    if class.provisioner.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else {
        for why in name::qualified_name(&class.provisioner.to_lowercase()) {
            errors.push(FieldError::invalid(path, &class.provisioner, why));
        }
    }
    parameters(errors, &class.parameters, true);
    one_of_opt(errors, Path::root("reclaimPolicy"), class.reclaim_policy.as_ref(), &["Delete", "Retain"]);
    let modes = &["Immediate", "WaitForFirstConsumer"];
    one_of_required(errors, Path::root("volumeBindingMode"), class.volume_binding_mode.as_ref(), modes);
    let path = Path::root("allowedTopologies");
    for (index, term) in class.allowed_topologies.iter().enumerate() {
        topology(errors, path.index(index), term);
        if class.allowed_topologies[..index].contains(term) {
            errors.push(FieldError::duplicate(path.index(index), ""));
        }
    }
}

fn topology(errors: &mut Errors, path: Path<'_>, term: &TopologySelectorTerm) {
    let path = path.child("matchLabelExpressions");
    for (index, expression) in term.match_label_expressions.iter().enumerate() {
        let at = path.index(index);
        let values = at.child("values");
        if expression.values.is_empty() {
            errors.push(FieldError::required(values, ""));
        }
        super::check::no_duplicates(errors, values, &expression.values);
        shape(errors, at.child("key"), &expression.key, name::qualified_name);
        if term.match_label_expressions[..index].iter().any(|other| other.key == expression.key) {
            errors.push(FieldError::duplicate(at.child("key"), &expression.key));
        }
    }
}

fn parameters(errors: &mut Errors, parameters: &BTreeMap<String, String>, may_be_empty: bool) {
    let path = Path::root("parameters");
    if parameters.is_empty() && !may_be_empty {
        errors.push(FieldError::required(path, "must contain at least one key/value pair"));
    }
    if parameters.len() > PARAMETERS_MAX {
        errors.push(FieldError::too_long(path, PARAMETERS_MAX));
        return;
    }
    if parameters.contains_key("") {
        errors.push(FieldError::invalid(path, "", "field must not be empty"));
    }
    if parameters.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > PARAMETERS_BYTES_MAX {
        errors.push(FieldError::too_long(path, PARAMETERS_BYTES_MAX));
    }
}

pub fn class_update(errors: &mut Errors, new: &StorageClass, old: &StorageClass) {
    for (field, same) in [
        ("parameters", new.parameters == old.parameters),
        ("provisioner", new.provisioner == old.provisioner),
        ("reclaimPolicy", new.reclaim_policy == old.reclaim_policy),
    ] {
        if !same {
            errors.push(FieldError::forbidden(Path::root(field), format!("updates to {field} are forbidden.")));
        }
    }
    let mode = new.volume_binding_mode.as_ref();
    immutable(errors, Path::root("volumeBindingMode"), mode == old.volume_binding_mode.as_ref(), mode);
}

pub fn attributes_class(errors: &mut Errors, class: &VolumeAttributesClass) {
    let path = Path::root("driverName");
    if class.driver_name.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else {
        driver_name(errors, path, &class.driver_name);
    }
    parameters(errors, &class.parameters, false);
}

pub fn attributes_class_update(errors: &mut Errors, new: &VolumeAttributesClass, old: &VolumeAttributesClass) {
    if new.driver_name != old.driver_name {
        errors.push(FieldError::forbidden(Path::root("driverName"), "updates to driverName are forbidden."));
    }
    if new.parameters != old.parameters {
        errors.push(FieldError::forbidden(Path::root("parameters"), "updates to parameters are forbidden."));
    }
}

pub fn attachment(errors: &mut Errors, attachment: &VolumeAttachment) {
    let spec = &attachment.spec;
    if spec.attacher.is_empty() {
        errors.push(FieldError::required(SPEC.child("attacher"), ""));
    }
    let path = SPEC.child("source");
    let source = &spec.source;
    match (&source.persistent_volume_name, &source.inline_volume_spec) {
        (None, None) => {
            let why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
            errors.push(FieldError::required(path, why));
        }
        (Some(_), Some(_)) => {
            let why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
            errors.push(FieldError::forbidden(path, why));
        }
        (Some(text), None) if text.is_empty() => {
            let why = "must specify non empty persistentVolumeName";
            errors.push(FieldError::required(path.child("persistentVolumeName"), why));
        }
        (Some(text), None) => shape(errors, path.child("persistentVolumeName"), text, name::dns_subdomain),
        (None, Some(volume)) => storage::inline(errors, path.child("inlineVolumeSpec"), volume),
    }
    shape(errors, SPEC.child("nodeName"), &spec.node_name, name::dns_subdomain);
    if !spec.attacher.is_empty() {
        driver_name(errors, SPEC.child("attacher"), &spec.attacher);
    }
}

pub fn attachment_update(errors: &mut Errors, new: &VolumeAttachment, old: &VolumeAttachment) {
    attachment(errors, new);
    immutable(errors, SPEC, new.spec == old.spec, Json(&new.spec));
}

pub fn node(errors: &mut Errors, node: &CsiNode) {
    let path = SPEC.child("drivers");
    for (index, driver) in node.spec.drivers.iter().enumerate() {
        node_driver(errors, path.index(index), driver);
        if node.spec.drivers[..index].iter().any(|other| other.name == driver.name) {
            errors.push(FieldError::duplicate(path.index(index).child("name"), &driver.name));
        }
    }
}

fn node_driver(errors: &mut Errors, path: Path<'_>, driver: &CsiNodeDriver) {
    driver_name(errors, path.child("name"), &driver.name);
    let id = &driver.node_id;
    if id.is_empty() {
        errors.push(FieldError::required(path.child("nodeID"), ""));
    }
    if id.len() > NODE_ID_BYTES_MAX {
        let why = format!("must be {NODE_ID_BYTES_MAX} characters or less");
        errors.push(FieldError::invalid(path.child("nodeID"), id, why));
    }
    let count = driver.allocatable.as_ref().and_then(|allocatable| allocatable.count);
    super::check::not_negative_opt(errors, path.child("allocatable").child("count"), count);
    let at = path.child("topologyKeys");
    for (index, key) in driver.topology_keys.iter().enumerate() {
        required_shape(errors, at, key, name::qualified_name);
        if driver.topology_keys[..index].contains(key) {
            errors.push(FieldError::duplicate(at, key));
        }
    }
}

/// A driver that is registered stays as it is, but for what it can take.
pub fn node_update(errors: &mut Errors, new: &CsiNode, old: &CsiNode) {
    for driver in &new.spec.drivers {
        let mut before = old.spec.drivers.iter().filter(|before| before.name == driver.name).peekable();
        let fixed =
            |before: &CsiNodeDriver| before.node_id == driver.node_id && before.topology_keys == driver.topology_keys;
        let same = before.peek().is_none() || before.any(fixed);
        immutable(errors, SPEC.child("drivers"), same, Json(driver));
    }
    node(errors, new);
}

pub fn driver(errors: &mut Errors, driver: &CsiDriver) {
    driver_name(errors, Path::root("name"), &driver.metadata.name);
    driver_spec(errors, driver);
}

fn driver_spec(errors: &mut Errors, driver: &CsiDriver) {
    let spec = &driver.spec;
    for (field, given) in [
        ("attachRequired", spec.attach_required.is_some()),
        ("podInfoOnMount", spec.pod_info_on_mount.is_some()),
        ("storageCapacity", spec.storage_capacity.is_some()),
    ] {
        if !given {
            errors.push(FieldError::required(SPEC.child(field), ""));
        }
    }
    let policies = &["File", "None", "ReadWriteOnceWithFSType"];
    one_of_required(errors, SPEC.child("fsGroupPolicy"), spec.fs_group_policy.as_ref(), policies);
    let path = SPEC.child("tokenRequests");
    for (index, token) in spec.token_requests.iter().enumerate() {
        let path = path.index(index);
        if spec.token_requests[..index].iter().any(|other| other.audience == token.audience) {
            errors.push(FieldError::duplicate(path.child("audience"), &token.audience));
        }
        let Some(seconds) = token.expiration_seconds else { continue };
        let path = path.child("expirationSeconds");
        if seconds < TOKEN_SECONDS_MIN {
            let why = "may not specify a duration less than 10 minutes";
            errors.push(FieldError::invalid(path, seconds, why));
        }
        if seconds > 1 << 32 {
            let why = "may not specify a duration larger than 2^32 seconds";
            errors.push(FieldError::invalid(path, seconds, why));
        }
    }
    for mode in &spec.volume_lifecycle_modes {
        one_of(errors, SPEC.child("volumeLifecycleModes"), mode, &["Ephemeral", "Persistent"]);
    }
    if spec.se_linux_mount.is_none() {
        errors.push(FieldError::required(SPEC.child("seLinuxMount"), ""));
    }
    if let Some(seconds) = spec.node_allocatable_update_period_seconds.filter(|seconds| *seconds < 10) {
        let why = "must be greater than or equal to 10 seconds";
        errors.push(FieldError::invalid(SPEC.child("nodeAllocatableUpdatePeriodSeconds"), seconds, why));
    }
}

pub fn driver_update(errors: &mut Errors, new: &CsiDriver, old: &CsiDriver) {
    driver_spec(errors, new);
    let (now, was) = (&new.spec, &old.spec);
    let attach = now.attach_required;
    immutable(errors, SPEC.child("attachRequired"), attach == was.attach_required, attach);
    let modes = &now.volume_lifecycle_modes;
    immutable(errors, SPEC.child("volumeLifecycleModes"), *modes == was.volume_lifecycle_modes, modes);
}

pub fn capacity(errors: &mut Errors, capacity: &CsiStorageCapacity) {
    label_selector_opt(errors, Path::root("nodeTopology"), capacity.node_topology.as_ref());
    shape(errors, Path::root("storageClassName"), &capacity.storage_class_name, name::dns_subdomain);
    amount_not_negative(errors, Path::root("capacity"), capacity.capacity.as_ref());
    amount_not_negative(errors, Path::root("maximumVolumeSize"), capacity.maximum_volume_size.as_ref());
}

pub fn capacity_update(errors: &mut Errors, new: &CsiStorageCapacity, old: &CsiStorageCapacity) {
    capacity(errors, new);
    let topology = &new.node_topology;
    immutable(errors, Path::root("nodeTopology"), *topology == old.node_topology, JsonOpt(topology.as_ref()));
    let class = &new.storage_class_name;
    immutable(errors, Path::root("storageClassName"), *class == old.storage_class_name, class);
}
