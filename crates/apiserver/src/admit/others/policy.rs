//! Admission policies: what they and their bindings say, ready to be evaluated.

pub mod mutate;
mod params;
pub mod validate;

use cel::{Env, Program, Scope, Variables};
use proto::admissionregistration::v1::{
    MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, ParamKind, ParamRef, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, Variable,
};

use super::conditions::Conditions;
use super::constraints::Constraints;
use super::expression::{Expression, environment};
use mutate::Mutation;
use validate::{Note, Rule};

/// What both kinds of policies say.
#[derive(Debug)]
pub struct Common {
    pub name: String,
    pub constraints: Constraints,
    pub conditions: Conditions,
    /// Whether the request goes on where an expression fails.
    pub fails_open: bool,
    pub param_kind: Option<ParamKind>,
    variables: Vec<(String, Expression)>,
}

impl Common {
    /// The scope with the policy's variables, each evaluated when it is asked for; those that cannot be read are missing.
    pub fn with_variables<'a>(&'a self, scope: Scope<'a>) -> (Scope<'a>, Variables<'a>) {
        let read = |(name, expression): &'a (String, Expression)| -> Option<(&'a str, &'a Program)> {
            expression.program().ok().map(|program| (name.as_str(), program))
        };
        let programs = self.variables.iter().filter_map(read);
        let variables = Variables::new(scope.clone(), programs, cel::cost::PER_CALL_LIMIT);
        (scope.with_variables(variables.clone()), variables)
    }
}

/// A policy that judges.
#[derive(Debug)]
pub struct Validating {
    pub common: Common,
    pub rules: Vec<Rule>,
    pub notes: Vec<Note>,
}

/// A policy that changes.
#[derive(Debug)]
pub struct Mutating {
    pub common: Common,
    pub mutations: Vec<Mutation>,
    /// Whether it wants to see what others made of the object after it.
    pub reinvoked: bool,
}

/// What puts a policy into effect.
#[derive(Debug)]
pub struct Binding {
    pub name: String,
    pub policy: String,
    pub params: Option<ParamRef>,
    /// Only these, of what the policy is about.
    pub constraints: Option<Constraints>,
    /// Deny, Warn, Audit; of those that judge.
    pub actions: Vec<String>,
}

impl Binding {
    /// Whether a refusal is treated so.
    pub fn acts(&self, action: &str) -> bool {
        self.actions.iter().any(|own| own == action)
    }
}

macro_rules! common {
    ($policy:expr, $env:expr) => {{
        let spec = &$policy.spec;
        Common {
            name: $policy.metadata.name.clone(),
            constraints: Constraints::new(&spec.match_constraints.clone().unwrap_or_default()),
            conditions: Conditions::new(&spec.match_conditions),
            fails_open: spec.failure_policy.as_deref() == Some("Ignore"),
            param_kind: spec.param_kind.clone(),
            variables: variables($env, &spec.variables),
        }
    }};
}

fn variables(env: &Env, variables: &[Variable]) -> Vec<(String, Expression)> {
    variables.iter().map(|it| (it.name.clone(), Expression::new(env, &it.expression))).collect()
}

impl From<&ValidatingAdmissionPolicy> for Validating {
    fn from(policy: &ValidatingAdmissionPolicy) -> Self {
        let env = environment();
        Self {
            common: common!(policy, &env),
            rules: policy.spec.validations.iter().map(|it| Rule::new(&env, it)).collect(),
            notes: policy.spec.audit_annotations.iter().map(|it| Note::new(&env, it)).collect(),
        }
    }
}

impl From<&MutatingAdmissionPolicy> for Mutating {
    fn from(policy: &MutatingAdmissionPolicy) -> Self {
        let env = mutate::environment();
        Self {
            common: common!(policy, &env),
            mutations: policy.spec.mutations.iter().map(|it| Mutation::new(&env, it)).collect(),
            reinvoked: policy.spec.reinvocation_policy == "IfNeeded",
        }
    }
}

impl From<&ValidatingAdmissionPolicyBinding> for Binding {
    fn from(binding: &ValidatingAdmissionPolicyBinding) -> Self {
        let spec = &binding.spec;
        Self {
            name: binding.metadata.name.clone(),
            policy: spec.policy_name.clone(),
            params: spec.param_ref.clone(),
            constraints: spec.match_resources.as_ref().map(Constraints::new),
            actions: spec.validation_actions.clone(),
        }
    }
}

impl From<&MutatingAdmissionPolicyBinding> for Binding {
    fn from(binding: &MutatingAdmissionPolicyBinding) -> Self {
        let spec = &binding.spec;
        Self {
            name: binding.metadata.name.clone(),
            policy: spec.policy_name.clone(),
            params: spec.param_ref.clone(),
            constraints: spec.match_resources.as_ref().map(Constraints::new),
            actions: Vec::new(),
        }
    }
}
