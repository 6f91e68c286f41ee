//! The scale subresource: replicas of anything that has them.

use proto::dynamic::DynObject;

use super::Target;
use super::decode::{self, Body};
use super::options::{WriteOptions, parse_version};
use super::patch::{PatchType, apply};
use super::write::{Decision, Mutation, change};
use crate::registry::{Versioned, rules, scale, strategy};
use crate::server::Server;
use crate::status::{Failure, Result};

/// The scale of an object.
pub fn read(target: &Target, object: &Versioned) -> Result<Versioned> {
    let decoded = target.resource.decode(&object.bytes)?;
    let scale = scale::of(decoded.as_ref()).ok_or_else(Failure::no_resource)?;
    Ok(Versioned { rev: object.rev, ..Versioned::of(&scale, object.rev) })
}

/// Sets the scale to what is in `body`.
pub async fn update(
    server: &Server,
    target: &Target,
    body: Body<'_>,
    version: i64,
    options: &WriteOptions,
) -> Result<Versioned> {
    let kind = <proto::autoscaling::v1::Scale as proto::Object>::kind_info();
    let wanted = decode::object(kind, body, options.field_validation, &mut Vec::new())?;
    let said = parse_version(&wanted.metadata().resource_version)?.unwrap_or(0);
    let expected = if version != 0 { version } else { said };
    run(server, target, options, Source::Whole(wanted, expected)).await
}

/// Patches the scale.
pub async fn patch(
    server: &Server,
    target: &Target,
    kind: PatchType,
    patch: &serde_json::Value,
    options: &WriteOptions,
) -> Result<Versioned> {
    run(server, target, options, Source::Patch(kind, patch)).await
}

enum Source<'a> {
    /// A scale, and the version it was made from (0: any).
    Whole(Box<dyn DynObject>, i64),
    Patch(PatchType, &'a serde_json::Value),
}

async fn run(server: &Server, target: &Target, options: &WriteOptions, source: Source<'_>) -> Result<Versioned> {
    let mut mutation = Scaling { target, source };
    let outcome = change(server, target, options.dry_run, &mut mutation).await?;
    read(target, &outcome.object)
}

struct Scaling<'a> {
    target: &'a Target,
    source: Source<'a>,
}

impl Mutation for Scaling<'_> {
    fn decide(&mut self, current: Box<dyn DynObject>, rev: i64) -> Result<Decision> {
        let resource = &self.target.resource;
        let before = scale::of(current.as_ref()).ok_or_else(Failure::no_resource)?;
        let wanted = match &self.source {
            Source::Whole(_, expected) if *expected != 0 && *expected != rev => {
                return Err(resource.modified(&self.target.name));
            }
            Source::Whole(wanted, _) => scale::replicas(wanted.as_ref()),
            Source::Patch(kind, patch) => {
                let patched = apply(*kind, patch, &before, rev)?;
                let wanted: proto::autoscaling::v1::Scale =
                    proto::json::from_value(patched).map_err(|error| Failure::bad_request(error.to_string()))?;
                if wanted.metadata.resource_version != rev.to_string() {
                    return Err(resource.modified(&self.target.name));
                }
                wanted.spec.replicas
            }
        };
        rules::check_replicas(&self.target.name, wanted)?;
        let mut new = current.clone();
        scale::set(new.as_mut(), wanted);
        let new = strategy::prepare_for_update(resource.strategy, true, new, current.as_ref())?;
        Ok(Decision::Write(new))
    }
}
