//! What a deletion is answered with.

/// Kinds whose deletion is answered with the object, as it was or as it ends, as upstream; the others' with a Status where the
/// object is gone.
const WITH_OBJECT: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "PersistentVolume",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ResourceQuota",
            "Service",
            "ServiceAccount",
        ],
    ),
    ("resource.k8s.io", &["DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"]),
    ("storage.k8s.io", &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"]),
];

/// Whether the deletion of an object of this kind is answered with the object.
pub fn is_answered_with_object(group: &str, kind: &str) -> bool {
    WITH_OBJECT.iter().any(|(named, kinds)| *named == group && kinds.contains(&kind))
}
