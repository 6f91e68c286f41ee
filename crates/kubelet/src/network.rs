//! The embedded network: a bridge, a veth pair per pod, addresses from the node's podCIDR, all over netlink.
//!
//! Used where no CNI configuration is installed. The host keeps the bridge's first address, which is the pods' gateway.

pub mod bridge;
pub mod ipam;
pub mod masquerade;
pub mod routes;

use std::net::Ipv4Addr;

/// A failed change of the network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{operation} {object}")]
    Netlink { operation: &'static str, object: String, source: rtnetlink::Error },
    #[error("open a netlink socket")]
    Socket(#[source] std::io::Error),
    #[error("no link {0}")]
    NoLink(String),
    #[error("no free address in {0}")]
    Exhausted(ipnet::Ipv4Net),
    #[error("address {0} is outside of this node's range {1}")]
    Foreign(Ipv4Addr, ipnet::Ipv4Net),
    #[error("open network namespace {path}")]
    Namespace { path: String, source: std::io::Error },
    #[error("nft refused {rules}: {answer}")]
    Nft { rules: String, answer: String },
    #[error("start nft (package nftables)")]
    NoNft(#[source] std::io::Error),
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

impl Error {
    fn netlink(operation: &'static str, object: impl std::fmt::Display) -> impl FnOnce(rtnetlink::Error) -> Self {
        let object = object.to_string();
        move |source| Self::Netlink { operation, object, source }
    }
}
