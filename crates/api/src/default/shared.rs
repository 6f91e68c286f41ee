//! Defaults of the messages that occur in many kinds, wherever they occur.

use std::any::Any;

use proto::core::v1::{
    AzureDiskVolumeSource, ConfigMapVolumeSource, Container, ContainerPort, DownwardApiVolumeSource, EndpointPort,
    EphemeralContainerCommon, GrpcAction, HostPathVolumeSource, HttpGetAction, ImageVolumeSource,
    IscsiPersistentVolumeSource, IscsiVolumeSource, ObjectFieldSelector, PersistentVolumeClaim,
    PersistentVolumeClaimTemplate, PodSpec, Probe, ProjectedVolumeSource, RbdPersistentVolumeSource, RbdVolumeSource,
    ScaleIoPersistentVolumeSource, ScaleIoVolumeSource, SecretVolumeSource, ServiceAccountTokenProjection, Volume,
    VolumeSource,
};
use proto::reflect::{Mut, Reflect, walk_mut};
use proto::schema::{Form, Label};
use proto::{Quantity, discovery};

use super::pod;

/// rw-r--r--
const FILE_MODE: i32 = 0o644;
const TOKEN_SECONDS: i64 = 3600;

/// Fills in every message inside a message, itself included.
pub fn apply(message: &mut dyn Reflect) {
    walk_mut(message, &mut |message| {
        quantities(message);
        // Times, quantities and the like have no defaults, and there are many of them.
        if message.message().form == Form::Plain {
            one(message.as_any_mut());
        }
    });
}

/// Sets a string where it is empty.
pub fn set(text: &mut String, default: &str) {
    if text.is_empty() {
        text.push_str(default);
    }
}

/// Sets a pointer to a string where there is none.
pub fn point(text: &mut Option<String>, default: &str) {
    text.get_or_insert_with(|| default.to_owned());
}

fn one(message: &mut dyn Any) {
    if let Some(spec) = message.downcast_mut::<PodSpec>() {
        pod::spec(spec);
    } else if let Some(container) = message.downcast_mut::<Container>() {
        pod::container(container);
    } else if let Some(container) = message.downcast_mut::<EphemeralContainerCommon>() {
        pod::ephemeral_container(container);
    } else if let Some(port) = message.downcast_mut::<ContainerPort>() {
        set(&mut port.protocol, "TCP");
    } else if let Some(selector) = message.downcast_mut::<ObjectFieldSelector>() {
        set(&mut selector.api_version, "v1");
    } else if let Some(probe) = message.downcast_mut::<Probe>() {
        self::probe(probe);
    } else if let Some(action) = message.downcast_mut::<HttpGetAction>() {
        set(&mut action.path, "/");
        set(&mut action.scheme, "HTTP");
    } else if let Some(action) = message.downcast_mut::<GrpcAction>() {
        point(&mut action.service, "");
    } else if let Some(port) = message.downcast_mut::<EndpointPort>() {
        set(&mut port.protocol, "TCP");
    } else if let Some(port) = message.downcast_mut::<discovery::v1::EndpointPort>() {
        point(&mut port.name, "");
        point(&mut port.protocol, "TCP");
    } else {
        volume(message);
    }
}

fn volume(message: &mut dyn Any) {
    if let Some(volume) = message.downcast_mut::<Volume>() {
        if volume.volume_source == VolumeSource::default() {
            volume.volume_source.empty_dir = Some(Default::default());
        }
    } else if let Some(source) = message.downcast_mut::<SecretVolumeSource>() {
        source.default_mode.get_or_insert(FILE_MODE);
    } else if let Some(source) = message.downcast_mut::<ConfigMapVolumeSource>() {
        source.default_mode.get_or_insert(FILE_MODE);
    } else if let Some(source) = message.downcast_mut::<DownwardApiVolumeSource>() {
        source.default_mode.get_or_insert(FILE_MODE);
    } else if let Some(source) = message.downcast_mut::<ProjectedVolumeSource>() {
        source.default_mode.get_or_insert(FILE_MODE);
    } else if let Some(token) = message.downcast_mut::<ServiceAccountTokenProjection>() {
        token.expiration_seconds.get_or_insert(TOKEN_SECONDS);
    } else if let Some(source) = message.downcast_mut::<HostPathVolumeSource>() {
        point(&mut source.r#type, "");
    } else if let Some(source) = message.downcast_mut::<ImageVolumeSource>() {
        set(&mut source.pull_policy, pod::pull_policy(&source.reference));
    } else if let Some(template) = message.downcast_mut::<PersistentVolumeClaimTemplate>() {
        point(&mut template.spec.volume_mode, "Filesystem");
    } else if let Some(claim) = message.downcast_mut::<PersistentVolumeClaim>() {
        super::simple::persistent_volume_claim(claim);
    } else {
        legacy_volume(message);
    }
}

/// Sources that need drivers of a storage vendor.
fn legacy_volume(message: &mut dyn Any) {
    if let Some(source) = message.downcast_mut::<IscsiVolumeSource>() {
        set(&mut source.iscsi_interface, "default");
    } else if let Some(source) = message.downcast_mut::<IscsiPersistentVolumeSource>() {
        set(&mut source.iscsi_interface, "default");
    } else if let Some(source) = message.downcast_mut::<RbdVolumeSource>() {
        set(&mut source.pool, "rbd");
        set(&mut source.user, "admin");
        set(&mut source.keyring, "/etc/ceph/keyring");
    } else if let Some(source) = message.downcast_mut::<RbdPersistentVolumeSource>() {
        set(&mut source.pool, "rbd");
        set(&mut source.user, "admin");
        set(&mut source.keyring, "/etc/ceph/keyring");
    } else if let Some(source) = message.downcast_mut::<AzureDiskVolumeSource>() {
        point(&mut source.caching_mode, "ReadWrite");
        point(&mut source.kind, "Shared");
        point(&mut source.fs_type, "ext4");
        source.read_only.get_or_insert(false);
    } else if let Some(source) = message.downcast_mut::<ScaleIoVolumeSource>() {
        set(&mut source.storage_mode, "ThinProvisioned");
        set(&mut source.fs_type, "xfs");
    } else if let Some(source) = message.downcast_mut::<ScaleIoPersistentVolumeSource>() {
        set(&mut source.storage_mode, "ThinProvisioned");
        set(&mut source.fs_type, "xfs");
    } else {
        super::cluster::one(message);
    }
}

fn probe(probe: &mut Probe) {
    for (value, default) in [
        (&mut probe.timeout_seconds, 1),
        (&mut probe.period_seconds, 10),
        (&mut probe.success_threshold, 1),
        (&mut probe.failure_threshold, 3),
    ] {
        if *value == 0 {
            *value = default;
        }
    }
}

/// Quantities in canonical form; in lists of resources nothing finer than a thousandth.
fn quantities(message: &mut dyn Reflect) {
    if let Some(quantity) = message.as_any_mut().downcast_mut::<Quantity>() {
        if let Ok(amount) = quantity.string.parse::<proto::quantity::Amount>() {
            quantity.string = amount.to_string();
        }
        return;
    }
    for (index, field) in message.message().fields.iter().enumerate() {
        if field.label != Label::Map || field.message().is_none() {
            continue;
        }
        let Mut::Map(map) = message.get_mut(index) else { continue };
        map.visit_mut(&mut |_, value| {
            if let Mut::Message(value) = value
                && let Some(quantity) = value.as_any_mut().downcast_mut::<Quantity>()
                && let Ok(amount) = quantity.string.parse::<proto::quantity::Amount>()
            {
                quantity.string = amount.round_up(-3).to_string();
            }
        });
    }
}
