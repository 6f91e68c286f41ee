//! Validation of admission policies and what binds them.

use cel::{Type, request};
use proto::admissionregistration::v1::{
    AuditAnnotation, MatchResources, MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, Mutation, ParamKind,
    ParamRef, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, Validation, Variable,
};

use super::check::{Errors, label_selector_opt, one_of, one_of_opt, one_of_required, shape};
use super::expression::{self, Scope};
use super::{FieldError, Path, match_rules};
use crate::name;

const SPEC: Path<'static> = Path::root("spec");
const ANNOTATIONS_MAX: usize = 20;
const ANNOTATION_BYTES_MAX: usize = 5 * 1024;
const REASONS: &[&str] = &["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];

pub fn validating(errors: &mut Errors, policy: &ValidatingAdmissionPolicy) {
    let spec = &policy.spec;
    common(errors, spec.failure_policy.as_ref(), spec.param_kind.as_ref(), spec.match_constraints.as_ref());
    let has_params = spec.param_kind.is_some();
    match_rules::conditions(errors, SPEC.child("matchConditions"), &spec.match_conditions, has_params);
    let known = variables(errors, SPEC.child("variables"), &spec.variables, has_params);
    let scope = Scope { has_params, variables: Some(&known), mutates: false };
    if spec.validations.is_empty() && spec.audit_annotations.is_empty() {
        let why = "validations or auditAnnotations must contain at least one item";
        errors.push(FieldError::required(SPEC.child("validations"), why));
        errors.push(FieldError::required(SPEC.child("auditAnnotations"), why));
        return;
    }
    let path = SPEC.child("validations");
    for (index, validation) in spec.validations.iter().enumerate() {
        self::validation(errors, path.index(index), validation, scope);
    }
    let policy = &policy.metadata.name;
    audit_annotations(errors, SPEC.child("auditAnnotations"), &spec.audit_annotations, policy, scope);
}

fn common(
    errors: &mut Errors,
    failure_policy: Option<&String>,
    kind: Option<&ParamKind>,
    constraints: Option<&MatchResources>,
) {
    one_of_required(errors, SPEC.child("failurePolicy"), failure_policy, &["Fail", "Ignore"]);
    if let Some(kind) = kind {
        param_kind(errors, SPEC.child("paramKind"), kind);
    }
    let path = SPEC.child("matchConstraints");
    match constraints {
        None => errors.push(FieldError::required(path, "")),
        Some(constraints) => {
            match_rules::constraints(errors, path, constraints);
            if constraints.resource_rules.is_empty() {
                errors.push(FieldError::required(path.child("resourceRules"), ""));
            }
        }
    }
}

fn param_kind(errors: &mut Errors, path: Path<'_>, param: &ParamKind) {
    let version = &param.api_version;
    if version.is_empty() {
        errors.push(FieldError::required(path.child("apiVersion"), ""));
    } else if version.split('/').count() > 2 || version.split('/').any(str::is_empty) {
        let why = format!("unexpected GroupVersion string: {version}");
        errors.push(FieldError::invalid(path.child("apiVersion"), version, why));
    }
    if param.kind.is_empty() {
        errors.push(FieldError::required(path.child("kind"), ""));
    } else {
        for why in name::dns_1035_label(&param.kind.to_lowercase()) {
            let why = format!("may have mixed case, but should otherwise match: {why}");
            errors.push(FieldError::invalid(path.child("kind"), &param.kind, why));
        }
    }
}

/// Each variable may name those before it; tells the types of all.
fn variables<'a>(
    errors: &mut Errors,
    path: Path<'_>,
    variables: &'a [Variable],
    has_params: bool,
) -> Vec<(&'a str, Type)> {
    let mut known = Vec::new();
    for (index, variable) in variables.iter().enumerate() {
        let path = path.index(index);
        if variable.name.is_empty() {
            errors.push(FieldError::required(path.child("name"), "name is not specified"));
        } else if !expression::is_identifier(&variable.name) {
            let why = "name is not a valid CEL identifier";
            errors.push(FieldError::invalid(path.child("name"), &variable.name, why));
        }
        let scope = Scope { has_params, variables: Some(&known), mutates: false };
        let (at, text) = (path.child("expression"), &variable.expression);
        let found = if text.trim().is_empty() {
            errors.push(FieldError::required(at, "expression is not specified"));
            None
        } else {
            expression::any(errors, at, text, scope)
        };
        // What is wrong with one variable is not told of those that name it.
        known.push((variable.name.as_str(), found.unwrap_or(Type::Dyn)));
    }
    known
}

fn expression_at(errors: &mut Errors, path: Path<'_>, text: &str, why: &str, scope: Scope<'_>, wanted: &[Type]) {
    if text.trim().is_empty() {
        errors.push(FieldError::required(path, why));
    } else {
        expression::typed(errors, path, text, scope, wanted);
    }
}

fn validation(errors: &mut Errors, path: Path<'_>, validation: &Validation, scope: Scope<'_>) {
    let text = &validation.expression;
    if text.trim().is_empty() {
        errors.push(FieldError::required(path.child("expression"), "expression is not specified"));
    } else {
        expression::condition(errors, path.child("expression"), text, scope);
    }
    let at = path.child("messageExpression");
    if !validation.message_expression.is_empty() {
        if validation.message_expression.trim().is_empty() {
            let why = "must be non-empty if specified";
            errors.push(FieldError::invalid(at, &validation.message_expression, why));
        } else {
            expression::typed(errors, at, &validation.message_expression, scope, &[Type::String]);
        }
    }
    let message = validation.message.trim();
    let path_of_message = path.child("message");
    if !validation.message.is_empty() && message.is_empty() {
        let why = "message must be non-empty if specified";
        errors.push(FieldError::invalid(path_of_message, &validation.message, why));
    } else if message.contains(['\n', '\r']) {
        let why = "message must not contain line breaks";
        errors.push(FieldError::invalid(path_of_message, &validation.message, why));
    } else if text.trim().contains(['\n', '\r']) && message.is_empty() {
        let why = "message must be specified if expression contains line breaks";
        errors.push(FieldError::required(path_of_message, why));
    }
    one_of_opt(errors, path.child("reason"), validation.reason.as_ref(), REASONS);
}

fn audit_annotations(
    errors: &mut Errors,
    path: Path<'_>,
    annotations: &[AuditAnnotation],
    policy: &str,
    scope: Scope<'_>,
) {
    if annotations.len() > ANNOTATIONS_MAX {
        errors.push(FieldError::too_many(path, annotations.len(), ANNOTATIONS_MAX));
    }
    for (index, annotation) in annotations.iter().enumerate() {
        let path = path.index(index);
        let key = &annotation.key;
        if key.is_empty() {
            errors.push(FieldError::required(path.child("key"), ""));
        } else {
            for why in name::qualified_name(&format!("{policy}/{key}")) {
                errors.push(FieldError::invalid(path.child("key"), key, why));
            }
            if annotations[..index].iter().any(|other| other.key == *key) {
                errors.push(FieldError::duplicate(path.child("key"), key));
            }
        }
        let text = &annotation.value_expression;
        let (at, why) = (path.child("valueExpression"), "valueExpression is not specified");
        expression_at(errors, at, text, why, scope, &[Type::String, Type::Null]);
        if text.len() > ANNOTATION_BYTES_MAX {
            errors.push(FieldError::too_long(path.child("valueExpression"), ANNOTATION_BYTES_MAX));
        }
    }
}

pub fn mutating(errors: &mut Errors, policy: &MutatingAdmissionPolicy) {
    let spec = &policy.spec;
    common(errors, spec.failure_policy.as_ref(), spec.param_kind.as_ref(), spec.match_constraints.as_ref());
    let has_params = spec.param_kind.is_some();
    match_rules::conditions(errors, SPEC.child("matchConditions"), &spec.match_conditions, has_params);
    let known = variables(errors, SPEC.child("variables"), &spec.variables, has_params);
    let scope = Scope { has_params, variables: Some(&known), mutates: true };
    let path = SPEC.child("mutations");
    if spec.mutations.is_empty() {
        errors.push(FieldError::required(path, "mutations must contain at least one item"));
    }
    for (index, mutation) in spec.mutations.iter().enumerate() {
        self::mutation(errors, path.index(index), mutation, scope);
    }
    let policies = &["IfNeeded", "Never"];
    one_of_required(errors, SPEC.child("reinvocationPolicy"), Some(&spec.reinvocation_policy), policies);
}

fn mutation(errors: &mut Errors, path: Path<'_>, mutation: &Mutation, scope: Scope<'_>) {
    let apply =
        ("ApplyConfiguration", "applyConfiguration", mutation.apply_configuration.as_ref().map(|it| &it.expression));
    let patch = ("JSONPatch", "jsonPatch", mutation.json_patch.as_ref().map(|it| &it.expression));
    let (wanted, other) = match mutation.patch_type.as_str() {
        "ApplyConfiguration" => (apply, patch),
        "JSONPatch" => (patch, apply),
        _ => {
            let kinds = &["ApplyConfiguration", "JSONPatch"];
            return one_of_required(errors, path.child("patchType"), Some(&mutation.patch_type), kinds);
        }
    };
    let (kind, field, text) = wanted;
    match text {
        None => {
            errors.push(FieldError::required(path.child(field), format!("must be specified when patchType is {kind}")));
        }
        Some(text) => {
            let path = path.child(field);
            let wanted = match kind {
                "JSONPatch" => Type::list(request::json_patch()),
                _ => request::apply_configuration(),
            };
            expression_at(errors, path.child("expression"), text, "expression is not specified", scope, &[wanted]);
        }
    }
    if other.2.is_some() {
        let why = format!("must not be specified when patchType is {kind}");
        errors.push(FieldError::forbidden(path.child(other.1), why));
    }
}

pub fn validating_binding(errors: &mut Errors, binding: &ValidatingAdmissionPolicyBinding) {
    let spec = &binding.spec;
    bound(errors, &spec.policy_name, spec.param_ref.as_ref(), spec.match_resources.as_ref());
    let path = SPEC.child("validationActions");
    let actions = &spec.validation_actions;
    if actions.is_empty() {
        errors.push(FieldError::required(path, "at least one validation action is required"));
    }
    for (index, action) in actions.iter().enumerate() {
        one_of(errors, path.index(index), action, &["Audit", "Deny", "Warn"]);
        if actions[..index].contains(action) {
            errors.push(FieldError::duplicate(path.index(index), action));
        }
    }
    let has = |word: &str| actions.iter().any(|action| action == word);
    if has("Deny") && has("Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        errors.push(FieldError::invalid(path, actions, why));
    }
}

pub fn mutating_binding(errors: &mut Errors, binding: &MutatingAdmissionPolicyBinding) {
    let spec = &binding.spec;
    bound(errors, &spec.policy_name, spec.param_ref.as_ref(), spec.match_resources.as_ref());
}

fn bound(errors: &mut Errors, policy: &str, param: Option<&ParamRef>, matches: Option<&MatchResources>) {
    if policy.is_empty() {
        errors.push(FieldError::required(SPEC.child("policyName"), ""));
    } else {
        shape(errors, SPEC.child("policyName"), policy, name::dns_subdomain);
    }
    if let Some(param) = param {
        param_ref(errors, SPEC.child("paramRef"), param);
    }
    if let Some(matches) = matches {
        match_rules::constraints(errors, SPEC.child("matchResources"), matches);
    }
}

fn param_ref(errors: &mut Errors, path: Path<'_>, param: &ParamRef) {
    let exclusive = "name and selector are mutually exclusive";
    match (param.name.as_str(), &param.selector) {
        ("", None) => errors.push(FieldError::required(path, "one of name or selector must be specified")),
        (text, selector) => {
            if !text.is_empty() {
                shape(errors, path.child("name"), text, name::path_segment);
            }
            if !text.is_empty() && selector.is_some() {
                errors.push(FieldError::forbidden(path.child("name"), exclusive));
            }
            label_selector_opt(errors, path.child("selector"), selector.as_ref());
            if !text.is_empty() && selector.is_some() {
                errors.push(FieldError::forbidden(path.child("selector"), exclusive));
            }
        }
    }
    let actions = &["Allow", "Deny"];
    one_of_required(errors, path.child("parameterNotFoundAction"), param.parameter_not_found_action.as_ref(), actions);
}
