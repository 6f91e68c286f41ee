//! Policies that change objects: by a configuration that is laid over them, or by a JSON patch.

use std::sync::Arc;

use cel::types::{Decl, Field, Object, Shape};
use cel::{Env, Type};
use serde_json::{Value as Json, json};

use super::validate::denied;
use super::{Binding, Mutating, params};
use crate::admit::others::Context;
use crate::admit::others::again::Rounds;
use crate::admit::others::attributes::Attributes;
use crate::admit::others::expression::{self, Budget, Expression, Inputs, Who};
use crate::admit::others::matching::{self, As};
use crate::admit::others::pair::Pair;
use crate::admit::others::review::Seen;
use crate::registry::Resource;
use crate::status::Result;

/// How an object is changed.
#[derive(Debug)]
pub enum Mutation {
    /// What the expression makes is laid over the object.
    Configuration(Expression),
    /// The expression makes the operations of a JSON patch.
    Patch(Expression),
}

impl Mutation {
    /// Reads one.
    pub fn new(env: &Env, from: &proto::admissionregistration::v1::Mutation) -> Self {
        match (&from.apply_configuration, &from.json_patch) {
            (Some(made), _) => Self::Configuration(Expression::new(env, &made.expression)),
            (None, made) => {
                Self::Patch(Expression::new(env, made.as_ref().map_or("", |made| made.expression.as_str())))
            }
        }
    }

    fn expression(&self) -> &Expression {
        match self {
            Self::Configuration(expression) | Self::Patch(expression) => expression,
        }
    }

    /// The object, in JSON, as this makes it from what the expression came to.
    fn applied(&self, live: &Json, made: Json, lay: impl FnOnce(Json, &Json) -> Lay) -> Lay {
        match self {
            Self::Configuration(_) => {
                let mut config = made;
                if !config.is_object() {
                    return Err("the expression does not make an Object".to_owned());
                }
                for field in ["apiVersion", "kind"] {
                    config[field] = live[field].clone();
                }
                lay(live.clone(), &config)
            }
            Self::Patch(_) => {
                let mut changed = live.clone();
                api::patch::json(&mut changed, &made).map_err(|error| error.to_string())?;
                Ok(changed)
            }
        }
    }
}

type Lay = std::result::Result<Json, String>;

/// What expressions may name and make.
pub fn environment() -> Env {
    let field = |name: &str, ty: Type| Field {
        name: name.into(),
        json: name.into(),
        decl: Arc::new(Decl { ty, max: 0, min_bytes: 0, shape: Shape::Scalar }),
    };
    let texts = ["op", "path", "from"].map(|name| field(name, Type::String));
    let fields = texts.into_iter().chain([field("value", Type::Dyn)]).collect();
    let patch = Type::Object(Arc::new(Object::new("JSONPatch", fields)));
    expression::environment().with_open_messages("Object").with_message("JSONPatch", patch)
}

/// Lets every policy change the object, through its bindings.
pub fn run(
    ctx: &Context<'_>,
    policies: &[Arc<Mutating>],
    bindings: &[Arc<Binding>],
    asked: &Attributes<'_>,
    pair: &mut Pair<'_>,
    rounds: &mut Rounds,
) -> Result<()> {
    let others = matching::equivalents(&ctx.server.registry, ctx.resource, asked.subresource);
    for policy in policies {
        let name = &policy.common.name;
        let own: Vec<&Arc<Binding>> = bindings.iter().filter(|binding| binding.policy == *name).collect();
        if own.is_empty() {
            continue;
        }
        let found = match policy.common.constraints.meant(ctx, asked, &others, pair) {
            Ok(None) => continue,
            Ok(Some(found)) => found,
            Err(_) if policy.common.fails_open => continue,
            Err(failure) => {
                let why = format!("policy '{name}' denied request: failed to configure policy: {failure}");
                return Err(denied(asked, why, ""));
            }
        };
        for binding in own {
            let id = format!("{name}/{}", binding.name);
            if rounds.is_second() && !rounds.policies.wants(&id) {
                continue;
            }
            match change(ctx, policy, binding, asked, &others, &found, pair) {
                Ok(Some(changed)) => {
                    if changed {
                        rounds.policies.changed();
                        rounds.changed();
                    }
                    if policy.reinvoked {
                        rounds.policies.asked(&id);
                    }
                }
                Ok(None) => {}
                Err(why) if policy.common.fails_open => tracing::warn!(policy = name, "a policy is passed over: {why}"),
                Err(why) => {
                    let why = format!("policy '{name}' with binding '{}' denied request: {why}", binding.name);
                    return Err(denied(asked, why, ""));
                }
            }
        }
    }
    Ok(())
}

/// Lets a policy change the object through one binding. None: it is not about the request. True: the object changed.
fn change(
    ctx: &Context<'_>,
    policy: &Mutating,
    binding: &Binding,
    asked: &Attributes<'_>,
    others: &[Arc<Resource>],
    found: &As,
    pair: &mut Pair<'_>,
) -> std::result::Result<Option<bool>, String> {
    let configured = |why: String| format!("failed to configure binding: {why}");
    if let Some(constraints) = &binding.constraints {
        let meant = constraints.meant(ctx, asked, others, pair).map_err(|failure| configured(failure.to_string()))?;
        if meant.is_none() {
            return Ok(None);
        }
    }
    let kind = policy.common.param_kind.as_ref();
    let all = params::collect(&ctx.server.registry, kind, binding.params.as_ref(), &asked.namespace);
    let mut changed = false;
    let mut about = false;
    for params in all.map_err(configured)? {
        let mut budget = Budget::WHOLE;
        for (index, mutation) in policy.mutations.iter().enumerate() {
            let Some(made) =
                evaluate(ctx, policy, mutation, index == 0, asked, found, params.as_ref(), pair, &mut budget)?
            else {
                break;
            };
            about = true;
            let seen = found.kind(asked, ctx.resource).api_version();
            let objects = pair.shown(&seen).map_err(|failure| failure.to_string())?;
            let live = objects.new.clone().unwrap_or_default();
            let shown_as = pair.kind(&seen);
            let lay = |live: Json, config: &Json| match shown_as {
                Some(kind) => api::apply::laid_over(kind, ctx.schema(), live, config),
                None => Err("there is no object to change".to_owned()),
            };
            let json = mutation.applied(&live, made, lay)?;
            changed |= pair.replace(&json).map_err(|failure| failure.to_string())?.unwrap_or(false);
        }
    }
    Ok(about.then_some(changed))
}

/// What a mutation's expression comes to. None: the policy's conditions do not hold (asked where `first`).
#[expect(clippy::too_many_arguments, reason = "everything that an expression may name")]
fn evaluate(
    ctx: &Context<'_>,
    policy: &Mutating,
    mutation: &Mutation,
    first: bool,
    asked: &Attributes<'_>,
    found: &As,
    params: Option<&Json>,
    pair: &mut Pair<'_>,
    budget: &mut Budget,
) -> std::result::Result<Option<Json>, String> {
    let seen = Seen { resource: found.resource(asked), kind: found.kind(asked, ctx.resource) };
    let namespace = ctx.namespace_object(asked).map_err(|failure| failure.to_string())?;
    let objects = pair.shown(&seen.kind.api_version()).map_err(|failure| failure.to_string())?;
    let inputs = Inputs::new(asked, seen, objects, namespace);
    let who = Who { rules: &ctx.server.access, user: asked.user };
    let none = json!(null);
    let scope = inputs.scope(&who).with("params", cel::of_json(params.unwrap_or(&none), None));
    if first && !policy.common.conditions.hold(&scope, policy.common.fails_open)? {
        return Ok(None);
    }
    let (scope, variables) = policy.common.with_variables(scope);
    let value = mutation.expression().evaluate(&scope, budget).map_err(|wrong| wrong.to_string())?;
    budget.take(variables.cost()).map_err(|wrong| wrong.to_string())?;
    value.to_json().map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use cel::Scope;

    use super::*;

    #[test]
    fn an_expression_makes_an_object_or_operations() {
        let env = environment();
        let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}});
        let made = |text: &str| {
            let expression = Expression::new(&env, text);
            let value = expression.evaluate(&Scope::new(), &mut Budget::WHOLE.clone()).expect("evaluates");
            value.to_json().expect("JSON")
        };
        let config = made("Object{data: {'b': '2'}}");
        let lay = |live: Json, config: &Json| Ok(json!({"live": live, "config": config}));
        let applied = Mutation::Configuration(Expression::new(&env, "0")).applied(&live, config, lay).expect("laid");
        assert_eq!(applied["config"], json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"b": "2"}}));
        let operations = made("[JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('c/d'), value: 'x'}]");
        assert_eq!(operations, json!([{"op": "add", "path": "/data/c~1d", "value": "x"}]));
        let lay = |_: Json, _: &Json| Err("not asked".to_owned());
        let applied = Mutation::Patch(Expression::new(&env, "0")).applied(&live, operations, lay).expect("patched");
        assert_eq!(applied["data"]["c/d"], json!("x"));
    }
}
