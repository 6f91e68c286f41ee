//! Validation of the configurations of admission webhooks.

use proto::admissionregistration::v1::{
    MatchCondition, MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhookConfiguration,
    WebhookClientConfig,
};
use proto::meta::v1::LabelSelector;

use super::check::{Errors, label_selector_opt, one_of, one_of_opt, shape};
use super::{FieldError, Path, match_rules};
use crate::name;

const REVIEW_VERSIONS: &[&str] = &["v1", "v1beta1"];
const HOOKS: Path<'static> = Path::root("webhooks");

/// What both kinds of webhooks say.
struct Hook<'a> {
    name: &'a str,
    client: &'a WebhookClientConfig,
    rules: &'a [RuleWithOperations],
    failure_policy: Option<&'a String>,
    match_policy: Option<&'a String>,
    namespaces: Option<&'a LabelSelector>,
    objects: Option<&'a LabelSelector>,
    side_effects: Option<&'a String>,
    timeout_seconds: Option<i32>,
    versions: &'a Vec<String>,
    reinvocation: Option<&'a String>,
    conditions: &'a [MatchCondition],
}

macro_rules! hook {
    ($hook:expr, $reinvocation:expr) => {
        Hook {
            name: &$hook.name,
            client: &$hook.client_config,
            rules: &$hook.rules,
            failure_policy: $hook.failure_policy.as_ref(),
            match_policy: $hook.match_policy.as_ref(),
            namespaces: $hook.namespace_selector.as_ref(),
            objects: $hook.object_selector.as_ref(),
            side_effects: $hook.side_effects.as_ref(),
            timeout_seconds: $hook.timeout_seconds,
            versions: &$hook.admission_review_versions,
            reinvocation: $reinvocation,
            conditions: &$hook.match_conditions,
        }
    };
}

pub fn validating(errors: &mut Errors, configuration: &ValidatingWebhookConfiguration) {
    let hooks: Vec<Hook<'_>> = configuration.webhooks.iter().map(|hook| hook!(hook, None)).collect();
    all(errors, &hooks);
}

pub fn mutating(errors: &mut Errors, configuration: &MutatingWebhookConfiguration) {
    let hooks: Vec<Hook<'_>> =
        configuration.webhooks.iter().map(|hook| hook!(hook, hook.reinvocation_policy.as_ref())).collect();
    all(errors, &hooks);
}

fn all(errors: &mut Errors, hooks: &[Hook<'_>]) {
    for (index, hook) in hooks.iter().enumerate() {
        let path = HOOKS.index(index);
        one(errors, path, hook);
        review_versions(errors, path.child("admissionReviewVersions"), hook.versions);
        if !hook.name.is_empty() && hooks[..index].iter().any(|other| other.name == hook.name) {
            errors.push(FieldError::duplicate(path.child("name"), hook.name));
        }
    }
}

fn one(errors: &mut Errors, path: Path<'_>, hook: &Hook<'_>) {
    full_name(errors, path.child("name"), hook.name);
    let rules = path.child("rules");
    for (index, rule) in hook.rules.iter().enumerate() {
        match_rules::rule(errors, rules.index(index), rule);
    }
    one_of_opt(errors, path.child("failurePolicy"), hook.failure_policy, &["Fail", "Ignore"]);
    one_of_opt(errors, path.child("matchPolicy"), hook.match_policy, &["Equivalent", "Exact"]);
    let without = &["None", "NoneOnDryRun"];
    match hook.side_effects {
        None => {
            let why = "must specify one of None, NoneOnDryRun";
            errors.push(FieldError::required(path.child("sideEffects"), why));
        }
        Some(effects) => one_of(errors, path.child("sideEffects"), effects, without),
    }
    if let Some(seconds) = hook.timeout_seconds.filter(|seconds| !(1..=30).contains(seconds)) {
        let why = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(path.child("timeoutSeconds"), seconds, why));
    }
    label_selector_opt(errors, path.child("namespaceSelector"), hook.namespaces);
    label_selector_opt(errors, path.child("objectSelector"), hook.objects);
    one_of_opt(errors, path.child("reinvocationPolicy"), hook.reinvocation, &["IfNeeded", "Never"]);
    client(errors, path.child("clientConfig"), hook.client);
    match_rules::conditions(errors, path.child("matchConditions"), hook.conditions, false);
}

/// A name within a domain of its own.
fn full_name(errors: &mut Errors, path: Path<'_>, text: &str) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let wrong = name::dns_subdomain(text);
    if wrong.is_empty() && text.split('.').count() < 3 {
        let why = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(path, text, why));
    }
    errors.extend(wrong.into_iter().map(|why| FieldError::invalid(path, text, why)));
}

fn review_versions(errors: &mut Errors, path: Path<'_>, versions: &Vec<String>) {
    if versions.is_empty() {
        errors.push(FieldError::required(path, "must specify one of v1, v1beta1"));
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        if versions[..index].contains(version) {
            errors.push(FieldError::invalid(path.index(index), version, "duplicate version"));
        } else {
            shape(errors, path.index(index), version, name::dns_1035_label);
        }
    }
    if !versions.iter().any(|version| REVIEW_VERSIONS.contains(&version.as_str())) {
        errors.push(FieldError::invalid(path, versions, "must include at least one of v1, v1beta1"));
    }
}

fn client(errors: &mut Errors, path: Path<'_>, client: &WebhookClientConfig) {
    match (&client.url, &client.service) {
        (Some(text), None) => url(errors, path.child("url"), text),
        (None, Some(found)) => {
            let (namespace, port) = (&found.namespace, found.port);
            service(errors, path.child("service"), &found.name, namespace, found.path.as_deref(), port);
        }
        _ => errors.push(FieldError::required(path, "exactly one of url or service is required")),
    }
}

/// Where a webhook listens: `https://host[/path]`.
pub fn url(errors: &mut Errors, path: Path<'_>, text: &str) {
    const FORM: &str = "; desired format: https://host[/path]";
    let Some((scheme, rest)) = text.split_once("://") else {
        errors.push(FieldError::invalid(path, "", format!("'https' is the only allowed URL scheme{FORM}")));
        errors.push(FieldError::invalid(path, "", format!("host must be specified{FORM}")));
        return;
    };
    let mut wrong = |found: &str, why: &str| errors.push(FieldError::invalid(path, found, format!("{why}{FORM}")));
    if scheme != "https" {
        wrong(scheme, "'https' is the only allowed URL scheme");
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() {
        wrong(host, "host must be specified");
    }
    if !user.is_empty() {
        wrong(user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        wrong(fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        wrong(query, "query parameters are not permitted in the URL");
    }
}

/// The service that a webhook is reached by.
pub fn service(
    errors: &mut Errors,
    at: Path<'_>,
    service: &str,
    namespace: &str,
    path: Option<&str>,
    port: Option<i32>,
) {
    for (field, text) in [("name", service), ("namespace", namespace)] {
        if text.is_empty() {
            errors.push(FieldError::required(at.child(field), format!("service {field} is required")));
        }
    }
    if let Some(port) = port {
        for why in name::port_number(port) {
            errors.push(FieldError::invalid(at.child("port"), port, format!("port is not valid: {why}")));
        }
    }
    let at = at.child("path");
    let Some(text) = path.filter(|text| !matches!(*text, "" | "/")) else { return };
    let Some(inner) = text.strip_prefix('/') else {
        errors.push(FieldError::invalid(at, text, "must start with a '/'"));
        return;
    };
    for (index, step) in inner.strip_suffix('/').unwrap_or(inner).split('/').enumerate() {
        if step.is_empty() {
            errors.push(FieldError::invalid(at, text, format!("segment[{index}] may not be empty")));
            return;
        }
        for why in name::dns_subdomain(step) {
            errors.push(FieldError::invalid(at, text, format!("segment[{index}]: {why}")));
        }
    }
}
