//! What pods and volumes name: pure.

#![allow(deprecated, reason = "volumes of old kinds name Secrets, too")]

use proto::core::v1::{
    Container, LocalObjectReference, PersistentVolume, PersistentVolumeSource, Pod, PodSpec, SecretReference,
    VolumeSource,
};

/// Marks pods that come from a file on a node.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// What a pod can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
    /// A PersistentVolumeClaim.
    Claim,
    /// The ServiceAccount that it runs as.
    ServiceAccount,
    /// A ResourceClaim.
    ResourceClaim,
}

/// An object in a pod's namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    pub kind: Kind,
    pub name: Box<str>,
}

/// A bound pod.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PodFacts {
    pub node: String,
    pub references: Vec<Reference>,
    /// Whether it may come to use more: resource claims are made when it is bound already.
    pub grows: bool,
}

impl PodFacts {
    /// None for a pod that is bound to no node. What a mirror pod names counts for nothing: its node wrote it.
    pub fn of(pod: &Pod) -> Option<Self> {
        let node = pod.spec.node_name.clone();
        if node.is_empty() {
            return None;
        }
        let mirror = pod.metadata.annotations.contains_key(MIRROR);
        let references = if mirror { Vec::new() } else { references(pod) };
        let grows = !mirror && !pod.spec.resource_claims.is_empty();
        Some(Self { node, references, grows })
    }
}

/// A volume.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct VolumeFacts {
    /// Namespace and name of the claim that it is bound to.
    pub claim: Option<(Box<str>, Box<str>)>,
    /// Namespace and name of the Secrets that its node needs.
    pub secrets: Vec<(Box<str>, Box<str>)>,
}

impl VolumeFacts {
    /// What the volume names.
    pub fn of(volume: &PersistentVolume) -> Self {
        let claim = volume.spec.claim_ref.as_ref();
        let namespace = claim.map_or("", |claim| claim.namespace.as_str());
        Self {
            claim: claim.map(|claim| (claim.namespace.as_str().into(), claim.name.as_str().into())),
            secrets: volume_secrets(&volume.spec.persistent_volume_source, namespace),
        }
    }
}

/// Everything that a pod names, once each.
pub fn references(pod: &Pod) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut add = |kind: Kind, name: &str| {
        if !name.is_empty() {
            found.push(Reference { kind, name: name.into() });
        }
    };
    let spec = &pod.spec;
    add(Kind::ServiceAccount, &spec.service_account_name);
    for secret in &spec.image_pull_secrets {
        add(Kind::Secret, &secret.name);
    }
    for_environments(spec, &mut add);
    for volume in &spec.volumes {
        for_volume(&pod.metadata.name, &volume.name, &volume.volume_source, &mut add);
    }
    for claim in &spec.resource_claims {
        add(Kind::ResourceClaim, claim.resource_claim_name.as_deref().unwrap_or_default());
    }
    for status in &pod.status.resource_claim_statuses {
        add(Kind::ResourceClaim, status.resource_claim_name.as_deref().unwrap_or_default());
    }
    if let Some(status) = &pod.status.extended_resource_claim_status {
        add(Kind::ResourceClaim, &status.resource_claim_name);
    }
    found.sort();
    found.dedup();
    found
}

fn for_environments(spec: &PodSpec, add: &mut impl FnMut(Kind, &str)) {
    for container in spec.init_containers.iter().chain(&spec.containers) {
        for_environment(container, add);
    }
    for container in &spec.ephemeral_containers {
        let common = &container.ephemeral_container_common;
        let container =
            Container { env: common.env.clone(), env_from: common.env_from.clone(), ..Container::default() };
        for_environment(&container, add);
    }
}

fn for_environment(container: &Container, add: &mut impl FnMut(Kind, &str)) {
    for from in &container.env_from {
        if let Some(map) = &from.config_map_ref {
            add(Kind::ConfigMap, &map.local_object_reference.name);
        }
        if let Some(secret) = &from.secret_ref {
            add(Kind::Secret, &secret.local_object_reference.name);
        }
    }
    for source in container.env.iter().filter_map(|variable| variable.value_from.as_ref()) {
        if let Some(key) = &source.config_map_key_ref {
            add(Kind::ConfigMap, &key.local_object_reference.name);
        }
        if let Some(key) = &source.secret_key_ref {
            add(Kind::Secret, &key.local_object_reference.name);
        }
    }
}

fn for_volume(pod: &str, name: &str, source: &VolumeSource, add: &mut impl FnMut(Kind, &str)) {
    if let Some(map) = &source.config_map {
        add(Kind::ConfigMap, &map.local_object_reference.name);
    }
    if let Some(claim) = &source.persistent_volume_claim {
        add(Kind::Claim, &claim.claim_name);
    }
    if source.ephemeral.is_some() {
        add(Kind::Claim, &format!("{pod}-{name}"));
    }
    for projection in source.projected.iter().flat_map(|projected| &projected.sources) {
        if let Some(map) = &projection.config_map {
            add(Kind::ConfigMap, &map.local_object_reference.name);
        }
        if let Some(secret) = &projection.secret {
            add(Kind::Secret, &secret.local_object_reference.name);
        }
    }
    if let Some(secret) = &source.secret {
        add(Kind::Secret, &secret.secret_name);
    }
    if let Some(file) = &source.azure_file {
        add(Kind::Secret, &file.secret_name);
    }
    for reference in local_secrets(source).into_iter().flatten() {
        add(Kind::Secret, &reference.name);
    }
}

fn local_secrets(source: &VolumeSource) -> [Option<&LocalObjectReference>; 8] {
    [
        source.cephfs.as_ref().and_then(|it| it.secret_ref.as_ref()),
        source.cinder.as_ref().and_then(|it| it.secret_ref.as_ref()),
        source.flex_volume.as_ref().and_then(|it| it.secret_ref.as_ref()),
        source.rbd.as_ref().and_then(|it| it.secret_ref.as_ref()),
        source.scale_io.as_ref().and_then(|it| it.secret_ref.as_ref()),
        source.iscsi.as_ref().and_then(|it| it.secret_ref.as_ref()),
        source.storageos.as_ref().and_then(|it| it.secret_ref.as_ref()),
        source.csi.as_ref().and_then(|it| it.node_publish_secret_ref.as_ref()),
    ]
}

/// What only controllers of volumes need (to publish, to expand) is left out. `claim_namespace`: for references without one.
fn volume_secrets(source: &PersistentVolumeSource, claim_namespace: &str) -> Vec<(Box<str>, Box<str>)> {
    let csi = source.csi.as_ref();
    let references: [Option<&SecretReference>; 9] = [
        source.cephfs.as_ref().and_then(|it| it.secret_ref.as_ref()),
        source.cinder.as_ref().and_then(|it| it.secret_ref.as_ref()),
        source.flex_volume.as_ref().and_then(|it| it.secret_ref.as_ref()),
        source.rbd.as_ref().and_then(|it| it.secret_ref.as_ref()),
        source.scale_io.as_ref().and_then(|it| it.secret_ref.as_ref()),
        source.iscsi.as_ref().and_then(|it| it.secret_ref.as_ref()),
        csi.and_then(|it| it.node_publish_secret_ref.as_ref()),
        csi.and_then(|it| it.node_stage_secret_ref.as_ref()),
        csi.and_then(|it| it.node_expand_secret_ref.as_ref()),
    ];
    let place = |namespace: &str, name: &str| -> (Box<str>, Box<str>) {
        (if namespace.is_empty() { claim_namespace.into() } else { namespace.into() }, name.into())
    };
    let mut found: Vec<(Box<str>, Box<str>)> = Vec::new();
    found.extend(references.into_iter().flatten().map(|reference| place(&reference.namespace, &reference.name)));
    if let Some(file) = &source.azure_file {
        found.push(place(file.secret_namespace.as_deref().unwrap_or_default(), &file.secret_name));
    }
    if let Some(reference) = source.storageos.as_ref().and_then(|it| it.secret_ref.as_ref()) {
        found.push(place(&reference.namespace, &reference.name));
    }
    found.sort();
    found.dedup();
    found
}
