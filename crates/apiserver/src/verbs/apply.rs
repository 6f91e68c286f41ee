//! Server-side apply: a configuration laid over an object, or made into one.

use api::apply::{Config, Conflict, Error, applied};
use proto::dynamic::{DynObject, KindInfo};
use serde_json::Value;

use super::options::{FieldValidation, WriteOptions, parse_version};
use super::owners::{Owners, writer};
use super::update::{Writing, replace};
use super::write::{Decision, Made, Mutation, change, tell};
use super::{Target, create, decode, scale};
use crate::authenticate::User;
use crate::authorize::{self, Attributes};
use crate::server::Server;
use crate::status::{Failure, Result};

/// How often an object may come and go while it is applied.
const ATTEMPTS_MAX: u32 = 8;

/// Applies the configuration in `text` (JSON or YAML); what does not exist is created.
pub async fn apply(
    server: &Server,
    user: &User,
    target: &Target,
    text: &[u8],
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Made> {
    let config = parse(text, options.field_validation, warnings)?;
    if target.subresource == "scale" {
        let object = scale::apply(server, user, target, &config, options, warnings).await?;
        return Ok(Made { object, created: false });
    }
    for _ in 0..ATTEMPTS_MAX {
        let mut mutation = Apply { server, user, target, config: &config, options, warnings: Vec::new() };
        let changed = change(server, target, options.dry_run, &mut mutation).await;
        tell(warnings, mutation.warnings);
        match changed {
            Ok(outcome) => return Ok(Made { object: outcome.object, created: false }),
            Err(failure) if failure.is_not_found() && target.subresource.is_empty() => {}
            Err(failure) => return Err(failure),
        }
        match new(server, user, target, &config, options, warnings).await {
            Ok(object) => return Ok(Made { object, created: true }),
            // Somebody else was faster: it is there now.
            Err(failure) if failure.is_already_exists() => {}
            Err(failure) => return Err(failure),
        }
    }
    Err(target.resource.modified(&target.name))
}

/// Creates the object that the configuration describes.
async fn new(
    server: &Server,
    user: &User,
    target: &Target,
    config: &Value,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<crate::registry::Versioned> {
    let row = target.resource.row;
    authorize::check(
        server,
        user,
        &Attributes {
            verb: "create",
            group: row.group,
            resource: row.plural,
            subresource: "",
            namespace: &target.namespace,
            name: &target.name,
            ..Attributes::default()
        },
    )?;
    let object = run(server, target, None, target.resource.kind, config, options)?;
    let uid = &object.metadata().uid;
    if !uid.is_empty() {
        let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
        return Err(target.resource.conflict(&target.name, &why));
    }
    named(target, object.as_ref())?;
    let place = target.named(&target.namespace, "");
    create::create_object(server, user, &place, object, options, Owners::Applied, warnings).await
}

/// A new object must say its name: nothing else does.
fn named(target: &Target, object: &dyn DynObject) -> Result<()> {
    match object.metadata().name.as_str() {
        "" => Err(Failure::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            target.name
        ))),
        name if name == target.name => Ok(()),
        name => Err(Failure::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        ))),
    }
}

struct Apply<'a> {
    server: &'a Server,
    user: &'a User,
    target: &'a Target,
    config: &'a Value,
    options: &'a WriteOptions,
    warnings: Vec<String>,
}

#[async_trait::async_trait]
impl Mutation for Apply<'_> {
    async fn decide(&mut self, current: Box<dyn DynObject>, rev: i64) -> Result<Decision> {
        self.warnings.clear();
        let resource = &self.target.resource;
        let mut new = run(self.server, self.target, Some(current.as_ref()), resource.kind, self.config, self.options)?;
        let said = std::mem::take(&mut new.metadata_mut().resource_version);
        if parse_version(&said)?.is_some_and(|version| version != 0 && version != rev) {
            return Err(resource.modified(&self.target.name));
        }
        decode::place(self.target, new.as_mut())?;
        let Self { server, user, target, options, .. } = *self;
        let writing = Writing { server, user, target, options, read_as: "PatchOptions", owners: Owners::Applied };
        replace(writing, new, current, rev, &mut self.warnings).await
    }
}

/// Applies the configuration to an object of `kind`.
pub(super) fn run(
    server: &Server,
    target: &Target,
    live: Option<&dyn DynObject>,
    kind: &'static KindInfo,
    config: &Value,
    options: &WriteOptions,
) -> Result<Box<dyn DynObject>> {
    let mut writer = writer(target, options, server.now());
    writer.api_version = kind.api_version;
    // A scale is no custom resource, whatever it is of.
    if !std::ptr::eq(kind, target.resource.kind) {
        writer.schemas = &[];
    }
    let config = Config { kind, json: config, force: options.force };
    match applied(live, config, &writer) {
        Ok(object) => Ok(object),
        Err(Error::Malformed(why)) => Err(Failure::bad_request(why)),
        Err(Error::Conflicts(conflicts)) => Err(Conflict::refusal(conflicts).into()),
        // Upstream gives no reason here.
        Err(error @ (Error::Schema(_) | Error::Owners(_))) => Err(Failure::new(500, "", error.to_string())),
    }
}

/// Reads a configuration. JSON is YAML, and read faster.
fn parse(text: &[u8], validation: FieldValidation, warnings: &mut Vec<String>) -> Result<Value> {
    if let Ok(config) = serde_json::from_slice(text) {
        return Ok(config);
    }
    let refuse = |why: String| Failure::bad_request(format!("error decoding YAML: {why}"));
    let text = std::str::from_utf8(text).map_err(|error| refuse(error.to_string()))?;
    let read = api::yaml::read(text).map_err(|error| refuse(error.to_string()))?;
    match validation {
        _ if read.repeated.is_empty() => {}
        FieldValidation::Strict => return Err(refuse(read.repeated.join(", "))),
        FieldValidation::Warn => warnings.extend(read.repeated),
        FieldValidation::Ignore => {}
    }
    Ok(read.value)
}
