//! Validation of volume sources that the drivers of storage vendors serve, in pods and in PersistentVolumes.
//!
//! Most of those drivers are no longer part of Kubernetes; their sources are still judged when they are written.

#![allow(deprecated, reason = "deprecated sources are judged too")]

mod sources;

use proto::core::v1::{
    AzureDiskVolumeSource, FcVolumeSource, FlockerVolumeSource, PersistentVolumeSource, QuobyteVolumeSource,
    VolumeSource,
};

use super::check::{Errors, driver_name, required, shape};
use super::volume::{INITIATOR_BYTES_MAX, LONG_INITIATOR, each};
use super::{FieldError, Path};
use crate::name;
use sources::{
    azure_disk, azure_file, csi_volume, fibre, flex_volume, flocker, gluster_volume, iscsi, local_secret, monitors_and,
    quobyte, scale_io, secret, shape_of_storage_os,
};

/// The source of that name of a pod's volume.
pub fn in_pod(errors: &mut Errors, path: Path<'_>, kind: &str, source: &VolumeSource) {
    let at = path.child(kind);
    match kind {
        "gcePersistentDisk" => each(&source.gce_persistent_disk, |disk| {
            // Upstream's own spelling.
            sources::disk(errors, path.child("persistentDisk"), ("pdName", &disk.pd_name), disk.partition);
        }),
        "awsElasticBlockStore" => each(&source.aws_elastic_block_store, |store| {
            sources::disk(errors, at, ("volumeID", &store.volume_id), store.partition);
        }),
        "gitRepo" => each(&source.git_repo, |repository| {
            required(errors, at.child("repository"), &repository.repository);
            super::check::local_path(errors, at.child("directory"), &repository.directory);
        }),
        "iscsi" => each(&source.iscsi, |target| {
            let chap = (target.chap_auth_discovery, target.chap_auth_session, target.secret_ref.is_some());
            let (portal, name) = (&target.target_portal, target.initiator_name.as_ref());
            iscsi(errors, at, portal, &target.iqn, target.lun, chap, name);
        }),
        "glusterfs" => each(&source.glusterfs, |glusterfs| {
            required(errors, at.child("endpoints"), &glusterfs.endpoints);
            required(errors, at.child("path"), &glusterfs.path);
        }),
        "rbd" => each(&source.rbd, |rbd| monitors_and(errors, at, &rbd.monitors, Some(("image", &rbd.image)))),
        "cephfs" => each(&source.cephfs, |ceph| monitors_and(errors, at, &ceph.monitors, None)),
        "cinder" => each(&source.cinder, |cinder| {
            required(errors, at.child("volumeID"), &cinder.volume_id);
            each(&cinder.secret_ref, |secret| local_secret(errors, at.child("secretRef"), secret));
        }),
        "flexVolume" => each(&source.flex_volume, |flex| flex_volume(errors, at, &flex.driver, flex.options.keys())),
        "azureFile" => each(&source.azure_file, |file| {
            required(errors, at.child("secretName"), &file.secret_name);
            required(errors, at.child("shareName"), &file.share_name);
        }),
        "scaleIO" => each(&source.scale_io, |scale| {
            scale_io(errors, at, &scale.gateway, &scale.system, &scale.volume_name);
        }),
        "storageos" => each(&source.storageos, |os| {
            shape_of_storage_os(errors, at, &os.volume_name, &os.volume_namespace);
            each(&os.secret_ref, |secret| local_secret(errors, at.child("secretRef"), secret));
        }),
        "csi" => each(&source.csi, |csi| {
            driver_name(errors, at.child("driver"), &csi.driver);
            each(&csi.node_publish_secret_ref, |secret| {
                if secret.name.is_empty() {
                    errors.push(FieldError::required(at.child("nodePublishSecretRef").child("name"), ""));
                } else {
                    // Upstream's own place for this error.
                    shape(errors, at.child("name"), &secret.name, name::dns_subdomain);
                }
            });
        }),
        "photonPersistentDisk" => each(&source.photon_persistent_disk, |disk| {
            required(errors, at.child("pdID"), &disk.pd_id);
        }),
        "portworxVolume" => each(&source.portworx_volume, |volume| {
            required(errors, at.child("volumeID"), &volume.volume_id);
        }),
        "vsphereVolume" => each(&source.vsphere_volume, |volume| {
            required(errors, at.child("volumePath"), &volume.volume_path);
        }),
        _ => shared(
            errors,
            at,
            &Shared {
                fc: source.fc.as_ref().filter(|_| kind == "fc"),
                flocker: source.flocker.as_ref().filter(|_| kind == "flocker"),
                quobyte: source.quobyte.as_ref().filter(|_| kind == "quobyte"),
                azure_disk: source.azure_disk.as_ref().filter(|_| kind == "azureDisk"),
            },
        ),
    }
}

/// The source of that name of the PersistentVolume `name`.
pub fn in_volume(errors: &mut Errors, path: Path<'_>, kind: &str, source: &PersistentVolumeSource, name: &str) {
    let at = path.child(kind);
    match kind {
        "gcePersistentDisk" => each(&source.gce_persistent_disk, |disk| {
            sources::disk(errors, path.child("persistentDisk"), ("pdName", &disk.pd_name), disk.partition);
        }),
        "awsElasticBlockStore" => each(&source.aws_elastic_block_store, |store| {
            sources::disk(errors, at, ("volumeID", &store.volume_id), store.partition);
        }),
        "iscsi" => each(&source.iscsi, |target| {
            let chap = (target.chap_auth_discovery, target.chap_auth_session, target.secret_ref.is_some());
            let (portal, initiator) = (&target.target_portal, target.initiator_name.as_ref());
            iscsi(errors, at, portal, &target.iqn, target.lun, chap, initiator);
            if initiator.is_some() && name.len() + 1 + portal.len() > INITIATOR_BYTES_MAX {
                errors.push(FieldError::invalid(at.child("targetportal"), portal, LONG_INITIATOR));
            }
            each(&target.secret_ref, |secret| required(errors, at.child("secretRef").child("name"), &secret.name));
        }),
        "glusterfs" => each(&source.glusterfs, |glusterfs| gluster_volume(errors, at, glusterfs)),
        "rbd" => each(&source.rbd, |rbd| monitors_and(errors, at, &rbd.monitors, Some(("image", &rbd.image)))),
        "cephfs" => each(&source.cephfs, |ceph| monitors_and(errors, at, &ceph.monitors, None)),
        "cinder" => each(&source.cinder, |cinder| {
            required(errors, at.child("volumeID"), &cinder.volume_id);
            each(&cinder.secret_ref, |reference| {
                secret(errors, at.child("secretRef"), &reference.name, &reference.namespace);
            });
        }),
        "flexVolume" => each(&source.flex_volume, |flex| flex_volume(errors, at, &flex.driver, flex.options.keys())),
        "azureFile" => each(&source.azure_file, |file| azure_file(errors, at, file)),
        "scaleIO" => each(&source.scale_io, |scale| {
            scale_io(errors, at, &scale.gateway, &scale.system, &scale.volume_name);
        }),
        "storageos" => each(&source.storageos, |os| {
            shape_of_storage_os(errors, at, &os.volume_name, &os.volume_namespace);
            each(&os.secret_ref, |reference| {
                secret(errors, at.child("secretRef"), &reference.name, &reference.namespace);
            });
        }),
        "csi" => each(&source.csi, |csi| csi_volume(errors, at, csi)),
        "photonPersistentDisk" => each(&source.photon_persistent_disk, |disk| {
            required(errors, at.child("pdID"), &disk.pd_id);
        }),
        "portworxVolume" => each(&source.portworx_volume, |volume| {
            required(errors, at.child("volumeID"), &volume.volume_id);
        }),
        "vsphereVolume" => each(&source.vsphere_volume, |volume| {
            required(errors, at.child("volumePath"), &volume.volume_path);
        }),
        _ => shared(
            errors,
            at,
            &Shared {
                fc: source.fc.as_ref().filter(|_| kind == "fc"),
                flocker: source.flocker.as_ref().filter(|_| kind == "flocker"),
                quobyte: source.quobyte.as_ref().filter(|_| kind == "quobyte"),
                azure_disk: source.azure_disk.as_ref().filter(|_| kind == "azureDisk"),
            },
        ),
    }
}

/// Sources that are one message in pods and in volumes.
struct Shared<'a> {
    fc: Option<&'a FcVolumeSource>,
    flocker: Option<&'a FlockerVolumeSource>,
    quobyte: Option<&'a QuobyteVolumeSource>,
    azure_disk: Option<&'a AzureDiskVolumeSource>,
}

fn shared(errors: &mut Errors, path: Path<'_>, source: &Shared<'_>) {
    if let Some(fc) = source.fc {
        fibre(errors, path, fc);
    }
    if let Some(source) = source.flocker {
        flocker(errors, path, source);
    }
    if let Some(source) = source.quobyte {
        quobyte(errors, path, source);
    }
    if let Some(disk) = source.azure_disk {
        azure_disk(errors, path, disk);
    }
}
