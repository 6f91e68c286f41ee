//! Validation of resources: names, amounts, requests against limits.

use proto::Quantity;
use proto::core::v1::{ContainerResizePolicy, PodResourceClaim, ResourceClaim, ResourceRequirements};

use super::check::{Errors, NOT_NEGATIVE, one_of};
use super::{FieldError, Path};
use crate::name;
use crate::quantity::{Amount, ResourceList};

/// Resources that a container may name without a domain.
const CONTAINER: &[&str] = &["cpu", "memory", "ephemeral-storage"];
/// Further names without a domain that some resource list knows.
const STANDARD: &[&str] = &[
    "storage",
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
const HUGE_PAGES: &str = "hugepages-";

fn is_huge_pages(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

/// Named after a domain that is not Kubernetes' own.
fn is_extended(name: &str) -> bool {
    name.contains('/')
        && !name.split('/').next().is_some_and(|domain| domain.ends_with("kubernetes.io"))
        && !name.starts_with("requests.")
}

/// Resources of which more may be promised than there is.
pub fn is_overcommitted(name: &str) -> bool {
    !name.contains('/') && !is_huge_pages(name) || name.starts_with("kubernetes.io/")
}

/// A container's resources.
pub fn container(errors: &mut Errors, path: Path<'_>, resources: &ResourceRequirements, claims: &[PodResourceClaim]) {
    let (limits, requests) = (path.child("limits"), path.child("requests"));
    for (name, quantity) in &resources.limits {
        container_name(errors, limits.key(name), name);
        amount(errors, limits.key(name), name, quantity);
        page_multiple(errors, limits.key(name), name, quantity);
    }
    for (name, quantity) in &resources.requests {
        container_name(errors, requests.key(name), name);
        amount(errors, requests.key(name), name, quantity);
        page_multiple(errors, requests.key(name), name, quantity);
        against_limit(errors, path, name, quantity, &resources.limits);
    }
    let all = || resources.limits.keys().chain(resources.requests.keys());
    let huge = all().any(|name| is_huge_pages(name));
    if huge && !all().any(|name| name == "cpu" || name == "memory") {
        errors.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
    }
    claim_names(errors, path.child("claims"), resources, claims);
}

/// What a pod costs beyond its containers: upstream judges it as limits.
pub fn overhead(errors: &mut Errors, path: Path<'_>, overhead: &ResourceList) {
    let limits = ResourceRequirements { limits: overhead.clone(), ..ResourceRequirements::default() };
    container(errors, path, &limits, &[]);
}

/// A resource that containers may ask for.
pub fn container_name(errors: &mut Errors, path: Path<'_>, name: &str) {
    let wrong = name::qualified_name(name);
    if !wrong.is_empty() {
        errors.extend(wrong.into_iter().map(|why| FieldError::invalid(path, name, why)));
        return;
    }
    if name.contains('/') {
        // What is neither Kubernetes' own nor of a domain's own resources.
        let native = name.split('/').next().is_some_and(|domain| domain.ends_with("kubernetes.io"));
        if !native && !is_extended(name) {
            errors.push(FieldError::invalid(path, name, "doesn't follow extended resource name standard"));
        }
        return;
    }
    if CONTAINER.contains(&name) || is_huge_pages(name) {
        return;
    }
    if !STANDARD.contains(&name) {
        errors.push(FieldError::invalid(path, name, "must be a standard resource type or fully qualified"));
    }
    errors.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
}

/// Huge pages come whole.
fn page_multiple(errors: &mut Errors, path: Path<'_>, name: &str, quantity: &Quantity) {
    let Some(page) = name.strip_prefix(HUGE_PAGES) else { return };
    let page = Quantity { string: page.to_owned() }.amount().value();
    if page <= 0 || quantity.amount().value() % page != 0 {
        let why = format!("{quantity} is not positive integer multiple of {name}");
        errors.push(FieldError::invalid(path, quantity, why));
    }
}

/// Not negative; whole where the resource comes in pieces.
pub fn amount(errors: &mut Errors, path: Path<'_>, name: &str, quantity: &Quantity) {
    let amount = quantity.amount();
    if amount.is_negative() {
        errors.push(FieldError::invalid(path, quantity, NOT_NEGATIVE));
    }
    if (is_extended(name) || name == "pods" || is_huge_pages(name)) && !amount.is_whole() {
        errors.push(FieldError::invalid(path, quantity, "must be an integer"));
    }
}

fn against_limit(errors: &mut Errors, path: Path<'_>, name: &str, request: &Quantity, limits: &ResourceList) {
    let Some(limit) = limits.get(name) else {
        if !is_overcommitted(name) {
            errors
                .push(FieldError::required(path.child("limits"), "Limit must be set for non overcommitable resources"));
        }
        return;
    };
    let requests = path.child("requests");
    if request.amount() > limit.amount() {
        let why = format!("must be less than or equal to {name} limit of {limit}");
        errors.push(FieldError::invalid(requests, request, why));
    } else if !is_overcommitted(name) && request.amount() != limit.amount() {
        let why = format!("must be equal to {name} limit of {limit}");
        errors.push(FieldError::invalid(requests, request, why));
    }
}

/// A claim as a whole, or some of its requests one by one, each only once.
fn claim_names(errors: &mut Errors, path: Path<'_>, resources: &ResourceRequirements, claims: &[PodResourceClaim]) {
    for (index, claim) in resources.claims.iter().enumerate() {
        let at = path.index(index);
        if claim.name.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        if !claim.request.is_empty() {
            super::check::shape(errors, at.child("request"), &claim.request, name::dns_label);
        }
        let mut earlier = resources.claims[..index].iter().filter(|other| other.name == claim.name);
        let overlaps = |other: &ResourceClaim| {
            claim.request.is_empty() || other.request.is_empty() || other.request == claim.request
        };
        if earlier.any(overlaps) {
            errors.push(FieldError::duplicate(at, &claim.name));
        }
        if !claims.iter().any(|known| known.name == claim.name) {
            errors.push(FieldError::not_found(at, &claim.name));
        }
    }
}

/// A pod's claims.
pub fn pod_claims(errors: &mut Errors, path: Path<'_>, claims: &[PodResourceClaim]) {
    for (index, claim) in claims.iter().enumerate() {
        let path = path.index(index);
        super::check::required_shape(errors, path.child("name"), &claim.name, name::dns_label);
        if claims[..index].iter().any(|other| other.name == claim.name) {
            errors.push(FieldError::duplicate(path.child("name"), &claim.name));
        }
        match (&claim.resource_claim_name, &claim.resource_claim_template_name) {
            (None, None) => {
                let why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.push(FieldError::invalid(path, super::error::Json(claim), why));
            }
            (Some(_), Some(_)) => {
                let why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.push(FieldError::invalid(path, super::error::Json(claim), why));
            }
            (Some(text), None) => {
                super::check::shape(errors, path.child("resourceClaimName"), text, name::dns_subdomain);
            }
            (None, Some(text)) => {
                super::check::shape(errors, path.child("resourceClaimTemplateName"), text, name::dns_subdomain);
            }
        }
    }
}

/// What a pod asks as a whole, beside what its containers ask.
pub fn pod_level(errors: &mut Errors, path: Path<'_>, resources: &ResourceRequirements, containers: &ResourceList) {
    let (limits, requests) = (path.child("limits"), path.child("requests"));
    if !resources.claims.is_empty() {
        let why = "claims cannot be set for Resources at pod-level";
        errors.push(FieldError::forbidden(path.child("claims"), why));
    }
    let known = |name: &str| matches!(name, "cpu" | "memory") || is_huge_pages(name);
    for (path, list) in [(limits, &resources.limits), (requests, &resources.requests)] {
        for (name, quantity) in list {
            if !known(name) {
                errors.push(FieldError::not_supported(path.key(name), name, &["cpu", "memory", "hugepages-"]));
            }
            amount(errors, path.key(name), name, quantity);
        }
    }
    for (name, request) in &resources.requests {
        against_limit(errors, path, name, request, &resources.limits);
        let asked = containers.get(name).map_or(Amount::ZERO, Quantity::amount);
        if request.amount() < asked {
            let why = format!("must be greater than or equal to aggregate container requests of {asked}");
            errors.push(FieldError::invalid(requests.key(name), request, why));
        }
    }
}

/// How a container bears a change of its resources.
pub fn resize_policies(errors: &mut Errors, path: Path<'_>, policies: &[ContainerResizePolicy], pod_policy: &str) {
    for (index, policy) in policies.iter().enumerate() {
        // Upstream names only a repeated policy by its index.
        if policies[..index].iter().any(|other| other.resource_name == policy.resource_name) {
            errors.push(FieldError::duplicate(path.index(index), &policy.resource_name));
        }
        one_of(errors, path, &policy.resource_name, &["cpu", "memory"]);
        one_of(errors, path, &policy.restart_policy, &["NotRequired", "RestartContainer"]);
        if pod_policy == "Never" && policy.restart_policy == "RestartContainer" {
            let why = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid(path, &policy.restart_policy, why));
        }
    }
}
