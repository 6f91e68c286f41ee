//! Images that containerd holds: from a name to what a container needs of it.

use std::collections::HashMap;

use containerd_client::services::v1 as api;
use oci_spec::image::{Arch, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, Os};
use sha2::{Digest, Sha256};

use super::connection::request;
use super::{Containerd, Error};

/// An image of this machine's platform.
#[derive(Clone, Debug)]
pub struct Image {
    /// As containerd names it.
    pub name: String,
    /// Digest of its configuration: the image's id in pod status.
    pub id: String,
    /// Digest of what the name points at: manifest or index.
    pub digest: String,
    pub configuration: ImageConfiguration,
    pub layers: Vec<Descriptor>,
    /// Name of the snapshot that holds all layers.
    pub chain_id: String,
    pub size_bytes: u64,
}

impl Image {
    /// The default process of the image.
    pub fn entrypoint(&self) -> &[String] {
        let config = self.configuration.config().as_ref();
        config.and_then(|config| config.entrypoint().as_deref()).unwrap_or_default()
    }

    pub fn command(&self) -> &[String] {
        let config = self.configuration.config().as_ref();
        config.and_then(|config| config.cmd().as_deref()).unwrap_or_default()
    }

    pub fn environment(&self) -> &[String] {
        let config = self.configuration.config().as_ref();
        config.and_then(|config| config.env().as_deref()).unwrap_or_default()
    }

    pub fn user(&self) -> &str {
        let config = self.configuration.config().as_ref();
        config.and_then(|config| config.user().as_deref()).unwrap_or_default()
    }

    pub fn working_dir(&self) -> &str {
        let config = self.configuration.config().as_ref();
        config.and_then(|config| config.working_dir().as_deref()).unwrap_or_default()
    }

    /// The signal that asks the image's process to end, when the image names one.
    pub fn stop_signal(&self) -> Option<&str> {
        let config = self.configuration.config().as_ref();
        config.and_then(|config| config.stop_signal().as_deref()).filter(|signal| !signal.is_empty())
    }

    /// What pod status shows as imageID: the digest a registry knows it by, or its own id for imported ones.
    pub fn status_id(&self) -> String {
        self.id.clone()
    }
}

impl Containerd {
    /// What the name points at, or None when there is no such image.
    pub async fn image_digest(&self, name: &str) -> Result<Option<String>, Error> {
        let get = api::GetImageRequest { name: name.into() };
        match self.images().get(request(get)).await {
            Ok(answer) => Ok(answer.into_inner().image.and_then(|image| image.target).map(|target| target.digest)),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(Error::of("look up image", name)(status)),
        }
    }

    /// The image that a digest (of a manifest or an index) stands for.
    pub async fn image_of(&self, name: &str, digest: &str) -> Result<Image, Error> {
        self.resolve(name, digest).await
    }

    /// Follows an index to this platform's manifest, and the manifest to its configuration.
    pub(super) async fn resolve(&self, name: &str, digest: &str) -> Result<Image, Error> {
        let mut blob = self.read_blob(digest).await?;
        let mut size_bytes = blob.len() as u64;
        if let Some(chosen) = platform_manifest(name, &blob)? {
            blob = self.read_blob(&chosen).await?;
            size_bytes += blob.len() as u64;
        }
        let manifest = manifest(name, &blob)?;
        let config_digest = manifest.config().digest().to_string();
        let config = self.read_blob(&config_digest).await?;
        let layers = manifest.layers().iter().map(Descriptor::size);
        size_bytes = layers.fold(size_bytes.saturating_add(config.len() as u64), u64::saturating_add);
        let configuration = configuration(name, &config, manifest.layers().len())?;
        Ok(Image {
            name: name.into(),
            id: config_digest,
            digest: digest.into(),
            chain_id: chain_id(configuration.rootfs().diff_ids()),
            configuration,
            layers: manifest.layers().clone(),
            size_bytes,
        })
    }

    /// Names and targets of all images.
    pub async fn list_images(&self) -> Result<Vec<(String, String)>, Error> {
        let list = api::ListImagesRequest::default();
        let answer = self.images().list(request(list)).await.map_err(Error::of("list", "images"))?;
        let images = answer.into_inner().images.into_iter();
        Ok(images.map(|image| (image.name, image.target.map(|target| target.digest).unwrap_or_default())).collect())
    }

    /// Points a name at a manifest that is in the content store.
    pub(super) async fn put_image(
        &self,
        name: &str,
        target: containerd_client::types::Descriptor,
    ) -> Result<(), Error> {
        let image = api::Image {
            name: name.into(),
            labels: HashMap::from([("io.cri-containerd.image".into(), "managed".into())]),
            target: Some(target),
            ..Default::default()
        };
        let create = api::CreateImageRequest { image: Some(image.clone()), ..Default::default() };
        match self.images().create(request(create)).await {
            Ok(_) => return Ok(()),
            Err(status) if status.code() == tonic::Code::AlreadyExists => {}
            Err(status) => return Err(Error::of("create image", name)(status)),
        }
        let update = api::UpdateImageRequest { image: Some(image), ..Default::default() };
        self.images().update(request(update)).await.map_err(Error::of("update image", name))?;
        Ok(())
    }
}

/// Reads an image's manifest.
pub fn manifest(name: &str, blob: &[u8]) -> Result<ImageManifest, Error> {
    serde_json::from_slice(blob).map_err(document("manifest", name))
}

/// Reads an image's configuration; it must know as many layers as the manifest does.
pub fn configuration(name: &str, blob: &[u8], layers: usize) -> Result<ImageConfiguration, Error> {
    let configuration: ImageConfiguration = serde_json::from_slice(blob).map_err(document("configuration", name))?;
    match configuration.rootfs().diff_ids().len() == layers {
        true => Ok(configuration),
        false => Err(Error::Incomplete {
            operation: "read configuration of",
            object: name.into(),
            lacks: "as many layers as the manifest has",
        }),
    }
}

/// The digest of this platform's manifest when the blob is an index; None when it is a manifest itself.
pub fn platform_manifest(name: &str, blob: &[u8]) -> Result<Option<String>, Error> {
    #[derive(serde::Deserialize)]
    struct Probe {
        #[serde(default)]
        manifests: Option<serde_json::Value>,
    }
    let probe: Probe = serde_json::from_slice(blob).map_err(document("manifest", name))?;
    if probe.manifests.is_none() {
        return Ok(None);
    }
    let index: ImageIndex = serde_json::from_slice(blob).map_err(document("index", name))?;
    let here = host_architecture();
    let fits = |entry: &&Descriptor| match entry.platform() {
        Some(platform) => *platform.os() == Os::Linux && *platform.architecture() == here,
        None => true,
    };
    let chosen = index
        .manifests()
        .iter()
        .find(fits)
        .ok_or_else(|| Error::Platform { image: name.into(), platform: format!("linux/{here}") })?;
    Ok(Some(chosen.digest().to_string()))
}

/// This machine, in OCI's words.
pub(super) fn host_architecture() -> Arch {
    match std::env::consts::ARCH {
        "x86_64" => Arch::Amd64,
        "aarch64" => Arch::ARM64,
        other => Arch::Other(other.into()),
    }
}

pub(super) fn document(what: &'static str, image: &str) -> impl FnOnce(serde_json::Error) -> Error {
    let image = image.to_owned();
    move |source| Error::Document { what, image, source }
}

/// The chain id of a stack of layers, as the OCI image specification defines it.
pub fn chain_id(diff_ids: &[String]) -> String {
    let mut layers = diff_ids.iter();
    let first = layers.next().cloned().unwrap_or_default();
    layers.fold(first, |chain, layer| format!("sha256:{}", hex::encode(Sha256::digest(format!("{chain} {layer}")))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_layer_is_its_own_chain() {
        assert_eq!(chain_id(&["sha256:aa".into()]), "sha256:aa");
        assert_eq!(chain_id(&[]), "");
    }

    #[test]
    fn a_chain_hashes_what_is_below_and_the_layer() {
        let expect = format!("sha256:{}", hex::encode(Sha256::digest("sha256:aa sha256:bb")));
        assert_eq!(chain_id(&["sha256:aa".into(), "sha256:bb".into()]), expect);
    }
}
