//! Validation of Ingresses and IngressClasses.

use proto::core::v1::TypedLocalObjectReference;
use proto::networking::v1::{HttpIngressPath, Ingress, IngressBackend, IngressClass, IngressClassSpec, IngressRule};

use super::check::{Errors, domain_path, immutable, one_of, shape};
use super::{FieldError, Path};
use crate::name;

const SPEC: Path<'static> = Path::root("spec");
/// How a class was named before `ingressClassName`.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const CONTROLLER_BYTES_MAX: usize = 250;
const PATH_PARTS: &[&str] = &["//", "/./", "/../", "%2f", "%2F"];
const PATH_ENDS: &[&str] = &["/..", "/."];
const NOT_AN_IP: &str = "must be a DNS name, not an IP address";

pub fn create(errors: &mut Errors, ingress: &Ingress) {
    spec(errors, ingress);
    let class = ingress.metadata.annotations.get(CLASS_ANNOTATION);
    if let (Some(annotation), Some(named)) = (class, &ingress.spec.ingress_class_name)
        && annotation != named
    {
        let why = "must match `ingressClassName` when both are specified";
        let path = Path::root("annotations");
        errors.push(FieldError::invalid(path.child(CLASS_ANNOTATION), annotation, why));
    }
}

pub fn update(errors: &mut Errors, new: &Ingress, _old: &Ingress) {
    spec(errors, new);
}

fn spec(errors: &mut Errors, ingress: &Ingress) {
    let spec = &ingress.spec;
    if spec.rules.is_empty() && spec.default_backend.is_none() {
        let nothing: Option<bool> = None;
        errors.push(FieldError::invalid(SPEC, nothing, "either `defaultBackend` or `rules` must be specified"));
    }
    if let Some(backend) = &spec.default_backend {
        self::backend(errors, SPEC.child("defaultBackend"), backend);
    }
    let path = SPEC.child("rules");
    for (index, rule) in spec.rules.iter().enumerate() {
        self::rule(errors, path.index(index), rule);
    }
    let path = SPEC.child("tls");
    for (index, tls) in spec.tls.iter().enumerate() {
        let path = path.index(index);
        let hosts = path.child("hosts");
        for (index, host) in tls.hosts.iter().enumerate() {
            host_name(errors, hosts.index(index), host);
        }
        if !tls.secret_name.is_empty() {
            shape(errors, path.child("secretName"), &tls.secret_name, name::dns_subdomain);
        }
    }
    if let Some(class) = &spec.ingress_class_name {
        shape(errors, SPEC.child("ingressClassName"), class, name::dns_subdomain);
    }
}

fn host_name(errors: &mut Errors, path: Path<'_>, host: &str) {
    let rule = if host.contains('*') { name::wildcard_subdomain } else { name::dns_subdomain };
    shape(errors, path, host, rule);
}

fn rule(errors: &mut Errors, path: Path<'_>, rule: &IngressRule) {
    if !rule.host.is_empty() {
        if rule.host.parse::<std::net::IpAddr>().is_ok() {
            errors.push(FieldError::invalid(path.child("host"), &rule.host, NOT_AN_IP));
        }
        host_name(errors, path.child("host"), &rule.host);
    }
    let Some(http) = &rule.ingress_rule_value.http else { return };
    let path = path.child("http");
    let path = path.child("paths");
    if http.paths.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    for (index, http) in http.paths.iter().enumerate() {
        http_path(errors, path.index(index), http);
    }
}

fn http_path(errors: &mut Errors, path: Path<'_>, http: &HttpIngressPath) {
    let Some(kind) = &http.path_type else {
        errors.push(FieldError::required(path.child("pathType"), "pathType must be specified"));
        return;
    };
    let (at, text) = (path.child("path"), &http.path);
    match kind.as_str() {
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                errors.push(FieldError::invalid(at, text, "must be an absolute path"));
            }
            for part in PATH_PARTS.iter().filter(|part| text.contains(**part)) {
                errors.push(FieldError::invalid(at, text, format!("must not contain '{part}'")));
            }
            for end in PATH_ENDS.iter().filter(|end| text.ends_with(**end)) {
                errors.push(FieldError::invalid(at, text, format!("cannot end with '{end}'")));
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !text.starts_with('/') {
                errors.push(FieldError::invalid(at, text, "must be an absolute path"));
            }
        }
        _ => one_of(errors, path.child("pathType"), kind, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    backend(errors, path.child("backend"), &http.backend);
}

fn backend(errors: &mut Errors, path: Path<'_>, backend: &IngressBackend) {
    match (&backend.service, &backend.resource) {
        (Some(_), Some(_)) => {
            errors.push(FieldError::invalid(path, "", "cannot set both resource and service backends"));
        }
        (None, Some(resource)) => reference(errors, path.child("resource"), resource),
        (None, None) => errors.push(FieldError::invalid(path, "", "resource or service backend is required")),
        (Some(service), None) => {
            let at = path.child("service");
            if service.name.is_empty() {
                errors.push(FieldError::required(at.child("name"), ""));
            } else {
                shape(errors, at.child("name"), &service.name, name::dns_label);
            }
            let at = at.child("port");
            match (service.port.name.as_str(), service.port.number) {
                ("", 0) => errors.push(FieldError::required(path, "port name or number is required")),
                ("", number) => super::check::port(errors, at.child("number"), number),
                (text, 0) => shape(errors, at.child("name"), text, name::port_name),
                _ => errors.push(FieldError::invalid(path, "", "cannot set both port name & port number")),
            }
        }
    }
}

/// What is in the namespace, told by group, kind and name.
fn reference(errors: &mut Errors, path: Path<'_>, target: &TypedLocalObjectReference) {
    if let Some(group) = &target.api_group {
        shape(errors, path.child("apiGroup"), group, name::dns_subdomain);
    }
    for (field, text) in [("kind", &target.kind), ("name", &target.name)] {
        if text.is_empty() {
            errors.push(FieldError::required(path.child(field), format!("{field} is required")));
        } else {
            shape(errors, path.child(field), text, name::path_segment);
        }
    }
}

pub fn update_status(errors: &mut Errors, new: &Ingress) {
    let path = Path::root("status");
    let path = path.child("loadBalancer");
    let path = path.child("ingress");
    for (index, ingress) in new.status.load_balancer.ingress.iter().enumerate() {
        let path = path.index(index);
        if !ingress.ip.is_empty() {
            super::check::ip(errors, path.child("ip"), &ingress.ip);
        }
        if !ingress.hostname.is_empty() {
            shape(errors, path.child("hostname"), &ingress.hostname, name::dns_subdomain);
            if ingress.hostname.parse::<std::net::IpAddr>().is_ok() {
                errors.push(FieldError::invalid(path.child("hostname"), &ingress.hostname, NOT_AN_IP));
            }
        }
    }
}

pub fn class(errors: &mut Errors, class: &IngressClass) {
    class_spec(errors, &class.spec);
}

fn class_spec(errors: &mut Errors, spec: &IngressClassSpec) {
    let path = SPEC.child("controller");
    if spec.controller.len() > CONTROLLER_BYTES_MAX {
        errors.push(FieldError::too_long(path, CONTROLLER_BYTES_MAX));
    }
    domain_path(errors, path, &spec.controller);
    let Some(parameters) = &spec.parameters else { return };
    let path = SPEC.child("parameters");
    let target = TypedLocalObjectReference {
        api_group: parameters.a_pi_group.clone(),
        kind: parameters.kind.clone(),
        name: parameters.name.clone(),
    };
    reference(errors, path, &target);
    let namespace = path.child("namespace");
    match (parameters.scope.as_deref(), &parameters.namespace) {
        (None, _) => errors.push(FieldError::required(path.child("scope"), "")),
        (Some("Namespace"), None) => {
            errors.push(FieldError::required(namespace, "`parameters.scope` is set to 'Namespace'"));
        }
        (Some("Namespace"), Some(text)) => shape(errors, namespace, text, name::dns_label),
        (Some("Cluster"), Some(_)) => {
            errors.push(FieldError::forbidden(namespace, "`parameters.scope` is set to 'Cluster'"));
        }
        (Some("Cluster"), None) => {}
        (Some(other), _) => one_of(errors, path.child("scope"), other, &["Cluster", "Namespace"]),
    }
}

pub fn class_update(errors: &mut Errors, new: &IngressClass, old: &IngressClass) {
    let same = new.spec.controller == old.spec.controller;
    immutable(errors, SPEC.child("controller"), same, &new.spec.controller);
    class_spec(errors, &new.spec);
}
