//! Asking webhooks: those that change one after another, those that judge all at once.

use std::sync::Arc;

use futures::future::join_all;
use serde_json::Value;

use super::Context;
use super::again::Rounds;
use super::attributes::Attributes;
use super::expression::{Inputs, Who};
use super::hook::Hook;
use super::matching::{self, As};
use super::pair::Pair;
use super::review::{self, Answer, Seen, Version};
use crate::registry::Resource;
use crate::status::{Failure, Result};

/// Why a webhook did not agree.
enum Refused {
    /// It could not be asked, or its answer makes no sense.
    Unasked(String),
    /// It said no.
    Denied(Failure),
}

impl Refused {
    fn about(self, hook: &Hook) -> Failure {
        match self {
            Self::Unasked(why) => Failure::internal(format!("failed calling webhook \"{}\": {why}", hook.name)),
            Self::Denied(failure) => failure,
        }
    }
}

/// As what a request concerns a webhook; none where it does not.
fn concerns(
    ctx: &Context<'_>,
    hook: &Hook,
    asked: &Attributes<'_>,
    others: &[Arc<Resource>],
    pair: &mut Pair<'_>,
) -> Result<Option<As>> {
    let others = if hook.equivalent { others } else { &[] };
    let rules = hook.rules.iter().map(|rule| (rule, &[][..]));
    let Some(found) = matching::find(rules, asked, others) else { return Ok(None) };
    let objects = pair.shown(&found.kind(asked, ctx.resource).api_version())?;
    let labels = |namespace: &str| ctx.namespace_labels(namespace);
    if !hook.selectors.select(asked, objects, labels)? {
        return Ok(None);
    }
    if !hook.conditions.is_empty() {
        let seen = Seen { resource: found.resource(asked), kind: found.kind(asked, ctx.resource) };
        let inputs = Inputs::new(asked, seen, objects, None);
        let who = Who { rules: &ctx.server.access, user: asked.user };
        let holds = hook.conditions.hold(&inputs.scope(&who), hook.fails_open);
        let (group, plural) = (asked.resource.group, asked.resource.plural);
        if !holds.map_err(|why| Failure::forbidden(group, plural, &asked.name, &why))? {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// Asks every webhook that may change the object, in order.
pub async fn mutate(
    ctx: &Context<'_>,
    hooks: &[Arc<Hook>],
    asked: &Attributes<'_>,
    pair: &mut Pair<'_>,
    rounds: &mut Rounds,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let others = matching::equivalents(&ctx.server.registry, ctx.resource, asked.subresource);
    for hook in hooks {
        let Some(found) = concerns(ctx, hook, asked, &others, pair)? else { continue };
        if rounds.is_second() && !rounds.webhooks.wants(&hook.id) {
            continue;
        }
        match ask_and_change(ctx, hook, asked, &found, pair, warnings).await {
            Ok(changed) => {
                if changed {
                    rounds.webhooks.changed();
                    rounds.changed();
                }
                if hook.reinvoked {
                    rounds.webhooks.asked(&hook.id);
                }
            }
            Err(Refused::Unasked(why)) if hook.fails_open => ignored(hook, &why),
            Err(refused) => return Err(refused.about(hook)),
        }
    }
    Ok(())
}

/// Asks every webhook that judges; of several refusals, that of the first in order is told.
pub async fn validate(
    ctx: &Context<'_>,
    hooks: &[Arc<Hook>],
    asked: &Attributes<'_>,
    pair: &mut Pair<'_>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let others = matching::equivalents(&ctx.server.registry, ctx.resource, asked.subresource);
    let mut askings = Vec::new();
    for hook in hooks {
        let Some(found) = concerns(ctx, hook, asked, &others, pair)? else { continue };
        let question = question(ctx, hook, asked, &found, pair)?;
        askings.push(async move { (hook, ask(ctx, hook, asked, question, false).await) });
    }
    for (hook, outcome) in join_all(askings).await {
        match outcome {
            Ok(answer) => warnings.extend(answer.warnings),
            Err(Refused::Unasked(why)) if hook.fails_open => ignored(hook, &why),
            Err(refused) => return Err(refused.about(hook)),
        }
    }
    Ok(())
}

fn ignored(hook: &Hook, why: &str) {
    tracing::warn!(
        webhook = hook.name,
        "a webhook could not be asked and is passed over, as its configuration has it: {why}"
    );
}

/// What a webhook is sent, in which version, and the id that its answer must name.
struct Question {
    version: Version,
    uid: String,
    body: Vec<u8>,
}

/// The question to a webhook, as far as it can be asked.
fn question(
    ctx: &Context<'_>,
    hook: &Hook,
    asked: &Attributes<'_>,
    found: &As,
    pair: &mut Pair<'_>,
) -> Result<std::result::Result<Question, Refused>> {
    if asked.options.dry_run() && !hook.bears_dry_run {
        let why = format!("admission webhook \"{}\" does not support dry run", hook.name);
        return Ok(Err(Refused::Denied(Failure::bad_request(why))));
    }
    let Some(version) = hook.version else {
        let why =
            "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)";
        return Ok(Err(Refused::Unasked(why.to_owned())));
    };
    let uid = uuid::Uuid::new_v4().to_string();
    let seen = Seen { resource: found.resource(asked), kind: found.kind(asked, ctx.resource) };
    let objects = pair.shown(&found.kind(asked, ctx.resource).api_version())?;
    let body = review::request(version, &uid, asked, seen, objects).to_string().into_bytes();
    Ok(Ok(Question { version, uid, body }))
}

/// Asks one webhook. An answer that is here allows the request.
async fn ask(
    ctx: &Context<'_>,
    hook: &Hook,
    asked: &Attributes<'_>,
    question: std::result::Result<Question, Refused>,
    mutating: bool,
) -> std::result::Result<Answer, Refused> {
    let question = question?;
    let place = hook.place.as_ref().map_err(|why| Refused::Unasked(format!("could not get REST client: {why}")))?;
    let failed = |why: String| Refused::Unasked(format!("failed to call webhook: {why}"));
    let bytes = place.call(&ctx.server.outbound, question.body, hook.timeout).await.map_err(failed)?;
    let answer = review::answer(question.version, &question.uid, mutating, &bytes).map_err(|wrong| match wrong {
        review::Wrong::Unreadable(why) => failed(why),
        review::Wrong::Invalid(why) => Refused::Unasked(format!("received invalid webhook response: {why}")),
    })?;
    for (key, note) in &answer.audit_annotations {
        tracing::debug!(webhook = hook.name, name = asked.name, "{}/{key}={note}", hook.name);
    }
    match answer.allowed {
        true => Ok(answer),
        false => Err(Refused::Denied(review::refusal(&hook.name, answer.status).into())),
    }
}

/// Asks a webhook and does what it wants. True where the object changed.
async fn ask_and_change(
    ctx: &Context<'_>,
    hook: &Hook,
    asked: &Attributes<'_>,
    found: &As,
    pair: &mut Pair<'_>,
    warnings: &mut Vec<String>,
) -> std::result::Result<bool, Refused> {
    let question = question(ctx, hook, asked, found, pair).map_err(Refused::Denied)?;
    let answer = ask(ctx, hook, asked, question, true).await?;
    warnings.extend(answer.warnings);
    let Some(patch) = answer.patch else { return Ok(false) };
    if answer.patch_type != "JSONPatch" {
        return Err(Refused::Unasked(format!("unsupported patch type {:?}", answer.patch_type)));
    }
    let internal = |why: String| Refused::Denied(Failure::internal(why));
    let patch: Value = serde_json::from_slice(&patch).map_err(|error| internal(error.to_string()))?;
    if patch.as_array().is_some_and(Vec::is_empty) {
        return Ok(false);
    }
    let mut json = pair
        .shown(&found.kind(asked, ctx.resource).api_version())
        .map_err(Refused::Denied)?
        .new
        .clone()
        .unwrap_or_default();
    api::patch::json(&mut json, &patch).map_err(|error| internal(error.to_string()))?;
    let changed = pair.replace(&json).map_err(Refused::Denied)?;
    changed.ok_or_else(|| {
        let name = &hook.name;
        let why = "attempted to modify the object, which is not supported for this operation";
        internal(format!("admission webhook \"{name}\" {why}"))
    })
}
