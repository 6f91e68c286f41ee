//! Validation of metadata.

use proto::dynamic::DynObject;
use proto::meta::v1::{ObjectMeta, OwnerReference};

use super::check::{Errors, labels, not_negative, shape};
use super::{FieldError, Path};
use crate::{name, resource};

const ROOT: Path<'static> = Path::root("metadata");
/// All keys and values together.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
/// Finalizers that need no domain before them.
const PLAIN_FINALIZERS: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];

/// Metadata of a new object of a built-in kind.
pub fn create(errors: &mut Errors, object: &dyn DynObject) {
    let meta = object.metadata();
    let info = object.info();
    let rule = name_rule(info.kind);
    if !meta.generate_name.is_empty() {
        shape(errors, ROOT.child("generateName"), &masked(&meta.generate_name), rule);
    }
    if meta.name.is_empty() {
        errors.push(FieldError::required(ROOT.child("name"), "name or generateName is required"));
    } else {
        shape(errors, ROOT.child("name"), &meta.name, rule);
    }
    let row = resource::by_kind(info.group, info.version, info.kind);
    if let Some(row) = row {
        namespace(errors, meta, row.namespaced);
    }
    not_negative(errors, ROOT.child("generation"), meta.generation);
    common(errors, meta);
    finalizers(errors, meta);
}

fn namespace(errors: &mut Errors, meta: &ObjectMeta, namespaced: bool) {
    let path = ROOT.child("namespace");
    match (namespaced, meta.namespace.as_str()) {
        (true, "") => errors.push(FieldError::required(path, "")),
        (true, text) => shape(errors, path, text, name::dns_label),
        (false, "") => {}
        (false, _) => errors.push(FieldError::forbidden(path, "not allowed on this type")),
    }
}

fn common(errors: &mut Errors, meta: &ObjectMeta) {
    labels(errors, ROOT.child("labels"), &meta.labels);
    annotations(errors, ROOT.child("annotations"), meta);
    owners(errors, &meta.owner_references);
}

/// Labels and annotations of a pod template.
pub fn template(errors: &mut Errors, path: Path<'_>, meta: &ObjectMeta) {
    labels(errors, path.child("labels"), &meta.labels);
    annotations(errors, path.child("annotations"), meta);
}

/// Metadata of a template of claims: labels and annotations, nothing else.
pub fn of_template(errors: &mut Errors, path: Path<'_>, meta: &ObjectMeta) {
    template(errors, path, meta);
    for (field, set) in [
        ("name", !meta.name.is_empty()),
        ("generateName", !meta.generate_name.is_empty()),
        ("namespace", !meta.namespace.is_empty()),
        ("uID", !meta.uid.is_empty()),
        ("resourceVersion", !meta.resource_version.is_empty()),
        ("generation", meta.generation != 0),
        ("deletionTimestamp", meta.deletion_timestamp.is_some()),
        ("deletionGracePeriodSeconds", meta.deletion_grace_period_seconds.is_some()),
        ("ownerReferences", !meta.owner_references.is_empty()),
        ("finalizers", !meta.finalizers.is_empty()),
        ("managedFields", !meta.managed_fields.is_empty()),
    ] {
        if set {
            errors.push(FieldError::forbidden(path.child(field), "cannot be set"));
        }
    }
}

/// Metadata of an object within another one.
pub fn embedded(errors: &mut Errors, path: Path<'_>, meta: &ObjectMeta) {
    if !meta.name.is_empty() {
        shape(errors, path.child("name"), &meta.name, name::path_segment);
    }
    if !meta.namespace.is_empty() {
        shape(errors, path.child("namespace"), &meta.namespace, name::dns_label);
    }
    template(errors, path, meta);
}

/// Metadata of a changed object.
pub fn update(errors: &mut Errors, new: &ObjectMeta, old: &ObjectMeta) {
    if old.deletion_timestamp.is_some() {
        let added: Vec<&String> = new.finalizers.iter().filter(|name| !old.finalizers.contains(name)).collect();
        if !added.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
            );
            errors.push(FieldError::forbidden(ROOT.child("finalizers"), why));
        }
    }
    if new.generation < old.generation {
        errors.push(FieldError::invalid(ROOT.child("generation"), new.generation, "must not be decremented"));
    }
    let mut fixed = |name, same: bool, shown: String| {
        if !same {
            errors.push(FieldError::invalid(ROOT.child(name), shown.as_str(), "field is immutable"));
        }
    };
    let time = |time: &Option<proto::time::Time>| time.map(|time| time.to_string()).unwrap_or_default();
    fixed("name", new.name == old.name, new.name.clone());
    fixed("namespace", new.namespace == old.namespace, new.namespace.clone());
    fixed("uid", new.uid == old.uid, new.uid.clone());
    fixed("creationTimestamp", new.creation_timestamp == old.creation_timestamp, new.creation_timestamp.to_string());
    fixed("deletionTimestamp", new.deletion_timestamp == old.deletion_timestamp, time(&new.deletion_timestamp));
    fixed(
        "deletionGracePeriodSeconds",
        new.deletion_grace_period_seconds == old.deletion_grace_period_seconds,
        new.deletion_grace_period_seconds.unwrap_or_default().to_string(),
    );
    common(errors, new);
    // A name that was let in before is not held against the object now.
    if new.finalizers != old.finalizers {
        finalizers(errors, new);
    }
}

fn annotations(errors: &mut Errors, path: Path<'_>, meta: &ObjectMeta) {
    let mut size = 0;
    for (key, value) in &meta.annotations {
        for why in name::qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(path, key, why));
        }
        size += key.len() + value.len();
    }
    if size > ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long(path, ANNOTATIONS_BYTES_MAX));
    }
}

fn owners(errors: &mut Errors, owners: &[OwnerReference]) {
    let path = ROOT.child("ownerReferences");
    for owner in owners {
        let version = match owner.api_version.split('/').collect::<Vec<_>>().as_slice() {
            [version] => *version,
            [group, version] if !group.is_empty() => *version,
            _ => "",
        };
        let empty = "must not be empty";
        if version.is_empty() {
            let why = "version must not be empty";
            errors.push(FieldError::invalid(path.child("apiVersion"), &owner.api_version, why));
        }
        for (field, text) in [("kind", &owner.kind), ("name", &owner.name), ("uid", &owner.uid)] {
            if text.is_empty() {
                errors.push(FieldError::invalid(path.child(field), text, empty));
            }
        }
        if owner.api_version == "v1" && owner.kind == "Event" {
            errors.push(FieldError::invalid(path, &owner.name, "/v1, Kind=Event is disallowed from being an owner"));
        }
    }
    let controllers: Vec<&str> =
        owners.iter().filter(|owner| owner.controller == Some(true)).map(|owner| owner.name.as_str()).collect();
    if controllers.len() > 1 {
        let why = format!("Only one reference can have Controller set to true. Found {controllers:?}");
        errors.push(FieldError::invalid(path, controllers[1], why));
    }
}

fn finalizers(errors: &mut Errors, meta: &ObjectMeta) {
    let path = ROOT.child("finalizers");
    for (index, finalizer) in meta.finalizers.iter().enumerate() {
        shape(errors, path, finalizer, name::qualified_name);
        plain_finalizer(errors, path.index(index), finalizer);
    }
    let both = |name: &str| meta.finalizers.iter().any(|finalizer| finalizer == name);
    if both("orphan") && both("foregroundDeletion") {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(path, "orphan", why));
    }
}

/// A finalizer without a domain must be one that everybody knows.
pub fn plain_finalizer(errors: &mut Errors, path: Path<'_>, finalizer: &str) {
    if !finalizer.contains('/') && !PLAIN_FINALIZERS.contains(&finalizer) {
        let why = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(FieldError::invalid(path, finalizer, why));
    }
}

fn name_rule(kind: &str) -> fn(&str) -> Vec<String> {
    match kind {
        "Namespace" | "Service" | "StatefulSet" => name::dns_label,
        // Names of these are judged by rules of their own, or not at all.
        "Event" | "IPAddress" | "APIService" | "CertificateSigningRequest" | "CSIDriver" | "PodDisruptionBudget" => {
            name::path_segment
        }
        // A role may be called as its holder is, whatever that is.
        "ClusterRole" | "ClusterRoleBinding" | "Role" | "RoleBinding" => name::path_segment,
        _ => name::dns_subdomain,
    }
}

/// A generated name goes on after its last dash.
fn masked(base: &str) -> String {
    match base.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => format!("{rest}a"),
        _ => base.to_owned(),
    }
}
