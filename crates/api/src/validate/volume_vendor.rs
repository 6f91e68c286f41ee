//! Validation of volume sources that the drivers of storage vendors serve, in pods and in PersistentVolumes.
//!
//! Most of those drivers are no longer part of Kubernetes; their sources are still judged when they are written.

#![allow(deprecated, reason = "deprecated sources are judged too")]

use proto::core::v1::{
    AzureDiskVolumeSource, AzureFilePersistentVolumeSource, CsiPersistentVolumeSource, FcVolumeSource,
    FlockerVolumeSource, GlusterfsPersistentVolumeSource, LocalObjectReference, PersistentVolumeSource,
    QuobyteVolumeSource, SecretReference, VolumeSource,
};

use super::check::{Errors, driver_name, no_back_steps, one_of, one_of_opt, required, shape};
use super::volume::iqn;
use super::{FieldError, Path};
use crate::name;

const LUN_MAX: i32 = 255;

/// Sources of a pod's volume.
pub fn in_pod(errors: &mut Errors, path: Path<'_>, source: &VolumeSource) {
    if let Some(disk) = &source.gce_persistent_disk {
        self::disk(errors, path.child("gcePersistentDisk"), ("pdName", &disk.pd_name), disk.partition);
    }
    if let Some(store) = &source.aws_elastic_block_store {
        self::disk(errors, path.child("awsElasticBlockStore"), ("volumeID", &store.volume_id), store.partition);
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
        self::disk(errors, path.child("gcePersistentDisk"), ("pdName", &disk.pd_name), disk.partition);
    }
    if let Some(store) = &source.aws_elastic_block_store {
        self::disk(errors, path.child("awsElasticBlockStore"), ("volumeID", &store.volume_id), store.partition);
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
    if let Some(flocker) = source.flocker {
        self::flocker(errors, path.child("flocker"), flocker);
    }
    if let Some(quobyte) = source.quobyte {
        self::quobyte(errors, path.child("quobyte"), quobyte);
    }
    if let Some(disk) = source.azure_disk {
        azure_disk(errors, path.child("azureDisk"), disk);
    }
}

fn disk(errors: &mut Errors, path: Path<'_>, id: (&str, &str), partition: i32) {
    required(errors, path.child(id.0), id.1);
    if !(0..=LUN_MAX).contains(&partition) {
        let why = format!("must be between 0 and {LUN_MAX}, inclusive");
        errors.push(FieldError::invalid(path.child("partition"), partition, why));
    }
}

fn iscsi(
    errors: &mut Errors,
    path: Path<'_>,
    portal: &str,
    target: &str,
    lun: i32,
    chap: (bool, bool, bool),
    initiator: Option<&String>,
) {
    required(errors, path.child("targetPortal"), portal);
    iqn(errors, path.child("iqn"), target);
    if !(0..=LUN_MAX).contains(&lun) {
        let why = format!("must be between 0 and {LUN_MAX}, inclusive");
        errors.push(FieldError::invalid(path.child("lun"), lun, why));
    }
    let (discovery, session, has_secret) = chap;
    if (discovery || session) && !has_secret {
        errors.push(FieldError::required(path.child("secretRef"), ""));
    }
    if let Some(initiator) = initiator {
        iqn(errors, path.child("initiatorname"), initiator);
    }
}

fn fibre(errors: &mut Errors, path: Path<'_>, fc: &FcVolumeSource) {
    match (fc.target_wwns.is_empty(), fc.wwids.is_empty()) {
        (true, true) => {
            let why = "must specify either targetWWNs or wwids, but not both";
            errors.push(FieldError::required(path.child("targetWWNs"), why));
        }
        (false, false) => {
            let why = "targetWWNs and wwids can not be specified simultaneously";
            errors.push(FieldError::invalid(path.child("targetWWNs"), &fc.target_wwns, why));
        }
        (false, true) => match fc.lun {
            None => errors.push(FieldError::required(path.child("lun"), "lun is required if targetWWNs is specified")),
            Some(lun) if !(0..=LUN_MAX).contains(&lun) => {
                let why = format!("must be between 0 and {LUN_MAX}, inclusive");
                errors.push(FieldError::invalid(path.child("lun"), lun, why));
            }
            Some(_) => {}
        },
        (true, false) => {}
    }
}

fn flocker(errors: &mut Errors, path: Path<'_>, flocker: &FlockerVolumeSource) {
    match (flocker.dataset_name.as_str(), flocker.dataset_uuid.as_str()) {
        ("", "") => errors.push(FieldError::required(path, "one of datasetName and datasetUUID is required")),
        ("", _) => {}
        (_, "") => {
            if flocker.dataset_name.contains('/') {
                let why = "must not contain '/'";
                errors.push(FieldError::invalid(path.child("datasetName"), &flocker.dataset_name, why));
            }
        }
        _ => {
            let why = "datasetName and datasetUUID can not be specified simultaneously";
            errors.push(FieldError::invalid(path, "resource", why));
        }
    }
}

fn quobyte(errors: &mut Errors, path: Path<'_>, quobyte: &QuobyteVolumeSource) {
    if quobyte.registry.is_empty() {
        let why = "must be a host:port pair or multiple pairs separated by commas";
        errors.push(FieldError::required(path.child("registry"), why));
    } else if quobyte.tenant.len() >= 65 {
        errors.push(FieldError::required(
            path.child("tenant"),
            "must be a UUID and may not exceed a length of 64 characters",
        ));
    } else {
        for pair in quobyte.registry.split(',') {
            let port = pair.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            if !matches!(port, Some(Ok(_))) {
                let why = "must be a host:port pair or multiple pairs separated by commas";
                errors.push(FieldError::invalid(path.child("registry"), &quobyte.registry, why));
            }
        }
    }
    required(errors, path.child("volume"), &quobyte.volume);
}

fn azure_disk(errors: &mut Errors, path: Path<'_>, disk: &AzureDiskVolumeSource) {
    required(errors, path.child("diskName"), &disk.disk_name);
    required(errors, path.child("diskURI"), &disk.disk_uri);
    let modes = &["None", "ReadOnly", "ReadWrite"];
    one_of_opt(errors, path.child("cachingMode"), disk.caching_mode.as_ref(), modes);
    let kinds = &["Dedicated", "Managed", "Shared"];
    one_of_opt(errors, path.child("kind"), disk.kind.as_ref(), kinds);
    let managed = disk.kind.as_deref() == Some("Managed");
    let begin = if managed { "/subscriptions/" } else { "https://" };
    if !disk.disk_uri.is_empty() && disk.kind.is_some() && !disk.disk_uri.to_lowercase().starts_with(begin) {
        one_of(errors, path.child("diskURI"), &disk.disk_uri, &[begin]);
    }
}

fn azure_file(errors: &mut Errors, path: Path<'_>, file: &AzureFilePersistentVolumeSource) {
    required(errors, path.child("secretName"), &file.secret_name);
    required(errors, path.child("shareName"), &file.share_name);
    if file.secret_namespace.as_ref().is_some_and(String::is_empty) {
        errors.push(FieldError::required(path.child("secretNamespace"), ""));
    }
}

fn gluster_volume(errors: &mut Errors, path: Path<'_>, glusterfs: &GlusterfsPersistentVolumeSource) {
    required(errors, path.child("endpoints"), &glusterfs.endpoints);
    required(errors, path.child("path"), &glusterfs.path);
    no_back_steps(errors, path.child("path"), &glusterfs.path);
    if let Some(namespace) = &glusterfs.endpoints_namespace {
        shape(errors, path.child("endpointsNamespace"), namespace, name::dns_label);
    }
}

fn monitors_and(errors: &mut Errors, path: Path<'_>, monitors: &[String], image: Option<(&str, &str)>) {
    if monitors.is_empty() {
        errors.push(FieldError::required(path.child("monitors"), ""));
    }
    if let Some((field, image)) = image {
        required(errors, path.child(field), image);
    }
}

fn flex_volume<'a>(errors: &mut Errors, path: Path<'_>, driver: &str, options: impl Iterator<Item = &'a String>) {
    required(errors, path.child("driver"), driver);
    for option in options {
        let domain = option.split('/').next().unwrap_or_default().to_lowercase();
        let reserved =
            ["kubernetes.io", "k8s.io"].iter().any(|name| domain == *name || domain.ends_with(&format!(".{name}")));
        if reserved {
            let why = "kubernetes.io and k8s.io namespaces are reserved";
            errors.push(FieldError::invalid(path.child("options").key(option), option, why));
        }
    }
}

fn scale_io(errors: &mut Errors, path: Path<'_>, gateway: &str, system: &str, volume: &str) {
    for (field, text) in [("gateway", gateway), ("system", system), ("volumeName", volume)] {
        required(errors, path.child(field), text);
    }
}

fn shape_of_storage_os(errors: &mut Errors, path: Path<'_>, volume: &str, namespace: &str) {
    if volume.is_empty() {
        errors.push(FieldError::required(path.child("volumeName"), ""));
    } else {
        shape(errors, path.child("volumeName"), volume, name::dns_label);
    }
    if !namespace.is_empty() {
        shape(errors, path.child("volumeNamespace"), namespace, name::dns_label);
    }
}

fn local_secret(errors: &mut Errors, path: Path<'_>, secret: &LocalObjectReference) {
    required(errors, path.child("name"), &secret.name);
}

fn secret(errors: &mut Errors, path: Path<'_>, secret: Option<&SecretReference>) {
    let Some(secret) = secret else { return };
    required(errors, path.child("name"), &secret.name);
    required(errors, path.child("namespace"), &secret.namespace);
}

fn csi_volume(errors: &mut Errors, path: Path<'_>, csi: &CsiPersistentVolumeSource) {
    driver_name(errors, path.child("driver"), &csi.driver);
    required(errors, path.child("volumeHandle"), &csi.volume_handle);
    for (field, reference) in [
        ("controllerPublishSecretRef", &csi.controller_publish_secret_ref),
        ("controllerExpandSecretRef", &csi.controller_expand_secret_ref),
        ("nodePublishSecretRef", &csi.node_publish_secret_ref),
        ("nodeStageSecretRef", &csi.node_stage_secret_ref),
        ("nodeExpandSecretRef", &csi.node_expand_secret_ref),
    ] {
        secret(errors, path.child(field), reference.as_ref());
    }
}
