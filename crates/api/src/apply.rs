//! Server-side apply: who owns which field of an object, and configurations laid over objects by that.
//!
//! [`updated`] records what a create, an update or a patch changed; [`applied`] merges a configuration. Both read from the
//! schema tables, or the schema of a custom resource, how a value has owners ([`shape`]), keep sets of fields ([`Set`]) and write them as `managedFields`
//! ([`Owners`]). What happened when is passed in: no clock here.
//!
//! Where upstream compares values as they are written, objects are compared here: `1000m` and `1` are the same.

mod applied;
mod cap;
mod check;
mod compare;
mod conflict;
mod custom;
mod element;
mod equal;
mod field_set;
pub mod fields_v1;
mod item;
mod keys;
mod laid;
pub mod last_applied;
mod merge;
mod owners;
mod prune;
mod remove;
pub mod scale;
mod set;
mod shape;
mod tree;
mod updated;
mod version;

pub use applied::{Config, Error, applied};
pub use conflict::Conflict;
pub use laid::laid_over;
pub use owners::{Operation, Owner, Owners};
pub use set::Set;
pub use updated::{same_but_times, updated};

use std::sync::Arc;

use proto::meta::v1::Time;

use crate::structural::Schema;

/// Who writes, where and when.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// The field manager's name; never empty.
    pub manager: &'a str,
    /// The apiVersion of the request.
    pub api_version: &'a str,
    /// Empty: the object itself.
    pub subresource: &'a str,
    pub now: Time,
    /// Paths of fields that a write of this kind cannot change, so that it does not come to own them.
    pub reset: &'a [&'a [&'a str]],
    /// The schemas of a custom resource, by apiVersion; empty for built-in kinds.
    pub schemas: &'a [(String, Arc<Schema>)],
}

impl<'a> Writer<'a> {
    /// The schema of a version of the custom resource that is written.
    fn schema(&self, api_version: &str) -> Option<&'a Schema> {
        self.schemas.iter().find(|(known, _)| known == api_version).map(|(_, schema)| &**schema)
    }
}

/// Paths that nobody owns: what names the object, and what only a server sets.
const UNOWNED: [&[&str]; 11] = [
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

/// A set without what nobody owns.
fn owned(mut set: Set) -> Set {
    for path in UNOWNED {
        set.drop_path(path);
    }
    set
}

#[cfg(test)]
mod tests;
