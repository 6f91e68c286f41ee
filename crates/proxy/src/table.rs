//! The vocabulary of the proxy's tables: what is in them and the steps that change them, as plain data.
//!
//! One table `keelson-proxy` per address family. Constant base chains look packets up in maps keyed by address,
//! protocol and port; an element sends a packet to the chain of a Service port. `base.rs` writes the constant part,
//! `ruleset.rs` the rest, `render.rs` translates both to nftables' JSON.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::service::Protocol;

/// Name of our table in each family.
pub const TABLE: &str = "keelson-proxy";
/// The constant chain that rejects a packet: TCP by a reset, the rest by ICMP port unreachable.
pub const REJECT_CHAIN: &str = "reject";
/// The constant chain that drops a packet: the `nftables` crate writes the verdict itself in a form that nft refuses.
pub const DROP_CHAIN: &str = "drop";

/// An address family; each has a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// As nftables calls the family, and the header a packet of it has.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }
}

/// A map or set of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Map {
    /// Address, protocol, port of a Service -> its chain.
    ServiceIps,
    /// Protocol, node port -> its chain.
    NodePorts,
    /// Address, protocol, port without endpoints -> reject or drop.
    NoEndpointIps,
    /// Protocol, node port without endpoints -> reject or drop.
    NoEndpointNodePorts,
    /// Load balancer addresses with source ranges -> the chain that checks them.
    FirewallIps,
    /// Every cluster IP: other ports of it are rejected.
    ClusterIps,
    /// Pairs (endpoint, endpoint): a client that is its own endpoint must be masqueraded.
    Hairpin,
}

impl Map {
    pub const ALL: [Self; 7] = [
        Self::ServiceIps,
        Self::NodePorts,
        Self::NoEndpointIps,
        Self::NoEndpointNodePorts,
        Self::FirewallIps,
        Self::ClusterIps,
        Self::Hairpin,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceIps => "service-ips",
            Self::NodePorts => "service-nodeports",
            Self::NoEndpointIps => "no-endpoint-services",
            Self::NoEndpointNodePorts => "no-endpoint-nodeports",
            Self::FirewallIps => "firewall-ips",
            Self::ClusterIps => "cluster-ips",
            Self::Hairpin => "hairpin-connections",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|map| map.as_str() == name)
    }

    /// A plain set has members, a map has verdicts.
    pub fn is_set(self) -> bool {
        matches!(self, Self::ClusterIps | Self::Hairpin)
    }
}

/// Key of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Address(IpAddr, Protocol, u16),
    Port(Protocol, u16),
    /// An address alone ([`Map::ClusterIps`]), or paired with itself ([`Map::Hairpin`]).
    Ip(IpAddr),
}

/// What an element says of its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Goto(String),
    Drop,
    /// The key is in the set.
    Member,
}

/// A rule of a Service's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Packets to this cluster IP from outside these ranges will be masqueraded (no range: every packet).
    MasqueradeOffCluster { to: IpAddr, inside: Vec<IpNet> },
    /// Every packet that comes here will be masqueraded.
    Masquerade,
    /// On to another chain.
    Goto(String),
    /// Clients within these ranges go on to another chain.
    FromGoto { inside: Vec<IpNet>, chain: String },
    /// This node's own packets will be masqueraded and go on to another chain.
    FromNodeGoto { chain: String },
    /// One of these endpoints, by chance.
    Balance { protocol: Protocol, endpoints: Vec<SocketAddr> },
    /// A client that the set remembers goes on to the endpoint's chain.
    Sticky { set: String, chain: String },
    /// One of these chains, by chance.
    Spread { chains: Vec<String> },
    /// The set remembers the client.
    Remember { set: String },
    /// Sources outside these ranges are dropped.
    DropOutside { inside: Vec<IpNet> },
}

/// One step of a transaction. The constant part of a table is one step, [`Op::Base`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Makes the table with its base chains and maps; what exists stays, base chains are written anew.
    Base(Family),
    /// Removes the table with everything in it.
    DeleteTable(Family),
    /// A set of client addresses that forgets each after `timeout_s`.
    AddSet {
        family: Family,
        name: String,
        timeout_s: u32,
    },
    DeleteSet {
        family: Family,
        name: String,
    },
    AddChain {
        family: Family,
        name: String,
    },
    /// Removes the rules of a chain, not the chain.
    FlushChain {
        family: Family,
        name: String,
    },
    DeleteChain {
        family: Family,
        name: String,
    },
    AddRule {
        family: Family,
        chain: String,
        rule: Rule,
    },
    AddElement {
        family: Family,
        map: Map,
        key: Key,
        target: Target,
    },
    DeleteElement {
        family: Family,
        map: Map,
        key: Key,
    },
}

/// Steps that the kernel makes all at once or not at all.
pub type Transaction = Vec<Op>;

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip, protocol, port) => write!(f, "{ip} . {} . {port}", protocol.as_str()),
            Self::Port(protocol, port) => write!(f, "{} . {port}", protocol.as_str()),
            Self::Ip(ip) => write!(f, "{ip}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Goto(chain) => write!(f, " : goto {chain}"),
            Self::Drop => write!(f, " : drop"),
            Self::Member => Ok(()),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MasqueradeOffCluster { to, inside } if inside.is_empty() => {
                write!(f, "to {to} masquerade")
            }
            Self::MasqueradeOffCluster { to, inside } => {
                write!(f, "to {to} not from {} masquerade", list(inside))
            }
            Self::Masquerade => write!(f, "masquerade"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
            Self::FromGoto { inside, chain } => write!(f, "from {} goto {chain}", list(inside)),
            Self::FromNodeGoto { chain } => write!(f, "from this node masquerade goto {chain}"),
            Self::Balance { protocol, endpoints } => write!(f, "{} dnat one of {}", protocol.as_str(), list(endpoints)),
            Self::Sticky { set, chain } => write!(f, "known to @{set} goto {chain}"),
            Self::Spread { chains } => write!(f, "goto one of {}", list(chains)),
            Self::Remember { set } => write!(f, "remember in @{set}"),
            Self::DropOutside { inside } => write!(f, "not from {} drop", list(inside)),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base(family) => write!(f, "add base {}", family.as_str()),
            Self::DeleteTable(family) => write!(f, "delete table {}", family.as_str()),
            Self::AddSet { family, name, timeout_s } => {
                write!(f, "add set {} {name} timeout {timeout_s}s", family.as_str())
            }
            Self::DeleteSet { family, name } => write!(f, "delete set {} {name}", family.as_str()),
            Self::AddChain { family, name } => write!(f, "add chain {} {name}", family.as_str()),
            Self::FlushChain { family, name } => {
                write!(f, "flush chain {} {name}", family.as_str())
            }
            Self::DeleteChain { family, name } => {
                write!(f, "delete chain {} {name}", family.as_str())
            }
            Self::AddRule { family, chain, rule } => write!(f, "add rule {} {chain}: {rule}", family.as_str()),
            Self::AddElement { family, map, key, target } => {
                write!(f, "add element {} {} {key}{target}", family.as_str(), map.as_str())
            }
            Self::DeleteElement { family, map, key } => {
                write!(f, "delete element {} {} {key}", family.as_str(), map.as_str())
            }
        }
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}
