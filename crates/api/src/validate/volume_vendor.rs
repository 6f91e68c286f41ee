//! Validation of volume sources that the drivers of storage vendors serve, in pods and in PersistentVolumes.
//!
//! Most of those drivers are no longer part of Kubernetes; their sources are still judged when they are written.

#![allow(deprecated, reason = "deprecated sources are judged too")]

mod sources;

use proto::core::v1::{
    AzureDiskVolumeSource, FcVolumeSource, FlockerVolumeSource, PersistentVolumeSource, QuobyteVolumeSource,
    VolumeSource,
};

use super::check::{Errors, driver_name, no_back_steps, required, shape};
use super::{FieldError, Path};
use crate::name;
use sources::{
    azure_disk, azure_file, csi_volume, fibre, flex_volume, flocker, gluster_volume, iscsi, local_secret, monitors_and,
    quobyte, scale_io, secret, shape_of_storage_os,
};

/// Sources of a pod's volume.
pub fn in_pod(errors: &mut Errors, path: Path<'_>, source: &VolumeSource) {
    if let Some(disk) = &source.gce_persistent_disk {
        sources::disk(errors, path.child("gcePersistentDisk"), ("pdName", &disk.pd_name), disk.partition);
    }
    if let Some(store) = &source.aws_elastic_block_store {
        sources::disk(errors, path.child("awsElasticBlockStore"), ("volumeID", &store.volume_id), store.partition);
    }
    if let Some(repository) = &source.git_repo {
        let path = path.child("gitRepo");
        required(errors, path.child("repository"), &repository.repository);
        super::check::local_path(errors, path.child("directory"), &repository.directory);
    }
    if let Some(target) = &source.iscsi {
        let at = path.child("iscsi");
        let chap = (target.chap_auth_discovery, target.chap_auth_session, target.secret_ref.is_some());
        let (portal, name) = (&target.target_portal, target.initiator_name.as_ref());
        iscsi(errors, at, portal, &target.iqn, target.lun, chap, name);
        if let Some(secret) = &target.secret_ref {
            local_secret(errors, at.child("secretRef"), secret);
        }
    }
    if let Some(glusterfs) = &source.glusterfs {
        let path = path.child("glusterfs");
        required(errors, path.child("endpoints"), &glusterfs.endpoints);
        required(errors, path.child("path"), &glusterfs.path);
        no_back_steps(errors, path.child("path"), &glusterfs.path);
    }
    if let Some(rbd) = &source.rbd {
        monitors_and(errors, path.child("rbd"), &rbd.monitors, Some(("image", &rbd.image)));
    }
    if let Some(ceph) = &source.cephfs {
        monitors_and(errors, path.child("cephfs"), &ceph.monitors, None);
    }
    if let Some(cinder) = &source.cinder {
        let path = path.child("cinder");
        required(errors, path.child("volumeID"), &cinder.volume_id);
        if let Some(secret) = &cinder.secret_ref {
            local_secret(errors, path.child("secretRef"), secret);
        }
    }
    if let Some(flex) = &source.flex_volume {
        flex_volume(errors, path.child("flexVolume"), &flex.driver, flex.options.keys());
    }
    if let Some(file) = &source.azure_file {
        let path = path.child("azureFile");
        required(errors, path.child("secretName"), &file.secret_name);
        required(errors, path.child("shareName"), &file.share_name);
    }
    if let Some(scale) = &source.scale_io {
        scale_io(errors, path.child("scaleIO"), &scale.gateway, &scale.system, &scale.volume_name);
        if scale.secret_ref.is_none() {
            errors.push(FieldError::required(path.child("scaleIO").child("secretRef"), ""));
        }
    }
    if let Some(os) = &source.storageos {
        let path = path.child("storageos");
        shape_of_storage_os(errors, path, &os.volume_name, &os.volume_namespace);
        if let Some(secret) = os.secret_ref.as_ref().filter(|secret| secret.name.is_empty()) {
            local_secret(errors, path.child("secretRef"), secret);
        }
    }
    if let Some(csi) = &source.csi {
        let path = path.child("csi");
        driver_name(errors, path.child("driver"), &csi.driver);
        if let Some(secret) = &csi.node_publish_secret_ref {
            let path = path.child("nodePublishSecretRef");
            if secret.name.is_empty() {
                errors.push(FieldError::required(path.child("name"), ""));
            } else {
                shape(errors, path.child("name"), &secret.name, name::dns_subdomain);
            }
        }
    }
    shared(
        errors,
        path,
        &Shared {
            fc: source.fc.as_ref(),
            flocker: source.flocker.as_ref(),
            quobyte: source.quobyte.as_ref(),
            azure_disk: source.azure_disk.as_ref(),
            photon: source.photon_persistent_disk.as_ref().map(|disk| &disk.pd_id),
            portworx: source.portworx_volume.as_ref().map(|volume| &volume.volume_id),
            vsphere: source.vsphere_volume.as_ref().map(|volume| &volume.volume_path),
        },
    );
}

/// Sources of a PersistentVolume.
pub fn in_volume(errors: &mut Errors, path: Path<'_>, source: &PersistentVolumeSource) {
    if let Some(disk) = &source.gce_persistent_disk {
        sources::disk(errors, path.child("gcePersistentDisk"), ("pdName", &disk.pd_name), disk.partition);
    }
    if let Some(store) = &source.aws_elastic_block_store {
        sources::disk(errors, path.child("awsElasticBlockStore"), ("volumeID", &store.volume_id), store.partition);
    }
    if let Some(target) = &source.iscsi {
        let at = path.child("iscsi");
        let chap = (target.chap_auth_discovery, target.chap_auth_session, target.secret_ref.is_some());
        let (portal, name) = (&target.target_portal, target.initiator_name.as_ref());
        iscsi(errors, at, portal, &target.iqn, target.lun, chap, name);
        if let Some(secret) = &target.secret_ref {
            required(errors, at.child("secretRef").child("name"), &secret.name);
        }
    }
    if let Some(glusterfs) = &source.glusterfs {
        gluster_volume(errors, path.child("glusterfs"), glusterfs);
    }
    if let Some(rbd) = &source.rbd {
        monitors_and(errors, path.child("rbd"), &rbd.monitors, Some(("image", &rbd.image)));
    }
    if let Some(ceph) = &source.cephfs {
        monitors_and(errors, path.child("cephfs"), &ceph.monitors, None);
    }
    if let Some(cinder) = &source.cinder {
        let path = path.child("cinder");
        required(errors, path.child("volumeID"), &cinder.volume_id);
        secret(errors, path.child("secretRef"), cinder.secret_ref.as_ref());
    }
    if let Some(flex) = &source.flex_volume {
        flex_volume(errors, path.child("flexVolume"), &flex.driver, flex.options.keys());
    }
    if let Some(file) = &source.azure_file {
        azure_file(errors, path.child("azureFile"), file);
    }
    if let Some(scale) = &source.scale_io {
        scale_io(errors, path.child("scaleIO"), &scale.gateway, &scale.system, &scale.volume_name);
        if scale.secret_ref.is_none() {
            errors.push(FieldError::required(path.child("scaleIO").child("secretRef"), ""));
        }
    }
    if let Some(os) = &source.storageos {
        shape_of_storage_os(errors, path.child("storageos"), &os.volume_name, &os.volume_namespace);
    }
    if let Some(csi) = &source.csi {
        csi_volume(errors, path.child("csi"), csi);
    }
    shared(
        errors,
        path,
        &Shared {
            fc: source.fc.as_ref(),
            flocker: source.flocker.as_ref(),
            quobyte: source.quobyte.as_ref(),
            azure_disk: source.azure_disk.as_ref(),
            photon: source.photon_persistent_disk.as_ref().map(|disk| &disk.pd_id),
            portworx: source.portworx_volume.as_ref().map(|volume| &volume.volume_id),
            vsphere: source.vsphere_volume.as_ref().map(|volume| &volume.volume_path),
        },
    );
}

/// Sources that are the same in pods and in volumes.
struct Shared<'a> {
    fc: Option<&'a FcVolumeSource>,
    flocker: Option<&'a FlockerVolumeSource>,
    quobyte: Option<&'a QuobyteVolumeSource>,
    azure_disk: Option<&'a AzureDiskVolumeSource>,
    photon: Option<&'a String>,
    portworx: Option<&'a String>,
    vsphere: Option<&'a String>,
}

fn shared(errors: &mut Errors, path: Path<'_>, source: &Shared<'_>) {
    for (kind, field, id) in [
        ("photonPersistentDisk", "pdID", source.photon),
        ("portworxVolume", "volumeID", source.portworx),
        ("vsphereVolume", "volumePath", source.vsphere),
    ] {
        if let Some(id) = id {
            required(errors, path.child(kind).child(field), id);
        }
    }
    if let Some(fc) = source.fc {
        fibre(errors, path.child("fc"), fc);
    }
    if let Some(source) = source.flocker {
        flocker(errors, path.child("flocker"), source);
    }
    if let Some(source) = source.quobyte {
        quobyte(errors, path.child("quobyte"), source);
    }
    if let Some(disk) = source.azure_disk {
        azure_disk(errors, path.child("azureDisk"), disk);
    }
}
