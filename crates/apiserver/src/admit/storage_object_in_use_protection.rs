//! StorageObjectInUseProtection: volumes and claims are not removed while something uses them.

use proto::core::v1::{PersistentVolume, PersistentVolumeClaim};
use proto::dynamic::DynObject;

const CLAIM: &str = "kubernetes.io/pvc-protection";
const VOLUME: &str = "kubernetes.io/pv-protection";

/// Adds the finalizer that the protection controller removes.
pub fn admit(object: &mut dyn DynObject) {
    let finalizer = if object.downcast_ref::<PersistentVolumeClaim>().is_some() {
        CLAIM
    } else if object.downcast_ref::<PersistentVolume>().is_some() {
        VOLUME
    } else {
        return;
    };
    let finalizers = &mut object.metadata_mut().finalizers;
    if !finalizers.iter().any(|name| name == finalizer) {
        finalizers.push(finalizer.to_owned());
    }
}
