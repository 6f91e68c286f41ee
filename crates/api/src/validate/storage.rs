//! Validation of PersistentVolumes and PersistentVolumeClaims.

use proto::Quantity;
use proto::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeSpec, VolumeNodeAffinity,
};

use super::check::{Errors, label_selector, no_back_steps, one_of, required, shape};
use super::{FieldError, Path, scheduling, volume, volume_vendor};
use crate::name;
use crate::quantity::{Amount, ResourceList};

const SPEC: Path<'static> = Path::root("spec");
const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];

pub fn volume(errors: &mut Errors, volume: &PersistentVolume) {
    let spec = &volume.spec;
    if spec.access_modes.is_empty() {
        errors.push(FieldError::required(SPEC.child("accessModes"), ""));
    }
    modes(errors, SPEC.child("accessModes"), &spec.access_modes);
    let capacity = SPEC.child("capacity");
    if spec.capacity.is_empty() {
        errors.push(FieldError::required(capacity, ""));
    }
    if !spec.capacity.contains_key("storage") || spec.capacity.len() > 1 {
        let first = spec.capacity.keys().find(|name| name.as_str() != "storage").map_or("", String::as_str);
        errors.push(FieldError::not_supported(capacity, first, &["storage"]));
    }
    for (name, quantity) in &spec.capacity {
        basic(errors, capacity.key(name), quantity);
        above_zero(errors, capacity.key(name), quantity);
    }
    one_of(
        errors,
        SPEC.child("persistentVolumeReclaimPolicy"),
        &spec.persistent_volume_reclaim_policy,
        &["Delete", "Recycle", "Retain"],
    );
    if let Some(affinity) = &spec.node_affinity {
        let path = SPEC.child("nodeAffinity");
        match &affinity.required {
            Some(selector) => scheduling::node_selector(errors, path.child("required"), selector),
            None => errors.push(FieldError::required(path.child("required"), "must specify required node constraints")),
        }
    }
    source(errors, spec, &volume.metadata.name);
    if !spec.storage_class_name.is_empty() {
        shape(errors, SPEC.child("storageClassName"), &spec.storage_class_name, name::dns_subdomain);
    }
    if let Some(mode) = &spec.volume_mode {
        one_of(errors, SPEC.child("volumeMode"), mode, VOLUME_MODES);
    }
    if let Some(class) = &spec.volume_attributes_class_name {
        let path = SPEC.child("volumeAttributesClassName");
        if class.is_empty() {
            errors.push(FieldError::required(path, "an empty string is disallowed"));
        } else {
            shape(errors, path, class, name::dns_subdomain);
        }
        if spec.persistent_volume_source.csi.is_none() {
            let why = "has to be specified when using volumeAttributesClassName";
            errors.push(FieldError::required(SPEC.child("csi"), why));
        }
    }
}

fn basic(errors: &mut Errors, path: Path<'_>, quantity: &Quantity) {
    if quantity.amount().is_negative() {
        errors.push(FieldError::invalid(path, quantity.amount().value(), "must be a valid resource quantity"));
    }
}

fn above_zero(errors: &mut Errors, path: Path<'_>, quantity: &Quantity) {
    if quantity.amount().is_zero() || quantity.amount().is_negative() {
        errors.push(FieldError::invalid(path, quantity, "must be greater than zero"));
    }
}

/// A volume that is described where it is used: it comes from a driver, and says how.
pub fn inline(errors: &mut Errors, path: Path<'_>, spec: &PersistentVolumeSpec) {
    if spec.access_modes.is_empty() {
        errors.push(FieldError::required(path.child("accessModes"), ""));
    }
    modes(errors, path.child("accessModes"), &spec.access_modes);
    let why = "may not be specified in the context of inline volumes";
    if !spec.capacity.is_empty() {
        errors.push(FieldError::forbidden(path.child("capacity"), why));
    }
    if spec.node_affinity.is_some() {
        errors.push(FieldError::forbidden(path.child("nodeAffinity"), why));
    }
    if spec.persistent_volume_source.csi.is_none() {
        errors.push(FieldError::required(path.child("csi"), "has to be specified in the context of inline volumes"));
    }
    if !matches!(spec.persistent_volume_reclaim_policy.as_str(), "" | "Retain") {
        let why = "may only be Retain in the context of inline volumes";
        errors.push(FieldError::forbidden(path.child("persistentVolumeReclaimPolicy"), why));
    }
    if spec.volume_mode.as_deref().is_some_and(|mode| mode != "Filesystem") {
        let why = "may not specify volumeMode other than Filesystem in the context of inline volumes";
        errors.push(FieldError::forbidden(path.child("volumeMode"), why));
    }
    volume::only_source(errors, path, &spec.persistent_volume_source, volume::VOLUME_SOURCES);
    if !spec.storage_class_name.is_empty() {
        errors.push(FieldError::forbidden(path.child("storageClassName"), why));
    }
    if spec.claim_ref.is_some() {
        errors.push(FieldError::forbidden(path.child("claimRef"), why));
    }
}

fn source(errors: &mut Errors, spec: &PersistentVolumeSpec, name: &str) {
    let source = &spec.persistent_volume_source;
    match volume::only_source(errors, SPEC, source, volume::VOLUME_SOURCES) {
        Some("hostPath") => {
            volume::each(&source.host_path, |host| volume::host_path(errors, SPEC.child("hostPath"), host))
        }
        Some("nfs") => volume::each(&source.nfs, |nfs| volume::nfs(errors, SPEC.child("nfs"), nfs)),
        Some("local") => volume::each(&source.local, |local| {
            let path = SPEC.child("local");
            required(errors, path.child("path"), &local.path);
            no_back_steps(errors, path.child("path"), &local.path);
            if spec.node_affinity.is_none() {
                errors.push(FieldError::required(SPEC.child("nodeAffinity"), "Local volume requires node affinity"));
            }
        }),
        Some(kind) => volume_vendor::in_volume(errors, SPEC, kind, source, name),
        None => {}
    }
    let is_root = |path: &str| path.split('/').all(|part| matches!(part, "" | ".")) && path.starts_with('/');
    if source.host_path.as_ref().is_some_and(|host| is_root(&host.path))
        && spec.persistent_volume_reclaim_policy == "Recycle"
    {
        let why = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(SPEC.child("persistentVolumeReclaimPolicy"), why));
    }
}

fn modes(errors: &mut Errors, path: Path<'_>, modes: &[String]) {
    for mode in modes {
        one_of(errors, path, mode, ACCESS_MODES);
    }
    let once = |mode: &&String| mode.as_str() == "ReadWriteOncePod";
    let others = modes.iter().filter(|mode| ACCESS_MODES.contains(&mode.as_str()) && !once(mode));
    if modes.iter().any(|mode| once(&mode)) && others.count() > 0 {
        let why = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(path, why));
    }
}

/// Old names of labels, and those that took their places.
const RENAMED_LABELS: &[(&str, &str)] = &[
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
];

/// The affinity as it is after labels changed from their old names to those of `new`.
fn renamed(old: &VolumeNodeAffinity, new: Option<&VolumeNodeAffinity>) -> VolumeNodeAffinity {
    let mut old = old.clone();
    let terms = old.required.iter_mut().flat_map(|selector| &mut selector.node_selector_terms);
    let wanted = new.iter().flat_map(|new| &new.required).flat_map(|selector| &selector.node_selector_terms);
    for (term, wanted) in terms.zip(wanted) {
        for (expression, wanted) in term.match_expressions.iter_mut().zip(&wanted.match_expressions) {
            if RENAMED_LABELS.contains(&(expression.key.as_str(), wanted.key.as_str())) {
                expression.key.clone_from(&wanted.key);
            }
        }
    }
    old
}

pub fn volume_update(errors: &mut Errors, new: &PersistentVolume, old: &PersistentVolume) {
    volume(errors, new);
    let mut source = new.spec.persistent_volume_source.clone();
    // A secret for growing the volume may be named later, once.
    if let (Some(csi), Some(old)) = (&mut source.csi, &old.spec.persistent_volume_source.csi)
        && old.controller_expand_secret_ref.is_none()
    {
        csi.controller_expand_secret_ref = None;
    }
    if source != old.spec.persistent_volume_source {
        let why = "spec.persistentvolumesource is immutable after creation";
        errors.push(FieldError::forbidden(SPEC.child("persistentvolumesource"), why));
    }
    // Upstream names these two without `spec`.
    if new.spec.volume_mode != old.spec.volume_mode {
        let mode = new.spec.volume_mode.as_deref().unwrap_or_default();
        errors.push(FieldError::invalid(Path::root("volumeMode"), mode, "field is immutable"));
    }
    if let Some(affinity) = &old.spec.node_affinity
        && new.spec.node_affinity.as_ref() != Some(&renamed(affinity, new.spec.node_affinity.as_ref()))
    {
        let why = "field is immutable, except for updating from beta label to GA";
        errors.push(FieldError::invalid(Path::root("nodeAffinity"), "", why));
    }
    if old.spec.volume_attributes_class_name.is_some() && new.spec.volume_attributes_class_name.is_none() {
        let why = "update from non-nil value to nil is forbidden";
        errors.push(FieldError::forbidden(SPEC.child("volumeAttributesClassName"), why));
    }
}

pub fn claim(errors: &mut Errors, claim: &PersistentVolumeClaim) {
    claim_spec(errors, SPEC, &claim.spec);
}

pub fn claim_spec(errors: &mut Errors, path: Path<'_>, spec: &PersistentVolumeClaimSpec) {
    if spec.access_modes.is_empty() {
        errors.push(FieldError::required(path.child("accessModes"), "at least 1 access mode is required"));
    }
    modes(errors, path.child("accessModes"), &spec.access_modes);
    if let Some(selector) = &spec.selector {
        label_selector(errors, path.child("selector"), selector);
    }
    let resources = path.child("resources");
    match spec.resources.requests.get("storage") {
        None => errors.push(FieldError::required(resources.key("storage"), "")),
        Some(storage) => above_zero(errors, resources.key("storage"), storage),
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
    if let (Some(source), Some(reference)) = (&spec.data_source, &spec.data_source_ref)
        && (&source.api_group, &source.kind, &source.name) != (&reference.api_group, &reference.kind, &reference.name)
    {
        errors.push(FieldError::invalid(path, "dataSource", "must match dataSourceRef"));
    }
    if let Some(class) = spec.volume_attributes_class_name.as_deref().filter(|class| !class.is_empty()) {
        shape(errors, path.child("volumeAttributesClassName"), class, name::dns_subdomain);
    }
}

fn data_source(errors: &mut Errors, path: Path<'_>, group: &str, kind: &str, name: &str) {
    required(errors, path.child("name"), name);
    required(errors, path.child("kind"), kind);
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(FieldError::invalid(path, kind, why));
    }
    if !group.is_empty() {
        shape(errors, path.child("apiGroup"), group, name::dns_subdomain);
    }
}

/// The class by the annotation that was used before the field.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

pub fn claim_update(errors: &mut Errors, new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) {
    claim_spec(errors, SPEC, &new.spec);
    let bound = new.status.phase == "Bound";
    let mut spec = new.spec.clone();
    // Binding sets the volume once; a bound claim may ask for more space.
    if old.spec.volume_name.is_empty() {
        spec.volume_name.clear();
    }
    storage_class(errors, &mut spec, new, old);
    if bound {
        if spec.volume_attributes_class_name.is_some() {
            spec.volume_attributes_class_name.clone_from(&old.spec.volume_attributes_class_name);
        }
        if let Some(storage) = old.spec.resources.requests.get("storage") {
            spec.resources.requests.insert("storage".to_owned(), storage.clone());
        }
    }
    if spec != old.spec {
        let why =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden(SPEC, why));
    }
    let amount = |list: &ResourceList| list.get("storage").map_or(Amount::ZERO, Quantity::amount);
    let (asked, before) = (amount(&new.spec.resources.requests), amount(&old.spec.resources.requests));
    if asked < before && asked <= amount(&old.status.capacity) {
        let why = "field can not be less than status.capacity";
        errors.push(FieldError::forbidden("spec.resources.requests.storage", why));
    }
    if new.spec.volume_mode != old.spec.volume_mode {
        let mode = new.spec.volume_mode.as_deref().unwrap_or_default();
        errors.push(FieldError::invalid(Path::root("volumeMode"), mode, "field is immutable"));
    }
    let why = match (&old.spec.volume_attributes_class_name, new.spec.volume_attributes_class_name.as_deref()) {
        (Some(_), None) => "update from non-nil value to nil is forbidden",
        (Some(old), Some("")) if !old.is_empty() => "update from non-nil value to an empty string is forbidden",
        _ => return,
    };
    errors.push(FieldError::forbidden(SPEC.child("volumeAttributesClassName"), why));
}

/// The class may be named once, as the annotation had it where there is one; the annotation itself stays.
fn storage_class(
    errors: &mut Errors,
    spec: &mut PersistentVolumeClaimSpec,
    new: &PersistentVolumeClaim,
    old: &PersistentVolumeClaim,
) {
    let annotated = |claim: &PersistentVolumeClaim| claim.metadata.annotations.get(CLASS_ANNOTATION).cloned();
    let (now, before) = (annotated(new), annotated(old));
    let first = old.spec.storage_class_name.is_none() && new.spec.storage_class_name.is_some();
    let as_annotated = before.is_none() || before == new.spec.storage_class_name;
    if first && as_annotated {
        spec.storage_class_name = None;
    }
    let moved = first && before.is_some() && as_annotated && (now.is_none() || now == before);
    if !moved && now.as_deref().unwrap_or_default() != before.as_deref().unwrap_or_default() {
        let path = Path::root("metadata");
        let path = path.child("annotations");
        let shown = now.unwrap_or_default();
        errors.push(FieldError::invalid(path.child(CLASS_ANNOTATION), &shown, "field is immutable"));
    }
}
