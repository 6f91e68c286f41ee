//! A configuration applied to an object.

use proto::dynamic::{DynObject, KindInfo};
use serde_json::Value;

use super::check::check;
use super::compare::changes;
use super::conflict::Conflict;
use super::field_set::field_set;
use super::merge::merge;
use super::owners::{self, Operation, Owner, Owners};
use super::prune::prune;
use super::shape::Shape;
use super::updated::{Versions, reset, updated};
use super::{Writer, last_applied, owned};

/// The owner of what was there before anybody applied.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Why a configuration could not be applied.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The request makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// The configuration does not fit its schema; upstream answers it with code 500.
    #[error("{0}")]
    Schema(String),
    /// The object's record of owners cannot be read.
    #[error("failed to decode managed fields: {0}")]
    Owners(#[from] owners::Error),
    /// Others own what the configuration wants otherwise.
    #[error("the configuration conflicts with other managers")]
    Conflicts(Vec<Conflict>),
}

/// What is applied.
#[derive(Debug, Clone, Copy)]
pub struct Config<'a> {
    /// The kind of the request.
    pub kind: &'static KindInfo,
    pub json: &'a Value,
    /// Take conflicting fields over.
    pub force: bool,
}

/// The object that applying a configuration to `live` (none: to nothing) makes, with its owners, before defaults.
///
/// Fields that the configuration gives become the applier's, alone or with others who want them the same; fields that it
/// gave before and gives no longer are removed unless somebody else owns them.
pub fn applied(
    live: Option<&dyn DynObject>,
    config: Config<'_>,
    writer: &Writer<'_>,
) -> Result<Box<dyn DynObject>, Error> {
    let shape = writer.shape(config.kind);
    fits(config, shape)?;
    let (live, owners) = begin(live, config.kind, writer)?;
    let first = lay(live.as_ref(), owners.clone(), config, shape, writer);
    // Who used kubectl's client-side apply owns what that applied last, whoever the record names.
    let object = match first {
        Err(Error::Conflicts(conflicts)) if writer.manager == last_applied::MANAGER => {
            let left = last_applied::left_over(conflicts, live.as_ref(), writer);
            if !left.is_empty() {
                return Err(Error::Conflicts(left));
            }
            lay(live.as_ref(), owners, Config { force: true, ..config }, shape, writer)?
        }
        first => first?,
    };
    Ok(last_applied::kept(object, config.json, writer.manager))
}

/// The object to apply to, and its owners: an object that has none belongs to a manager of its own.
fn begin(
    live: Option<&dyn DynObject>,
    kind: &'static KindInfo,
    writer: &Writer<'_>,
) -> Result<(Box<dyn DynObject>, Owners), Error> {
    let Some(live) = live else { return Ok((kind.new_object(), Owners::default())) };
    let mut live = live.clone_box();
    if live.metadata().managed_fields.is_empty() {
        let before = Writer { manager: BEFORE_FIRST_APPLY, ..*writer };
        updated(None, live.as_mut(), &before);
    }
    let owners = Owners::decode(&live.metadata().managed_fields)?;
    Ok((live, owners))
}

/// Refuses what is of another kind, names its owners, or does not fit the schema.
fn fits(config: Config<'_>, shape: Shape<'_>) -> Result<(), Error> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (json, kind) = (config.json, config.kind);
    let (version, name) = (text(&json["apiVersion"]), text(&json["kind"]));
    let (group, version) = version.rsplit_once('/').unwrap_or(("", &version));
    let said = format!("{group}/{version}, Kind={name}");
    if (group, version, name.as_str()) != (kind.group, kind.version, kind.kind) {
        return Err(Error::Malformed(format!("invalid object type: {said}")));
    }
    let meta = &json["metadata"];
    if meta.get("managedFields").is_some_and(|entries| !entries.is_null()) {
        return Err(Error::Malformed("metadata.managedFields must be nil".to_owned()));
    }
    let what = match check(shape, json).as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    let (namespace, name) = (text(&meta["namespace"]), text(&meta["name"]));
    Err(Error::Schema(format!("failed to create typed patch object ({namespace}/{name}; {said}): {what}")))
}

/// The object with the configuration laid over it, and its owners.
fn lay(
    live: &dyn DynObject,
    mut owners: Owners,
    config: Config<'_>,
    shape: Shape<'_>,
    writer: &Writer<'_>,
) -> Result<Box<dyn DynObject>, Error> {
    let (applier, last) = declare(&mut owners, config, shape, writer);
    let merged = merge(shape, json_of(live), config.json);
    let pruned = prune(merged, shape, writer.api_version, last.as_ref(), &owners, &|value, from, to| {
        writer.convert_json(config.kind, value, from, to)
    });
    let mut new = config.kind.new_object();
    proto::json::value_into(pruned, new.as_reflect_mut()).map_err(|error| {
        Error::Malformed(format!("failed to convert the configuration to a {}: {error}", config.kind.kind))
    })?;

    let mut changes = changes(live, new.as_ref(), writer.schema(config.kind.api_version));
    reset(&mut changes, writer);
    let mut versions = Versions::new(changes, writer);
    let mut conflicts = Vec::new();
    owners.all.retain_mut(|owner| {
        if owner.is_same(&applier) {
            return true;
        }
        let Some(change) = versions.at(&owner.api_version, Some(live), new.as_ref()) else { return false };
        let lost = owner.take(&change.set);
        if !lost.is_empty() {
            conflicts.push(Conflict::new(owner, lost));
        }
        owner.take(&change.removed);
        true
    });
    if !conflicts.is_empty() && !config.force {
        return Err(Error::Conflicts(conflicts));
    }

    let changed = differs(live, new.as_mut());
    if let Some(index) = owners.find(&applier) {
        let owner = &mut owners.all[index];
        let set = owned(owner.set().clone());
        owner.replace(set);
        if changed {
            owner.time = Some(writer.now);
        }
    }
    owners.drop_empty();
    new.metadata_mut().managed_fields = owners.encode();
    Ok(new)
}

/// Whether the object changed beside its owners and the version that the configuration may name.
fn differs(live: &dyn DynObject, new: &mut dyn DynObject) -> bool {
    new.metadata_mut().managed_fields.clone_from(&live.metadata().managed_fields);
    let version = std::mem::take(&mut new.metadata_mut().resource_version);
    let same = live.equals(new);
    new.metadata_mut().resource_version = version;
    !same
}

/// Writes down what the configuration gives; says who applies, and what it gave before.
fn declare(owners: &mut Owners, config: Config<'_>, shape: Shape<'_>, writer: &Writer<'_>) -> (Owner, Option<Owner>) {
    let mut set = field_set(shape, config.json);
    for path in writer.reset {
        set.drop_below(path);
    }
    let mut applier = Owner::new(writer.manager, Operation::Apply, writer.subresource, writer.api_version);
    let last = owners.find(&applier).map(|index| owners.all[index].clone());
    if let Some(last) = &last {
        applier = last.clone();
        writer.api_version.clone_into(&mut applier.api_version);
    }
    applier.replace(set);
    owners.insert(applier.clone());
    (applier, last)
}

/// The object as a configuration meets it: without the record of owners.
fn json_of(object: &dyn DynObject) -> Value {
    let mut json = proto::json::dyn_to_value(object.as_reflect());
    if let Some(meta) = json.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.remove("managedFields");
    }
    json
}
