//! Admission by others: webhooks and policies that a cluster's users configure. The cluster's own plugins are beside
//! this folder.
//!
//! [`Others`] holds what the configurations say, as their watch caches have it; without configurations a request costs
//! one look at an empty list. [`Asking`] is one request on its way: [`Asking::mutate`] lets others change its object,
//! [`Asking::validate`] lets them judge it. Decisions without I/O: [`rules`] and [`matching`] say whom a request
//! concerns, [`select`] which objects, [`review`] what is asked and answered, [`again`] who is asked twice,
//! [`expression`] what expressions are about, [`policy`] what policies make of them; [`webhooks`] asks.

pub mod again;
pub mod attributes;
mod conditions;
pub mod connect;
mod constraints;
mod expression;
#[cfg(test)]
mod fuzz;
mod hook;
mod matching;
mod observe;
mod pair;
mod policy;
mod review;
mod rules;
mod select;
mod webhooks;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::apply::Owners;
use arc_swap::ArcSwap;
use proto::core::v1::Namespace;
use proto::dynamic::DynObject;
use serde_json::Value;

use super::View;
use super::plugins::Plugin;
use crate::authenticate::User;
use crate::registry::Resource;
use crate::server::Server;
use crate::status::{Failure, Result};
use crate::verbs::Target;
use again::Rounds;
use attributes::{Attributes, KindName, Operation, Options};
use hook::Hook;
use pair::Pair;
use policy::{Binding, Mutating, Validating};

/// What the configurations say.
#[derive(Debug, Default)]
pub struct Others {
    /// Those that change objects, in order.
    mutating: ArcSwap<Vec<Arc<Hook>>>,
    /// Those that judge.
    validating: ArcSwap<Vec<Arc<Hook>>>,
    /// Policies that change objects, and what puts them into effect.
    mutating_policies: ArcSwap<Vec<Arc<Mutating>>>,
    mutating_bindings: ArcSwap<Vec<Arc<Binding>>>,
    /// Policies that judge, and what puts them into effect.
    validating_policies: ArcSwap<Vec<Arc<Validating>>>,
    validating_bindings: ArcSwap<Vec<Arc<Binding>>>,
}

impl Others {
    /// Whether nobody has a say.
    pub fn is_nobody(&self) -> bool {
        self.mutating.load().is_empty()
            && self.validating.load().is_empty()
            && self.mutating_bindings.load().is_empty()
            && self.validating_bindings.load().is_empty()
    }
}

/// One request on its way to be stored.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    pub server: &'a Server,
    pub user: &'a User,
    pub target: &'a Target,
    pub operation: Operation,
    pub options: Options<'a>,
}

/// Where a request is asked about.
struct Context<'a> {
    server: &'a Server,
    resource: &'a Resource,
}

impl Context<'_> {
    /// The labels of a namespace, where there is one.
    fn namespace_labels(&self, name: &str) -> Option<BTreeMap<String, String>> {
        self.server.namespace(name).map(|namespace: Namespace| namespace.metadata.labels)
    }

    /// The namespace that a request's object is in, as expressions see it; none for what is in none, a Namespace too.
    fn namespace_object(&self, asked: &Attributes<'_>) -> Result<Option<Value>> {
        if asked.namespace.is_empty() || asked.is_namespace() {
            return Ok(None);
        }
        let found = self.server.namespace(&asked.namespace);
        let mut namespace = found.ok_or_else(|| Failure::not_found("", "namespaces", &asked.namespace))?;
        namespace.metadata.managed_fields.clear();
        namespace.metadata.owner_references.clear();
        Ok(Some(proto::json::to_value(&namespace)))
    }

    /// The schema of the resource, where it is a custom one.
    fn schema(&self) -> Option<&api::structural::Schema> {
        self.resource.custom.as_ref().map(|version| version.schema.as_ref())
    }
}

impl<'a> Asking<'a> {
    fn context(&self) -> Context<'a> {
        Context { server: self.server, resource: &self.target.resource }
    }

    fn attributes(&self, object: &dyn DynObject) -> Attributes<'a> {
        let info = object.info();
        let kind = KindName { group: info.group, version: info.version, kind: info.kind };
        let name = &object.metadata().name;
        Attributes::new(self.user, self.operation, self.target, kind, name, self.options)
    }

    /// Lets others change the object; `old` is what is stored, at version `rev`. Who owns which field must stay readable.
    pub async fn mutate(
        &self,
        object: Box<dyn DynObject>,
        old: Option<&dyn DynObject>,
        rev: i64,
        rounds: &mut Rounds,
        warnings: &mut Vec<String>,
    ) -> Result<Box<dyn DynObject>> {
        let others = &self.server.others;
        if others.mutating.load().is_empty() && others.mutating_bindings.load().is_empty() {
            return Ok(object);
        }
        let asked = self.attributes(object.as_ref());
        let owners = object.metadata().managed_fields.clone();
        let object = self.change_by_policies(&asked, object, old, rev, rounds)?;
        let mut object = self.change_by_webhooks(&asked, object, old, rev, rounds, warnings).await?;
        let after = &mut object.metadata_mut().managed_fields;
        if *after != owners
            && let Err(error) = Owners::decode(after)
        {
            warnings.push(format!(".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission controller; please fix your requests: {error}"));
            *after = owners;
        }
        Ok(object)
    }

    fn change_by_policies(
        &self,
        asked: &Attributes<'_>,
        object: Box<dyn DynObject>,
        old: Option<&dyn DynObject>,
        rev: i64,
        rounds: &mut Rounds,
    ) -> Result<Box<dyn DynObject>> {
        let others = &self.server.others;
        let bindings = others.mutating_bindings.load_full();
        let off = !self.server.runs(Plugin::MutatingAdmissionPolicy);
        if bindings.is_empty() || asked.is_beyond_policies() || off {
            return Ok(object);
        }
        rounds.policies.begin(rounds.is_second(), object.as_ref());
        let mut pair = Pair::changeable(&self.target.resource, object, old, rev);
        let policies = others.mutating_policies.load_full();
        policy::mutate::run(&self.context(), &policies, &bindings, asked, &mut pair, rounds)?;
        let object = pair.into_object().ok_or_else(|| Failure::internal("an object went missing"))?;
        rounds.policies.end(object.as_ref());
        Ok(object)
    }

    async fn change_by_webhooks(
        &self,
        asked: &Attributes<'_>,
        object: Box<dyn DynObject>,
        old: Option<&dyn DynObject>,
        rev: i64,
        rounds: &mut Rounds,
        warnings: &mut Vec<String>,
    ) -> Result<Box<dyn DynObject>> {
        let hooks = self.server.others.mutating.load_full();
        if hooks.is_empty() || asked.is_own_configuration() || !self.server.runs(Plugin::MutatingAdmissionWebhook) {
            return Ok(object);
        }
        rounds.webhooks.begin(rounds.is_second(), object.as_ref());
        let mut pair = Pair::changeable(&self.target.resource, object, old, rev);
        webhooks::mutate(&self.context(), &hooks, asked, &mut pair, rounds, warnings).await?;
        let object = pair.into_object().ok_or_else(|| Failure::internal("an object went missing"))?;
        rounds.webhooks.end(object.as_ref());
        Ok(object)
    }

    /// What policies, then webhooks, judge.
    async fn judge(&self, asked: &Attributes<'_>, pair: &mut Pair<'_>, warnings: &mut Vec<String>) -> Result<()> {
        let others = &self.server.others;
        let bindings = others.validating_bindings.load_full();
        if !bindings.is_empty() && !asked.is_beyond_policies() && self.server.runs(Plugin::ValidatingAdmissionPolicy) {
            let policies = others.validating_policies.load_full();
            policy::validate::run(&self.context(), &policies, &bindings, asked, pair, warnings)?;
        }
        let hooks = others.validating.load_full();
        if hooks.is_empty() || asked.is_own_configuration() || !self.server.runs(Plugin::ValidatingAdmissionWebhook) {
            return Ok(());
        }
        webhooks::validate(&self.context(), &hooks, asked, pair, warnings).await
    }

    /// Lets others change an object and judge it, where nobody else has a say in between: what is created below an object,
    /// scales, reviews.
    pub async fn admit(
        &self,
        object: Box<dyn DynObject>,
        old: Option<&dyn DynObject>,
        rev: i64,
        warnings: &mut Vec<String>,
    ) -> Result<Box<dyn DynObject>> {
        let mut rounds = Rounds::default();
        let mut object = self.mutate(object, old, rev, &mut rounds, warnings).await?;
        if rounds.begin_next() {
            object = self.mutate(object, old, rev, &mut rounds, warnings).await?;
        }
        self.validate(Some(object.as_ref()), old, rev, warnings).await?;
        Ok(object)
    }

    /// Lets others judge the object as it is to be stored (`new`), or removed (`old` only).
    pub async fn validate(
        &self,
        new: Option<&dyn DynObject>,
        old: Option<&dyn DynObject>,
        rev: i64,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let Some(object) = new.or(old).filter(|_| !self.server.others.is_nobody()) else { return Ok(()) };
        let mut pair = Pair::fixed(&self.target.resource, new, old, rev);
        self.judge(&self.attributes(object), &mut pair, warnings).await
    }

    /// Lets others judge a deletion of `old`. Those that change objects are asked as well, though there is none.
    pub async fn delete(&self, old: &dyn DynObject, rev: i64, warnings: &mut Vec<String>) -> Result<()> {
        let changing = self.server.others.mutating.load_full();
        let asked = self.attributes(old);
        if !changing.is_empty() && !asked.is_own_configuration() {
            let mut pair = Pair::fixed(&self.target.resource, None, Some(old), rev);
            let rounds = &mut Rounds::default();
            webhooks::mutate(&self.context(), &changing, &asked, &mut pair, rounds, warnings).await?;
        }
        self.validate(None, Some(old), rev, warnings).await
    }

    /// Lets others judge a connection to the target; `options` is what it is opened with, an object of that kind. It
    /// cannot be changed here.
    pub async fn connect(&self, kind: KindName<'a>, options: Value, warnings: &mut Vec<String>) -> Result<()> {
        let changing = self.server.others.mutating.load_full();
        let asked = Attributes::new(self.user, self.operation, self.target, kind, "", self.options);
        let (ctx, mut pair) = (self.context(), Pair::options(&self.target.resource, options));
        webhooks::mutate(&ctx, &changing, &asked, &mut pair, &mut Rounds::default(), warnings).await?;
        self.judge(&asked, &mut pair, warnings).await
    }
}
