//! What an applier no longer asks for goes, unless somebody else owns it.

use serde_json::Value;

use super::field_set::field_set;
use super::owners::{Owner, Owners};
use super::remove::remove;
use super::set::Set;
use super::shape::Shape;

/// An object's JSON in another version of its kind, and that version's shape; none where there is none.
pub(super) type Convert<'a> = &'a dyn Fn(&Value, &str, &str) -> Option<(Value, Shape<'a>)>;

/// `merged` (of version `at`) without what `last` owned and nobody in `owners`, the applier's new entry among them, owns.
/// Items and entries that `last` did not own stay, whoever made them.
pub(super) fn prune<'s>(
    merged: Value,
    shape: Shape<'s>,
    at: &str,
    last: Option<&Owner>,
    owners: &Owners,
    convert: Convert<'s>,
) -> Value {
    let Some(last) = last.filter(|last| !last.set().is_empty()) else { return merged };
    let version = last.api_version.as_str();
    let own = (merged.clone(), shape);
    let from = if version == at { Some(own) } else { convert(&merged, at, version) };
    let Some((whole, shape)) = from else { return merged };
    let wanted = last.set().clone().with_named_fields();
    let pruned = remove(shape, whole.clone(), &wanted);
    let pruned = add_back_owned(&whole, pruned, shape, version, owners, convert);
    let pruned = add_back_dangling(whole, &pruned, shape, &wanted);
    if version == at {
        return object(pruned);
    }
    match convert(&object(pruned), version, at) {
        Some((value, _)) => value,
        None => merged,
    }
}

/// A whole object is never null.
fn object(value: Value) -> Value {
    if value.is_null() { Value::Object(serde_json::Map::new()) } else { value }
}

/// Puts back what an owner of any version claims.
fn add_back_owned(
    merged: &Value,
    pruned: Value,
    shape: Shape<'_>,
    version: &str,
    owners: &Owners,
    convert: Convert<'_>,
) -> Value {
    let mut versions: Vec<(&str, Set)> = vec![(version, Set::default())];
    for owner in owners.iter() {
        match versions.iter_mut().find(|(version, _)| *version == owner.api_version) {
            Some((_, set)) => set.add(owner.set().clone()),
            None => versions.push((&owner.api_version, owner.set().clone())),
        }
    }
    let mut pruned = pruned;
    for (other, managed) in versions {
        if other == version {
            pruned = keep(merged.clone(), &pruned, shape, managed);
            continue;
        }
        let Some((whole, there)) = convert(merged, version, other) else { continue };
        let Some((part, _)) = convert(&object(pruned.clone()), version, other) else { continue };
        if let Some((back, _)) = convert(&object(keep(whole, &part, there, managed)), other, version) {
            pruned = back;
        }
    }
    pruned
}

/// `merged` with only what is in `pruned` or managed.
fn keep(merged: Value, pruned: &Value, shape: Shape<'_>, managed: Set) -> Value {
    let mut surplus = field_set(shape, &merged).with_named_fields();
    surplus.subtract(&field_set(shape, pruned).with_named_fields());
    surplus.subtract(&managed.with_named_fields());
    remove(shape, merged, &surplus)
}

/// Puts back what was removed only because something around it was.
fn add_back_dangling(merged: Value, pruned: &Value, shape: Shape<'_>, last: &Set) -> Value {
    let mut surplus = field_set(shape, &merged).with_named_fields();
    surplus.subtract(&field_set(shape, pruned).with_named_fields());
    remove(shape, merged, &surplus.common(last))
}
