//! Volumes of pods whose kind is going, or gone.

#![allow(deprecated, reason = "what is deprecated is warned of")]

use proto::core::v1::Volume;

use super::{Warnings, storage, volume_paths};
use crate::validate::Path;

/// The volumes at `path`.
pub fn all(warnings: &mut Warnings, path: Path<'_>, volumes: &[Volume]) {
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        let source = &volume.volume_source;
        let kinds = [
            (source.photon_persistent_disk.is_some(), "photonPersistentDisk", storage::PHOTON),
            (source.git_repo.is_some(), "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
            (source.scale_io.is_some(), "scaleIO", storage::SCALE_IO),
            (source.flocker.is_some(), "flocker", storage::FLOCKER),
            (source.storageos.is_some(), "storageOS", storage::FLOCKER),
            (source.quobyte.is_some(), "quobyte", storage::FLOCKER),
            (source.glusterfs.is_some(), "glusterfs", storage::GLUSTERFS),
            (source.cephfs.is_some(), "cephfs", storage::CEPH),
            (source.rbd.is_some(), "rbd", storage::CEPH),
        ];
        storage::fading(warnings, path, &kinds);
        if let Some(template) = source.ephemeral.as_ref().and_then(|ephemeral| ephemeral.volume_claim_template.as_ref())
        {
            let path = path.child("ephemeral");
            let path = path.child("volumeClaimTemplate");
            storage::claim_spec(warnings, path.child("spec"), &template.spec);
        }
        volume_paths::volume(warnings, volume);
    }
}
