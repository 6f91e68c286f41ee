//! Expressions about requests: what they may name, and how they come to a value.

use std::sync::Arc;

use cel::{Access, Authorizer, Builder, Decision, Env, Host, Program, Scope, Type, Value, of_json};
use serde_json::Value as Json;

use super::attributes::Attributes;
use super::review::{self, Seen};
use super::select::Objects;
use crate::authenticate::User;
use crate::authorize::{self, Access as Rules};

/// Bytes that the message of an expression may have.
pub const MESSAGE_BYTES_MAX: usize = 5 * 1024;
const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
const RESOURCE_CHECK: &str = "kubernetes.authorization.ResourceCheck";
/// A question about the request's own resource, ready to be asked.
const REQUEST_RESOURCE: &str = "authorizer.requestResource";

/// An expression that was read; or what is wrong with it.
#[derive(Debug)]
pub struct Expression {
    pub text: String,
    program: Result<Program, String>,
}

/// What expressions may name. Types are judged when a policy is written; here everything is what it is.
pub fn environment() -> Env {
    let names = ["object", "oldObject", "request", "params", "namespaceObject", "variables"];
    let env = names.into_iter().fold(Env::new(), |env, name| env.with(name, Type::Dyn));
    env.with("authorizer", Type::Opaque(AUTHORIZER)).with(REQUEST_RESOURCE, Type::Opaque(RESOURCE_CHECK)).with_bind()
}

impl Expression {
    /// Reads one.
    pub fn new(env: &Env, text: &str) -> Self {
        let program = Program::compile(env, text).map_err(|issues| format!("compilation error: {issues}"));
        Self { text: text.to_owned(), program }
    }

    /// Its program; the error says what is wrong with it.
    pub fn program(&self) -> Result<&Program, Wrong> {
        self.program.as_ref().map_err(|why| Wrong::Failed(why.clone()))
    }

    /// What it comes to, and takes what that costs from the budget.
    pub fn evaluate<'a>(&'a self, scope: &Scope<'a>, budget: &mut Budget) -> Result<Value<'a>, Wrong> {
        let program = self.program()?;
        let evaluated = program.evaluate(scope, cel::cost::PER_CALL_LIMIT.min(budget.left));
        budget.take(evaluated.cost)?;
        evaluated.value.map_err(|error| Wrong::Failed(format!("expression '{}' resulted in error: {error}", self.text)))
    }
}

/// What all expressions about one request may cost together.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    left: u64,
}

impl Budget {
    /// Upstream's.
    pub const WHOLE: Self = Self { left: cel::cost::RUNTIME_BUDGET };

    /// Takes a cost.
    pub fn take(&mut self, cost: u64) -> Result<(), Wrong> {
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Wrong::Exhausted)
            }
        }
    }
}

/// Why an expression came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It failed; the text says which and why.
    #[error("{0}")]
    Failed(String),
    /// All together cost too much.
    #[error("validation failed due to running out of cost budget, no further validation rules will be run")]
    Exhausted,
}

/// What expressions about a request are about.
#[derive(Debug)]
pub struct Inputs {
    object: Json,
    old_object: Json,
    request: Json,
    namespace: Json,
}

impl Inputs {
    /// Of a request, as it is shown; `namespace` is the one that the object is in.
    pub fn new(asked: &Attributes<'_>, seen: Seen<'_>, objects: &Objects, namespace: Option<Json>) -> Self {
        Self {
            object: objects.new.clone().unwrap_or_default(),
            old_object: objects.old.clone().unwrap_or_default(),
            request: review::fields(asked, seen),
            namespace: namespace.unwrap_or_default(),
        }
    }

    /// The values of an evaluation, without parameters.
    pub fn scope<'a>(&'a self, who: &'a Who<'a>) -> Scope<'a> {
        let authorizer: Arc<dyn Authorizer + 'a> = Arc::new(who);
        let text = |field: &str| self.request[field].as_str().unwrap_or_default().to_owned();
        let resource = &self.request["resource"];
        let of_resource = |field: &str| resource[field].as_str().unwrap_or_default().to_owned();
        let own = Access {
            group: of_resource("group"),
            resource: of_resource("resource"),
            subresource: text("subResource"),
            namespace: text("namespace"),
            name: text("name"),
            ..Access::default()
        };
        let any = Builder { authorizer: Arc::clone(&authorizer), access: Access::default() };
        Scope::new()
            .with("object", of_json(&self.object, None))
            .with("oldObject", of_json(&self.old_object, None))
            .with("request", of_json(&self.request, None))
            .with("namespaceObject", of_json(&self.namespace, None))
            .with("params", Value::Null)
            .with("authorizer", Value::host(Host::Authorizer(any)))
            .with(REQUEST_RESOURCE, Value::host(Host::ResourceCheck(Builder { authorizer, access: own })))
    }
}

/// Whom expressions ask what somebody may do.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    pub rules: &'a Rules,
    pub user: &'a User,
}

impl Authorizer for &Who<'_> {
    fn check(&self, asked: &Access) -> Decision {
        let account = asked.service_account.as_ref().map(|(namespace, name)| User {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ],
            ..User::default()
        });
        let verdict = self.rules.judge(
            account.as_ref().unwrap_or(self.user),
            &authorize::Attributes {
                verb: &asked.verb,
                group: &asked.group,
                resource: &asked.resource,
                subresource: &asked.subresource,
                namespace: &asked.namespace,
                name: &asked.name,
                fields: &asked.field_selector,
                path: asked.path.as_deref().unwrap_or_default(),
            },
        );
        Decision { allowed: verdict.allowed, reason: verdict.reason(), error: None }
    }
}
