//! Who owns the fields of an object, written down with every write (`api::apply`).

use api::apply::{Writer, same_but_times, updated};
use proto::dynamic::DynObject;
use proto::meta::v1::{ManagedFieldsEntry, Time};

use super::Target;
use super::options::WriteOptions;
use crate::registry::reset;

/// The manager of a write that names none, from a client that names itself not either.
const UNKNOWN: &str = "unknown";

/// Whether the owners of an object are known already.
#[derive(Debug, Clone, Copy)]
pub enum Owners<'a> {
    /// They are with the object: it was applied.
    Applied,
    /// They follow from what changed.
    Of(&'a WriteOptions),
}

/// Who writes to the target.
pub fn writer<'a>(target: &'a Target, options: &'a WriteOptions, now: Time) -> Writer<'a> {
    Writer {
        manager: match options.field_manager.as_str() {
            "" => UNKNOWN,
            manager => manager,
        },
        api_version: target.resource.kind.api_version,
        subresource: &target.subresource,
        now,
        reset: reset::fields(&target.resource, &target.subresource),
        schemas: target.resource.custom.as_ref().map_or(&[], |version| &version.schemas),
    }
}

/// Writes down in `new` who owns its fields; `live` is what it was before, if it was.
pub fn track(target: &Target, live: Option<&dyn DynObject>, new: &mut dyn DynObject, owners: Owners<'_>, now: Time) {
    if let Owners::Of(options) = owners {
        updated(live, new, &writer(target, options, now));
    }
}

/// A write that changes nothing but when its manager wrote changes nothing: the times stay.
pub fn keep_times(old: &dyn DynObject, new: &mut dyn DynObject) {
    let (before, after) = (&old.metadata().managed_fields, &new.metadata().managed_fields);
    if before == after || !same_but_times(before, after) {
        return;
    }
    let later: Vec<ManagedFieldsEntry> = std::mem::replace(&mut new.metadata_mut().managed_fields, before.clone());
    if !old.equals(new) {
        new.metadata_mut().managed_fields = later;
    }
}
