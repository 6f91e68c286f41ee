//! Validation of volumes and of what fills them.
//!
//! Sources that drivers of storage vendors serve are `volume_vendor`'s.

#![allow(deprecated, reason = "deprecated sources are judged too")]

use proto::core::v1::{DownwardApiVolumeFile, HostPathVolumeSource, KeyToPath, NfsVolumeSource, Volume, VolumeSource};
use proto::meta::v1::ObjectMeta;
use proto::reflect::{Ref, Reflect};

use super::check::{Errors, absolute_path, local_free_path, mode, no_back_steps, one_of, required, required_shape};
use super::{FieldError, Path, env, meta, projection, storage, volume_vendor};
use crate::name;

/// Files of the downward API may show labels and annotations as well.
const FILE_FIELDS: &[&str] =
    &["metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid"];
/// Longest name of a volume with the portal after it, where an iSCSI initiator is named.
pub const INITIATOR_BYTES_MAX: usize = 64;
pub const LONG_INITIATOR: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
const HOST_PATH_TYPES: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// Judges a pod's volumes (a template's where there is no metadata), and gives those with nothing wrong: only these can
/// be mounted.
pub fn list<'v>(
    errors: &mut Errors,
    path: Path<'_>,
    volumes: &'v [Volume],
    meta: Option<&ObjectMeta>,
) -> Vec<&'v Volume> {
    let pod = meta.map(|meta| meta.name.as_str()).filter(|name| !name.is_empty());
    let claimed = |volume: &Volume| Some(format!("{}-{}", pod?, volume.name));
    let made: Vec<String> =
        volumes.iter().filter(|volume| volume.volume_source.ephemeral.is_some()).filter_map(claimed).collect();
    let mut good: Vec<&Volume> = Vec::new();
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        let before = errors.len();
        source(errors, path, &volume.volume_source, meta.is_some());
        required_shape(errors, path.child("name"), &volume.name, name::dns_label);
        if let Some(claim) = claimed(volume).filter(|_| volume.volume_source.ephemeral.is_some()) {
            for why in name::dns_subdomain(&claim) {
                let why = format!("PVC name {}: {why}", crate::status::quoted(&claim));
                errors.push(FieldError::invalid(path.child("name"), &volume.name, why));
            }
        }
        long_initiator(errors, path, volume);
        if good.iter().any(|other| other.name == volume.name) {
            errors.push(FieldError::duplicate(path.child("name"), &volume.name));
        }
        if errors.len() == before {
            good.push(volume);
        }
        if let Some(claim) = &volume.volume_source.persistent_volume_claim
            && made.contains(&claim.claim_name)
        {
            let why = "must not reference a PVC that gets created for an ephemeral volume";
            let path = path.child("persistentVolumeClaim");
            errors.push(FieldError::invalid(path.child("claimName"), &claim.claim_name, why));
        }
    }
    good
}

/// An iSCSI initiator is called by the volume's name and the portal.
fn long_initiator(errors: &mut Errors, path: Path<'_>, volume: &Volume) {
    let Some(target) = &volume.volume_source.iscsi else { return };
    if target.initiator_name.is_some() && volume.name.len() + 1 + target.target_portal.len() > INITIATOR_BYTES_MAX {
        errors.push(FieldError::invalid(path.child("name"), &volume.name, LONG_INITIATOR));
    }
}

/// Sources of a pod's volume in the order in which upstream looks at them: of two, the later one is refused.
const POD_SOURCES: &[&str] = &[
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];
/// As [`POD_SOURCES`], of PersistentVolumes.
pub const VOLUME_SOURCES: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// Exactly one of a message's pointers is set. Tells the first in `order`, which is the one to be judged.
pub fn only_source(
    errors: &mut Errors,
    path: Path<'_>,
    source: &dyn Reflect,
    order: &[&'static str],
) -> Option<&'static str> {
    let fields = source.message().fields;
    let is_set = |name: &&&'static str| {
        let index = fields.iter().position(|field| field.name == **name);
        index.is_some_and(|index| !matches!(source.get(index), Ref::Unset))
    };
    let mut set = order.iter().filter(is_set);
    let first = set.next();
    if first.is_none() {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    for other in set {
        // Upstream's own spelling in this error.
        let name = match *other {
            "cephfs" => "cephFS",
            "downwardAPI" => "downwarAPI",
            name => name,
        };
        errors.push(FieldError::forbidden(path.child(name), "may not specify more than 1 volume type"));
    }
    first.copied()
}

fn source(errors: &mut Errors, path: Path<'_>, source: &VolumeSource, is_pod: bool) {
    let Some(kind) = only_source(errors, path, source, POD_SOURCES) else { return };
    match kind {
        "hostPath" => each(&source.host_path, |host| host_path(errors, path.child("hostPath"), host)),
        "emptyDir" => each(&source.empty_dir, |dir| {
            if dir.size_limit.as_ref().is_some_and(|limit| limit.amount().is_negative()) {
                let why = "SizeLimit field must be a valid resource quantity";
                errors.push(FieldError::forbidden(path.child("emptyDir").child("sizeLimit"), why));
            }
        }),
        "secret" => each(&source.secret, |secret| {
            let path = path.child("secret");
            required(errors, path.child("secretName"), &secret.secret_name);
            mode(errors, path.child("defaultMode"), secret.default_mode);
            items(errors, path.child("items"), &secret.items);
        }),
        "configMap" => each(&source.config_map, |map| {
            let path = path.child("configMap");
            required(errors, path.child("name"), &map.local_object_reference.name);
            mode(errors, path.child("defaultMode"), map.default_mode);
            items(errors, path.child("items"), &map.items);
        }),
        "downwardAPI" => each(&source.downward_api, |api| {
            let path = path.child("downwardAPI");
            mode(errors, path.child("defaultMode"), api.default_mode);
            files(errors, path, &api.items);
        }),
        "projected" => each(&source.projected, |projected| {
            projection::projected(errors, path.child("projected"), projected);
        }),
        "nfs" => each(&source.nfs, |server| nfs(errors, path.child("nfs"), server)),
        "persistentVolumeClaim" => each(&source.persistent_volume_claim, |claim| {
            required(errors, path.child("persistentVolumeClaim").child("claimName"), &claim.claim_name);
        }),
        "ephemeral" => each(&source.ephemeral, |ephemeral| {
            let path = path.child("ephemeral");
            let path = path.child("volumeClaimTemplate");
            match &ephemeral.volume_claim_template {
                None => errors.push(FieldError::required(path, "")),
                Some(template) => {
                    meta::of_template(errors, path.child("metadata"), &template.metadata);
                    storage::claim_spec(errors, path.child("spec"), &template.spec);
                }
            }
        }),
        "image" => each(&source.image, |image| {
            let path = path.child("image");
            if is_pod {
                required(errors, path.child("reference"), &image.reference);
            }
            one_of(errors, path.child("pullPolicy"), &image.pull_policy, &["Always", "Never", "IfNotPresent"]);
        }),
        kind => volume_vendor::in_pod(errors, path, kind, source),
    }
}

/// Judges what is there.
pub fn each<T>(source: &Option<T>, judge: impl FnOnce(&T)) {
    if let Some(source) = source {
        judge(source);
    }
}

/// A target's name: iqn, eui or naa, in the form of its kind.
pub fn iqn(errors: &mut Errors, path: Path<'_>, iqn: &str) {
    let dated = |rest: &str| {
        // `.2001-04.com.example:storage`
        let Some((date, rest)) = rest.strip_prefix('.').and_then(|rest| rest.split_once('.')) else { return false };
        let digits = |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
        let host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        let unit = |letter: char| !letter.is_whitespace() && !",;*&$|".contains(letter);
        date.split_once('-').is_some_and(|(year, month)| digits(year, 4) && digits(month, 2))
            && rest.split_once(':').is_some_and(|(name, unit_name)| {
                !name.is_empty() && name.bytes().all(host) && !unit_name.is_empty() && unit_name.chars().all(unit)
            })
    };
    let numbered = |rest: &str, len: usize| {
        rest.strip_prefix('.').is_some_and(|id| id.len() == len && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    let good = match iqn.get(..3) {
        Some("iqn") => dated(&iqn[3..]),
        Some("eui") => numbered(&iqn[3..], 16),
        Some("naa") => numbered(&iqn[3..], 32),
        _ => {
            let why = "must be valid format starting with iqn, eui, or naa";
            return errors.push(FieldError::invalid(path, iqn, why));
        }
    };
    if !good {
        errors.push(FieldError::invalid(path, iqn, "must be valid format"));
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

pub fn items(errors: &mut Errors, path: Path<'_>, items: &[KeyToPath]) {
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

/// Files of the downward API; upstream names their fields without the list and the index.
pub fn files(errors: &mut Errors, path: Path<'_>, files: &[DownwardApiVolumeFile]) {
    for file in files {
        if file.path.is_empty() {
            errors.push(FieldError::required(path.child("path"), ""));
        } else {
            local_free_path(errors, path.child("path"), &file.path);
        }
        match (&file.field_ref, &file.resource_field_ref) {
            (Some(field), resource) => {
                let at = path.child("fieldRef");
                env::field_ref(errors, at, &field.api_version, &field.field_path, FILE_FIELDS);
                if resource.is_some() {
                    let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                    errors.push(FieldError::invalid(path, "resource", why));
                }
            }
            (None, Some(resource)) => env::resource_ref(errors, path.child("resourceFieldRef"), resource, true),
            (None, None) => {
                errors.push(FieldError::required(path, "one of fieldRef and resourceFieldRef is required"));
            }
        }
        mode(errors, path.child("mode"), file.mode);
    }
}
