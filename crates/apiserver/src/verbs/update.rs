//! Replacing objects and their status.

use proto::dynamic::DynObject;
use proto::meta::v1::{ObjectMeta, Time};

use super::decode::{Body, object_of, place};
use super::options::{WriteOptions, parse_version};
use super::owners::{self, Owners};
use super::write::{Decision, Made, Mutation, change, tell};
use super::{Target, create, scale};
use crate::admit::others::Asking;
use crate::admit::others::attributes::{Operation, Options};
use crate::admit::plugins::Plugin;
use crate::admit::{self, node_restriction};
use crate::authenticate::User;
use crate::authorize::grant;
use crate::registry::{Resource, certificate, namespace, rules, strategy};
use crate::server::Server;
use crate::status::{Failure, Result, cause};

/// Replaces the object, or its subresource, by what is in `body`. `version` is the one it was made from, where the
/// object does not say it; 0: any.
pub async fn update(
    server: &Server,
    user: &User,
    target: &Target,
    body: Body<'_>,
    version: i64,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Made> {
    target.require_name()?;
    if target.subresource == "scale" {
        let object = scale::update(server, user, target, body, version, options, warnings).await?;
        return Ok(Made { object, created: false });
    }
    warnings.extend(target.resource.deprecation());
    let mut new = object_of(&target.resource, body, options.field_validation, warnings)?;
    place(target, new.as_mut())?;
    let said = parse_version(&new.metadata().resource_version)?.unwrap_or(0);
    let expected = if version != 0 { version } else { said };
    new.metadata_mut().resource_version.clear();
    let rules = target.resource.strategy.rules();
    let mut mutation = Update { server, user, target, new, expected, options, warnings: Vec::new() };
    let changed = change(server, target, options.dry_run, &mut mutation).await;
    tell(warnings, mutation.warnings);
    match changed {
        Ok(outcome) => Ok(Made { object: outcome.object, created: false }),
        Err(failure)
            if failure.is_not_found() && rules.create_on_update && target.subresource.is_empty() && expected == 0 =>
        {
            let place = target.named(&target.namespace, "");
            let owners = Owners::Of(options);
            let object = create::create_object(server, user, &place, mutation.new, options, owners, warnings).await?;
            Ok(Made { object, created: true })
        }
        Err(failure) => Err(failure),
    }
}

/// Replaces an object.
struct Update<'a> {
    server: &'a Server,
    user: &'a User,
    target: &'a Target,
    new: Box<dyn DynObject>,
    /// The version it was made from; 0: any.
    expected: i64,
    options: &'a WriteOptions,
    warnings: Vec<String>,
}

#[async_trait::async_trait]
impl Mutation for Update<'_> {
    async fn decide(&mut self, current: Box<dyn DynObject>, rev: i64) -> Result<Decision> {
        self.warnings.clear();
        let resource = &self.target.resource;
        if self.expected == 0 && !resource.strategy.rules().unconditional_update {
            let message = "Invalid value: 0: must be specified for an update";
            let causes = vec![cause("FieldValueInvalid", "metadata.resourceVersion", message)];
            return Err(Failure::invalid(resource.row.group, resource.row.plural, &self.target.name, causes));
        }
        if self.expected != 0 && self.expected != rev {
            return Err(self.target.resource.modified(&self.target.name));
        }
        let Self { server, user, target, options, .. } = *self;
        let writing = Writing { server, user, target, options, read_as: "UpdateOptions", owners: Owners::Of(options) };
        replace(writing, self.new.clone(), current, rev, &mut self.warnings).await
    }
}

/// Who changes what, and what the request says beside the object.
#[derive(Debug, Clone, Copy)]
pub struct Writing<'a> {
    pub server: &'a Server,
    pub user: &'a User,
    pub target: &'a Target,
    pub options: &'a WriteOptions,
    /// What upstream reads the options as: `PatchOptions`.
    pub read_as: &'static str,
    pub owners: Owners<'a>,
}

/// What becomes of `current`, at version `rev`, when somebody asks for `new`, and what is told of it: shared by update
/// and patch.
pub async fn replace(
    writing: Writing<'_>,
    mut new: Box<dyn DynObject>,
    current: Box<dyn DynObject>,
    rev: i64,
    warnings: &mut Vec<String>,
) -> Result<Decision> {
    let Writing { server, user, target, options, read_as, owners } = writing;
    let resource = &target.resource;
    same_object(target, new.as_ref(), current.as_ref())?;
    carry_metadata(new.metadata_mut(), current.metadata());
    warnings.extend(api::warn::repeated_owners(new.metadata_mut()));
    rules::default(resource, new.as_mut());
    let now = server.now();
    // As upstream: who resizes owns what the whole request would have changed, though only resources change.
    let whole = !is_part(&target.subresource) || target.subresource == "resize";
    if whole {
        owners::track(target, Some(current.as_ref()), new.as_mut(), owners, now);
    }
    if server.runs(Plugin::NodeRestriction) {
        node_restriction::on_update(user, target, new.as_ref(), current.as_ref())?;
    }
    let options = Options::Write(read_as, options);
    let asking = Asking { server, user, target, operation: Operation::Update, options };
    let mut new = admit::on_update(&asking, new, current.as_ref(), rev, warnings).await?;
    if target.subresource.is_empty() {
        grant::check(&server.access, user, resource, new.as_ref(), Some(current.as_ref()))?;
    }
    let has_status = resource.has_subresource("status");
    let old = current.clone();
    let new = match target.subresource.as_str() {
        "status" => strategy::prepare_for_status(resource.strategy, new, current.as_ref())?,
        subresource if is_part(subresource) => {
            let mut part = part(now, subresource, new.as_ref(), current)?;
            part.metadata_mut().managed_fields = std::mem::take(&mut new.metadata_mut().managed_fields);
            if !whole {
                owners::track(target, Some(old.as_ref()), part.as_mut(), owners, now);
            }
            part
        }
        "" => {
            let new = strategy::prepare_for_update(resource.strategy, has_status, new, current.as_ref())?;
            rules::check_update(resource, new.as_ref(), current.as_ref())?;
            tell(warnings, api::warn::on_update(new.as_ref(), current.as_ref()));
            if new.info().kind != "Pod" {
                // What a pod may change breaks no level.
                tell(warnings, admit::warnings(server, new.as_ref()));
            }
            asking.validate(Some(new.as_ref()), Some(old.as_ref()), rev, warnings).await?;
            return Ok(keep_or_remove(resource, new));
        }
        other => {
            return Err(Failure::method_not_supported(
                resource.row.group,
                resource.row.plural,
                &format!("update of {other}"),
            ));
        }
    };
    rules::check_subresource(resource, &target.subresource, new.as_ref(), old.as_ref())?;
    if target.subresource == "resize" {
        admit::on_resize(server, resource, new.as_ref(), old.as_ref())?;
    }
    asking.validate(Some(new.as_ref()), Some(old.as_ref()), rev, warnings).await?;
    Ok(keep_or_remove(resource, new))
}

/// Subresources that change a part of the object only, whatever else is sent.
fn is_part(subresource: &str) -> bool {
    matches!(subresource, "finalize" | "ephemeralcontainers" | "resize" | "approval")
}

/// The object with the part that the subresource changes taken from `new`.
fn part(now: Time, subresource: &str, new: &dyn DynObject, current: Box<dyn DynObject>) -> Result<Box<dyn DynObject>> {
    match subresource {
        "approval" => certificate::approve(now, new, current),
        "finalize" => namespace::finalize(new, current),
        subresource => rules::pod_subresource(subresource, new, current.as_ref()),
    }
}

/// A deleted object that nothing holds any more is removed.
pub fn keep_or_remove(resource: &Resource, object: Box<dyn DynObject>) -> Decision {
    let meta = object.metadata();
    let ended = meta.deletion_timestamp.is_some()
        && meta.finalizers.is_empty()
        && meta.deletion_grace_period_seconds.unwrap_or(0) == 0
        && !resource.strategy.is_held(object.as_ref());
    if ended { Decision::Remove(object) } else { Decision::Write(object) }
}

/// An object of the same name may be another one.
fn same_object(target: &Target, new: &dyn DynObject, current: &dyn DynObject) -> Result<()> {
    let (asked, found) = (&new.metadata().uid, &current.metadata().uid);
    if !asked.is_empty() && asked != found {
        let why = format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {found}");
        return Err(target.resource.conflict(&target.name, &why));
    }
    Ok(())
}

/// What a client may leave out and cannot change by leaving it out.
fn carry_metadata(new: &mut ObjectMeta, current: &ObjectMeta) {
    new.uid.clone_from(&current.uid);
    new.creation_timestamp = current.creation_timestamp;
    if new.deletion_timestamp.is_none() {
        new.deletion_timestamp = current.deletion_timestamp;
    }
    if new.deletion_grace_period_seconds.is_none() {
        new.deletion_grace_period_seconds = current.deletion_grace_period_seconds;
    }
    if new.generate_name.is_empty() {
        new.generate_name.clone_from(&current.generate_name);
    }
    create::clear_self_link(new);
    new.resource_version.clear();
}
