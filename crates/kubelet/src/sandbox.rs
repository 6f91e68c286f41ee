//! A pod's sandbox: pinned namespaces, network, cgroup, and the files that every container of the pod sees.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use proto::core::v1::Pod;
use sys::ns::Unshare;

use crate::network::{self, bridge, masquerade};
use crate::node_context::Node;
use crate::paths::PodPaths;

/// How much shared memory the containers of a pod have, as every runtime gives.
const SHM_BYTES: u64 = 64 << 20;

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Network(#[from] network::Error),
    #[error(transparent)]
    Sys(#[from] sys::Error),
    #[error("{operation} {path}: {source}")]
    Io { operation: &'static str, path: String, source: std::io::Error },
    #[error("the network of the node is not ready: {0}")]
    NetworkNotReady(String),
    #[error("a blocking task was cancelled")]
    Cancelled,
}

fn io<T>(operation: &'static str, path: &std::path::Path, result: std::io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error::Io { operation, path: path.display().to_string(), source })
}

/// The host name inside of the pod.
pub fn hostname(pod: &Pod, node_name: &str) -> String {
    if pod.spec.host_network {
        return node_name.to_owned();
    }
    if let Some(name) = &pod.spec.hostname_override {
        return name.clone();
    }
    let name = if pod.spec.hostname.is_empty() { &pod.metadata.name } else { &pod.spec.hostname };
    name.chars().take(63).collect::<String>().trim_end_matches(['-', '.']).to_owned()
}

/// The full name, where the pod has a subdomain.
fn full_hostname(pod: &Pod, node: &Node) -> Option<String> {
    let subdomain = Some(&pod.spec.subdomain).filter(|name| !name.is_empty() && !pod.spec.host_network)?;
    let domain = &node.settings.cluster_domain;
    Some(format!("{}.{subdomain}.{}.svc.{domain}", hostname(pod, &node.name), pod.metadata.namespace))
}

/// The name that the pod's UTS namespace has.
pub fn uts_name(pod: &Pod, node: &Node) -> String {
    full_hostname(pod, node)
        .filter(|_| pod.spec.set_hostname_as_fqdn == Some(true))
        .unwrap_or_else(|| hostname(pod, &node.name))
}

/// Whether containers share a UTS namespace that is pinned. One container alone has its own: each pin is a mount, and
/// whoever starts a container reads the whole table of mounts, several times.
pub fn shares_uts(pod: &Pod) -> bool {
    !pod.spec.host_network && pod.spec.containers.len() + pod.spec.init_containers.len() > 1
}

/// Makes the sandbox; what is there already is kept.
pub async fn create(node: &Arc<Node>, pod: &Arc<Pod>) -> Result<Option<Ipv4Addr>, Error> {
    let paths = node.paths.pod(&pod.metadata.uid);
    io("make directory", &paths.dir, fs::create_dir_all(&paths.dir))?;
    io("make directory", &paths.run, fs::create_dir_all(paths.pipes()))?;
    let writer = node.log_writer(&pod.metadata.uid);
    io("start the log writer", &paths.log_socket(), writer.ensure().await)?;
    let (address, ()) = tokio::try_join!(network(node, pod, &paths), groups(node, pod, crate::resources::pod(pod)))?;
    let ip = address.map_or(node.ip, IpAddr::V4);
    files(node, pod, &paths, ip)?;
    Ok(address)
}

/// Gives the pod's group these limits, and those above it their share.
pub async fn groups(node: &Arc<Node>, pod: &Arc<Pod>, limits: sys::cgroup::Limits) -> Result<(), Error> {
    let (node, pod) = (node.clone(), pod.clone());
    let done = tokio::task::spawn_blocking(move || {
        node.weigh(&pod, true)?;
        let path = crate::resources::cgroup(&node.settings.cgroup_root, &pod);
        node.cgroups.apply(&path, &limits)
    })
    .await;
    Ok(done.map_err(|_| Error::Cancelled)??)
}

async fn network(node: &Node, pod: &Pod, paths: &PodPaths) -> Result<Option<Ipv4Addr>, Error> {
    let host_network = pod.spec.host_network;
    let context = pod.spec.security_context.clone().unwrap_or_default();
    let what = Unshare {
        net: !host_network,
        ipc: !pod.spec.host_ipc,
        uts: shares_uts(pod),
        hostname: Some(uts_name(pod, node)),
        sysctls: context.sysctls.iter().map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect(),
    };
    let (dir, runtime) = (paths.namespaces(), tokio::runtime::Handle::current());
    let made = tokio::task::spawn_blocking(move || {
        for name in ["net", "ipc", "uts"] {
            sys::ns::unpin(&dir.join(name))?;
        }
        sys::ns::create(&dir, &what, || {
            let _runtime = runtime.enter();
            what.net.then(bridge::open).transpose()
        })
    })
    .await
    .map_err(|_| Error::Cancelled)?;
    let Some(inside) = made?? else { return Ok(None) };
    let pods = node.pod_network().ok_or_else(|| Error::NetworkNotReady("the node has no podCIDR yet".into()))?;
    let uid = &pod.metadata.uid;
    let address = pods.ipam.lock().take(uid)?;
    let attached = pods.bridge.attach(&paths.network(), &inside, uid, address).await;
    if attached.is_err() {
        pods.ipam.lock().release(uid);
    }
    attached?;
    pods.set_host_ports(uid, masquerade::host_ports(pod, address)).await?;
    Ok(Some(address))
}

/// Files that containers see under /etc, and their shared memory.
fn files(node: &Node, pod: &Pod, paths: &PodPaths, ip: IpAddr) -> Result<(), Error> {
    let name = hostname(pod, &node.name);
    let write = |path: &std::path::Path, text: String| io("write", path, fs::write(path, text));
    write(&paths.hostname(), format!("{name}\n"))?;
    let host = crate::dns::host(&node.settings.resolv_conf);
    write(&paths.resolv_conf(), crate::dns::resolv_conf(pod, &node.settings.dns, &host))?;
    let hosts = match pod.spec.host_network {
        true => fs::read_to_string("/etc/hosts").unwrap_or_default(),
        false => crate::dns::hosts(ip, &name, full_hostname(pod, node).as_deref()),
    };
    write(&paths.hosts(), hosts + &crate::dns::aliases(pod))?;
    let shm = paths.shm();
    io("make directory", &shm, fs::create_dir_all(&shm))?;
    // The table of mounts is not asked: it is long where there are many pods.
    if !pod.spec.host_ipc && !sys::mount::is_mount_point(&shm)? {
        sys::mount::tmpfs(&shm, Some(SHM_BYTES), 0o1777)?;
    }
    Ok(())
}

/// Whether the namespaces are still there: a reboot takes them away.
pub fn exists(pod: &Pod, paths: &PodPaths) -> bool {
    let pinned = |name: &str| sys::ns::is_pinned(&paths.namespaces().join(name));
    (pod.spec.host_network || pinned("net")) && (pod.spec.host_ipc || pinned("ipc"))
}

/// Takes everything away except record and logs. Can be done again.
pub async fn remove(node: &Arc<Node>, pod: &Pod) -> Result<(), Error> {
    let paths = node.paths.pod(&pod.metadata.uid);
    let group = crate::resources::cgroup(&node.settings.cgroup_root, pod);
    node.log_writer(&pod.metadata.uid).stop().await;
    if let Some(pods) = node.pod_network().filter(|_| !pod.spec.host_network) {
        pods.set_host_ports(&pod.metadata.uid, Vec::new()).await?;
        pods.ipam.lock().release(&pod.metadata.uid);
    }
    let (shared, pod) = (node.clone(), pod.clone());
    let done = tokio::task::spawn_blocking(move || {
        for name in ["net", "ipc", "uts"] {
            sys::ns::unpin(&paths.namespaces().join(name))?;
        }
        // Mounts first, so that nothing of the host is reached through a bind while files are removed.
        for dir in [&paths.run, &paths.dir] {
            sys::mount::unmount_all(&dir.canonicalize().unwrap_or_else(|_| dir.clone()))?;
        }
        for dir in [paths.run.clone(), paths.volumes(), paths.dir.join("subpaths"), paths.dir.join("containers")] {
            match fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => io("remove", &dir, Err(error))?,
                _ => {}
            }
        }
        shared.cgroups.remove(&group)?;
        shared.weigh(&pod, false)?;
        Ok(())
    });
    done.await.map_err(|_| Error::Cancelled)?
}
