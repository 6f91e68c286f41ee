//! What the kubelet serves to the API server: logs, exec, attach, port-forward. Only for the cluster's administrators
//! and the API server itself.

mod attach;
mod exec;
mod forward;
mod logs;

use std::sync::Arc;

use daemon::tls::Peer;
use proto::core::v1::{Container, Pod};
use proto::keelson::api::v1::{ExecInput, ExecOutput, LogsChunk, LogsRequest, PodRef, PortForwardFrame};
use proto::keelson::node::v1::node_server;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::manager::Handles;
use crate::node_context::Node;
use crate::pod::{Role, find};

/// Answers that wait for the caller to read them.
const ANSWERS_MAX: usize = 16;
/// The API server's name when it calls.
const API_SERVER: &str = "kube-apiserver-kubelet-client";
const ADMINISTRATORS: &str = "system:masters";

type Answers<T> = ReceiverStream<Result<T, Status>>;

/// The service on port 10250.
#[derive(Clone)]
pub struct NodeService {
    node: Arc<Node>,
    handles: Handles,
}

impl NodeService {
    pub fn new(node: Arc<Node>, handles: Handles) -> Self {
        Self { node, handles }
    }

    /// The pod that is meant; another pod of the same name is not.
    fn pod(&self, reference: Option<&PodRef>) -> Result<Arc<Pod>, Status> {
        let reference = reference.ok_or_else(|| Status::invalid_argument("no pod is named"))?;
        let handles = self.handles.read();
        let found = handles.values().find(|handle| {
            let meta = &handle.pod.metadata;
            let same = meta.namespace == reference.namespace && meta.name == reference.name;
            same && (reference.uid.is_empty() || meta.uid == reference.uid)
        });
        found.map(|handle| handle.pod.clone()).ok_or_else(|| {
            Status::not_found(format!("pod \"{}/{}\" not found on this node", reference.namespace, reference.name))
        })
    }
}

/// Who may call at all.
fn authorize<T>(request: &Request<T>) -> Result<(), Status> {
    let peer = request.extensions().get::<Peer>();
    let allowed = peer.is_some_and(|peer| {
        peer.common_name == API_SERVER || peer.organizations.iter().any(|group| group == ADMINISTRATORS)
    });
    match (allowed, peer) {
        (true, _) => Ok(()),
        (false, None) => Err(Status::unauthenticated("a client certificate of the cluster's CA is needed")),
        (false, Some(peer)) => Err(Status::permission_denied(format!(
            "{} may not use the kubelet's API; members of {ADMINISTRATORS} may",
            peer.common_name
        ))),
    }
}

/// The container by name, or the pod's default one.
fn container(pod: &Pod, name: &str) -> Result<(Role, Container), Status> {
    const DEFAULT: &str = "kubectl.kubernetes.io/default-container";
    let annotated = pod.metadata.annotations.get(DEFAULT).map(String::as_str);
    let chosen = match (name, pod.spec.containers.as_slice()) {
        ("", [only]) => only.name.as_str(),
        ("", all) => match annotated {
            Some(name) => name,
            None => {
                let names: Vec<&str> = all.iter().map(|container| container.name.as_str()).collect();
                let text = format!(
                    "a container name must be specified for pod {}, choose one of: [{}]",
                    pod.metadata.name,
                    names.join(" ")
                );
                return Err(Status::invalid_argument(text));
            }
        },
        (name, _) => name,
    };
    let missing = || Status::not_found(format!("container {chosen} is not valid for pod {}", pod.metadata.name));
    find(pod, chosen).ok_or_else(missing)
}

#[tonic::async_trait]
impl node_server::Node for NodeService {
    type LogsStream = Answers<LogsChunk>;
    type ExecStream = Answers<ExecOutput>;
    type AttachStream = Answers<ExecOutput>;
    type PortForwardStream = Answers<PortForwardFrame>;

    async fn logs(&self, request: Request<LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        authorize(&request)?;
        self.serve_logs(request.into_inner()).await.map(Response::new)
    }

    async fn exec(&self, request: Request<Streaming<ExecInput>>) -> Result<Response<Self::ExecStream>, Status> {
        authorize(&request)?;
        self.serve_exec(request.into_inner()).await.map(Response::new)
    }

    async fn attach(&self, request: Request<Streaming<ExecInput>>) -> Result<Response<Self::AttachStream>, Status> {
        authorize(&request)?;
        self.serve_attach(request.into_inner()).await.map(Response::new)
    }

    async fn port_forward(
        &self,
        request: Request<Streaming<PortForwardFrame>>,
    ) -> Result<Response<Self::PortForwardStream>, Status> {
        authorize(&request)?;
        self.serve_forward(request.into_inner()).await.map(Response::new)
    }
}
