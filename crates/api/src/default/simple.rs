//! Defaults of kinds that have only a few.

use proto::core::v1::{
    Namespace, Node, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, Secret,
    TypedLocalObjectReference, TypedObjectReference,
};
use proto::scheduling::v1::PriorityClass;

use super::pod::volume_mode;
use super::shared::{point, set};

/// The label by which selectors find a namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub fn namespace(namespace: &mut Namespace) {
    if !namespace.metadata.name.is_empty() {
        namespace.metadata.labels.insert(NAME_LABEL.to_owned(), namespace.metadata.name.clone());
    }
    set(&mut namespace.status.phase, "Active");
}

/// All that a node has may be given away, unless it says less.
pub fn node(node: &mut Node) {
    if node.status.allocatable.is_empty() {
        node.status.allocatable = node.status.capacity.clone();
    }
}

/// Plain text moves among the data; what is stored and served has data only.
pub fn secret(secret: &mut Secret) {
    set(&mut secret.r#type, "Opaque");
    for (key, text) in std::mem::take(&mut secret.string_data) {
        secret.data.insert(key, text.into_bytes());
    }
}

pub fn persistent_volume(volume: &mut PersistentVolume) {
    set(&mut volume.status.phase, "Pending");
    set(&mut volume.spec.persistent_volume_reclaim_policy, "Retain");
    volume_mode(&mut volume.spec.volume_mode);
}

pub fn persistent_volume_claim(claim: &mut PersistentVolumeClaim) {
    set(&mut claim.status.phase, "Pending");
    volume_mode(&mut claim.spec.volume_mode);
}

/// The two names of a claim's source say the same: what the older one cannot name is dropped from it, and each is
/// filled from the other. Done when a claim is made, not when it is read.
pub fn claim_sources(spec: &mut PersistentVolumeClaimSpec) {
    if let Some(source) = &spec.data_source {
        let group = source.api_group.as_deref().unwrap_or_default();
        let known = matches!(
            (group, source.kind.as_str()),
            ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
        );
        if !known {
            spec.data_source = None;
        }
    }
    match (&spec.data_source, &spec.data_source_ref) {
        (Some(source), None) => {
            spec.data_source_ref = Some(TypedObjectReference {
                api_group: source.api_group.clone(),
                kind: source.kind.clone(),
                name: source.name.clone(),
                namespace: None,
            });
        }
        (None, Some(source)) if source.namespace.as_deref().unwrap_or_default().is_empty() => {
            spec.data_source = Some(TypedLocalObjectReference {
                api_group: source.api_group.clone(),
                kind: source.kind.clone(),
                name: source.name.clone(),
            });
        }
        _ => {}
    }
}

pub fn priority_class(class: &mut PriorityClass) {
    point(&mut class.preemption_policy, "PreemptLowerPriority");
}
