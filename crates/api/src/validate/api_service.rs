//! Validation of APIServices.

use proto::apiregistration::v1::ApiService;

use super::check::{Errors, required, shape};
use super::{FieldError, Path};
use crate::name;

const SPEC: Path<'static> = Path::root("spec");
const GROUP_PRIORITY_MAX: i32 = 20_000;
const VERSION_PRIORITY_MAX: i32 = 1000;

pub fn create(errors: &mut Errors, service: &ApiService) {
    let spec = &service.spec;
    let wanted = format!("{}.{}", spec.version, spec.group);
    if service.metadata.name != wanted && name::path_segment(&service.metadata.name).is_empty() {
        let meta = Path::root("metadata");
        let why = format!("must be `spec.version+\".\"+spec.group`: \"{wanted}\"");
        errors.push(FieldError::invalid(meta.child("name"), &service.metadata.name, why));
    }
    // The core group has no name, and is not served by another server.
    if spec.group.is_empty() && spec.version != "v1" {
        let why = "only v1 may have an empty group and it better be legacy kube";
        errors.push(FieldError::required(SPEC.child("group"), why));
    } else if !spec.group.is_empty() {
        shape(errors, SPEC.child("group"), &spec.group, name::dns_subdomain);
    }
    shape(errors, SPEC.child("version"), &spec.version, name::dns_1035_label);
    for (field, value, max) in [
        ("groupPriorityMinimum", spec.group_priority_minimum, GROUP_PRIORITY_MAX),
        ("versionPriority", spec.version_priority, VERSION_PRIORITY_MAX),
    ] {
        if !(1..=max).contains(&value) {
            let why = format!("must be positive and less than {max}");
            errors.push(FieldError::invalid(SPEC.child(field), value, why));
        }
    }
    let Some(target) = &spec.service else {
        if !spec.ca_bundle.is_empty() {
            let why = "local APIServices may not have a caBundle";
            errors.push(FieldError::invalid(SPEC.child("caBundle"), spec.ca_bundle.len(), why));
        }
        if spec.insecure_skip_tls_verify {
            let why = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(FieldError::invalid(SPEC.child("insecureSkipTLSVerify"), true, why));
        }
        return;
    };
    let path = SPEC.child("service");
    required(errors, path.child("namespace"), &target.namespace);
    required(errors, path.child("name"), &target.name);
    if let Some(port) = target.port {
        for why in name::port_number(port) {
            let why = format!("port is not valid: {why}");
            errors.push(FieldError::invalid(path.child("port"), port, why));
        }
    }
    if spec.insecure_skip_tls_verify && !spec.ca_bundle.is_empty() {
        let why = "may not be true if caBundle is present";
        errors.push(FieldError::invalid(SPEC.child("insecureSkipTLSVerify"), true, why));
    }
}
