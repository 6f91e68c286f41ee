//! The connection to containerd: one lazy channel that reconnects by itself, and the namespace on every request.

use std::path::Path;
use std::time::Duration;

use containerd_client::services::v1 as api;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use hyper_util::rt::TokioIo;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};

use super::Error;

/// The containerd namespace that Kubernetes nodes use.
pub const NAMESPACE: &str = "k8s.io";

/// Answers (lists of containers with their specs) may be large on a full node.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How long a call may take, as upstream's `runtime-request-timeout` has it: a containerd that hangs is an error, too.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);

/// containerd, reached through its unix socket. Cheap to clone.
#[derive(Clone)]
pub struct Containerd {
    channel: Channel,
    pub(super) snapshotter: String,
    pub(super) turns: super::content::Turns,
}

macro_rules! service {
    ($name:ident, $client:ty) => {
        pub(super) fn $name(&self) -> $client {
            <$client>::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
        }
    };
}

impl Containerd {
    /// Does not connect yet: the first call does, and each call after a restart of containerd does again.
    pub fn new(socket: &Path, snapshotter: &str) -> Self {
        let path = socket.to_owned();
        let channel = Endpoint::from_static("http://containerd").connect_with_connector_lazy(tower::service_fn(
            move |_: http::Uri| {
                let path = path.clone();
                async move {
                    let connected = tokio::net::UnixStream::connect(&path).await;
                    connected.map(TokioIo::new).map_err(|error| {
                        let text = format!(
                            "cannot connect to {} (--container-runtime-endpoint): {error}; does containerd run?",
                            path.display()
                        );
                        std::io::Error::new(error.kind(), text)
                    })
                }
            },
        ));
        Self { channel, snapshotter: snapshotter.to_owned(), turns: Default::default() }
    }

    service!(containers, api::containers_client::ContainersClient<Channel>);
    service!(tasks, api::tasks_client::TasksClient<Channel>);
    service!(images, api::images_client::ImagesClient<Channel>);
    service!(content, api::content_client::ContentClient<Channel>);
    service!(diff, api::diff_client::DiffClient<Channel>);
    service!(leases, api::leases_client::LeasesClient<Channel>);
    service!(events, api::events_client::EventsClient<Channel>);
    service!(snapshots, SnapshotsClient<Channel>);
    service!(versions, api::version_client::VersionClient<Channel>);
    service!(namespaces, api::namespaces_client::NamespacesClient<Channel>);

    /// The containerd's version, for example "1.6.20".
    pub async fn version(&self) -> Result<String, Error> {
        let answer = self.versions().version(request(())).await;
        let version = answer.map_err(Error::of("ask the version of", "containerd"))?.into_inner().version;
        Ok(version.split(['~', '+', '-']).next().unwrap_or(&version).to_owned())
    }

    /// Makes the namespace; fine when it exists.
    pub async fn ensure_namespace(&self) -> Result<(), Error> {
        let namespace = api::Namespace { name: NAMESPACE.into(), ..Default::default() };
        let create = api::CreateNamespaceRequest { namespace: Some(namespace) };
        match self.namespaces().create(request(create)).await {
            Err(status) if status.code() != tonic::Code::AlreadyExists => {
                Err(Error::of("create namespace", NAMESPACE)(status))
            }
            _ => Ok(()),
        }
    }
}

/// A request in the Kubernetes namespace that is answered soon or not at all.
pub(super) fn request<T>(message: T) -> Request<T> {
    let mut request = patient(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}

/// A request whose answer may take as long as it takes: the end of a process, the next event, an image's content.
pub(super) fn patient<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("containerd-namespace", MetadataValue::from_static(NAMESPACE));
    request
}

/// A request whose new objects the lease protects from containerd's garbage collector.
pub(super) fn leased<T>(message: T, lease: &str) -> Request<T> {
    let mut request = patient(message);
    if let Ok(value) = MetadataValue::try_from(lease) {
        request.metadata_mut().insert("containerd-lease", value);
    }
    request
}
