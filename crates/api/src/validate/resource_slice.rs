//! Validation of ResourceSlices: the devices that a driver offers.

use proto::resource::v1::{Device, DeviceAttribute, DeviceTaint, ResourceSlice, ResourceSliceSpec};

use super::check::{Errors, driver_name, immutable, not_negative, one_of, positive, required_shape, shape};
use super::{FieldError, Path, device, scheduling};
use crate::name;

const SPEC: Path<'static> = Path::root("spec");
const DEVICES_MAX: usize = 128;
const ATTRIBUTES_MAX: usize = 32;
const ATTRIBUTE_BYTES_MAX: usize = 64;
const TAINTS_MAX: usize = 16;
const COUNTER_SETS_MAX: usize = 8;

pub fn create(errors: &mut Errors, slice: &ResourceSlice) {
    let spec = &slice.spec;
    driver_name(errors, SPEC.child("driver"), &spec.driver);
    let path = SPEC.child("pool");
    required_shape(errors, path.child("name"), &spec.pool.name, name::pool_name);
    positive(errors, path.child("resourceSliceCount"), spec.pool.resource_slice_count);
    not_negative(errors, path.child("generation"), spec.pool.generation);
    reach(errors, spec);
    let path = SPEC.child("devices");
    if spec.devices.len() > DEVICES_MAX {
        errors.push(FieldError::too_many(path, spec.devices.len(), DEVICES_MAX));
    }
    for (index, device) in spec.devices.iter().enumerate() {
        self::device(errors, path.index(index), device, spec.per_device_node_selection == Some(true));
        if spec.devices[..index].iter().any(|other| other.name == device.name) {
            errors.push(FieldError::duplicate(path.index(index).child("name"), &device.name));
        }
    }
    let path = SPEC.child("sharedCounters");
    if spec.shared_counters.len() > COUNTER_SETS_MAX {
        errors.push(FieldError::too_many(path, spec.shared_counters.len(), COUNTER_SETS_MAX));
    }
    for (index, set) in spec.shared_counters.iter().enumerate() {
        let path = path.index(index);
        required_shape(errors, path.child("name"), &set.name, name::dns_label);
        if set.counters.is_empty() {
            errors.push(FieldError::required(path.child("counters"), ""));
        }
        if spec.shared_counters[..index].iter().any(|other| other.name == set.name) {
            errors.push(FieldError::duplicate(path.child("name"), &set.name));
        }
    }
}

/// Which nodes reach the devices: told in one way.
fn reach(errors: &mut Errors, spec: &ResourceSliceSpec) {
    let ways = "`nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection`";
    let given: Vec<&str> = [
        ("`nodeName`", spec.node_name.as_ref().is_some_and(|name| !name.is_empty())),
        ("`nodeSelector`", spec.node_selector.is_some()),
        ("`allNodes`", spec.all_nodes == Some(true)),
        ("`perDeviceNodeSelection`", spec.per_device_node_selection == Some(true)),
    ]
    .into_iter()
    .filter_map(|(name, given)| given.then_some(name))
    .collect();
    if let Some(name) = spec.node_name.as_ref().filter(|name| !name.is_empty()) {
        shape(errors, SPEC.child("nodeName"), name, name::dns_subdomain);
    }
    if let Some(selector) = &spec.node_selector {
        let path = SPEC.child("nodeSelector");
        scheduling::node_selector(errors, path, selector);
        if selector.node_selector_terms.len() != 1 {
            let why = "must have exactly one node selector term";
            errors.push(FieldError::invalid(path.child("nodeSelectorTerms"), selector.node_selector_terms.len(), why));
        }
    }
    for (field, value) in [("allNodes", spec.all_nodes), ("perDeviceNodeSelection", spec.per_device_node_selection)] {
        if value == Some(false) {
            errors.push(FieldError::invalid(SPEC.child(field), false, "must be either unset or set to true"));
        }
    }
    match given.len() {
        0 => errors.push(FieldError::required(SPEC, format!("exactly one of {ways} is required"))),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", given.join(", "));
            let why = format!("exactly one of {ways} is required, but multiple fields are set");
            errors.push(FieldError::invalid(SPEC, shown.as_str(), why));
        }
    }
}

fn device(errors: &mut Errors, path: Path<'_>, device: &Device, chooses_nodes: bool) {
    required_shape(errors, path.child("name"), &device.name, name::dns_label);
    let at = path.child("attributes");
    if device.attributes.len() + device.capacity.len() > ATTRIBUTES_MAX {
        let why = "the total number of attributes and capacities must not exceed 32";
        let count = device.attributes.len() + device.capacity.len();
        errors.push(FieldError::invalid(path, count, why));
    }
    for (name, value) in &device.attributes {
        device::qualified(errors, at.key(name), name);
        attribute(errors, at.key(name), value);
    }
    let at = path.child("capacity");
    for name in device.capacity.keys() {
        device::qualified(errors, at.key(name), name);
    }
    let at = path.child("taints");
    if device.taints.len() > TAINTS_MAX {
        errors.push(FieldError::too_many(at, device.taints.len(), TAINTS_MAX));
    }
    for (index, taint) in device.taints.iter().enumerate() {
        self::taint(errors, at.index(index), taint);
    }
    let own = [device.node_name.is_some(), device.node_selector.is_some(), device.all_nodes.is_some()];
    let count = own.iter().filter(|given| **given).count();
    let ways = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice";
    match (chooses_nodes, count) {
        (true, 0) => errors.push(FieldError::required(path, ways)),
        (true, 2..) => errors.push(FieldError::invalid(path, count, ways)),
        (false, 1..) => {
            for (field, given) in ["nodeName", "nodeSelector", "allNodes"].into_iter().zip(own) {
                if given {
                    let why = "must not be set unless `perDeviceNodeSelection` is set to true in the ResourceSlice";
                    errors.push(FieldError::forbidden(path.child(field), why));
                }
            }
        }
        _ => {}
    }
}

fn attribute(errors: &mut Errors, path: Path<'_>, value: &DeviceAttribute) {
    let texts = [("string", &value.string), ("version", &value.version)];
    for (field, text) in texts {
        if text.as_ref().is_some_and(|text| text.len() > ATTRIBUTE_BYTES_MAX) {
            errors.push(FieldError::too_long(path.child(field), ATTRIBUTE_BYTES_MAX));
        }
    }
    let given = [
        value.int.is_some(),
        value.bool.is_some(),
        value.string.is_some(),
        value.version.is_some(),
        !value.ints.is_empty(),
        !value.bools.is_empty(),
        !value.strings.is_empty(),
        !value.versions.is_empty(),
    ];
    match given.iter().filter(|given| **given).count() {
        0 => errors.push(FieldError::required(path, "exactly one value must be specified")),
        1 => {}
        _ => {
            let why = "exactly one value must be specified";
            errors.push(FieldError::invalid(path, super::error::Json(value), why));
        }
    }
}

fn taint(errors: &mut Errors, path: Path<'_>, taint: &DeviceTaint) {
    required_shape(errors, path.child("key"), &taint.key, name::qualified_name);
    shape(errors, path.child("value"), &taint.value, name::label_value);
    match taint.effect.as_str() {
        "" => errors.push(FieldError::required(path.child("effect"), "")),
        effect => one_of(errors, path.child("effect"), effect, &["NoExecute", "NoSchedule", "None"]),
    }
}

pub fn update(errors: &mut Errors, new: &ResourceSlice, old: &ResourceSlice) {
    create(errors, new);
    let (now, was) = (&new.spec, &old.spec);
    immutable(errors, SPEC.child("pool").child("name"), now.pool.name == was.pool.name, &now.pool.name);
    immutable(errors, SPEC.child("driver"), now.driver == was.driver, &now.driver);
    immutable(errors, SPEC.child("nodeName"), now.node_name == was.node_name, now.node_name.as_ref());
}
