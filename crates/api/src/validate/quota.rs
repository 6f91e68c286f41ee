//! Validation of ResourceQuotas and LimitRanges.

use std::collections::BTreeSet;

use proto::Quantity;
use proto::core::v1::{LimitRange, LimitRangeItem, ResourceQuota, ResourceQuotaSpec, ScopeSelector};

use super::check::{Errors, NOT_NEGATIVE, immutable, shape};
use super::{FieldError, Path, resources};
use crate::name;
use crate::quantity::ResourceList;

const SPEC: Path<'static> = Path::root("spec");
/// Resources without a domain that a quota may count.
const STANDARD: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "requests.storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
/// Those that are counted one by one.
const WHOLE: &[&str] = &[
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
/// What pods use, of which scopes tell some apart.
const POD_RESOURCES: &[&str] =
    &["pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
const SCOPES: &[&str] = &[
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
const CONFLICTING: &[(&str, &str)] = &[("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")];

fn is_whole(resource: &str) -> bool {
    WHOLE.contains(&resource) || resource.starts_with("count/")
}

fn amounts(errors: &mut Errors, path: Path<'_>, list: &ResourceList) {
    for (resource, quantity) in list {
        let path = path.key(resource);
        shape(errors, path, resource, name::qualified_name);
        let known = resource.contains('/')
            || STANDARD.contains(&resource.as_str())
            || resource.starts_with("hugepages-")
            || resource.starts_with("requests.hugepages-");
        if !known {
            if resource != "storage" && name::qualified_name(resource).is_empty() {
                errors.push(FieldError::invalid(path, resource, "must be a standard resource type or fully qualified"));
            }
            errors.push(FieldError::invalid(path, resource, "must be a standard resource for quota"));
        }
        let amount = quantity.amount();
        if amount.is_negative() {
            errors.push(FieldError::invalid(path, quantity, NOT_NEGATIVE));
        }
        if is_whole(resource) && !amount.is_whole() {
            errors.push(FieldError::invalid(path, quantity, "must be an integer"));
        }
    }
}

pub fn quota(errors: &mut Errors, quota: &ResourceQuota) {
    quota_spec(errors, &quota.spec);
    for (field, list) in [("hard", &quota.status.hard), ("used", &quota.status.used)] {
        let path = Path::root("status");
        amounts(errors, path.child(field), list);
    }
}

fn quota_spec(errors: &mut Errors, spec: &ResourceQuotaSpec) {
    amounts(errors, SPEC.child("hard"), &spec.hard);
    if !spec.scopes.is_empty() {
        scopes(errors, SPEC.child("scopes"), &spec.scopes, &spec.hard);
    }
    if let Some(selector) = &spec.scope_selector {
        scope_selector(errors, SPEC.child("scopeSelector"), selector, &spec.hard);
    }
}

fn scopes(errors: &mut Errors, path: Path<'_>, scopes: &Vec<String>, hard: &ResourceList) {
    for scope in scopes {
        if !SCOPES.contains(&scope.as_str()) {
            errors.push(FieldError::invalid(path, scopes, "unsupported scope"));
        }
        for _ in hard.keys().filter(|resource| !applies(scope, resource)) {
            errors.push(FieldError::invalid(path, scopes, "unsupported scope applied to resource"));
        }
    }
    let has = |name: &str| scopes.iter().any(|scope| scope == name);
    for _ in CONFLICTING.iter().filter(|(one, other)| has(one) && has(other)) {
        errors.push(FieldError::invalid(path, scopes, "conflicting scopes"));
    }
}

/// Whether a scope can be asked of a resource; of resources beyond the standard ones nothing is said.
fn applies(scope: &str, resource: &str) -> bool {
    let standard = STANDARD.contains(&resource)
        || resource.starts_with("hugepages-")
        || resource.starts_with("requests.hugepages-");
    match scope {
        _ if !standard => true,
        "BestEffort" => resource == "pods",
        "NotBestEffort" | "Terminating" | "NotTerminating" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            POD_RESOURCES.contains(&resource)
        }
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

/// Upstream names no index here.
fn scope_selector(errors: &mut Errors, path: Path<'_>, selector: &ScopeSelector, hard: &ResourceList) {
    let path = path.child("matchExpressions");
    let mut names = BTreeSet::new();
    for term in &selector.match_expressions {
        let at = path;
        let scope = &term.scope_name;
        names.insert(scope.as_str());
        if !SCOPES.contains(&scope.as_str()) {
            errors.push(FieldError::invalid(at.child("scopeName"), scope, "unsupported scope"));
        }
        for _ in hard.keys().filter(|resource| !applies(scope, resource)) {
            let why = "unsupported scope applied to resource";
            errors.push(FieldError::invalid(at, super::error::Json(selector), why));
        }
        let operator = term.operator.as_str();
        let valued = matches!(scope.as_str(), "PriorityClass" | "VolumeAttributesClass");
        if SCOPES.contains(&scope.as_str()) && !valued && operator != "Exists" {
            let why = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.push(FieldError::invalid(at.child("operator"), operator, why));
        }
        let values = at.child("values");
        match operator {
            "In" | "NotIn" if term.values.is_empty() => {
                let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(FieldError::required(values, why));
            }
            "Exists" | "DoesNotExist" if !term.values.is_empty() => {
                let why = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector";
                errors.push(FieldError::invalid(values, &term.values, why));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.push(FieldError::invalid(at.child("operator"), operator, "not a valid selector operator")),
        }
    }
    for _ in CONFLICTING.iter().filter(|(one, other)| names.contains(one) && names.contains(other)) {
        errors.push(FieldError::invalid(path, super::error::Json(selector), "conflicting scopes"));
    }
}

pub fn quota_update(errors: &mut Errors, new: &ResourceQuota, old: &ResourceQuota) {
    quota_spec(errors, &new.spec);
    let sorted = |quota: &ResourceQuota| quota.spec.scopes.iter().cloned().collect::<BTreeSet<String>>();
    immutable(errors, SPEC.child("scopes"), sorted(new) == sorted(old), &new.spec.scopes);
}

pub fn quota_status(errors: &mut Errors, new: &ResourceQuota) {
    for (field, list) in [("hard", &new.status.hard), ("used", &new.status.used)] {
        let path = Path::root("status");
        amounts(errors, path.child(field), list);
    }
}

pub fn limits(errors: &mut Errors, range: &LimitRange) {
    let path = SPEC.child("limits");
    for (index, item) in range.spec.limits.iter().enumerate() {
        let at = path.index(index);
        let kind = &item.r#type;
        let wrong = name::qualified_name(kind);
        if wrong.is_empty()
            && !kind.contains('/')
            && !matches!(kind.as_str(), "Pod" | "Container" | "PersistentVolumeClaim")
        {
            let why = "must be a standard limit type or fully qualified";
            errors.push(FieldError::invalid(at.child("type"), kind, why));
        }
        errors.extend(wrong.into_iter().map(|why| FieldError::invalid(at.child("type"), kind, why)));
        if range.spec.limits[..index].iter().any(|other| other.r#type == *kind) {
            errors.push(FieldError::duplicate(at.child("type"), kind));
        }
        limit(errors, at, item);
    }
}

fn limit(errors: &mut Errors, path: Path<'_>, item: &LimitRangeItem) {
    let lists = [
        ("max", &item.max),
        ("min", &item.min),
        ("default", &item.default),
        ("defaultRequest", &item.default_request),
        ("maxLimitRequestRatio", &item.max_limit_request_ratio),
    ];
    for (field, list) in lists {
        let at = path.child(field);
        if item.r#type == "Pod" && field.starts_with("default") {
            if !list.is_empty() {
                errors.push(FieldError::forbidden(at, "may not be specified when `type` is 'Pod'"));
            }
            continue;
        }
        if field == "maxLimitRequestRatio" {
            needs_storage(errors, path, item);
        }
        for resource in list.keys() {
            resource_name(errors, at.key(resource), resource, &item.r#type);
        }
    }
    let keys: BTreeSet<&String> = lists.iter().flat_map(|(_, list)| list.keys()).collect();
    for key in keys {
        ordered(errors, path, item, key);
    }
}

fn needs_storage(errors: &mut Errors, path: Path<'_>, item: &LimitRangeItem) {
    let given = |list: &ResourceList| list.contains_key("storage");
    if item.r#type == "PersistentVolumeClaim" && !given(&item.min) && !given(&item.max) {
        let why = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(path.child("limits"), why));
    }
}

fn resource_name(errors: &mut Errors, path: Path<'_>, resource: &str, kind: &str) {
    if matches!(kind, "Pod" | "Container") {
        resources::container_name(errors, path, resource);
        return;
    }
    shape(errors, path, resource, name::qualified_name);
    let known = resource.contains('/') || resource == "storage" || STANDARD.contains(&resource);
    if name::qualified_name(resource).is_empty() && !known && !resource.starts_with("hugepages-") {
        errors.push(FieldError::invalid(path, resource, "must be a standard resource type or fully qualified"));
    }
}

/// Of one resource: least, default and most in this order, and a ratio that they allow.
fn ordered(errors: &mut Errors, path: Path<'_>, item: &LimitRangeItem, key: &str) {
    let (min, max) = (item.min.get(key), item.max.get(key));
    let (default, request) = (item.default.get(key), item.default_request.get(key));
    let mut at_most = |field: &str, less: (&str, Option<&Quantity>), more: (&str, Option<&Quantity>)| {
        if let (Some(small), Some(large)) = (less.1, more.1)
            && small.amount() > large.amount()
        {
            let why = format!("{} value {small} is greater than {} value {large}", less.0, more.0);
            errors.push(FieldError::invalid(path.child(field).key(key), small, why));
        }
    };
    at_most("min", ("min", min), ("max", max));
    at_most("defaultRequest", ("min", min), ("default request", request));
    at_most("defaultRequest", ("default request", request), ("max", max));
    at_most("defaultRequest", ("default request", request), ("default limit", default));
    at_most("default", ("min", min), ("default", default));
    at_most("default", ("default", default), ("max", max));
    if let Some(ratio) = item.max_limit_request_ratio.get(key) {
        self::ratio(errors, path.child("maxLimitRequestRatio").key(key), ratio, min, max);
    }
    if let (Some(default), Some(request), false) = (default, request, resources::is_overcommitted(key))
        && default.amount() != request.amount()
    {
        let why = format!("default value {default} must equal to defaultRequest value {request} in {key}");
        errors.push(FieldError::invalid(path.child("defaultRequest").key(key), request, why));
    }
}

fn ratio(errors: &mut Errors, path: Path<'_>, ratio: &Quantity, min: Option<&Quantity>, max: Option<&Quantity>) {
    let number = |quantity: &Quantity| quantity.amount().milli() as f64;
    if number(ratio) < 1000.0 {
        errors.push(FieldError::invalid(path, ratio, format!("ratio {ratio} is less than 1")));
    }
    if let (Some(min), Some(max)) = (min, max)
        && number(ratio) / 1000.0 > number(max) / number(min)
    {
        let most = number(max) / number(min);
        let why = format!("ratio {ratio} is greater than max/min = {most:.6}");
        errors.push(FieldError::invalid(path, ratio, why));
    }
}
