//! Layers become snapshots: each is applied on the one below it and committed under its chain id.

use std::collections::HashMap;

use containerd_client::services::v1 as api;
use containerd_client::services::v1::snapshots as snapshot_api;
use containerd_client::types::{Descriptor, Mount};

use super::connection::{leased, request};
use super::image::chain_id;
use super::{Containerd, Error, Image};

impl Containerd {
    /// Whether all layers of the image are snapshots already.
    pub async fn is_unpacked(&self, image: &Image) -> Result<bool, Error> {
        self.has_snapshot(&image.chain_id).await
    }

    async fn has_snapshot(&self, key: &str) -> Result<bool, Error> {
        let stat = snapshot_api::StatSnapshotRequest { snapshotter: self.snapshotter.clone(), key: key.into() };
        match self.snapshots().stat(request(stat)).await {
            Ok(_) => Ok(true),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(false),
            Err(status) => Err(Error::of("look up snapshot", key)(status)),
        }
    }

    /// Applies the layers that are not snapshots yet, under a lease.
    pub async fn unpack(&self, image: &Image, lease: &str) -> Result<(), Error> {
        let diff_ids = image.configuration.rootfs().diff_ids();
        let mut parent = String::new();
        for (index, layer) in image.layers.iter().enumerate() {
            let chain = chain_id(diff_ids.get(..=index).unwrap_or_default());
            if !self.has_snapshot(&chain).await? {
                let descriptor = Descriptor {
                    media_type: layer.media_type().to_string(),
                    digest: layer.digest().to_string(),
                    size: layer.size() as i64,
                    ..Default::default()
                };
                self.unpack_layer(descriptor, &parent, &chain, lease).await?;
            }
            parent = chain;
        }
        Ok(())
    }

    async fn unpack_layer(&self, layer: Descriptor, parent: &str, chain: &str, lease: &str) -> Result<(), Error> {
        let key = format!("extract-{} {chain}", uuid::Uuid::new_v4().simple());
        let prepare = snapshot_api::PrepareSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            key: key.clone(),
            parent: parent.into(),
            labels: HashMap::from([("containerd.io/snapshot.ref".into(), chain.into())]),
        };
        let mounts = match self.snapshots().prepare(leased(prepare, lease)).await {
            Ok(answer) => answer.into_inner().mounts,
            Err(status) if status.code() == tonic::Code::AlreadyExists => return Ok(()),
            Err(status) => return Err(Error::of("prepare snapshot", chain)(status)),
        };
        let apply = api::ApplyRequest { diff: Some(layer), mounts, ..Default::default() };
        let applied = self.diff().apply(leased(apply, lease)).await.map_err(Error::of("apply layer", chain));
        if let Err(error) = applied {
            self.remove_snapshot(&key).await?;
            return Err(error);
        }
        let commit = snapshot_api::CommitSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            name: chain.into(),
            key: key.clone(),
            labels: HashMap::from([("containerd.io/snapshot.ref".into(), chain.into())]),
        };
        match self.snapshots().commit(leased(commit, lease)).await {
            Err(status) if status.code() == tonic::Code::AlreadyExists => self.remove_snapshot(&key).await,
            Err(status) => Err(Error::of("commit snapshot", chain)(status)),
            Ok(_) => Ok(()),
        }
    }

    /// A writable snapshot on top of the image: a container's root file system.
    pub(super) async fn prepare_root(&self, key: &str, chain: &str) -> Result<Vec<Mount>, Error> {
        let prepare = snapshot_api::PrepareSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            key: key.into(),
            parent: chain.into(),
            ..Default::default()
        };
        let answer = self.snapshots().prepare(request(prepare)).await;
        Ok(answer.map_err(Error::of("prepare root of", key))?.into_inner().mounts)
    }

    /// Fine when it is gone.
    pub(super) async fn remove_snapshot(&self, key: &str) -> Result<(), Error> {
        let remove = snapshot_api::RemoveSnapshotRequest { snapshotter: self.snapshotter.clone(), key: key.into() };
        match self.snapshots().remove(request(remove)).await {
            Err(status) if status.code() != tonic::Code::NotFound => Err(Error::of("remove snapshot", key)(status)),
            _ => Ok(()),
        }
    }

    /// A lease that keeps containerd's garbage collector away while an image is assembled.
    pub(super) async fn lease(&self, purpose: &str) -> Result<String, Error> {
        let create = api::CreateRequest {
            id: format!("keelson-{}", uuid::Uuid::new_v4().simple()),
            labels: HashMap::from([
                ("keelson.io/purpose".to_owned(), purpose.to_owned()),
                // A killed kubelet leaves its lease behind; containerd drops it after a day.
                (
                    "containerd.io/gc.expire".to_owned(),
                    crate::time::rfc3339(crate::time::now() + 24 * crate::time::HOUR),
                ),
            ]),
        };
        let answer = self.leases().create(request(create)).await.map_err(Error::of("create lease for", purpose))?;
        answer.into_inner().lease.map(|lease| lease.id).ok_or_else(|| Error::Incomplete {
            operation: "create lease for",
            object: purpose.into(),
            lacks: "the lease",
        })
    }

    pub(super) async fn end_lease(&self, id: &str) -> Result<(), Error> {
        let delete = api::DeleteRequest { id: id.into(), sync: false };
        match self.leases().delete(request(delete)).await {
            Err(status) if status.code() != tonic::Code::NotFound => Err(Error::of("delete lease", id)(status)),
            _ => Ok(()),
        }
    }
}

impl Containerd {
    /// Ties the layers' snapshots to the image, for containerd's garbage collector.
    pub(super) async fn reference_snapshot(&self, image: &Image) -> Result<(), Error> {
        let label = format!("containerd.io/gc.ref.snapshot.{}", self.snapshotter);
        let info = api::Info {
            digest: image.id.clone(),
            labels: HashMap::from([(label.clone(), image.chain_id.clone())]),
            ..Default::default()
        };
        let update = api::UpdateRequest {
            info: Some(info),
            update_mask: Some(prost_types::FieldMask { paths: vec![format!("labels.{label}")] }),
        };
        self.content().update(request(update)).await.map_err(Error::of("label content", &image.id))?;
        Ok(())
    }

    /// Keeps a blob that is in the store already for as long as the lease lives.
    pub(super) async fn keep_blob(&self, digest: &str, lease: &str) -> Result<(), Error> {
        let add = api::AddResourceRequest {
            id: lease.into(),
            resource: Some(api::Resource { id: digest.into(), r#type: "content".into() }),
        };
        self.leases().add_resource(request(add)).await.map_err(Error::of("keep content", digest))?;
        Ok(())
    }

    /// What a container has written into its root file system, as much as it takes on disk.
    pub async fn layer_bytes(&self, key: &str) -> Result<u64, Error> {
        let usage = snapshot_api::UsageRequest { snapshotter: self.snapshotter.clone(), key: key.into() };
        let answer = self.snapshots().usage(request(usage)).await.map_err(Error::of("measure snapshot", key))?;
        Ok(u64::try_from(answer.into_inner().size).unwrap_or(0))
    }

    /// Reads small files of an image without running anything: looks into its layers from the top.
    pub async fn read_files(&self, chain: &str, names: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let key = format!("keelson-view-{}", uuid::Uuid::new_v4().simple());
        let view = snapshot_api::ViewSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            key: key.clone(),
            parent: chain.into(),
            ..Default::default()
        };
        let answer = self.snapshots().view(request(view)).await.map_err(Error::of("view snapshot", chain))?;
        let layers = layers(&answer.into_inner().mounts);
        let read = |name: &&str| layers.iter().find_map(|layer| read_inside(layer, name));
        let files = names.iter().map(read).collect();
        self.remove_snapshot(&key).await?;
        Ok(files)
    }
}

/// The folders that a view is made of, the topmost first.
fn layers(mounts: &[Mount]) -> Vec<std::path::PathBuf> {
    let Some(mount) = mounts.first() else { return Vec::new() };
    if mount.r#type == "bind" {
        return vec![mount.source.clone().into()];
    }
    let lower = mount.options.iter().find_map(|option| option.strip_prefix("lowerdir="));
    lower.map(|dirs| dirs.split(':').map(Into::into).collect()).unwrap_or_default()
}

/// Reads a file of a layer; a symlink is not followed, since it would lead through the host.
fn read_inside(layer: &std::path::Path, name: &str) -> Option<Vec<u8>> {
    let path = layer.join(name);
    let parent = path.parent()?.canonicalize().ok()?;
    let inside = parent.starts_with(layer.canonicalize().ok()?);
    let meta = std::fs::symlink_metadata(&path).ok()?;
    (inside && meta.is_file()).then(|| std::fs::read(&path).ok())?
}
