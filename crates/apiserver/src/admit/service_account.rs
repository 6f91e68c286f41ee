//! ServiceAccount: every pod runs as one; its token, the cluster's CA and its namespace are mounted into its containers.

use proto::core::v1::{
    ConfigMapProjection, Container, DownwardApiProjection, DownwardApiVolumeFile, KeyToPath, LocalObjectReference,
    ObjectFieldSelector, Pod, ProjectedVolumeSource, ServiceAccount, ServiceAccountTokenProjection, Volume,
    VolumeMount, VolumeProjection,
};
use proto::dynamic::DynObject;

use super::{Request, View};
use crate::status::Result;

const DEFAULT: &str = "default";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
const ROOT_CA: &str = "kube-root-ca.crt";
/// An odd number tells such tokens from those that somebody asked for.
const TOKEN_SECONDS: i64 = 3600 + 7;
/// Files as upstream writes their mode: 0644.
const FILE_MODE: i32 = 0o644;
/// Marks pods that come from a file on a node.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Gives a pod its service account, token and pull secrets.
pub fn admit(request: Request<'_>, object: &mut dyn DynObject, view: &impl View) -> Result<()> {
    let resource = &request.target.resource;
    let namespace = &request.target.namespace;
    let Some(pod) = object.downcast_mut::<Pod>() else { return Ok(()) };
    if pod.metadata.annotations.contains_key(MIRROR) {
        return if pod.spec.service_account_name.is_empty() {
            Ok(())
        } else {
            Err(resource.forbidden(&pod.metadata.name, "a mirror pod may not reference service accounts"))
        };
    }
    if pod.spec.service_account_name.is_empty() {
        pod.spec.service_account_name = DEFAULT.to_owned();
    }
    let name = pod.spec.service_account_name.clone();
    #[allow(deprecated)] // clients still read it
    pod.spec.service_account.clone_from(&name);
    let Some(account) = view.service_account(namespace, &name) else {
        let why = format!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found");
        return Err(resource.forbidden(&pod.metadata.name, &why));
    };
    if wants_token(pod, &account) {
        mount_token(pod, request.seed);
    }
    if pod.spec.image_pull_secrets.is_empty() {
        pod.spec.image_pull_secrets = account
            .image_pull_secrets
            .iter()
            .map(|secret| LocalObjectReference { name: secret.name.clone() })
            .collect();
    }
    Ok(())
}

/// The pod decides, then its account; without a word, yes.
fn wants_token(pod: &Pod, account: &ServiceAccount) -> bool {
    pod.spec.automount_service_account_token.or(account.automount_service_account_token).unwrap_or(true)
}

fn mount_token(pod: &mut Pod, seed: u64) {
    let volumes = &pod.spec.volumes;
    let existing =
        volumes.iter().find(|volume| volume.name.starts_with(VOLUME_PREFIX)).map(|volume| volume.name.clone());
    let name = existing.clone().unwrap_or_else(|| api::name::generated(VOLUME_PREFIX, seed));
    let mut mounted = false;
    let containers = pod.spec.init_containers.iter_mut().chain(&mut pod.spec.containers);
    for container in containers {
        mounted |= mount(container, &name);
    }
    if mounted && existing.is_none() {
        pod.spec.volumes.push(token_volume(&name));
    }
}

/// Mounts the volume unless something is mounted there already.
fn mount(container: &mut Container, volume: &str) -> bool {
    if container.volume_mounts.iter().any(|mount| mount.mount_path == MOUNT_PATH) {
        return false;
    }
    container.volume_mounts.push(VolumeMount {
        name: volume.to_owned(),
        read_only: true,
        mount_path: MOUNT_PATH.to_owned(),
        ..Default::default()
    });
    true
}

fn token_volume(name: &str) -> Volume {
    let token = VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            path: "token".to_owned(),
            expiration_seconds: Some(TOKEN_SECONDS),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut root = ConfigMapProjection {
        items: vec![KeyToPath { key: "ca.crt".to_owned(), path: "ca.crt".to_owned(), ..Default::default() }],
        ..Default::default()
    };
    root.local_object_reference.name = ROOT_CA.to_owned();
    let namespace = DownwardApiVolumeFile {
        path: "namespace".to_owned(),
        field_ref: Some(ObjectFieldSelector {
            api_version: "v1".to_owned(),
            field_path: "metadata.namespace".to_owned(),
        }),
        ..Default::default()
    };
    let sources = vec![
        token,
        VolumeProjection { config_map: Some(root), ..Default::default() },
        VolumeProjection { downward_api: Some(DownwardApiProjection { items: vec![namespace] }), ..Default::default() },
    ];
    let mut volume = Volume { name: name.to_owned(), ..Default::default() };
    volume.volume_source.projected = Some(ProjectedVolumeSource { sources, default_mode: Some(FILE_MODE) });
    volume
}
