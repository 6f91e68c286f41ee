//! Validation of PersistentVolumes and PersistentVolumeClaims.

use proto::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeSpec};

use super::check::{Errors, label_selector, one_of, positive, required, shape};
use super::{FieldError, Path, resources, scheduling, volume, volume_vendor};
use crate::name;

const SPEC: Path<'static> = Path::root("spec");
const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];

pub fn volume(errors: &mut Errors, volume: &PersistentVolume) {
    volume_spec(errors, &volume.spec);
}

fn volume_spec(errors: &mut Errors, spec: &PersistentVolumeSpec) {
    access_modes(errors, &spec.access_modes);
    let capacity = SPEC.child("capacity");
    if spec.capacity.is_empty() {
        errors.push(FieldError::required(capacity, ""));
    } else if !spec.capacity.contains_key("storage") || spec.capacity.len() > 1 {
        let first = spec.capacity.keys().find(|name| name.as_str() != "storage").map_or("", String::as_str);
        errors.push(FieldError::not_supported(capacity, first, &["storage"]));
    }
    for (name, quantity) in &spec.capacity {
        resources::amount(errors, capacity.key(name), name, quantity);
        if quantity.amount().is_zero() {
            errors.push(FieldError::invalid(capacity.key(name), quantity, "must be greater than zero"));
        }
    }
    one_of(
        errors,
        SPEC.child("persistentVolumeReclaimPolicy"),
        &spec.persistent_volume_reclaim_policy,
        &["Delete", "Recycle", "Retain"],
    );
    if let Some(selector) = spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref()) {
        scheduling::node_selector(errors, SPEC.child("nodeAffinity").child("required"), selector);
    }
    source(errors, spec);
    if !spec.storage_class_name.is_empty() {
        shape(errors, SPEC.child("storageClassName"), &spec.storage_class_name, name::dns_subdomain);
    }
    if let Some(mode) = &spec.volume_mode {
        one_of(errors, SPEC.child("volumeMode"), mode, VOLUME_MODES);
    }
}

/// A volume that is described where it is used: it comes from a driver, and says how.
pub fn inline(errors: &mut Errors, path: Path<'_>, spec: &PersistentVolumeSpec) {
    modes_at(errors, path.child("accessModes"), &spec.access_modes);
    volume::only_source(errors, path, &spec.persistent_volume_source);
    if !spec.storage_class_name.is_empty() {
        let why = "may not be specified in the context of inline volumes";
        errors.push(FieldError::forbidden(path.child("storageClassName"), why));
    }
    if spec.claim_ref.is_some() {
        let why = "may not be specified in the context of inline volumes";
        errors.push(FieldError::forbidden(path.child("claimRef"), why));
    }
}

fn source(errors: &mut Errors, spec: &PersistentVolumeSpec) {
    let source = &spec.persistent_volume_source;
    volume::only_source(errors, SPEC, source);
    if let Some(host) = &source.host_path {
        volume::host_path(errors, SPEC.child("hostPath"), host);
        if host.path.trim_end_matches('/').is_empty() && spec.persistent_volume_reclaim_policy == "Recycle" {
            let why = "may not be 'recycle' for a hostPath mount of '/'";
            errors.push(FieldError::forbidden(SPEC.child("persistentVolumeReclaimPolicy"), why));
        }
    }
    if let Some(nfs) = &source.nfs {
        volume::nfs(errors, SPEC.child("nfs"), nfs);
    }
    if let Some(local) = &source.local {
        let path = SPEC.child("local");
        required(errors, path.child("path"), &local.path);
        if spec.node_affinity.is_none() {
            errors.push(FieldError::required(SPEC.child("nodeAffinity"), "Local volume requires node affinity"));
        }
    }
    volume_vendor::in_volume(errors, SPEC, source);
}

fn access_modes(errors: &mut Errors, modes: &[String]) {
    modes_at(errors, SPEC.child("accessModes"), modes);
}

fn modes_at(errors: &mut Errors, path: Path<'_>, modes: &[String]) {
    if modes.is_empty() {
        errors.push(FieldError::required(path, "at least 1 access mode is required"));
    }
    for mode in modes {
        one_of(errors, path, mode, ACCESS_MODES);
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        let why = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(path, why));
    }
}

pub fn volume_update(errors: &mut Errors, new: &PersistentVolume, old: &PersistentVolume) {
    volume_spec(errors, &new.spec);
    if new.spec.persistent_volume_source != old.spec.persistent_volume_source {
        let why = "spec.persistentvolumesource is immutable after creation";
        errors.push(FieldError::forbidden(SPEC.child("persistentvolumesource"), why));
    }
    if new.spec.volume_mode != old.spec.volume_mode {
        let mode = new.spec.volume_mode.as_deref().unwrap_or_default();
        errors.push(FieldError::invalid(SPEC.child("volumeMode"), mode, "field is immutable"));
    }
    if old.spec.node_affinity.is_some() && new.spec.node_affinity != old.spec.node_affinity {
        let why = "field is immutable, except for updating from beta label to GA";
        errors.push(FieldError::invalid(SPEC.child("nodeAffinity"), "", why));
    }
}

pub fn claim(errors: &mut Errors, claim: &PersistentVolumeClaim) {
    claim_spec(errors, SPEC, &claim.spec);
}

pub fn claim_spec(errors: &mut Errors, path: Path<'_>, spec: &PersistentVolumeClaimSpec) {
    modes_at(errors, path.child("accessModes"), &spec.access_modes);
    if let Some(selector) = &spec.selector {
        label_selector(errors, path.child("selector"), selector);
    }
    let resources = path.child("resources");
    match spec.resources.requests.get("storage") {
        None => errors.push(FieldError::required(resources.key("storage"), "")),
        Some(storage) => {
            resources::amount(errors, resources.key("storage"), "storage", storage);
            positive(
                errors,
                resources.key("storage"),
                storage.amount().value().max(i64::from(!storage.amount().is_zero())),
            );
        }
    }
    if let Some(class) = spec.storage_class_name.as_deref().filter(|class| !class.is_empty()) {
        shape(errors, path.child("storageClassName"), class, name::dns_subdomain);
    }
    if let Some(mode) = &spec.volume_mode {
        one_of(errors, path.child("volumeMode"), mode, VOLUME_MODES);
    }
    if let Some(source) = &spec.data_source {
        let path = path.child("dataSource");
        let group = source.api_group.as_deref().unwrap_or_default();
        data_source(errors, path, group, &source.kind, &source.name);
    }
    if let Some(source) = &spec.data_source_ref {
        let path = path.child("dataSourceRef");
        let group = source.api_group.as_deref().unwrap_or_default();
        data_source(errors, path, group, &source.kind, &source.name);
    }
}

fn data_source(errors: &mut Errors, path: Path<'_>, group: &str, kind: &str, name: &str) {
    required(errors, path.child("name"), name);
    required(errors, path.child("kind"), kind);
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        errors.push(FieldError::invalid(path, kind, ""));
    }
    if !group.is_empty() {
        shape(errors, path.child("apiGroup"), group, name::dns_subdomain);
    }
}

pub fn claim_update(errors: &mut Errors, new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) {
    claim_spec(errors, SPEC, &new.spec);
    let mut spec = new.spec.clone();
    // Binding sets the volume once; a bound claim may ask for more space.
    if old.spec.volume_name.is_empty() {
        spec.volume_name.clear();
    }
    if old.spec.storage_class_name.is_none() {
        spec.storage_class_name = None;
    }
    spec.volume_attributes_class_name.clone_from(&old.spec.volume_attributes_class_name);
    if old.status.phase == "Bound"
        && let Some(storage) = old.spec.resources.requests.get("storage")
    {
        spec.resources.requests.insert("storage".to_owned(), storage.clone());
    }
    if spec != old.spec {
        let why =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden(SPEC, why));
    }
    let amount =
        |claim: &PersistentVolumeClaim| claim.spec.resources.requests.get("storage").map(|storage| storage.amount());
    if old.status.phase == "Bound" && amount(new) < amount(old) {
        let why = "field can not be less than status.capacity";
        errors.push(FieldError::forbidden(SPEC.child("resources").child("requests").key("storage"), why));
    }
}
