//! Validation of what webhooks and admission policies are asked about.

use std::collections::BTreeSet;

use proto::admissionregistration::v1::{MatchCondition, MatchResources, NamedRuleWithOperations, RuleWithOperations};
use proto::meta::v1::LabelSelector;

use super::check::{Errors, label_selector, one_of, one_of_opt, one_of_required, shape};
use super::expression::{self, Scope};
use super::{FieldError, Path};
use crate::name;

const CONDITIONS_MAX: usize = 64;
const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

/// A list that is there, and where `*` stands alone.
fn list(errors: &mut Errors, path: Path<'_>, items: &Vec<String>, what: &str) {
    if items.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if items.len() > 1 && items.iter().any(|item| item == "*") {
        let why = format!("if '*' is present, must not specify other {what}");
        errors.push(FieldError::invalid(path, items, why));
    }
}

pub fn rule(errors: &mut Errors, path: Path<'_>, rule: &RuleWithOperations) {
    let at = path.child("operations");
    list(errors, at, &rule.operations, "operations");
    for (index, operation) in rule.operations.iter().enumerate() {
        one_of(errors, at.index(index), operation, OPERATIONS);
    }
    let rule = &rule.rule;
    list(errors, path.child("apiGroups"), &rule.api_groups, "API groups");
    let at = path.child("apiVersions");
    list(errors, at, &rule.api_versions, "API versions");
    for (index, _) in rule.api_versions.iter().enumerate().filter(|(_, version)| version.is_empty()) {
        errors.push(FieldError::required(at.index(index), ""));
    }
    resources(errors, path.child("resources"), &rule.resources);
    one_of_opt(errors, path.child("scope"), rule.scope.as_ref(), &["*", "Cluster", "Namespaced"]);
}

/// Resources and subresources, none of which another one names already.
fn resources(errors: &mut Errors, path: Path<'_>, resources: &Vec<String>) {
    if resources.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    let (mut all_of, mut of_all) = (BTreeSet::new(), BTreeSet::new());
    for (index, text) in resources.iter().enumerate() {
        let at = path.index(index);
        if text.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        let Some((resource, sub)) = text.split_once('/').filter(|_| text != "*/*") else { continue };
        if all_of.contains(resource) {
            let why = format!("if '{resource}/*' is present, must not specify {text}");
            errors.push(FieldError::invalid(at, text, why));
        }
        if of_all.contains(sub) {
            let why = format!("if '*/{sub}' is present, must not specify {text}");
            errors.push(FieldError::invalid(at, text, why));
        }
        if sub == "*" {
            all_of.insert(resource);
        }
        if resource == "*" {
            of_all.insert(sub);
        }
    }
    if resources.len() > 1 && resources.iter().any(|text| text == "*/*") {
        let why = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, resources, why));
    }
    let plain = |text: &String| text != "*" && !text.is_empty() && !text.contains('/');
    if resources.iter().any(|text| text == "*") && resources.iter().any(plain) {
        let why = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, resources, why));
    }
}

fn named_rules(errors: &mut Errors, path: Path<'_>, rules: &[NamedRuleWithOperations]) {
    for (index, named) in rules.iter().enumerate() {
        let path = path.index(index);
        let names = path.child("resourceNames");
        for (index, text) in named.resource_names.iter().enumerate() {
            shape(errors, names.index(index), text, name::path_segment);
            if named.resource_names[..index].contains(text) {
                errors.push(FieldError::duplicate(names.index(index), text));
            }
        }
        rule(errors, path, &named.rule_with_operations);
    }
}

/// What a policy is about.
pub fn constraints(errors: &mut Errors, path: Path<'_>, what: &MatchResources) {
    one_of_required(errors, path.child("matchPolicy"), what.match_policy.as_ref(), &["Equivalent", "Exact"]);
    selector(errors, path.child("namespaceSelector"), what.namespace_selector.as_ref());
    selector(errors, path.child("objectSelector"), what.object_selector.as_ref());
    named_rules(errors, path.child("resourceRules"), &what.resource_rules);
    named_rules(errors, path.child("excludeResourceRules"), &what.exclude_resource_rules);
}

fn selector(errors: &mut Errors, path: Path<'_>, selector: Option<&LabelSelector>) {
    match selector {
        None => errors.push(FieldError::required(path, "")),
        Some(selector) => label_selector(errors, path, selector),
    }
}

pub fn conditions(errors: &mut Errors, path: Path<'_>, conditions: &[MatchCondition], has_params: bool) {
    if conditions.len() > CONDITIONS_MAX {
        errors.push(FieldError::too_many(path, conditions.len(), CONDITIONS_MAX));
    }
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        if condition.expression.trim().is_empty() {
            errors.push(FieldError::required(path.child("expression"), ""));
        } else {
            let scope = Scope { has_params, ..Scope::default() };
            expression::condition(errors, path.child("expression"), &condition.expression, scope);
        }
        if condition.name.is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        } else {
            shape(errors, path.child("name"), &condition.name, name::qualified_name);
            if conditions[..index].iter().any(|other| other.name == condition.name) {
                errors.push(FieldError::duplicate(path.child("name"), &condition.name));
            }
        }
    }
}
