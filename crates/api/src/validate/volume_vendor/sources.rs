//! The sources themselves, each on its own.

use proto::core::v1::{
    AzureDiskVolumeSource, AzureFilePersistentVolumeSource, CsiPersistentVolumeSource, FcVolumeSource,
    FlockerVolumeSource, GlusterfsPersistentVolumeSource, LocalObjectReference, QuobyteVolumeSource,
};

use crate::name;
use crate::validate::check::{Errors, driver_name, one_of, one_of_opt, required, required_shape, shape};
use crate::validate::volume::iqn;
use crate::validate::{FieldError, Path};

const LUN_MAX: i32 = 255;

pub fn disk(errors: &mut Errors, path: Path<'_>, id: (&str, &str), partition: i32) {
    required(errors, path.child(id.0), id.1);
    if !(0..=LUN_MAX).contains(&partition) {
        let why = format!("must be between 0 and {LUN_MAX}, inclusive");
        errors.push(FieldError::invalid(path.child("partition"), partition, why));
    }
}

pub fn iscsi(
    errors: &mut Errors,
    path: Path<'_>,
    portal: &str,
    target: &str,
    lun: i32,
    chap: (bool, bool, bool),
    initiator: Option<&String>,
) {
    required(errors, path.child("targetPortal"), portal);
    if target.is_empty() {
        errors.push(FieldError::required(path.child("iqn"), ""));
    } else {
        iqn(errors, path.child("iqn"), target);
    }
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

pub fn fibre(errors: &mut Errors, path: Path<'_>, fc: &FcVolumeSource) {
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

pub fn flocker(errors: &mut Errors, path: Path<'_>, flocker: &FlockerVolumeSource) {
    match (flocker.dataset_name.is_empty(), flocker.dataset_uuid.is_empty()) {
        (true, true) => errors.push(FieldError::required(path, "one of datasetName and datasetUUID is required")),
        (false, false) => {
            let why = "datasetName and datasetUUID can not be specified simultaneously";
            errors.push(FieldError::invalid(path, "resource", why));
        }
        _ => {}
    }
    if flocker.dataset_name.contains('/') {
        errors.push(FieldError::invalid(path.child("datasetName"), &flocker.dataset_name, "must not contain '/'"));
    }
}

pub fn quobyte(errors: &mut Errors, path: Path<'_>, quobyte: &QuobyteVolumeSource) {
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
            if !is_host_and_port(pair) {
                let why = "must be a host:port pair or multiple pairs separated by commas";
                errors.push(FieldError::invalid(path.child("registry"), &quobyte.registry, why));
            }
        }
    }
    required(errors, path.child("volume"), &quobyte.volume);
}

/// One colon; more of them only inside of brackets.
fn is_host_and_port(pair: &str) -> bool {
    let Some((host, port)) = pair.rsplit_once(':') else { return false };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    !port.contains(']') && (bracketed || !host.contains([':', '[', ']']))
}

pub fn azure_disk(errors: &mut Errors, path: Path<'_>, disk: &AzureDiskVolumeSource) {
    required(errors, path.child("diskName"), &disk.disk_name);
    required(errors, path.child("diskURI"), &disk.disk_uri);
    let modes = &["None", "ReadOnly", "ReadWrite"];
    one_of_opt(errors, path.child("cachingMode"), disk.caching_mode.as_ref(), modes);
    let kinds = &["Dedicated", "Managed", "Shared"];
    one_of_opt(errors, path.child("kind"), disk.kind.as_ref(), kinds);
    let managed = disk.kind.as_deref() == Some("Managed");
    let begin = if managed { "/subscriptions/" } else { "https://" };
    if disk.kind.is_some() && !disk.disk_uri.starts_with(begin) {
        one_of(errors, path.child("diskURI"), &disk.disk_uri, &[begin]);
    }
}

pub fn azure_file(errors: &mut Errors, path: Path<'_>, file: &AzureFilePersistentVolumeSource) {
    required(errors, path.child("secretName"), &file.secret_name);
    required(errors, path.child("shareName"), &file.share_name);
    if file.secret_namespace.as_ref().is_some_and(String::is_empty) {
        errors.push(FieldError::required(path.child("secretNamespace"), ""));
    }
}

pub fn gluster_volume(errors: &mut Errors, path: Path<'_>, glusterfs: &GlusterfsPersistentVolumeSource) {
    required(errors, path.child("endpoints"), &glusterfs.endpoints);
    required(errors, path.child("path"), &glusterfs.path);
    if let Some(namespace) = &glusterfs.endpoints_namespace {
        shape(errors, path.child("endpointsNamespace"), namespace, name::dns_label);
    }
}

pub fn monitors_and(errors: &mut Errors, path: Path<'_>, monitors: &[String], image: Option<(&str, &str)>) {
    if monitors.is_empty() {
        errors.push(FieldError::required(path.child("monitors"), ""));
    }
    if let Some((field, image)) = image {
        required(errors, path.child(field), image);
    }
}

pub fn flex_volume<'a>(errors: &mut Errors, path: Path<'_>, driver: &str, options: impl Iterator<Item = &'a String>) {
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

pub fn scale_io(errors: &mut Errors, path: Path<'_>, gateway: &str, system: &str, volume: &str) {
    for (field, text) in [("gateway", gateway), ("system", system), ("volumeName", volume)] {
        required(errors, path.child(field), text);
    }
}

pub fn shape_of_storage_os(errors: &mut Errors, path: Path<'_>, volume: &str, namespace: &str) {
    if volume.is_empty() {
        errors.push(FieldError::required(path.child("volumeName"), ""));
    } else {
        shape(errors, path.child("volumeName"), volume, name::dns_label);
    }
    if !namespace.is_empty() {
        shape(errors, path.child("volumeNamespace"), namespace, name::dns_label);
    }
}

pub fn local_secret(errors: &mut Errors, path: Path<'_>, secret: &LocalObjectReference) {
    required(errors, path.child("name"), &secret.name);
}

pub fn secret(errors: &mut Errors, path: Path<'_>, name: &str, namespace: &str) {
    required(errors, path.child("name"), name);
    required(errors, path.child("namespace"), namespace);
}

pub fn csi_volume(errors: &mut Errors, path: Path<'_>, csi: &CsiPersistentVolumeSource) {
    driver_name(errors, path.child("driver"), &csi.driver);
    required(errors, path.child("volumeHandle"), &csi.volume_handle);
    // Upstream does not look at nodeStageSecretRef.
    for (field, reference) in [
        ("controllerPublishSecretRef", &csi.controller_publish_secret_ref),
        ("controllerExpandSecretRef", &csi.controller_expand_secret_ref),
        ("nodePublishSecretRef", &csi.node_publish_secret_ref),
        ("nodeExpandSecretRef", &csi.node_expand_secret_ref),
    ] {
        let Some(reference) = reference else { continue };
        let path = path.child(field);
        required_shape(errors, path.child("name"), &reference.name, name::dns_subdomain);
        required_shape(errors, path.child("namespace"), &reference.namespace, name::dns_label);
    }
}
