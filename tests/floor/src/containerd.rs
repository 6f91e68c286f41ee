//! The few calls of containerd that start a container and remove it again.

use std::path::PathBuf;

use anyhow::{Context, Result};
use containerd_client::services::v1 as api;
use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::snapshots as snapshot_api;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::tasks_client::TasksClient;
use hyper_util::rt::TokioIo;
use prost_types::Any;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// Where the kubelet's images are.
const NAMESPACE: &str = "k8s.io";
const SNAPSHOTTER: &str = "overlayfs";
const RUNTIME: &str = "io.containerd.runc.v2";
const SPEC_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
const SIGKILL: u32 = 9;

/// A connection to containerd.
pub struct Containerd(Channel);

fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("containerd-namespace", MetadataValue::from_static(NAMESPACE));
    request
}

/// Gone is as good as removed.
fn unless_gone<T>(answer: Result<T, Status>) -> Result<()> {
    match answer {
        Err(status) if status.code() != Code::NotFound => Err(status.into()),
        _ => Ok(()),
    }
}

impl Containerd {
    /// Connects to containerd's socket.
    pub async fn connect(socket: PathBuf) -> Result<Self> {
        let connector = tower::service_fn(move |_: http::Uri| {
            let socket = socket.clone();
            async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://containerd").connect_with_connector(connector).await;
        Ok(Self(channel.context("connecting to containerd")?))
    }

    /// The snapshot that holds all layers of an image: the chain of its layers' digests.
    pub async fn top_snapshot(&self, image: &str) -> Result<String> {
        let get = api::GetImageRequest { name: image.into() };
        let found = ImagesClient::new(self.0.clone()).get(request(get)).await.context("looking up the image")?;
        let target = found.into_inner().image.and_then(|image| image.target).context("the image points at nothing")?;
        let mut document = self.blob(&target.digest).await?;
        if let Some(digest) = document.pointer("/manifests/0/digest").and_then(Value::as_str) {
            document = self.blob(digest).await?;
        }
        let config = document.pointer("/config/digest").and_then(Value::as_str).context("a manifest has a config")?;
        let config = self.blob(config).await?;
        let layers = config.pointer("/rootfs/diff_ids").and_then(Value::as_array).context("a config has layers")?;
        let chain = layers
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .reduce(|chain, layer| format!("sha256:{}", hex::encode(Sha256::digest(format!("{chain} {layer}")))));
        chain.context("the image has no layers")
    }

    async fn blob(&self, digest: &str) -> Result<Value> {
        let read = api::ReadContentRequest { digest: digest.into(), ..Default::default() };
        let mut chunks = ContentClient::new(self.0.clone()).read(request(read)).await?.into_inner();
        let mut blob = Vec::new();
        while let Some(chunk) = chunks.message().await? {
            blob.extend_from_slice(&chunk.data);
        }
        Ok(serde_json::from_slice(&blob)?)
    }

    /// Makes a container on a snapshot, with its task, and lets it run.
    pub async fn start(&self, name: &str, parent: &str, spec: &Value) -> Result<()> {
        let container = api::Container {
            id: name.into(),
            runtime: Some(api::container::Runtime { name: RUNTIME.into(), options: None }),
            spec: Some(Any { type_url: SPEC_TYPE.into(), value: serde_json::to_vec(spec)? }),
            snapshotter: SNAPSHOTTER.into(),
            snapshot_key: name.into(),
            ..Default::default()
        };
        let create = api::CreateContainerRequest { container: Some(container) };
        ContainersClient::new(self.0.clone()).create(request(create)).await.context("creating the container")?;
        let prepare = snapshot_api::PrepareSnapshotRequest {
            snapshotter: SNAPSHOTTER.into(),
            key: name.into(),
            parent: parent.into(),
            ..Default::default()
        };
        let prepared = SnapshotsClient::new(self.0.clone()).prepare(request(prepare)).await.context("its root")?;
        let mut tasks = TasksClient::new(self.0.clone());
        let create = api::CreateTaskRequest {
            container_id: name.into(),
            rootfs: prepared.into_inner().mounts,
            ..Default::default()
        };
        tasks.create(request(create)).await.context("creating the task")?;
        let start = api::StartRequest { container_id: name.into(), ..Default::default() };
        tasks.start(request(start)).await.context("starting the task")?;
        Ok(())
    }

    /// Ends a container and removes all of it.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let mut tasks = TasksClient::new(self.0.clone());
        let kill = api::KillRequest { container_id: name.into(), signal: SIGKILL, all: true, ..Default::default() };
        unless_gone(tasks.kill(request(kill)).await)?;
        let wait = api::WaitRequest { container_id: name.into(), ..Default::default() };
        unless_gone(tasks.wait(request(wait)).await)?;
        unless_gone(tasks.delete(request(api::DeleteTaskRequest { container_id: name.into() })).await)?;
        let delete = api::DeleteContainerRequest { id: name.into() };
        unless_gone(ContainersClient::new(self.0.clone()).delete(request(delete)).await)?;
        let remove = snapshot_api::RemoveSnapshotRequest { snapshotter: SNAPSHOTTER.into(), key: name.into() };
        unless_gone(SnapshotsClient::new(self.0.clone()).remove(request(remove)).await)
    }
}
