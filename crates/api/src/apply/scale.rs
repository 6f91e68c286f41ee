//! Owners of replicas, between an object and its scale.
//!
//! A scale has one field of its own, `spec.replicas`; who owns it is written on the object, where the field lies at a path of
//! the object's own: custom resources name it.

use proto::meta::v1::ManagedFieldsEntry;

use super::owners::{Error, Owner, Owners};
use super::set::Set;

/// The version that a scale speaks.
pub const API_VERSION: &str = "autoscaling/v1";
/// Where a scale, and most of what has one, keeps how many replicas are wanted.
pub const REPLICAS: &[&str] = &["spec", "replicas"];

/// The entries of an object's scale, from those of the object (of version `api_version`), whose replicas are at `path`.
pub fn of_object(
    entries: &[ManagedFieldsEntry],
    api_version: &str,
    path: &[&str],
) -> Result<Vec<ManagedFieldsEntry>, Error> {
    let mut scale = Owners::default();
    let owners = Owners::decode(entries)?;
    for owner in owners.iter().filter(|owner| owner.api_version == api_version && owner.set().has(path)) {
        let mut owner = owner.clone();
        API_VERSION.clone_into(&mut owner.api_version);
        owner.replace(Set::of_path(REPLICAS));
        scale.insert(owner);
    }
    Ok(scale.encode())
}

/// The entries of an object after its scale has got `scale`: who is not among them no longer owns the replicas. As
/// upstream, a new owner has no time.
pub fn to_object(
    entries: &[ManagedFieldsEntry],
    scale: &[ManagedFieldsEntry],
    api_version: &str,
    path: &[&str],
) -> Result<Vec<ManagedFieldsEntry>, Error> {
    let mut owners = Owners::decode(entries)?;
    let mut scale: Vec<Owner> =
        Owners::decode(scale)?.iter().filter(|owner| owner.set().has(REPLICAS)).cloned().collect();
    for owner in &mut scale {
        api_version.clone_into(&mut owner.api_version);
        owner.time = None;
    }
    let replicas = Set::of_path(path);
    for owner in owners.all.iter_mut().filter(|owner| owner.api_version == api_version) {
        if !scale.iter().any(|kept| kept.is_same(owner)) {
            owner.take(&replicas);
        }
    }
    for mut owner in scale {
        if owners.find(&owner).is_none() {
            owner.replace(replicas.clone());
            owners.insert(owner);
        }
    }
    owners.drop_empty();
    Ok(owners.encode())
}
