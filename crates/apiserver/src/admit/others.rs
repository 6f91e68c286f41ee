//! Admission by others: webhooks that a cluster's users configure. The cluster's own plugins are beside this folder.
//!
//! [`Others`] holds what the configurations say, as their watch caches have it; without configurations a request costs
//! one look at an empty list. [`Asking`] is one request on its way: [`Asking::mutate`] lets others change its object,
//! [`Asking::validate`] lets them judge it. Decisions without I/O: [`rules`] and [`matching`] say whom a request
//! concerns, [`select`] which objects, [`review`] what is asked and answered, [`again`] who is asked twice; [`webhooks`]
//! asks.

pub mod again;
pub mod attributes;
pub mod connect;
mod hook;
mod matching;
mod observe;
mod pair;
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
use crate::authenticate::User;
use crate::registry::Resource;
use crate::server::Server;
use crate::status::Result;
use crate::verbs::Target;
use again::Rounds;
use attributes::{Attributes, KindName, Operation, Options};
use hook::Hook;
use pair::Pair;

/// What the configurations say.
#[derive(Debug, Default)]
pub struct Others {
    /// Those that change objects, in order.
    mutating: ArcSwap<Vec<Arc<Hook>>>,
    /// Those that judge.
    validating: ArcSwap<Vec<Arc<Hook>>>,
}

impl Others {
    /// Whether nobody has a say.
    pub fn is_nobody(&self) -> bool {
        self.mutating.load().is_empty() && self.validating.load().is_empty()
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
        let hooks = self.server.others.mutating.load_full();
        let asked = self.attributes(object.as_ref());
        if hooks.is_empty() || asked.is_own_configuration() {
            return Ok(object);
        }
        let owners = object.metadata().managed_fields.clone();
        rounds.webhooks.begin(rounds.is_second(), object.as_ref());
        let mut pair = Pair::changeable(&self.target.resource, object, old, rev);
        webhooks::mutate(&self.context(), &hooks, &asked, &mut pair, rounds, warnings).await?;
        let mut object =
            pair.into_object().ok_or_else(|| crate::status::Failure::internal("an object went missing"))?;
        rounds.webhooks.end(object.as_ref());
        let after = &mut object.metadata_mut().managed_fields;
        if *after != owners
            && let Err(error) = Owners::decode(after)
        {
            warnings.push(format!(".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission controller; please fix your requests: {error}"));
            *after = owners;
        }
        Ok(object)
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
        if rounds.next() {
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
        let hooks = self.server.others.validating.load_full();
        let Some(object) = new.or(old).filter(|_| !hooks.is_empty()) else { return Ok(()) };
        let asked = self.attributes(object);
        if asked.is_own_configuration() {
            return Ok(());
        }
        let mut pair = Pair::fixed(&self.target.resource, new, old, rev);
        webhooks::validate(&self.context(), &hooks, &asked, &mut pair, warnings).await
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
        let (changing, judging) = (self.server.others.mutating.load_full(), self.server.others.validating.load_full());
        let asked = Attributes::new(self.user, self.operation, self.target, kind, "", self.options);
        let (ctx, mut pair) = (self.context(), Pair::options(&self.target.resource, options));
        webhooks::mutate(&ctx, &changing, &asked, &mut pair, &mut Rounds::default(), warnings).await?;
        webhooks::validate(&ctx, &judging, &asked, &mut pair, warnings).await
    }
}
