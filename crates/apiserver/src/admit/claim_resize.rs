//! PersistentVolumeClaimResize: a claim grows only where its class can make volumes grow.

use proto::core::v1::PersistentVolumeClaim;
use proto::dynamic::DynObject;
use proto::storage::v1::StorageClass;

use super::View;
use crate::registry::Resource;
use crate::status::Result;

/// Refuses a claim that grows and cannot.
pub fn admit(resource: &Resource, new: &dyn DynObject, old: &dyn DynObject, view: &impl View) -> Result<()> {
    let (Some(new), Some(old)) =
        (new.downcast_ref::<PersistentVolumeClaim>(), old.downcast_ref::<PersistentVolumeClaim>())
    else {
        return Ok(());
    };
    let size = |claim: &PersistentVolumeClaim| api::quantity::amount(&claim.spec.resources.requests, "storage");
    if size(new) <= size(old) {
        return Ok(());
    }
    let refuse = |why: &str| Err(resource.forbidden(&new.metadata.name, why));
    if old.status.phase != "Bound" {
        return refuse("Only bound persistent volume claims can be expanded");
    }
    let class = new.spec.storage_class_name.as_deref().unwrap_or_default();
    let grows = view.named::<StorageClass>("", class).is_some_and(|class| class.allow_volume_expansion == Some(true));
    if grows {
        return Ok(());
    }
    refuse(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    )
}
