//! Pods reach the outside under the node's address: one nftables table of the kubelet's own, which also holds host ports.

use std::net::Ipv4Addr;
use std::process::Stdio;

use ipnet::Ipv4Net;
use proto::core::v1::Pod;
use tokio::io::AsyncWriteExt;

use super::Error;
use super::bridge::BRIDGE;
use crate::pod::members;

/// The table's name.
pub const TABLE: &str = "keelson-kubelet";

/// A port of the node that leads to a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// "tcp", "udp" or "sctp".
    pub protocol: &'static str,
    /// None: every address of the node.
    pub host_ip: Option<Ipv4Addr>,
    pub host_port: u16,
    pub pod_ip: Ipv4Addr,
    pub pod_port: u16,
}

/// The ports of the node that a pod asks for. Pure.
pub fn host_ports(pod: &Pod, pod_ip: Ipv4Addr) -> Vec<HostPort> {
    if pod.spec.host_network {
        return Vec::new();
    }
    let ports = members(pod).flat_map(|member| &member.container.ports);
    ports
        .filter_map(|port| {
            let (host_port, pod_port) = (u16::try_from(port.host_port).ok()?, u16::try_from(port.container_port).ok()?);
            // An address of IPv6 is none of this table's, and least of all every address.
            let host_ip = match port.host_ip.as_str() {
                "" => None,
                text => Some(text.parse().ok()?),
            };
            (host_port != 0).then_some(HostPort {
                protocol: match port.protocol.as_str() {
                    "UDP" => "udp",
                    "SCTP" => "sctp",
                    _ => "tcp",
                },
                host_ip,
                host_port,
                pod_ip,
                pod_port,
            })
        })
        .collect()
}

/// The whole table as one transaction. Pure.
///
/// The bridge routes the node's own loopback to pods (for host ports on 127.0.0.1); the chain `loopback` sees to it that
/// pods do not reach the node's loopback in turn.
pub fn ruleset(pods: Ipv4Net, inside: &[Ipv4Net], ports: &[HostPort]) -> String {
    let inside: Vec<String> = inside.iter().map(Ipv4Net::to_string).collect();
    let mut forwards = String::new();
    for port in ports {
        let to = match port.host_ip {
            Some(ip) if !ip.is_unspecified() => format!("ip daddr {ip}"),
            _ => "fib daddr type local".into(),
        };
        forwards.push_str(&format!(
            "    {to} {} dport {} dnat to {}:{}\n",
            port.protocol, port.host_port, port.pod_ip, port.pod_port
        ));
    }
    format!(
        "add table ip {TABLE}\n\
         delete table ip {TABLE}\n\
         table ip {TABLE} {{\n\
         \x20 chain hostports {{\n{forwards}  }}\n\
         \x20 chain loopback {{\n    type filter hook prerouting priority raw; policy accept;\n\
         \x20   iifname \"{BRIDGE}\" ip daddr 127.0.0.0/8 drop\n  }}\n\
         \x20 chain prerouting {{\n    type nat hook prerouting priority dstnat - 5; policy accept;\n    jump hostports\n  }}\n\
         \x20 chain output {{\n    type nat hook output priority -105; policy accept;\n    jump hostports\n  }}\n\
         \x20 chain postrouting {{\n    type nat hook postrouting priority srcnat; policy accept;\n\
         \x20   ip saddr {pods} ip daddr != {{ {inside} }} oifname != \"{BRIDGE}\" masquerade\n\
         \x20   ip saddr 127.0.0.0/8 oifname \"{BRIDGE}\" masquerade\n  }}\n\
         }}\n",
        inside = inside.join(", ")
    )
}

/// Loads rules in one transaction.
pub async fn load(rules: &str) -> Result<(), Error> {
    let mut child = tokio::process::Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::NoNft)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(rules.as_bytes()).await.map_err(Error::NoNft)?;
    }
    let output = child.wait_with_output().await.map_err(Error::NoNft)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Nft { rules: rules.into(), answer: String::from_utf8_lossy(&output.stderr).trim().into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::core::v1::{Container, ContainerPort};

    #[test]
    fn an_address_of_another_family_is_not_every_address() {
        let port = |host_ip: &str| ContainerPort {
            container_port: 80,
            host_port: 8080,
            host_ip: host_ip.into(),
            ..ContainerPort::default()
        };
        let mut pod = Pod::default();
        let ports = vec![port(""), port("192.0.2.1"), port("fd00::1")];
        pod.spec.containers = vec![Container { ports, ..Container::default() }];
        let got: Vec<_> = host_ports(&pod, Ipv4Addr::new(10, 0, 0, 2)).into_iter().map(|port| port.host_ip).collect();
        assert_eq!(got, [None, Some(Ipv4Addr::new(192, 0, 2, 1))]);
    }
}
