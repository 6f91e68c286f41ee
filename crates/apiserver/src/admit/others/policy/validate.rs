//! Policies that judge: what they decide about a request, and what becomes of their refusals.

use std::sync::Arc;

use cel::{Env, Scope, Value};
use proto::admissionregistration::v1::{AuditAnnotation, Validation};
use proto::meta::v1::StatusCause;
use serde_json::Value as Json;

use super::params;
use super::{Binding, Common, Validating};
use crate::admit::others::Context;
use crate::admit::others::attributes::Attributes;
use crate::admit::others::expression::{Budget, Expression, Inputs, MESSAGE_BYTES_MAX, Who, Wrong};
use crate::admit::others::matching::{self, As};
use crate::admit::others::pair::Pair;
use crate::admit::others::review::Seen;
use crate::registry::Resource;
use crate::status::{Failure, Result};

/// Something that has to hold.
#[derive(Debug)]
pub struct Rule {
    expression: Expression,
    message: String,
    message_expression: Option<Expression>,
    reason: Option<String>,
}

/// Something to note of a request.
#[derive(Debug)]
pub struct Note {
    key: String,
    value: Expression,
}

impl Rule {
    /// Reads one.
    pub fn new(env: &Env, from: &Validation) -> Self {
        let text = &from.message_expression;
        Self {
            expression: Expression::new(env, &from.expression),
            message: from.message.trim().to_owned(),
            message_expression: (!text.is_empty()).then(|| Expression::new(env, text)),
            reason: from.reason.clone(),
        }
    }

    /// The refusal of a request that breaks it: what the message's expression says, else the message, else the expression.
    fn broken<'a>(&'a self, scope: &Scope<'a>, budget: &mut Budget) -> std::result::Result<Broken, Wrong> {
        let said = match &self.message_expression {
            None => None,
            Some(expression) => match expression.evaluate(scope, budget) {
                Ok(value) => value.as_text().map(|text| text.trim().to_owned()),
                Err(Wrong::Exhausted) => return Err(Wrong::Exhausted),
                Err(Wrong::Failed(_)) => None,
            },
        };
        let usable = |text: &String| !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
        let fixed = Some(self.message.clone()).filter(|text| !text.is_empty());
        let message = said.filter(usable).or(fixed);
        let message = message.unwrap_or_else(|| format!("failed expression: {}", self.expression.text.trim()));
        Ok(Broken { message, reason: self.reason.clone().unwrap_or_default() })
    }
}

impl Note {
    /// Reads one.
    pub fn new(env: &Env, from: &AuditAnnotation) -> Self {
        Self { key: from.key.clone(), value: Expression::new(env, &from.value_expression) }
    }
}

/// Why a policy refuses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Broken {
    message: String,
    /// Empty: Invalid.
    reason: String,
}

impl Broken {
    fn failed(why: impl ToString) -> Self {
        Self { message: why.to_string(), reason: String::new() }
    }
}

/// What a policy says with one object of parameters: everything that is broken. Where failures open the way they are none.
pub fn judge(policy: &Validating, inputs: &Inputs, who: &Who<'_>, params: Option<&Json>) -> Vec<Broken> {
    let Common { conditions, fails_open, .. } = &policy.common;
    let failed = |why: String| if *fails_open { Vec::new() } else { vec![Broken::failed(why)] };
    let scope = inputs.scope(who);
    let scope = match params {
        Some(params) => scope.with("params", cel::of_json(params, None)),
        None => scope,
    };
    match conditions.hold(&scope, *fails_open) {
        Ok(true) => {}
        Ok(false) => return Vec::new(),
        Err(why) => return failed(why),
    }
    let (scope, variables) = policy.common.with_variables(scope);
    let mut budget = Budget::WHOLE;
    let mut broken = Vec::new();
    for rule in &policy.rules {
        let before = variables.cost();
        let holds = rule.expression.evaluate(&scope, &mut budget);
        let holds = holds.and_then(|value| budget.take(variables.cost() - before).map(|()| value));
        match holds {
            Ok(Value::Bool(true)) => {}
            Ok(_) => match rule.broken(&scope, &mut budget) {
                Ok(refusal) => broken.push(refusal),
                Err(wrong) => broken.extend(failed(format!("failed messageExpression: {wrong}"))),
            },
            Err(wrong @ Wrong::Exhausted) => return failed(wrong.to_string()),
            Err(wrong) => broken.extend(failed(wrong.to_string())),
        }
    }
    for note in &policy.notes {
        if let Ok(value) = note.value.evaluate(&scope, &mut budget)
            && let Some(text) = value.as_text()
        {
            tracing::debug!("{}/{}={text}", policy.common.name, note.key);
        }
    }
    broken
}

/// Asks every policy through its bindings; the first refusal that denies ends the request, others warn.
pub fn run(
    ctx: &Context<'_>,
    policies: &[Arc<Validating>],
    bindings: &[Arc<Binding>],
    asked: &Attributes<'_>,
    pair: &mut Pair<'_>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let others = matching::equivalents(&ctx.server.registry, ctx.resource, asked.subresource);
    let mut denied: Option<Failure> = None;
    for policy in policies {
        let name = &policy.common.name;
        let mut deny = |broken: &Broken, binding: Option<&Binding>| {
            if denied.is_none() {
                denied = Some(refusal(asked, name, binding, broken));
            }
        };
        let own: Vec<&Arc<Binding>> = bindings.iter().filter(|binding| binding.policy == *name).collect();
        if own.is_empty() {
            continue;
        }
        let found = match policy.common.constraints.meant(ctx, asked, &others, pair) {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            Err(failure) => {
                if !policy.common.fails_open {
                    deny(&Broken::failed(format!("failed to configure policy: {failure}")), None);
                }
                continue;
            }
        };
        for binding in own {
            match decide(ctx, policy, binding, asked, &others, &found, pair) {
                Err(why) if policy.common.fails_open => tracing::warn!(policy = name, "a policy is passed over: {why}"),
                Err(why) => deny(&Broken::failed(format!("failed to configure binding: {why}")), Some(binding)),
                Ok(all) => {
                    for broken in &all {
                        act(name, binding, broken, warnings, &mut deny);
                    }
                }
            }
        }
    }
    denied.map_or(Ok(()), Err)
}

/// What a refusal leads to, as its binding has it.
fn act(
    policy: &str,
    binding: &Binding,
    broken: &Broken,
    warnings: &mut Vec<String>,
    deny: &mut impl FnMut(&Broken, Option<&Binding>),
) {
    let message = &broken.message;
    if binding.acts("Deny") {
        deny(broken, Some(binding));
    }
    if binding.acts("Warn") {
        warnings.push(format!(
            "Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{}': {message}",
            binding.name
        ));
    }
    if binding.acts("Audit") {
        tracing::info!(policy, binding = binding.name, "a request breaks a policy: {message}");
    }
}

/// What a policy says through one binding. The error says why it cannot be asked.
fn decide(
    ctx: &Context<'_>,
    policy: &Validating,
    binding: &Binding,
    asked: &Attributes<'_>,
    others: &[Arc<Resource>],
    found: &As,
    pair: &mut Pair<'_>,
) -> std::result::Result<Vec<Broken>, String> {
    if let Some(constraints) = &binding.constraints
        && constraints.meant(ctx, asked, others, pair).map_err(|failure| failure.to_string())?.is_none()
    {
        return Ok(Vec::new());
    }
    let kind = policy.common.param_kind.as_ref();
    let all = params::collect(&ctx.server.registry, kind, binding.params.as_ref(), &asked.namespace)?;
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let seen = Seen { resource: found.resource(asked), kind: found.kind(asked, ctx.resource) };
    let namespace = ctx.namespace_object(asked).map_err(|failure| failure.to_string())?;
    let objects = pair.shown(&seen.kind.api_version()).map_err(|failure| failure.to_string())?;
    let inputs = Inputs::new(asked, seen, objects, namespace);
    let who = Who { rules: &ctx.server.access, user: asked.user };
    Ok(all.iter().flat_map(|params| judge(policy, &inputs, &who, params.as_ref())).collect())
}

/// As clients read it: the code follows the reason.
fn refusal(asked: &Attributes<'_>, policy: &str, binding: Option<&Binding>, broken: &Broken) -> Failure {
    let through = binding.map(|binding| format!(" with binding '{}'", binding.name)).unwrap_or_default();
    let message = format!("ValidatingAdmissionPolicy '{policy}'{through} denied request: {}", broken.message);
    denied(asked, message, &broken.reason)
}

/// A request that a policy denies. Empty reason: Invalid.
pub fn denied(asked: &Attributes<'_>, message: String, reason: &str) -> Failure {
    let mut failure = Failure::forbidden(asked.resource.group, asked.resource.plural, &asked.name, &message);
    let reason = if reason.is_empty() { "Invalid" } else { reason };
    failure.0.reason = reason.to_owned();
    failure.0.code = match reason {
        "Forbidden" => 403,
        "Unauthorized" => 401,
        "RequestEntityTooLarge" => 413,
        _ => 422,
    };
    let causes = vec![StatusCause { message, ..StatusCause::default() }];
    failure.because(causes)
}

#[cfg(test)]
mod tests {
    use proto::admissionregistration::v1::{MatchCondition, ValidatingAdmissionPolicy, Variable};
    use serde_json::json;

    use super::*;
    use crate::admit::others::attributes::Operation;
    use crate::admit::others::attributes::tests::asked;
    use crate::admit::others::select::Objects;
    use crate::authenticate::User;
    use crate::authorize::Access;

    fn rule(expression: &str) -> Validation {
        Validation { expression: expression.into(), ..Default::default() }
    }

    fn policy(validations: Vec<Validation>) -> ValidatingAdmissionPolicy {
        let mut policy = ValidatingAdmissionPolicy::default();
        policy.metadata.name = "p".into();
        policy.spec.validations = validations;
        policy
    }

    fn broken_with(policy: &ValidatingAdmissionPolicy, params: Option<Json>) -> Vec<(String, String)> {
        let user = User { name: "alice".into(), groups: vec!["devs".into()], ..User::default() };
        let asked = asked(&user, Operation::Update, "apps/v1/deployments/default/d");
        let objects = Objects {
            new: Some(json!({"metadata": {"name": "d"}, "spec": {"replicas": 5}})),
            old: Some(json!({"metadata": {"name": "d"}, "spec": {"replicas": 1}})),
        };
        let namespace = Some(json!({"metadata": {"labels": {"tier": "gold"}}}));
        let seen = Seen { resource: asked.resource, kind: asked.kind };
        let inputs = Inputs::new(&asked, seen, &objects, namespace);
        let rules = Access::new(Vec::new());
        let all = judge(&policy.into(), &inputs, &Who { rules: &rules, user: &user }, params.as_ref());
        all.into_iter().map(|broken| (broken.message, broken.reason)).collect()
    }

    fn broken(validations: Vec<Validation>) -> Vec<(String, String)> {
        broken_with(&policy(validations), None)
    }

    #[test]
    fn rules_speak_of_everything_that_a_request_has() {
        for text in [
            "object.spec.replicas == 5 && oldObject.spec.replicas == 1",
            "request.operation == 'UPDATE' && request.resource.resource == 'deployments' && request.name == 'd'",
            "request.userInfo.username == 'alice' && 'devs' in request.userInfo.groups",
            "namespaceObject.metadata.labels.tier == 'gold'",
            "params == null",
            "!authorizer.group('apps').resource('deployments').check('delete').allowed()",
            "!authorizer.requestResource.check('delete').allowed()",
        ] {
            assert_eq!(broken(vec![rule(text)]), [], "{text}");
        }
    }

    #[test]
    fn a_refusal_says_what_the_policy_has_it_say() {
        let plain = rule(" object.spec.replicas < 5 ");
        let fixed = Validation { message: "too many".into(), reason: Some("Forbidden".into()), ..plain.clone() };
        let made = Validation { message_expression: "'got ' + string(object.spec.replicas)".into(), ..fixed.clone() };
        let useless = Validation { message_expression: "'a\\nb'".into(), ..fixed.clone() };
        let failing = Validation { message_expression: "string(object.none)".into(), ..plain.clone() };
        let text = |(message, _): &(String, String)| message.clone();
        let all: Vec<String> = broken(vec![plain, fixed, made, useless, failing]).iter().map(text).collect();
        let failed = "failed expression: object.spec.replicas < 5";
        assert_eq!(all, [failed, "too many", "got 5", "too many", failed]);
    }

    #[test]
    fn failures_close_or_open() {
        let failing = || policy(vec![rule("object.none == 1")]);
        let [(message, reason)] = broken_with(&failing(), None).try_into().expect("one");
        assert_eq!(message, "expression 'object.none == 1' resulted in error: no such key: none");
        assert_eq!(reason, "");
        let mut open = failing();
        open.spec.failure_policy = Some("Ignore".into());
        assert_eq!(broken_with(&open, None), []);
    }

    #[test]
    fn conditions_variables_and_parameters_count() {
        let mut policy = policy(vec![rule("variables.wanted <= params.data.max")]);
        policy.spec.variables = vec![Variable { name: "wanted".into(), expression: "object.spec.replicas".into() }];
        assert_eq!(broken_with(&policy, Some(json!({"data": {"max": 5}}))), []);
        assert_eq!(broken_with(&policy, Some(json!({"data": {"max": 4}}))).len(), 1);
        policy.spec.match_conditions =
            vec![MatchCondition { name: "c".into(), expression: "request.operation == 'CREATE'".into() }];
        assert_eq!(broken_with(&policy, Some(json!({"data": {"max": 4}}))), []);
    }

    #[test]
    fn the_code_follows_the_reason() {
        let user = User::default();
        let asked = asked(&user, Operation::Create, "core/v1/configmaps/default/m");
        for (reason, code) in [("", 422), ("Forbidden", 403), ("Unauthorized", 401), ("RequestEntityTooLarge", 413)] {
            let failure = denied(&asked, "no".into(), reason);
            assert_eq!(failure.code(), code);
            assert_eq!(failure.to_string(), "configmaps \"m\" is forbidden: no");
        }
    }
}
