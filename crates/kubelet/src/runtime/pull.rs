//! Pulls images from OCI registries into containerd's content store, and unpacks them.

use std::collections::HashMap;

use containerd_client::types::Descriptor as ContainerdDescriptor;
use futures::TryStreamExt;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::{IMAGE_DOCKER_CONFIG_MEDIA_TYPE, OciDescriptor};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference as OciReference, RegistryOperation};

use super::image::{manifest, platform_manifest};
use super::reference::Reference;
use super::registry::{Credentials, matching};
use super::{Containerd, Error, Image};

/// Manifests in every form that containerd understands.
const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Layers that are fetched at once.
const LAYERS_AT_ONCE: usize = 3;

impl Containerd {
    /// Pulls an image and unpacks it. `written` is how the pod's author wrote the name.
    pub async fn pull(
        &self,
        written: &str,
        reference: &Reference,
        credentials: &[Credentials],
    ) -> Result<Image, Error> {
        let lease = self.lease(&format!("pull {}", reference.full())).await?;
        let pulled = self.pull_leased(written, reference, credentials, &lease).await;
        let ended = self.end_lease(&lease).await;
        let image = pulled?;
        ended?;
        Ok(image)
    }

    /// Unpacks an image that is in the content store already.
    pub async fn unpack_leased(&self, image: &Image) -> Result<(), Error> {
        let lease = self.lease(&format!("unpack {}", image.name)).await?;
        let unpacked = self.unpack(image, &lease).await;
        self.end_lease(&lease).await?;
        unpacked
    }

    async fn pull_leased(
        &self,
        written: &str,
        reference: &Reference,
        credentials: &[Credentials],
        lease: &str,
    ) -> Result<Image, Error> {
        let name = reference.full();
        let (registry, bytes, digest) = Registry::resolve(written, reference, credentials).await?;
        let media_type = media_type(&bytes);
        let mut manifest_bytes = bytes.clone();
        let mut manifest_digest = digest.clone();
        if let Some(chosen) = platform_manifest(&name, &bytes)? {
            (manifest_bytes, manifest_digest) = registry.manifest(&registry.by_digest(&chosen)).await?;
        }
        let manifest = manifest(&name, &manifest_bytes)?;
        let config = manifest.config();
        let mut wanted = vec![(config.digest().to_string(), config.size() as i64)];
        wanted.extend(manifest.layers().iter().map(|layer| (layer.digest().to_string(), layer.size() as i64)));
        let fetches = futures::stream::iter(wanted.iter().map(Ok::<_, Error>));
        fetches
            .try_for_each_concurrent(LAYERS_AT_ONCE, |(digest, size)| self.fetch(&registry, digest, *size, lease))
            .await?;
        // References for the garbage collector: index -> manifest -> configuration and layers.
        let mut labels =
            HashMap::from([("containerd.io/gc.ref.content.config".to_owned(), config.digest().to_string())]);
        for (index, layer) in manifest.layers().iter().enumerate() {
            labels.insert(format!("containerd.io/gc.ref.content.l.{index}"), layer.digest().to_string());
        }
        self.store(&manifest_digest, manifest_bytes, labels, lease).await?;
        if manifest_digest != digest {
            let labels = HashMap::from([("containerd.io/gc.ref.content.m.0".to_owned(), manifest_digest.clone())]);
            self.store(&digest, bytes.clone(), labels, lease).await?;
        }
        let target =
            ContainerdDescriptor { media_type, digest: digest.clone(), size: bytes.len() as i64, ..Default::default() };
        let image = self.resolve(&name, &digest).await?;
        self.unpack(&image, lease).await?;
        self.reference_snapshot(&image).await?;
        self.put_image(&name, target).await?;
        Ok(image)
    }

    async fn store(
        &self,
        digest: &str,
        bytes: Vec<u8>,
        labels: HashMap<String, String>,
        lease: &str,
    ) -> Result<(), Error> {
        let _turn = self.turn(digest).await;
        let size = bytes.len() as i64;
        let body = futures::stream::iter([Ok(bytes::Bytes::from(bytes))]);
        self.write_blob(lease, digest, size, labels, body).await
    }

    async fn fetch(&self, registry: &Registry, digest: &str, size: i64, lease: &str) -> Result<(), Error> {
        let _turn = self.turn(digest).await;
        if self.has_blob(digest).await? {
            return self.keep_blob(digest, lease).await;
        }
        let descriptor = OciDescriptor {
            media_type: IMAGE_DOCKER_CONFIG_MEDIA_TYPE.into(),
            digest: digest.into(),
            size,
            ..OciDescriptor::default()
        };
        let stream = registry.client.pull_blob_stream(&registry.reference, &descriptor).await;
        let stream = stream.map_err(|error| registry.failed(&format!("fetch {digest}"), &error))?;
        let body: futures::stream::BoxStream<'static, _> = stream.stream;
        self.write_blob(lease, digest, size, HashMap::new(), body).await
    }
}

/// One registry, as far as one image needs it.
struct Registry {
    client: Client,
    reference: OciReference,
    auth: RegistryAuth,
    written: String,
}

impl Registry {
    /// Signs in and fetches what the name points at: bytes and digest. Credentials that fit are tried in turn, the most
    /// specific first; without any, the registry is asked as nobody.
    async fn resolve(
        written: &str,
        reference: &Reference,
        credentials: &[Credentials],
    ) -> Result<(Self, Vec<u8>, String), Error> {
        let fitting = matching(credentials, &reference.registry, &reference.repository);
        let mut users: Vec<RegistryAuth> =
            fitting.iter().map(|one| RegistryAuth::Basic(one.username.clone(), one.password.clone())).collect();
        let last = users.pop().unwrap_or(RegistryAuth::Anonymous);
        for user in users {
            match Self::try_as(written, reference, user).await {
                Ok(found) => return Ok(found),
                Err(error) => tracing::debug!(image = written, %error, "the next credentials are tried"),
            }
        }
        Self::try_as(written, reference, last).await
    }

    async fn try_as(
        written: &str,
        reference: &Reference,
        auth: RegistryAuth,
    ) -> Result<(Self, Vec<u8>, String), Error> {
        let registry = Self::sign_in(written, reference, auth).await?;
        let (bytes, digest) = registry.manifest(&registry.reference).await?;
        Ok((registry, bytes, digest))
    }

    async fn sign_in(written: &str, reference: &Reference, auth: RegistryAuth) -> Result<Self, Error> {
        let oci = match (&reference.tag, &reference.digest) {
            (_, Some(digest)) => {
                OciReference::with_digest(reference.registry.clone(), reference.repository.clone(), digest.clone())
            }
            (tag, None) => OciReference::with_tag(
                reference.registry.clone(),
                reference.repository.clone(),
                tag.clone().unwrap_or_else(|| "latest".into()),
            ),
        };
        // The client takes the process's provider; one that is set already stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = ClientConfig {
            protocol: if is_local(&reference.registry) { ClientProtocol::Http } else { ClientProtocol::Https },
            connect_timeout: Some(std::time::Duration::from_secs(10)),
            read_timeout: Some(std::time::Duration::from_secs(60)),
            ..ClientConfig::default()
        };
        let registry = Self { client: Client::new(config), reference: oci, auth, written: written.into() };
        let signed_in = registry.client.auth(&registry.reference, &registry.auth, RegistryOperation::Pull).await;
        match signed_in {
            // A registry without tokens: the client sends the user with each request.
            Ok(_) => Ok(registry),
            Err(error) => Err(registry.failed("resolve", &error)),
        }
    }

    fn by_digest(&self, digest: &str) -> OciReference {
        self.reference.clone_with_digest(digest.into())
    }

    async fn manifest(&self, reference: &OciReference) -> Result<(Vec<u8>, String), Error> {
        let pulled = self.client.pull_manifest_raw(reference, &self.auth, &ACCEPTED).await;
        let (bytes, digest) = pulled.map_err(|error| self.failed("resolve", &error))?;
        Ok((bytes.to_vec(), digest))
    }

    /// The words follow upstream's, so that people and tools recognise them.
    fn failed(&self, what: &str, error: &dyn std::error::Error) -> Error {
        let (image, why) = (&self.written, crate::images::chain(error));
        Error::Registry(match what {
            "resolve" => {
                format!("failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {why}")
            }
            what => format!("failed to pull and unpack image \"{image}\": failed to {what}: {why}"),
        })
    }
}

/// Registries on this machine speak plain HTTP, as with every container runtime.
fn is_local(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => registry,
    };
    host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What the document says it is.
fn media_type(bytes: &[u8]) -> String {
    let document: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    match document.get("mediaType").and_then(|value| value.as_str()) {
        Some(media_type) => media_type.to_owned(),
        None if document.get("manifests").is_some() => ACCEPTED[0].to_owned(),
        None => ACCEPTED[2].to_owned(),
    }
}
