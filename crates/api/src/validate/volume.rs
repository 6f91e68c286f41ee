//! Validation of volumes and of what fills them.
//!
//! Sources that drivers of storage vendors serve are `volume_vendor`'s.

#![allow(deprecated, reason = "deprecated sources are judged too")]

use proto::core::v1::{
    DownwardApiVolumeFile, HostPathVolumeSource, KeyToPath, NfsVolumeSource, ProjectedVolumeSource, Volume,
    VolumeProjection, VolumeSource,
};
use proto::reflect::{Ref, Reflect};

use super::check::{Errors, absolute_path, local_free_path, mode, no_back_steps, one_of, required, required_shape};
use super::{FieldError, Path, container, storage, volume_vendor};
use crate::name;

/// Files of the downward API may show labels and annotations as well.
const FILE_FIELDS: &[&str] =
    &["metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid"];
const HOST_PATH_TYPES: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

pub fn list(errors: &mut Errors, path: Path<'_>, volumes: &[Volume]) {
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        source(errors, path, &volume.volume_source);
        required_shape(errors, path.child("name"), &volume.name, name::dns_label);
        if volumes[..index].iter().any(|other| other.name == volume.name) {
            errors.push(FieldError::duplicate(path.child("name"), &volume.name));
        }
    }
}

/// Exactly one of a message's pointers is set; tells its name.
pub fn only_source(errors: &mut Errors, path: Path<'_>, source: &dyn Reflect) -> Option<&'static str> {
    let mut first = None;
    for (index, field) in source.message().fields.iter().enumerate() {
        if matches!(source.get(index), Ref::Unset) {
            continue;
        }
        if first.is_some() {
            errors.push(FieldError::forbidden(path.child(field.name), "may not specify more than 1 volume type"));
        } else {
            first = Some(field.name);
        }
    }
    if first.is_none() {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    first
}

fn source(errors: &mut Errors, path: Path<'_>, source: &VolumeSource) {
    only_source(errors, path, source);
    if let Some(host) = &source.host_path {
        host_path(errors, path.child("hostPath"), host);
    }
    if let Some(dir) = &source.empty_dir
        && dir.size_limit.as_ref().is_some_and(|limit| limit.amount().is_negative())
    {
        let why = "SizeLimit field must be a valid resource quantity";
        errors.push(FieldError::forbidden(path.child("emptyDir").child("sizeLimit"), why));
    }
    if let Some(secret) = &source.secret {
        let path = path.child("secret");
        required(errors, path.child("secretName"), &secret.secret_name);
        mode(errors, path.child("defaultMode"), secret.default_mode);
        items(errors, path.child("items"), &secret.items);
    }
    if let Some(map) = &source.config_map {
        let path = path.child("configMap");
        required(errors, path.child("name"), &map.local_object_reference.name);
        mode(errors, path.child("defaultMode"), map.default_mode);
        items(errors, path.child("items"), &map.items);
    }
    if let Some(api) = &source.downward_api {
        let path = path.child("downwardAPI");
        mode(errors, path.child("defaultMode"), api.default_mode);
        files(errors, path.child("items"), &api.items);
    }
    if let Some(projected) = &source.projected {
        self::projected(errors, path.child("projected"), projected);
    }
    if let Some(server) = &source.nfs {
        nfs(errors, path.child("nfs"), server);
    }
    if let Some(claim) = &source.persistent_volume_claim {
        required(errors, path.child("persistentVolumeClaim").child("claimName"), &claim.claim_name);
    }
    if let Some(ephemeral) = &source.ephemeral {
        let path = path.child("ephemeral");
        let path = path.child("volumeClaimTemplate");
        match &ephemeral.volume_claim_template {
            None => errors.push(FieldError::required(path, "")),
            Some(template) => storage::claim_spec(errors, path.child("spec"), &template.spec),
        }
    }
    if let Some(image) = &source.image {
        let path = path.child("image");
        required(errors, path.child("reference"), &image.reference);
        one_of(errors, path.child("pullPolicy"), &image.pull_policy, &["Always", "Never", "IfNotPresent"]);
    }
    volume_vendor::in_pod(errors, path, source);
}

/// A target's name: iqn, eui or naa.
pub fn iqn(errors: &mut Errors, path: Path<'_>, iqn: &str) {
    if iqn.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !["iqn", "eui", "naa"].iter().any(|begin| iqn.starts_with(begin)) {
        errors.push(FieldError::invalid(path, iqn, "must be valid format starting with iqn, eui, or naa"));
    }
}

pub fn host_path(errors: &mut Errors, path: Path<'_>, host: &HostPathVolumeSource) {
    if host.path.is_empty() {
        errors.push(FieldError::required(path.child("path"), ""));
        return;
    }
    no_back_steps(errors, path.child("path"), &host.path);
    if let Some(kind) = &host.r#type {
        one_of(errors, path.child("type"), kind, HOST_PATH_TYPES);
    }
}

pub fn nfs(errors: &mut Errors, path: Path<'_>, nfs: &NfsVolumeSource) {
    required(errors, path.child("server"), &nfs.server);
    required(errors, path.child("path"), &nfs.path);
    absolute_path(errors, path.child("path"), &nfs.path);
}

fn items(errors: &mut Errors, path: Path<'_>, items: &[KeyToPath]) {
    for (index, item) in items.iter().enumerate() {
        let path = path.index(index);
        required(errors, path.child("key"), &item.key);
        if item.path.is_empty() {
            errors.push(FieldError::required(path.child("path"), ""));
        } else {
            local_free_path(errors, path.child("path"), &item.path);
        }
        mode(errors, path.child("mode"), item.mode);
    }
}

fn files(errors: &mut Errors, path: Path<'_>, files: &[DownwardApiVolumeFile]) {
    for (index, file) in files.iter().enumerate() {
        let path = path.index(index);
        if file.path.is_empty() {
            errors.push(FieldError::required(path.child("path"), ""));
        } else {
            local_free_path(errors, path.child("path"), &file.path);
        }
        match (&file.field_ref, &file.resource_field_ref) {
            (Some(field), resource) => {
                let at = path.child("fieldRef");
                container::field_ref(errors, at, &field.api_version, &field.field_path, FILE_FIELDS);
                if resource.is_some() {
                    let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                    errors.push(FieldError::invalid(path, "resource", why));
                }
            }
            (None, Some(resource)) => {
                let at = path.child("resourceFieldRef");
                container::resource_ref(errors, at, &resource.container_name, &resource.resource, true);
            }
            (None, None) => {
                errors.push(FieldError::required(path, "one of fieldRef and resourceFieldRef is required"));
            }
        }
        mode(errors, path.child("mode"), file.mode);
    }
}

fn projected(errors: &mut Errors, path: Path<'_>, projected: &ProjectedVolumeSource) {
    mode(errors, path.child("defaultMode"), projected.default_mode);
    let sources = path.child("sources");
    for (index, source) in projected.sources.iter().enumerate() {
        projection(errors, sources.index(index), source);
    }
}

fn projection(errors: &mut Errors, path: Path<'_>, source: &VolumeProjection) {
    let mut given = 0;
    for (index, field) in source.message().fields.iter().enumerate() {
        if matches!(source.get(index), Ref::Unset) {
            continue;
        }
        given += 1;
        if given > 1 {
            errors.push(FieldError::forbidden(
                path.child(field.name),
                "may not specify more than 1 volume type per source",
            ));
        }
    }
    if given == 0 {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    if let Some(secret) = &source.secret {
        let path = path.child("secret");
        required(errors, path.child("name"), &secret.local_object_reference.name);
        items(errors, path.child("items"), &secret.items);
    }
    if let Some(map) = &source.config_map {
        let path = path.child("configMap");
        required(errors, path.child("name"), &map.local_object_reference.name);
        items(errors, path.child("items"), &map.items);
    }
    if let Some(api) = &source.downward_api {
        files(errors, path.child("downwardAPI").child("items"), &api.items);
    }
    if let Some(token) = &source.service_account_token {
        let path = path.child("serviceAccountToken");
        let seconds = token.expiration_seconds.unwrap_or(3600);
        if seconds < 600 {
            let why = "may not specify a duration less than 10 minutes";
            errors.push(FieldError::invalid(path.child("expirationSeconds"), seconds, why));
        }
        if seconds > 1 << 32 {
            let why = "may not specify a duration larger than 2^32 seconds";
            errors.push(FieldError::invalid(path.child("expirationSeconds"), seconds, why));
        }
        if token.path.is_empty() {
            errors.push(FieldError::required(path.child("path"), ""));
        } else {
            local_free_path(errors, path.child("path"), &token.path);
        }
    }
}
