//! The node's part of the pods' network: set up once the range is known, routes to other nodes kept current.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use client::informer::Informer;
use client::{Client, ListParams};
use ipnet::Ipv4Net;
use parking_lot::Mutex;
use proto::core::v1::{Node as NodeObject, Pod};
use rtnetlink::Handle;
use tokio::sync::watch;

use crate::network::bridge::{self, Bridge};
use crate::network::ipam::Ipam;
use crate::network::{Error, masquerade, routes};
use crate::node_context::{Node, PodNetwork};
use crate::observed::Sandbox;
use crate::{images, record};

const RETRY: Duration = Duration::from_secs(1);
const MTU: u32 = 1500;

/// Waits for the range, sets the network up, and then keeps routes. `told` says what is missing.
pub async fn run(
    node: Arc<Node>,
    client: Client,
    fixed: Option<Ipv4Net>,
    outside: Vec<Ipv4Net>,
    mut object: watch::Receiver<Option<Arc<NodeObject>>>,
    told: watch::Sender<Result<(), String>>,
) {
    let range = match fixed {
        Some(range) => range,
        None => match wait_for_range(&mut object).await {
            Some(range) => range,
            None => return,
        },
    };
    let handle = loop {
        match set_up(&node, range, &outside).await {
            Ok(handle) => break handle,
            Err(error) => {
                let text = images::chain(&error);
                tracing::warn!(error = text, "the pods' network cannot be set up yet");
                drop(told.send_replace(Err(text)));
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    tracing::info!(%range, "the pods' network is set up");
    drop(told.send_replace(Ok(())));
    keep_routes(handle, client, &node.name).await;
}

async fn wait_for_range(object: &mut watch::Receiver<Option<Arc<NodeObject>>>) -> Option<Ipv4Net> {
    loop {
        let range = object.borrow_and_update().as_ref().and_then(|node| range_of(node));
        if range.is_some() {
            return range;
        }
        object.changed().await.ok()?;
    }
}

fn range_of(node: &NodeObject) -> Option<Ipv4Net> {
    let all = std::iter::once(&node.spec.pod_cidr).chain(&node.spec.pod_cidrs);
    all.filter_map(|text| text.parse().ok()).next()
}

/// Makes bridge and rules, and notes the addresses that are held.
pub async fn set_up(node: &Node, range: Ipv4Net, outside: &[Ipv4Net]) -> Result<Handle, Error> {
    let handle = bridge::open()?;
    let link = routes::default_link(&handle).await;
    let mtu = match link {
        Some(index) => bridge::mtu_of(&handle, index).await.unwrap_or(MTU),
        None => MTU,
    };
    let mut ipam = Ipam::new(range);
    let mut ports = BTreeMap::new();
    for (pod, address) in held(node) {
        let uid = pod.metadata.uid.clone();
        let own = masquerade::host_ports(&pod, address);
        if !own.is_empty() {
            ports.insert(uid.clone(), own);
        }
        if let Err(error) = ipam.adopt(&uid, address) {
            tracing::warn!(uid, %error, "a pod keeps its address until it ends");
        }
    }
    let bridge = Bridge::ensure(handle.clone(), range, ipam.gateway(), mtu).await?;
    let mut inside = outside.to_vec();
    inside.push(range);
    inside = Ipv4Net::aggregate(&inside);
    let list: Vec<masquerade::HostPort> = ports.values().flatten().cloned().collect();
    masquerade::load(&masquerade::ruleset(range, &inside, &list)).await?;
    let network = PodNetwork { bridge, ipam: Mutex::new(ipam), inside, host_ports: tokio::sync::Mutex::new(ports) };
    node.set_pod_network(network);
    Ok(handle)
}

/// The pods that hold addresses, by their records.
fn held(node: &Node) -> Vec<(Arc<Pod>, Ipv4Addr)> {
    let all = record::list(&node.paths.pods()).into_iter();
    all.filter_map(|uid| {
        let (desired, observed) = record::load(&node.paths.pod(&uid))?;
        match observed.sandbox {
            Sandbox::Ready { address: Some(address) } => Some((desired.pod, address)),
            _ => None,
        }
    })
    .collect()
}

/// Follows the other nodes: their pods are reached through them.
async fn keep_routes(handle: Handle, client: Client, own: &str) {
    let mut informer = Informer::<NodeObject>::new(client.api(), ListParams::default());
    let (mut changes, store) = (informer.changes(), informer.store());
    let follow = tokio::spawn(informer.run());
    store.wait_synced().await;
    let mut last = None;
    loop {
        let wanted: BTreeMap<Ipv4Net, Ipv4Addr> =
            store.list().iter().filter(|node| node.metadata.name != own).filter_map(|node| route_to(node)).collect();
        if last.as_ref() != Some(&wanted) {
            match routes::sync(&handle, &wanted).await {
                Ok(()) => last = Some(wanted),
                Err(error) => {
                    tracing::warn!(error = images::chain(&error), "routes to other nodes' pods are not complete")
                }
            }
        }
        let retry = last.is_none();
        tokio::select! {
            change = changes.recv() => if change.is_none() { break },
            () = tokio::time::sleep(RETRY), if retry => {}
        }
    }
    follow.abort();
}

fn route_to(node: &NodeObject) -> Option<(Ipv4Net, Ipv4Addr)> {
    let address = node.status.addresses.iter().find(|address| address.r#type == "InternalIP")?;
    Some((range_of(node)?, address.address.parse().ok()?))
}
