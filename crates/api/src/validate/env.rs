//! Validation of a container's environment, and of what it shows of the pod.

use proto::Quantity;
use proto::core::v1::{EnvFromSource, EnvVar, EnvVarSource, ResourceFieldSelector};

use super::check::{Errors, local_free_path, one_of, required, required_shape, shape};
use super::{FieldError, Path};
use crate::name;

/// Fields that an environment variable may show.
const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields of pods that can be selected by; those that nothing shows are refused as unsupported, others as unknown.
const KNOWN_FIELDS: &[&str] =
    &["spec.restartPolicy", "spec.schedulerName", "status.phase", "metadata.labels", "metadata.annotations"];
/// Resources that an environment variable or a file may show.
const RESOURCE_FIELDS: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
/// Units in which bytes are shown.
const BYTE_UNITS: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

pub fn variables(errors: &mut Errors, path: Path<'_>, variables: &[EnvVar]) {
    for (index, variable) in variables.iter().enumerate() {
        let path = path.index(index);
        if variable.name.is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        } else {
            shape(errors, path.child("name"), &variable.name, name::env_var);
        }
        if let Some(source) = &variable.value_from {
            self::source(errors, path.child("valueFrom"), source, !variable.value.is_empty());
        }
    }
}

fn source(errors: &mut Errors, path: Path<'_>, source: &EnvVarSource, has_value: bool) {
    let mut given = 0;
    if let Some(selector) = &source.field_ref {
        given += 1;
        field_ref(errors, path.child("fieldRef"), &selector.api_version, &selector.field_path, ENV_FIELDS);
    }
    if let Some(selector) = &source.resource_field_ref {
        given += 1;
        resource_ref(errors, path.child("resourceFieldRef"), selector, false);
    }
    if let Some(selector) = &source.config_map_key_ref {
        given += 1;
        key_ref(errors, path.child("configMapKeyRef"), &selector.local_object_reference.name, &selector.key);
    }
    if let Some(selector) = &source.secret_key_ref {
        given += 1;
        key_ref(errors, path.child("secretKeyRef"), &selector.local_object_reference.name, &selector.key);
    }
    if let Some(selector) = &source.file_key_ref {
        given += 1;
        let path = path.child("fileKeyRef");
        required_shape(errors, path.child("key"), &selector.key, name::env_var);
        required_shape(errors, path.child("volumeName"), &selector.volume_name, name::dns_label);
        required(errors, path.child("path"), &selector.path);
        local_free_path(errors, path.child("path"), &selector.path);
    }
    if given == 0 {
        errors.push(FieldError::invalid(
            path,
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        ));
    } else if has_value {
        errors.push(FieldError::invalid(path, "", "may not be specified when `value` is not empty"));
    } else if given > 1 {
        errors.push(FieldError::invalid(path, "", "may not have more than one field specified at a time"));
    }
}

/// A field of the pod; labels and annotations may be named one by one.
pub fn field_ref(errors: &mut Errors, path: Path<'_>, api_version: &str, field: &str, allowed: &[&str]) {
    if api_version.is_empty() {
        errors.push(FieldError::required(path.child("apiVersion"), ""));
        return;
    }
    let at = path.child("fieldPath");
    if field.is_empty() {
        errors.push(FieldError::required(at, ""));
        return;
    }
    let refuse = |why: &str| FieldError::invalid(at, field, format!("error converting fieldPath: {why}"));
    if api_version != "v1" {
        return errors.push(refuse(&format!("unsupported pod version: {api_version}")));
    }
    if let Some((map, key)) = field.strip_suffix("']").and_then(|field| field.split_once("['")) {
        return match map {
            "metadata.labels" => shape(errors, path, key, name::qualified_name),
            "metadata.annotations" => {
                let lower = key.to_lowercase();
                shape(errors, path, &lower, name::qualified_name);
            }
            _ => errors.push(refuse("field label does not support subscript")),
        };
    }
    // The old name of spec.nodeName.
    let field = if field == "spec.host" { "spec.nodeName" } else { field };
    if allowed.contains(&field) || ENV_FIELDS.contains(&field) || KNOWN_FIELDS.contains(&field) {
        one_of(errors, at, field, allowed);
    } else {
        errors.push(refuse(&format!("field label not supported: {field}")));
    }
}

/// A resource of a container; files must say which container.
pub fn resource_ref(errors: &mut Errors, path: Path<'_>, selector: &ResourceFieldSelector, in_file: bool) {
    let resource = selector.resource.as_str();
    if in_file && selector.container_name.is_empty() {
        errors.push(FieldError::required(path.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(FieldError::required(path.child("resource"), ""));
    } else if !is_huge_pages(resource) {
        one_of(errors, path.child("resource"), resource, RESOURCE_FIELDS);
    }
    divisor(errors, path.child("divisor"), resource, &selector.divisor);
}

fn is_huge_pages(resource: &str) -> bool {
    resource.starts_with("limits.hugepages-") || resource.starts_with("requests.hugepages-")
}

fn divisor(errors: &mut Errors, path: Path<'_>, resource: &str, divisor: &Quantity) {
    if divisor.amount().is_zero() {
        return;
    }
    let (units, what) = match resource {
        "limits.cpu" | "requests.cpu" => (&["1m", "1"][..], "cpu"),
        "limits.memory" | "requests.memory" => (BYTE_UNITS, "memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => (BYTE_UNITS, "local ephemeral storage"),
        other if is_huge_pages(other) => (BYTE_UNITS, "hugepages"),
        _ => return,
    };
    if !units.contains(&divisor.string.as_str()) {
        let why = format!("only divisor's values {} are supported with the {what} resource", units.join(", "));
        errors.push(FieldError::invalid(path, resource, why));
    }
}

fn key_ref(errors: &mut Errors, path: Path<'_>, object: &str, key: &str) {
    shape(errors, path.child("name"), object, name::dns_subdomain);
    if key.is_empty() {
        errors.push(FieldError::required(path.child("key"), ""));
    } else {
        shape(errors, path.child("key"), key, name::config_key);
    }
}

/// All keys of an object at once. Upstream names no index where a source is missing or there are two.
pub fn sources(errors: &mut Errors, list: Path<'_>, sources: &[EnvFromSource]) {
    for (index, source) in sources.iter().enumerate() {
        let path = list.index(index);
        if !source.prefix.is_empty() {
            shape(errors, path.child("prefix"), &source.prefix, name::env_var);
        }
        if let Some(map) = &source.config_map_ref {
            let path = path.child("configMapRef");
            required_shape(errors, path.child("name"), &map.local_object_reference.name, name::generated_subdomain);
        }
        if let Some(secret) = &source.secret_ref {
            let path = path.child("secretRef");
            required_shape(errors, path.child("name"), &secret.local_object_reference.name, name::generated_subdomain);
        }
        match (&source.config_map_ref, &source.secret_ref) {
            (None, None) => {
                errors.push(FieldError::invalid(list, "", "must specify one of: `configMapRef` or `secretRef`"));
            }
            (Some(_), Some(_)) => {
                errors.push(FieldError::invalid(list, "", "may not have more than one field specified at a time"));
            }
            _ => {}
        }
    }
}
