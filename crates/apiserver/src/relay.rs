//! The way to the nodes: a gRPC channel per kubelet, dialled with the apiserver's own certificate.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use daemon::tls::ClientIdentity;
use parking_lot::Mutex;
use proto::core::v1::{Node, Pod};
use proto::keelson::api::v1::PodRef;
use proto::keelson::node::v1::node_client::NodeClient;
use tonic::transport::Channel;

use crate::server::Server;
use crate::status::{Failure, Result};
use crate::verbs::{Target, get};

const KUBELET_PORT: i32 = 10250;
/// Largest message of a log or an exec.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Kinds of node addresses, the preferred first, where `--kubelet-preferred-address-types` does not say.
pub const ADDRESS_TYPES: [&str; 5] = ["InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS"];
/// A channel that nobody used for so long is given up: its node may be gone.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// Channels to kubelets.
#[derive(Debug)]
pub struct Kubelets {
    identity: Option<Arc<ClientIdentity>>,
    address_types: Vec<String>,
    /// By address, with the time of the last use.
    channels: Mutex<HashMap<String, (Channel, Instant)>>,
}

/// A pod and the kubelet that runs it.
#[derive(Debug)]
pub struct Place {
    /// The pod, with its uid.
    pub pod: PodRef,
    /// The pod as it is.
    pub object: Pod,
    /// Its kubelet.
    pub kubelet: NodeClient<Channel>,
}

impl Kubelets {
    /// `identity`: the flags `--kubelet-certificate-authority`, `--kubelet-client-certificate` and `-key`;
    /// `address_types`: `--kubelet-preferred-address-types`.
    pub fn new(identity: Option<Arc<ClientIdentity>>, address_types: Vec<String>) -> Self {
        Self { identity, address_types, channels: Mutex::default() }
    }

    /// `--kubelet-preferred-address-types`.
    pub fn address_types(&self) -> &[String] {
        &self.address_types
    }

    fn dial(&self, address: &str, node: &str) -> Result<NodeClient<Channel>> {
        let Some(identity) = &self.identity else {
            return Err(Failure::unavailable(
                "kubelets cannot be reached: set --kubelet-certificate-authority and --kubelet-client-certificate",
            ));
        };
        let now = Instant::now();
        let mut channels = self.channels.lock();
        channels.retain(|_, (_, used)| now.duration_since(*used) < IDLE_MAX);
        let channel = match channels.get(address) {
            Some((channel, _)) => channel.clone(),
            None => {
                identity.channel(address, None).map_err(|error| Failure::internal(format!("node {node}: {error}")))?
            }
        };
        channels.insert(address.to_owned(), (channel.clone(), now));
        drop(channels);
        Ok(NodeClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }
}

/// Finds the pod's kubelet.
pub async fn place(server: &Server, asked: Option<&PodRef>) -> Result<Place> {
    let Some(asked) = asked else { return Err(Failure::bad_request("the pod must be given in the first message")) };
    let object = pod(server, asked).await?;
    let kubelet = kubelet(server, &object).await?;
    let pod = PodRef { uid: object.metadata.uid.clone(), ..asked.clone() };
    Ok(Place { pod, object, kubelet })
}

/// The pod as the store has it.
pub async fn pod(server: &Server, pod: &PodRef) -> Result<Pod> {
    let target = Target::resolve(&server.registry, ("", "v1", "pods"), &pod.namespace, &pod.name, "")?;
    target.require_name()?;
    let object: Pod = get::newest(server, &target).await?.read()?;
    match pod.uid.is_empty() || pod.uid == object.metadata.uid {
        true => Ok(object),
        false => Err(target.not_found()),
    }
}

/// The kubelet of the pod's node.
pub async fn kubelet(server: &Server, pod: &Pod) -> Result<NodeClient<Channel>> {
    let node = &pod.spec.node_name;
    if node.is_empty() {
        return Err(Failure::bad_request(format!("pod {} does not have a host assigned", pod.metadata.name)));
    }
    let machine = Target::resolve(&server.registry, ("", "v1", "nodes"), "", node, "")?;
    let machine: Node = get::newest(server, &machine).await?.read()?;
    let address = address(&machine, &server.kubelets.address_types).ok_or_else(|| {
        Failure::unavailable(format!("node {node} has no address in its status; is its kubelet running?"))
    })?;
    server.kubelets.dial(&address, node)
}

/// Refuses to `exec` or `attach` to a pod that has ended.
pub fn check_not_completed(pod: &Pod, verb: &str) -> Result<()> {
    let (name, phase) = (&pod.metadata.name, pod.status.phase.as_str());
    match phase {
        "Succeeded" | "Failed" => Err(Failure::bad_request(format!(
            "cannot {verb} into a container in a completed pod; pod {name} is {phase}"
        ))),
        _ => Ok(()),
    }
}

/// `https://HOST:PORT` of a node's kubelet; `None` where the node has no address.
pub fn address(node: &Node, types: &[String]) -> Option<String> {
    let addresses = &node.status.addresses;
    let found = types
        .iter()
        .find_map(|kind| addresses.iter().find(|address| address.r#type == *kind && !address.address.is_empty()))?;
    let port = match node.status.daemon_endpoints.kubelet_endpoint.port {
        0 => KUBELET_PORT,
        port => port,
    };
    let host = &found.address;
    Some(if host.contains(':') { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") })
}

/// The container to talk to: the one named, else the pod's default, else its only one.
pub fn container(pod: &Pod, asked: &str) -> Result<String> {
    let spec = &pod.spec;
    let ephemeral =
        spec.ephemeral_containers.iter().map(|container| container.ephemeral_container_common.name.as_str());
    let names: Vec<&str> = spec
        .containers
        .iter()
        .chain(&spec.init_containers)
        .map(|container| container.name.as_str())
        .chain(ephemeral)
        .collect();
    let name = &pod.metadata.name;
    if !asked.is_empty() {
        return match names.contains(&asked) {
            true => Ok(asked.to_owned()),
            false => Err(Failure::bad_request(format!(
                "container {asked} is not valid for pod {name}; it has {}",
                names.join(", ")
            ))),
        };
    }
    if let Some(default) = pod.metadata.annotations.get("kubectl.kubernetes.io/default-container")
        && names.contains(&default.as_str())
    {
        return Ok(default.clone());
    }
    match spec.containers.as_slice() {
        [only] => Ok(only.name.clone()),
        several => {
            let list: Vec<&str> = several.iter().map(|container| container.name.as_str()).collect();
            Err(Failure::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                list.join(" ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::core::v1::{Container, NodeAddress};

    use super::*;

    #[test]
    fn a_kubelet_is_dialled_at_its_internal_address() {
        let types = ADDRESS_TYPES.map(str::to_owned);
        let mut node = Node::default();
        assert_eq!(address(&node, &types), None);
        let of = |kind: &str, address: &str| NodeAddress { r#type: kind.into(), address: address.into() };
        node.status.addresses = vec![of("Hostname", "n1"), of("InternalIP", "10.0.0.1")];
        assert_eq!(address(&node, &types).as_deref(), Some("https://10.0.0.1:10250"));
        assert_eq!(address(&node, &["Hostname".into()]).as_deref(), Some("https://n1:10250"));
        assert_eq!(address(&node, &["ExternalIP".into()]), None);
        node.status.daemon_endpoints.kubelet_endpoint.port = 11250;
        node.status.addresses = vec![of("InternalIP", "fd00::1")];
        assert_eq!(address(&node, &types).as_deref(), Some("https://[fd00::1]:11250"));
    }

    #[test]
    fn a_container_is_asked_for_only_where_there_are_several() {
        let named = |name: &str| Container { name: name.into(), ..Default::default() };
        let mut pod = Pod::default();
        pod.spec.containers = vec![named("a")];
        assert_eq!(container(&pod, "").expect("the only one"), "a");
        pod.spec.containers.push(named("b"));
        assert_eq!(container(&pod, "b").expect("named"), "b");
        assert!(container(&pod, "").expect_err("several").to_string().contains("choose one of: [a b]"));
        assert_eq!(container(&pod, "c").expect_err("none of it").code(), 400);
    }
}
