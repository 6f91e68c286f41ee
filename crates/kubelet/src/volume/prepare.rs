//! Sets a pod's volumes up, keeps those made of objects current, and says where they are.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use proto::core::v1::{HostPathVolumeSource, Pod, Volume, VolumeProjection};
use tokio::sync::Mutex;

use super::content::{self, DEFAULT_MODE};
use super::files::{self, Entry, Files};
use crate::cluster::{self, Cluster, Token, TokenFor};
use crate::env::Place;
use crate::paths::PodPaths;
use crate::time;

/// A volume that could not be set up; the text is what the event says.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume \"{volume}\" : {message}")]
pub struct Error {
    pub volume: String,
    pub message: String,
}

/// Tokens of a pod, kept until most of their life is over; and the order in which its volumes are written.
#[derive(Debug, Default)]
pub struct Tokens {
    held: Mutex<BTreeMap<(String, i64), (Token, time::Nanos)>>,
    /// Held from the first look at the objects to the last write: what was read later is never overwritten by what was
    /// read before.
    turn: Mutex<()>,
    /// Somebody waits for the turn, and will read whatever is there by then.
    waiting: AtomicBool,
}

impl Tokens {
    async fn get(&self, cluster: &dyn Cluster, pod: &Pod, wanted: &TokenFor) -> Result<Token, cluster::Error> {
        let key = (wanted.audience.clone(), wanted.expiration_seconds);
        let mut held = self.held.lock().await;
        if let Some((token, renew_at)) = held.get(&key)
            && time::now() < *renew_at
        {
            return Ok(token.clone());
        }
        let token = cluster.token(pod, wanted).await?;
        let life = token.expires_at.saturating_sub(time::now());
        // Like upstream: renewed at 80 % of its life, or after a day.
        let renew_at = time::now() + (life / 5 * 4).min(24 * time::HOUR);
        held.insert(key, (token.clone(), renew_at));
        Ok(token)
    }
}

/// Everything that volumes are made from.
pub struct Source<'a> {
    pub pod: &'a Pod,
    pub paths: &'a PodPaths,
    pub cluster: &'a dyn Cluster,
    pub place: &'a Place,
    pub tokens: &'a Tokens,
}

/// Whether the volume's content comes from the API: such volumes are kept current, and read-only.
pub fn is_made_of_objects(volume: &Volume) -> bool {
    let source = &volume.volume_source;
    source.config_map.is_some()
        || source.secret.is_some()
        || source.projected.is_some()
        || source.downward_api.is_some()
}

/// Where a volume is on the node.
pub fn location(paths: &PodPaths, volume: &Volume) -> PathBuf {
    let source = &volume.volume_source;
    let plugin = if let Some(host) = &source.host_path {
        return PathBuf::from(&host.path);
    } else if source.config_map.is_some() {
        "configmap"
    } else if source.secret.is_some() {
        return paths.memory_volume("secret", &volume.name);
    } else if source.projected.is_some() {
        return paths.memory_volume("projected", &volume.name);
    } else if source.downward_api.is_some() {
        return paths.memory_volume("downward-api", &volume.name);
    } else if source.persistent_volume_claim.is_some() || source.ephemeral.is_some() {
        "claim"
    } else {
        "empty-dir"
    };
    paths.volume(plugin, &volume.name)
}

impl Source<'_> {
    /// Sets up every volume; all of them at once, since most wait for the API server.
    pub async fn prepare(&self) -> Result<(), Error> {
        let _turn = self.tokens.turn.lock().await;
        let all = self.pod.spec.volumes.iter().map(|volume| async move {
            self.volume(volume).await.map_err(|message| Error { volume: volume.name.clone(), message })
        });
        futures::future::try_join_all(all).await.map(drop)
    }

    /// Brings the volumes made of objects up to date. Returns whether anything changed. A volume that fails does not
    /// keep the others from being renewed; the first failure is returned.
    pub async fn refresh(&self) -> Result<bool, Error> {
        if self.tokens.waiting.swap(true, Ordering::AcqRel) {
            return Ok(false);
        }
        let _turn = self.tokens.turn.lock().await;
        self.tokens.waiting.store(false, Ordering::Release);
        let (mut changed, mut failed) = (false, None);
        for volume in &self.pod.spec.volumes {
            let done = self.contents(volume).await.and_then(|files| match files {
                Some(files) => self.write(volume, &files),
                None => Ok(false),
            });
            match done {
                Ok(done) => changed |= done,
                Err(message) => {
                    failed.get_or_insert(Error { volume: volume.name.clone(), message });
                }
            }
        }
        failed.map_or(Ok(changed), Err)
    }

    async fn volume(&self, volume: &Volume) -> Result<(), String> {
        let source = &volume.volume_source;
        if let Some(host) = &source.host_path {
            return host_path(host);
        }
        if let Some(files) = self.contents(volume).await? {
            return self.write(volume, &files).map(drop);
        }
        if let Some(claim) = &source.persistent_volume_claim {
            return self.claim(volume, &claim.claim_name).await;
        }
        if source.ephemeral.is_some() {
            return self.claim(volume, &format!("{}-{}", self.pod.metadata.name, volume.name)).await;
        }
        let is_default = format!("{source:?}") == format!("{:?}", proto::core::v1::VolumeSource::default());
        if source.empty_dir.is_some() || is_default {
            return self.empty_dir(volume);
        }
        Err("this kind of volume is not supported by this kubelet".into())
    }

    fn group(&self) -> Option<u32> {
        self.pod.spec.security_context.as_ref()?.fs_group?.try_into().ok()
    }

    /// The user that all containers run as, where the pod names one.
    fn user(&self) -> Option<u32> {
        let shared = self.pod.spec.security_context.as_ref().and_then(|context| context.run_as_user);
        let ephemeral =
            self.pod.spec.ephemeral_containers.iter().map(|one| &one.ephemeral_container_common.security_context);
        let others = crate::pod::members(self.pod).map(|member| &member.container.security_context);
        let mut users =
            others.chain(ephemeral).map(|own| own.as_ref().and_then(|context| context.run_as_user).or(shared));
        let first = users.next()??;
        users.all(|user| user == Some(first)).then(|| first.try_into().ok())?
    }

    fn empty_dir(&self, volume: &Volume) -> Result<(), String> {
        let dir = location(self.paths, volume);
        let source = volume.volume_source.empty_dir.clone().unwrap_or_default();
        fs::create_dir_all(&dir).map_err(text)?;
        if source.medium.starts_with("Memory") && !sys::mount::is_mount_point(&dir).map_err(text)? {
            let size =
                source.size_limit.as_ref().map(|size| size.amount().value().max(0) as u64).filter(|size| *size > 0);
            sys::mount::tmpfs(&dir, size, 0o777).map_err(text)?;
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).map_err(text)?;
        if let Some(group) = self.group() {
            super::owner::give(&dir, group, false).map_err(text)?;
        }
        Ok(())
    }

    /// A claim whose volume is a folder of this node.
    async fn claim(&self, volume: &Volume, name: &str) -> Result<(), String> {
        let claim = self.cluster.claim(&self.pod.metadata.namespace, name).await.map_err(text)?;
        if claim.spec.volume_name.is_empty() {
            return Err(format!("persistentvolumeclaim \"{name}\" is not bound"));
        }
        let bound = self.cluster.volume(&claim.spec.volume_name).await.map_err(text)?;
        let source = &bound.spec.persistent_volume_source;
        let from = match (&source.host_path, &source.local) {
            (Some(host), _) => {
                host_path(host)?;
                PathBuf::from(&host.path)
            }
            (_, Some(local)) => PathBuf::from(&local.path),
            _ => return Err(format!("volume {} is of a kind that this kubelet does not mount", bound.metadata.name)),
        };
        let dir = location(self.paths, volume);
        fs::create_dir_all(&dir).map_err(text)?;
        if sys::mount::below(&dir).map_err(text)?.is_empty() {
            sys::mount::bind(&from, &dir, false).map_err(text)?;
        }
        match self.group() {
            Some(group) => super::owner::give(&dir, group, self.only_on_mismatch()).map_err(text),
            None => Ok(()),
        }
    }

    fn only_on_mismatch(&self) -> bool {
        let context = self.pod.spec.security_context.as_ref();
        context.and_then(|context| context.fs_group_change_policy.as_deref()) == Some("OnRootMismatch")
    }

    /// Writes a volume that is made of objects.
    fn write(&self, volume: &Volume, files: &Files) -> Result<bool, String> {
        let dir = location(self.paths, volume);
        let is_new = !dir.exists();
        fs::create_dir_all(&dir).map_err(text)?;
        if is_new {
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).map_err(text)?;
            if let Some(group) = self.group() {
                super::owner::give(&dir, group, false).map_err(text)?;
            }
        }
        files::write(&dir, files, self.group()).map_err(text)
    }

    /// The files of a volume that is made of objects; None for the other kinds.
    async fn contents(&self, volume: &Volume) -> Result<Option<Files>, String> {
        let source = &volume.volume_source;
        if let Some(source) = &source.config_map {
            let (name, optional) = (&source.local_object_reference.name, source.optional == Some(true));
            let default = content::mode(source.default_mode, DEFAULT_MODE);
            return self.config_map(name, &source.items, default, optional).await.map(Some);
        }
        if let Some(source) = &source.secret {
            let default = content::mode(source.default_mode, DEFAULT_MODE);
            let optional = source.optional == Some(true);
            return self.secret(&source.secret_name, &source.items, default, optional).await.map(Some);
        }
        if let Some(source) = &source.downward_api {
            let default = content::mode(source.default_mode, DEFAULT_MODE);
            return content::downward(self.pod, &source.items, default, self.place).map(Some);
        }
        if let Some(source) = &source.projected {
            let default = content::mode(source.default_mode, DEFAULT_MODE);
            let parts = source.sources.iter().map(|part| self.projection(part, default));
            let mut files = Files::new();
            for part in futures::future::try_join_all(parts).await? {
                files.extend(part);
            }
            return Ok(Some(files));
        }
        Ok(None)
    }

    async fn config_map(
        &self,
        name: &str,
        items: &[proto::core::v1::KeyToPath],
        default: u32,
        optional: bool,
    ) -> Result<Files, String> {
        match self.cluster.config_map(&self.pod.metadata.namespace, name).await {
            Ok(map) => content::config_map(&map, items, default, optional),
            Err(cluster::Error::NotFound(_)) if optional => Ok(Files::new()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn secret(
        &self,
        name: &str,
        items: &[proto::core::v1::KeyToPath],
        default: u32,
        optional: bool,
    ) -> Result<Files, String> {
        match self.cluster.secret(&self.pod.metadata.namespace, name).await {
            Ok(secret) => content::secret(&secret, items, default, optional),
            Err(cluster::Error::NotFound(_)) if optional => Ok(Files::new()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn projection(&self, part: &VolumeProjection, default: u32) -> Result<Files, String> {
        if let Some(source) = &part.config_map {
            let name = &source.local_object_reference.name;
            return self.config_map(name, &source.items, default, source.optional == Some(true)).await;
        }
        if let Some(source) = &part.secret {
            let name = &source.local_object_reference.name;
            return self.secret(name, &source.items, default, source.optional == Some(true)).await;
        }
        if let Some(source) = &part.downward_api {
            return content::downward(self.pod, &source.items, default, self.place);
        }
        if let Some(source) = &part.service_account_token {
            let wanted = TokenFor {
                audience: source.audience.clone(),
                expiration_seconds: source.expiration_seconds.unwrap_or(3600),
            };
            let token = self.tokens.get(self.cluster, self.pod, &wanted).await.map_err(text)?;
            // A token is for the pod's user alone, or for its group; where neither is known, for whoever is in there.
            let user = self.user();
            let entry = Entry {
                bytes: token.token.into_bytes(),
                mode: if user.is_some() || self.group().is_some() { 0o600 } else { default },
                owner: user,
            };
            return Ok(Files::from([(source.path.clone(), entry)]));
        }
        Err("this kind of projection is not supported by this kubelet".into())
    }
}

/// Checks, and where the type says so makes, a path of the host.
fn host_path(source: &HostPathVolumeSource) -> Result<(), String> {
    let path = Path::new(&source.path);
    let kind = source.r#type.as_deref().unwrap_or("");
    let make_dir = || fs::create_dir_all(path).map_err(text);
    match kind {
        "DirectoryOrCreate" if !path.exists() => return make_dir(),
        "FileOrCreate" if !path.exists() => return fs::File::create(path).map(drop).map_err(text),
        "" if !path.exists() => return make_dir(),
        "" => return Ok(()),
        _ => {}
    }
    let meta =
        fs::metadata(path).map_err(|_| format!("hostPath type check failed: {} is not {}", source.path, noun(kind)))?;
    let right = match kind {
        "Directory" | "DirectoryOrCreate" => meta.is_dir(),
        "File" | "FileOrCreate" => meta.is_file(),
        "Socket" => meta.file_type().is_socket(),
        "CharDevice" => meta.file_type().is_char_device(),
        "BlockDevice" => meta.file_type().is_block_device(),
        _ => false,
    };
    match right {
        true => Ok(()),
        false => Err(format!("hostPath type check failed: {} is not {}", source.path, noun(kind))),
    }
}

fn noun(kind: &str) -> &'static str {
    match kind {
        "Directory" | "DirectoryOrCreate" => "a directory",
        "File" | "FileOrCreate" => "a file",
        "Socket" => "a socket file",
        "CharDevice" => "a character device",
        "BlockDevice" => "a block device",
        _ => "of a known type",
    }
}

fn text(error: impl std::error::Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        out.push_str(": ");
        out.push_str(&cause.to_string());
        source = cause.source();
    }
    out
}
