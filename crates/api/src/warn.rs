//! Warnings: what a write of an object tells its sender though it is accepted.
//!
//! Kubernetes sends them as `Warning` headers, kubectl prints them. [`on_create`] judges a new object, [`on_update`] a
//! changed one beside the one it replaces; both after defaults and validation, as upstream's strategies do. The texts
//! are those of Kubernetes 1.36 where its answers show them, and have the same shape (`path: text`) elsewhere.

mod address;
mod annotations;
mod container;
mod definition;
mod kinds;
mod network;
mod node_labels;
mod pod;
mod secret;
mod service;
mod simple;
mod storage;
mod volume;
mod volume_paths;
mod workload;

use proto::dynamic::{DynObject, KindInfo};
use proto::meta::v1::ObjectMeta;

use crate::validate::Path;

/// What was found so far.
type Warnings = Vec<String>;

const SPEC: Path<'static> = Path::root("spec");
const METADATA: Path<'static> = Path::root("metadata");

/// Warnings about a new object; empty: none.
pub fn on_create(new: &dyn DynObject) -> Vec<String> {
    let mut warnings = Vec::new();
    kinds::create(&mut warnings, new.as_any());
    warnings
}

/// Warnings about a change; empty: none.
pub fn on_update(new: &dyn DynObject, old: &dyn DynObject) -> Vec<String> {
    let mut warnings = Vec::new();
    kinds::update(&mut warnings, new.as_any(), old.as_any());
    warnings
}

/// What every request for a deprecated API is told, whatever comes of it.
pub fn deprecated_api(kind: &KindInfo) -> Option<String> {
    let (since, instead) = match (kind.group, kind.version, kind.kind) {
        ("", "v1", "ComponentStatus") => ("v1.19+", ""),
        ("", "v1", "Endpoints") => ("v1.33+", "; use discovery.k8s.io/v1 EndpointSlice"),
        _ => return None,
    };
    Some(format!("{} {} is deprecated in {since}{instead}", kind.api_version, kind.kind))
}

/// Removes owners that are named twice in the same words, and says which.
pub fn repeated_owners(meta: &mut ObjectMeta) -> Option<String> {
    let mut twice: Vec<String> = Vec::new();
    let mut once = Vec::with_capacity(meta.owner_references.len());
    for owner in std::mem::take(&mut meta.owner_references) {
        if !once.contains(&owner) {
            once.push(owner);
        } else if !twice.contains(&owner.uid) {
            twice.push(owner.uid);
        }
    }
    meta.owner_references = once;
    (!twice.is_empty()).then(|| {
        format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may \
             reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            twice.join(", ")
        )
    })
}

#[cfg(test)]
mod tests;
