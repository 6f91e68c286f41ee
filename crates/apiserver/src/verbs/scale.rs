//! The scale subresource: replicas of anything that has them.

use api::apply::scale as owned;
use proto::autoscaling::v1::Scale;
use proto::dynamic::DynObject;
use proto::meta::v1::Time;

use super::decode::{self, Body};
use super::options::{WriteOptions, parse_version};
use super::owners;
use super::patch::{PatchType, changed};
use super::write::{Decision, Mutation, change, tell};
use super::{Target, apply as applying};
use crate::admit::others::Asking;
use crate::admit::others::attributes::{Operation, Options};
use crate::authenticate::User;
use crate::registry::{Versioned, rules, scale, strategy};
use crate::server::Server;
use crate::status::{Failure, Result};

/// The scale of an object.
pub fn read(target: &Target, object: &Versioned) -> Result<Versioned> {
    let decoded = target.resource.decode(&object.bytes)?;
    let scale = scale::of(&target.resource, decoded.as_ref())?;
    Ok(Versioned { rev: object.rev, ..Versioned::of(&scale, object.rev) })
}

/// Sets the scale to what is in `body`.
pub async fn update(
    server: &Server,
    user: &User,
    target: &Target,
    body: Body<'_>,
    version: i64,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Versioned> {
    let kind = <Scale as proto::Object>::kind_info();
    let wanted = decode::object(kind, body, options.field_validation, &mut Vec::new())?;
    let said = parse_version(&wanted.metadata().resource_version)?.unwrap_or(0);
    let expected = if version != 0 { version } else { said };
    run(server, user, target, options, Source::Whole(wanted, expected), warnings).await
}

/// Patches the scale.
pub async fn patch(
    server: &Server,
    user: &User,
    target: &Target,
    kind: PatchType,
    patch: &serde_json::Value,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Versioned> {
    run(server, user, target, options, Source::Patch(kind, patch), warnings).await
}

/// Applies a configuration to the scale.
pub async fn apply(
    server: &Server,
    user: &User,
    target: &Target,
    config: &serde_json::Value,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Versioned> {
    run(server, user, target, options, Source::Config(config), warnings).await
}

enum Source<'a> {
    /// A scale, and the version it was made from (0: any).
    Whole(Box<dyn DynObject>, i64),
    Patch(PatchType, &'a serde_json::Value),
    Config(&'a serde_json::Value),
}

async fn run(
    server: &Server,
    user: &User,
    target: &Target,
    options: &WriteOptions,
    source: Source<'_>,
    warnings: &mut Vec<String>,
) -> Result<Versioned> {
    let mut mutation = Scaling { server, user, target, options, source, warnings: Vec::new() };
    let outcome = change(server, target, options.dry_run, &mut mutation).await;
    tell(warnings, mutation.warnings);
    read(target, &outcome?.object)
}

struct Scaling<'a> {
    server: &'a Server,
    user: &'a User,
    target: &'a Target,
    options: &'a WriteOptions,
    source: Source<'a>,
    warnings: Vec<String>,
}

#[async_trait::async_trait]
impl Mutation for Scaling<'_> {
    async fn decide(&mut self, current: Box<dyn DynObject>, rev: i64) -> Result<Decision> {
        let resource = &self.target.resource;
        let mut before = scale::of(resource, current.as_ref())?;
        let version = resource.kind.api_version;
        let path = scale::path(resource);
        let kept = &current.metadata().managed_fields;
        // A record of owners that cannot be read is left alone.
        before.metadata.managed_fields = owned::of_object(kept, version, &path).unwrap_or_default();
        self.warnings.clear();
        let after = self.admitted(self.wanted(&before, rev)?, &before, rev).await?;
        let wanted = after.spec.replicas;
        rules::check_replicas(&self.target.name, wanted)?;
        let mut new = current.clone();
        scale::set(resource, new.as_mut(), wanted);
        if let Ok(entries) = owned::to_object(kept, &after.metadata.managed_fields, version, &path) {
            new.metadata_mut().managed_fields = entries;
        }
        let new =
            strategy::prepare_for_update(resource.strategy, resource.has_subresource("status"), new, current.as_ref())?;
        if resource.custom.is_some() {
            rules::check_update(resource, new.as_ref(), current.as_ref())?;
        }
        Ok(Decision::Write(new))
    }
}

impl Scaling<'_> {
    /// What others make of the scale.
    async fn admitted(&mut self, wanted: Scale, before: &Scale, rev: i64) -> Result<Scale> {
        let Self { server, user, target, options, .. } = *self;
        let read_as = if matches!(self.source, Source::Whole(..)) { "UpdateOptions" } else { "PatchOptions" };
        let options = Options::Write(read_as, options);
        let asking = Asking { server, user, target, operation: Operation::Update, options };
        let admitted = asking.admit(Box::new(wanted), Some(before), rev, &mut self.warnings).await?;
        admitted.downcast_ref::<Scale>().cloned().ok_or_else(Failure::no_resource)
    }

    /// The scale that is asked for, with the owners of its replicas.
    fn wanted(&self, before: &Scale, rev: i64) -> Result<Scale> {
        let modified = || self.target.resource.modified(&self.target.name);
        let now = self.server.now();
        match &self.source {
            Source::Whole(_, expected) if *expected != 0 && *expected != rev => Err(modified()),
            Source::Whole(wanted, _) => Ok(self.tracked(before, scale::replicas(wanted.as_ref()), now)),
            Source::Patch(kind, patch) => {
                let patched = changed(*kind, patch, before, rev)?;
                let wanted: Scale =
                    proto::json::from_value(patched).map_err(|error| Failure::bad_request(error.to_string()))?;
                if wanted.metadata.resource_version != rev.to_string() {
                    return Err(modified());
                }
                Ok(self.tracked(before, wanted.spec.replicas, now))
            }
            Source::Config(config) => {
                let kind = <Scale as proto::Object>::kind_info();
                let made = applying::run(self.server, self.target, Some(before), kind, config, self.options)?;
                let made = made.downcast_ref::<Scale>().cloned().ok_or_else(Failure::no_resource)?;
                let said = parse_version(&made.metadata.resource_version)?;
                if said.is_some_and(|version| version != 0 && version != rev) {
                    return Err(modified());
                }
                Ok(made)
            }
        }
    }

    fn tracked(&self, before: &Scale, replicas: i32, now: Time) -> Scale {
        let mut after = before.clone();
        after.spec.replicas = replicas;
        let mut writer = owners::writer(self.target, self.options, now);
        writer.api_version = owned::API_VERSION;
        // A scale is no custom resource, whatever it is of.
        writer.schemas = &[];
        api::apply::updated(Some(before), &mut after, &writer);
        after
    }
}
