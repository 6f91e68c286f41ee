//! Validation of what pods ask of devices: ResourceClaims, their templates and DeviceClasses.

mod selector;

use std::collections::BTreeSet;

use proto::resource::v1::{
    CapacityRequirements, DeviceClaim, DeviceClass, DeviceConfiguration, DeviceConstraint, DeviceRequest,
    DeviceSelector, DeviceToleration, ResourceClaim, ResourceClaimTemplate,
};

use super::check::{Errors, driver_name, immutable, required_shape, shape};
use super::error::Json;
use super::{FieldError, Path};
use crate::name;

const SPEC: Path<'static> = Path::root("spec");
/// Requests, constraints and configurations of a claim; selectors of a request.
const LIST_MAX: usize = 32;
const ALTERNATIVES_MAX: usize = 8;
const TOLERATIONS_MAX: usize = 16;
const SELECTOR_BYTES_MAX: usize = 10 * 1024;
const CONFIGURATION_BYTES_MAX: usize = 10 * 1024;
const CLASS_CONFIGURATIONS_MAX: usize = 32;

pub fn claim(errors: &mut Errors, claim: &ResourceClaim) {
    devices(errors, SPEC.child("devices"), &claim.spec.devices);
}

pub fn claim_update(errors: &mut Errors, new: &ResourceClaim, old: &ResourceClaim) {
    immutable(errors, SPEC, new.spec == old.spec, Json(&new.spec));
    // What is fixed was judged when it was made.
    if errors.is_empty() {
        claim(errors, new);
    }
}

pub fn claim_status(errors: &mut Errors, new: &ResourceClaim, old: &ResourceClaim) {
    let path = Path::root("status");
    let (now, was) = (&new.status, &old.status);
    if was.allocation.is_some() && now.allocation.is_some() {
        let shown = super::error::JsonOpt(now.allocation.as_ref());
        immutable(errors, path.child("allocation"), now.allocation == was.allocation, shown);
    }
    let at = path.child("reservedFor");
    if !now.reserved_for.is_empty() && now.allocation.is_none() {
        errors.push(FieldError::forbidden(at, "may not be specified when `allocated` is not set"));
    }
    if now.reserved_for.len() > 256 {
        errors.push(FieldError::too_many(at, now.reserved_for.len(), 256));
    }
    for (index, consumer) in now.reserved_for.iter().enumerate() {
        let path = at.index(index);
        if now.reserved_for[..index].iter().any(|other| other.uid == consumer.uid) {
            errors.push(FieldError::duplicate(path.child("uid"), &consumer.uid));
        }
        for (field, text) in [("resource", &consumer.resource), ("name", &consumer.name), ("uid", &consumer.uid)] {
            super::check::required(errors, path.child(field), text);
        }
    }
}

pub fn template(errors: &mut Errors, template: &ResourceClaimTemplate) {
    let path = SPEC.child("metadata");
    super::check::labels(errors, path.child("labels"), &template.spec.metadata.labels);
    let path = SPEC.child("spec");
    devices(errors, path.child("devices"), &template.spec.spec.devices);
}

pub fn template_update(errors: &mut Errors, new: &ResourceClaimTemplate, old: &ResourceClaimTemplate) {
    immutable(errors, SPEC, new.spec == old.spec, Json(&new.spec));
}

pub fn class(errors: &mut Errors, class: &DeviceClass) {
    selectors(errors, SPEC.child("selectors"), &class.spec.selectors);
    let path = SPEC.child("config");
    too_many(errors, path, class.spec.config.len(), CLASS_CONFIGURATIONS_MAX);
    for (index, config) in class.spec.config.iter().enumerate() {
        configuration(errors, path.index(index), &config.device_configuration);
    }
    if let Some(name) = &class.spec.extended_resource_name {
        let path = SPEC.child("extendedResourceName");
        shape(errors, path, name, name::qualified_name);
        if !name.contains('/') || name.starts_with("requests.") || name.contains("kubernetes.io/") {
            errors.push(FieldError::invalid(path, name, "must be a valid extended resource name"));
        }
    }
}

fn too_many(errors: &mut Errors, path: Path<'_>, count: usize, max: usize) {
    if count > max {
        errors.push(FieldError::too_many(path, count, max));
    }
}

fn devices(errors: &mut Errors, path: Path<'_>, claim: &DeviceClaim) {
    let at = path.child("requests");
    too_many(errors, at, claim.requests.len(), LIST_MAX);
    let mut names = BTreeSet::new();
    for (index, request) in claim.requests.iter().enumerate() {
        let path = at.index(index);
        self::request(errors, path, request);
        if claim.requests[..index].iter().any(|other| other.name == request.name) {
            errors.push(FieldError::duplicate(path.child("name"), &request.name));
        }
        names.insert(request.name.clone());
        names.extend(request.first_available.iter().map(|sub| format!("{}/{}", request.name, sub.name)));
    }
    let at = path.child("constraints");
    too_many(errors, at, claim.constraints.len(), LIST_MAX);
    for (index, constraint) in claim.constraints.iter().enumerate() {
        self::constraint(errors, at.index(index), constraint, &names);
    }
    let at = path.child("config");
    too_many(errors, at, claim.config.len(), LIST_MAX);
    for (index, config) in claim.config.iter().enumerate() {
        let path = at.index(index);
        request_names(errors, path.child("requests"), &config.requests, &names);
        configuration(errors, path, &config.device_configuration);
    }
}

/// What a request for devices says, on its own or as one of several alternatives.
struct Wanted<'a> {
    class: &'a str,
    selectors: &'a [DeviceSelector],
    mode: &'a str,
    count: i64,
    tolerations: &'a [DeviceToleration],
    capacity: Option<&'a CapacityRequirements>,
}

macro_rules! wanted {
    ($request:expr) => {
        Wanted {
            class: &$request.device_class_name,
            selectors: &$request.selectors,
            mode: &$request.allocation_mode,
            count: $request.count,
            tolerations: &$request.tolerations,
            capacity: $request.capacity.as_ref(),
        }
    };
}

fn request(errors: &mut Errors, path: Path<'_>, request: &DeviceRequest) {
    required_shape(errors, path.child("name"), &request.name, name::dns_label);
    let at = path.child("firstAvailable");
    match (&request.exactly, request.first_available.is_empty()) {
        (None, true) => {
            let why = "exactly one of `exactly` or `firstAvailable` is required";
            errors.push(FieldError::required(path, why));
        }
        (Some(_), false) => {
            let why = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.push(FieldError::invalid(path, Json(request), why));
        }
        (Some(exactly), true) => self::wanted(errors, path.child("exactly"), &wanted!(exactly)),
        (None, false) => {
            too_many(errors, at, request.first_available.len(), ALTERNATIVES_MAX);
            for (index, sub) in request.first_available.iter().enumerate() {
                let path = at.index(index);
                required_shape(errors, path.child("name"), &sub.name, name::dns_label);
                if request.first_available[..index].iter().any(|other| other.name == sub.name) {
                    errors.push(FieldError::duplicate(path.child("name"), &sub.name));
                }
                self::wanted(errors, path, &wanted!(sub));
            }
        }
    }
}

fn wanted(errors: &mut Errors, path: Path<'_>, wanted: &Wanted<'_>) {
    required_shape(errors, path.child("deviceClassName"), wanted.class, name::dns_subdomain);
    selectors(errors, path.child("selectors"), wanted.selectors);
    let at = path.child("count");
    match wanted.mode {
        "All" if wanted.count != 0 => {
            errors.push(FieldError::invalid(at, wanted.count, "must not be specified when allocationMode is 'All'"));
        }
        "ExactCount" if wanted.count <= 0 => {
            errors.push(FieldError::invalid(at, wanted.count, "must be greater than zero"));
        }
        "All" | "ExactCount" => {}
        other => super::check::one_of(errors, path.child("allocationMode"), other, &["All", "ExactCount"]),
    }
    let at = path.child("tolerations");
    too_many(errors, at, wanted.tolerations.len(), TOLERATIONS_MAX);
    for (index, toleration) in wanted.tolerations.iter().enumerate() {
        self::toleration(errors, at.index(index), toleration);
    }
    let Some(capacity) = wanted.capacity else { return };
    let at = path.child("capacity");
    let at = at.child("requests");
    for (name, quantity) in &capacity.requests {
        qualified(errors, at.key(name), name);
        super::check::amount_not_negative(errors, at.key(name), Some(quantity));
    }
}

fn toleration(errors: &mut Errors, path: Path<'_>, toleration: &DeviceToleration) {
    if !toleration.key.is_empty() {
        shape(errors, path.child("key"), &toleration.key, name::qualified_name);
    }
    match toleration.operator.as_str() {
        "Exists" => {
            if !toleration.value.is_empty() {
                let why = "must be empty for operator `Exists`";
                errors.push(FieldError::invalid(path.child("value"), &toleration.value, why));
            }
        }
        "Equal" => shape(errors, path.child("value"), &toleration.value, name::label_value),
        "" => errors.push(FieldError::required(path.child("operator"), "")),
        other => super::check::one_of(errors, path.child("operator"), other, &["Equal", "Exists"]),
    }
    if toleration.key.is_empty() && toleration.operator == "Equal" {
        let why = "must be `Exists` when `key` is empty";
        errors.push(FieldError::invalid(path.child("operator"), &toleration.operator, why));
    }
    if !matches!(toleration.effect.as_str(), "" | "None" | "NoSchedule" | "NoExecute") {
        let effects = &["NoExecute", "NoSchedule", "None"];
        errors.push(FieldError::not_supported(path.child("effect"), &toleration.effect, effects));
    }
}

pub fn selectors(errors: &mut Errors, path: Path<'_>, selectors: &[DeviceSelector]) {
    too_many(errors, path, selectors.len(), LIST_MAX);
    for (index, selector) in selectors.iter().enumerate() {
        let path = path.index(index);
        let Some(cel) = &selector.cel else {
            errors.push(FieldError::required(path.child("cel"), ""));
            continue;
        };
        let path = path.child("cel");
        let path = path.child("expression");
        let text = &cel.expression;
        if text.len() > SELECTOR_BYTES_MAX {
            errors.push(FieldError::too_long(path, SELECTOR_BYTES_MAX));
            continue;
        }
        selector::check(errors, path, text);
    }
}

/// Requests of the same claim, by name.
fn request_names(errors: &mut Errors, path: Path<'_>, wanted: &[String], names: &BTreeSet<String>) {
    too_many(errors, path, wanted.len(), LIST_MAX);
    for (index, text) in wanted.iter().enumerate() {
        let at = path.index(index);
        if wanted[..index].contains(text) {
            errors.push(FieldError::duplicate(at, text));
        }
        if !names.contains(text) {
            let why =
                "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
            errors.push(FieldError::invalid(at, text, why));
        }
    }
}

/// `domain/name`, the name being a C identifier.
pub fn full_name(errors: &mut Errors, path: Path<'_>, text: &str) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !text.contains('/') {
        errors.push(FieldError::invalid(path, text, "must include a domain"));
    } else {
        qualified(errors, path, text);
    }
}

/// As [`full_name`], where the domain may be left out.
pub fn qualified(errors: &mut Errors, path: Path<'_>, text: &str) {
    let (domain, id) = text.split_once('/').map_or((None, text), |(domain, id)| (Some(domain), id));
    match domain {
        Some("") => errors.push(FieldError::required(path, "the domain must not be empty")),
        Some(domain) => shape(errors, path, domain, name::dns_subdomain),
        None => {}
    }
    let begins = id.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    if id.is_empty() {
        errors.push(FieldError::required(path, "the name must not be empty"));
    } else if !begins || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let why = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
        errors.push(FieldError::invalid(path, id, why));
    }
    if id.len() > 32 {
        errors.push(FieldError::too_long(path, 32));
    }
}

fn constraint(errors: &mut Errors, path: Path<'_>, constraint: &DeviceConstraint, names: &BTreeSet<String>) {
    request_names(errors, path.child("requests"), &constraint.requests, names);
    match (&constraint.match_attribute, &constraint.distinct_attribute) {
        (Some(text), None) => full_name(errors, path.child("matchAttribute"), text),
        (None, Some(text)) => full_name(errors, path.child("distinctAttribute"), text),
        (None, None) => errors.push(FieldError::required(path.child("matchAttribute"), "")),
        (Some(_), Some(_)) => {
            let why = "exactly one of `matchAttribute` or `distinctAttribute` is required";
            errors.push(FieldError::invalid(path, Json(constraint), why));
        }
    }
}

fn configuration(errors: &mut Errors, path: Path<'_>, configuration: &DeviceConfiguration) {
    let path = path.child("opaque");
    let Some(opaque) = &configuration.opaque else {
        errors.push(FieldError::required(path, "exactly one of the configuration types must be set"));
        return;
    };
    driver_name(errors, path.child("driver"), &opaque.driver);
    let raw = &opaque.parameters.raw;
    let path = path.child("parameters");
    if raw.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if raw.len() > CONFIGURATION_BYTES_MAX {
        errors.push(FieldError::too_long(path, CONFIGURATION_BYTES_MAX));
    } else if !raw.trim_ascii_start().starts_with(b"{") {
        errors.push(FieldError::invalid(path, "<value omitted>", "must be a valid JSON object"));
    }
}
