//! Volumes, claims to them, and classes of storage.

#![allow(deprecated, reason = "what is deprecated is warned of")]

use proto::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec};
use proto::meta::v1::ObjectMeta;
use proto::storage::v1::{CsiStorageCapacity, StorageClass};

use super::{METADATA, SPEC, Warnings, container, node_labels};
use crate::validate::Path;

pub const PHOTON: &str = "deprecated in v1.11, non-functional in v1.16+";
pub const SCALE_IO: &str = "deprecated in v1.16, non-functional in v1.22+";
pub const FLOCKER: &str = "deprecated in v1.22, non-functional in v1.25+";
pub const GLUSTERFS: &str = "deprecated in v1.25, non-functional in v1.26+";
pub const CEPH: &str = "deprecated in v1.28, non-functional in v1.31+";

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const OPTIONS_ANNOTATION: &str = "volume.beta.kubernetes.io/mount-options";

/// Fields that are set, and what is said of their kind of volume.
pub fn fading(warnings: &mut Warnings, path: Path<'_>, kinds: &[(bool, &str, &str)]) {
    for (_, field, why) in kinds.iter().filter(|(set, ..)| *set) {
        warnings.push(format!("{}: {why}", path.child(field)));
    }
}

fn annotation(warnings: &mut Warnings, meta: &ObjectMeta, key: &str, since: &str, field: &str) {
    if meta.annotations.contains_key(key) {
        let path = METADATA.child("annotations");
        warnings.push(format!("{}: deprecated since {since}; use \"{field}\" attribute instead", path.key(key)));
    }
}

/// A volume.
pub fn volume(warnings: &mut Warnings, new: &PersistentVolume, _: Option<&PersistentVolume>) {
    let path = SPEC.child("nodeAffinity");
    let path = path.child("required");
    let path = path.child("nodeSelectorTerms");
    let required = new.spec.node_affinity.iter().flat_map(|affinity| &affinity.required);
    for (index, term) in required.flat_map(|selector| &selector.node_selector_terms).enumerate() {
        node_labels::term(warnings, path.index(index), term);
    }
    annotation(warnings, &new.metadata, CLASS_ANNOTATION, "v1.8", "storageClassName");
    annotation(warnings, &new.metadata, OPTIONS_ANNOTATION, "v1.31", "mountOptions");
    if new.spec.persistent_volume_reclaim_policy == "Recycle" {
        let path = SPEC.child("persistentVolumeReclaimPolicy");
        warnings.push(format!(
            "{path}: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic \
             provisioning."
        ));
    }
    let source = &new.spec.persistent_volume_source;
    let kinds = [
        (source.cephfs.is_some(), "cephfs", CEPH),
        (source.photon_persistent_disk.is_some(), "photonPersistentDisk", PHOTON),
        (source.scale_io.is_some(), "scaleIO", SCALE_IO),
        (source.storageos.is_some(), "storageOS", FLOCKER),
        (source.glusterfs.is_some(), "glusterfs", GLUSTERFS),
        (source.rbd.is_some(), "rbd", CEPH),
    ];
    fading(warnings, SPEC, &kinds);
}

/// A claim.
pub fn claim(warnings: &mut Warnings, new: &PersistentVolumeClaim, _: Option<&PersistentVolumeClaim>) {
    annotation(warnings, &new.metadata, CLASS_ANNOTATION, "v1.8", "storageClassName");
    claim_spec(warnings, SPEC, &new.spec);
}

/// What a claim, or a template of claims, asks for.
pub fn claim_spec(warnings: &mut Warnings, path: Path<'_>, spec: &PersistentVolumeClaimSpec) {
    let path = path.child("resources");
    container::whole_bytes(warnings, path.child("requests"), "storage", &spec.resources.requests);
    container::whole_bytes(warnings, path.child("limits"), "storage", &spec.resources.limits);
}

/// A class.
pub fn class(warnings: &mut Warnings, new: &StorageClass, _: Option<&StorageClass>) {
    const TOPOLOGIES: Path<'static> = Path::root("allowedTopologies");
    for (index, term) in new.allowed_topologies.iter().enumerate() {
        let path = TOPOLOGIES.index(index);
        let path = path.child("matchLabelExpressions");
        for (index, expression) in term.match_label_expressions.iter().enumerate() {
            node_labels::named(warnings, path.index(index).child("key"), &expression.key);
        }
    }
}

/// How much there is where.
pub fn capacity(warnings: &mut Warnings, new: &CsiStorageCapacity, _: Option<&CsiStorageCapacity>) {
    if let Some(topology) = &new.node_topology {
        node_labels::selector(warnings, Path::root("nodeTopology"), topology);
    }
}
