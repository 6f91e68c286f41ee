//! The bridge and the pods' veth pairs, over netlink.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::Path;

use futures::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute};
use rtnetlink::{Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::Error;

/// The bridge's name; a node has one.
pub const BRIDGE: &str = "keelson0";
/// The interface's name inside of a pod.
const INSIDE: &str = "eth0";
const LOOPBACK_INDEX: u32 = 1;

/// A socket in the namespace of the thread that opens it.
pub fn open() -> Result<Handle, Error> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::Socket)?;
    tokio::spawn(connection);
    Ok(handle)
}

/// The node's bridge.
#[derive(Clone)]
pub struct Bridge {
    handle: Handle,
    index: u32,
    range: Ipv4Net,
    gateway: Ipv4Addr,
    mtu: u32,
}

impl Bridge {
    /// Makes the bridge, or adopts it, and gives it the gateway's address.
    pub async fn ensure(handle: Handle, range: Ipv4Net, gateway: Ipv4Addr, mtu: u32) -> Result<Self, Error> {
        let wanted = LinkBridge::new(BRIDGE).mtu(mtu).up().build();
        match handle.link().add(wanted).execute().await {
            Err(error) if !is_exists(&error) => return Err(Error::netlink("make bridge", BRIDGE)(error)),
            _ => {}
        }
        let index = index_of(&handle, BRIDGE).await?;
        let up = LinkUnspec::new_with_index(index).up().build();
        handle.link().set(up).execute().await.map_err(Error::netlink("set up", BRIDGE))?;
        let address = handle.address().add(index, gateway.into(), range.prefix_len()).replace().execute().await;
        address.map_err(Error::netlink("give the bridge", gateway))?;
        settings();
        Ok(Self { handle, index, range, gateway, mtu })
    }

    pub fn range(&self) -> Ipv4Net {
        self.range
    }

    pub fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    pub fn index(&self) -> u32 {
        self.index
    }

    /// Connects a pod's network namespace. `inside` is a netlink socket of that namespace.
    pub async fn attach(&self, namespace: &Path, inside: &Handle, uid: &str, address: Ipv4Addr) -> Result<(), Error> {
        let file = File::open(namespace)
            .map_err(|source| Error::Namespace { path: namespace.display().to_string(), source })?;
        let name = host_name(uid);
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(INSIDE)
            .address(hardware_address(address).to_vec())
            .mtu(self.mtu)
            .setns_by_fd(file.as_raw_fd())
            .build();
        let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name(name.clone())
            .mtu(self.mtu)
            .controller(self.index)
            .up()
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        match self.handle.link().add(pair).execute().await {
            Err(error) if !is_exists(&error) => return Err(Error::netlink("make veth pair", &name)(error)),
            _ => {}
        }
        let (outside, within) = tokio::join!(self.hairpin(&name), configure(inside, address, self.range, self.gateway));
        outside.and(within)
    }

    /// Lets a pod reach itself through a Service.
    async fn hairpin(&self, name: &str) -> Result<(), Error> {
        let index = index_of(&self.handle, name).await?;
        let port = LinkBridgePort::new(index).hairpin(true).build();
        self.handle.link().set_port(port).execute().await.map_err(Error::netlink("set hairpin mode of", name))
    }

    /// Removes a pod's pair; fine when it went away with its namespace.
    pub async fn detach(&self, uid: &str) -> Result<(), Error> {
        match index_of(&self.handle, &host_name(uid)).await {
            Ok(index) => match self.handle.link().del(index).execute().await {
                Err(error) if !is_gone(&error) => Err(Error::netlink("remove veth of", uid)(error)),
                _ => Ok(()),
            },
            Err(_) => Ok(()),
        }
    }
}

/// Address, routes and loopback inside of the pod.
async fn configure(inside: &Handle, address: Ipv4Addr, range: Ipv4Net, gateway: Ipv4Addr) -> Result<(), Error> {
    let loopback = LinkUnspec::new_with_index(LOOPBACK_INDEX).up().build();
    inside.link().set(loopback).execute().await.map_err(Error::netlink("set up", "lo"))?;
    let index = index_of(inside, INSIDE).await?;
    let added = inside.address().add(index, address.into(), range.prefix_len()).replace().execute().await;
    added.map_err(Error::netlink("give the pod", address))?;
    // Not at its creation: the kernel refuses to open one end before it knows the other.
    let up = LinkUnspec::new_with_index(index).up().build();
    inside.link().set(up).execute().await.map_err(Error::netlink("set up", INSIDE))?;
    let default = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(index).build();
    match inside.route().add(default).execute().await {
        Err(error) if !is_exists(&error) => Err(Error::netlink("add default route via", gateway)(error)),
        _ => Ok(()),
    }
}

/// Sets up the loopback of a namespace that has nothing else.
pub async fn loopback_only(inside: &Handle) -> Result<(), Error> {
    let loopback = LinkUnspec::new_with_index(LOOPBACK_INDEX).up().build();
    inside.link().set(loopback).execute().await.map_err(Error::netlink("set up", "lo"))
}

pub(super) async fn index_of(handle: &Handle, name: &str) -> Result<u32, Error> {
    let mut links = Box::pin(handle.link().get().match_name(name).execute());
    match links.try_next().await {
        Ok(Some(link)) => Ok(link.header.index),
        Ok(None) => Err(Error::NoLink(name.into())),
        Err(error) => Err(Error::netlink("look up link", name)(error)),
    }
}

/// The MTU of a link, where the kernel tells it.
pub async fn mtu_of(handle: &Handle, index: u32) -> Option<u32> {
    let mut links = Box::pin(handle.link().get().match_index(index).execute());
    let link = links.try_next().await.ok()??;
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Mtu(mtu) => Some(*mtu),
        _ => None,
    })
}

/// Forwarding between pods and out, and bridged frames through netfilter, so that answers of Services find back.
fn settings() {
    let localnet = format!("net/ipv4/conf/{BRIDGE}/route_localnet");
    let wanted = [
        ("net/ipv4/ip_forward", "1"),
        ("net/bridge/bridge-nf-call-iptables", "1"),
        ("net/bridge/bridge-nf-call-ip6tables", "1"),
        // Host ports on the node's own 127.0.0.1 lead to pods; the rules keep pods away from it.
        (localnet.as_str(), "1"),
    ];
    for (key, value) in wanted {
        if let Err(error) = std::fs::write(Path::new("/proc/sys").join(key), value) {
            tracing::warn!(sysctl = key, %error, "cannot be set; Services between pods of this node may not work");
        }
    }
}

/// The name of the pair's outer end: short, and found again from the pod's uid.
fn host_name(uid: &str) -> String {
    use sha2::{Digest, Sha256};
    format!("kln{}", &hex::encode(Sha256::digest(uid))[..11])
}

/// Follows from the address, so a neighbour's cache is right also when an address is used again.
fn hardware_address(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x58, a, b, c, d]
}

fn is_exists(error: &rtnetlink::Error) -> bool {
    code(error) == Some(-nix::libc::EEXIST)
}

fn is_gone(error: &rtnetlink::Error) -> bool {
    code(error) == Some(-nix::libc::ENODEV)
}

fn code(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| code.get()),
        _ => None,
    }
}
