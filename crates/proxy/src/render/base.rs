//! The constant part of a table: maps, base chains, and the rules that look packets up.
//!
//! ```text
//! prerouting, output  -110  check      first packets: firewall, services and node ports without endpoints
//!                     -100  services   service-ips, then node ports on this node's addresses
//!                      -90  leftover   first packets that still go to a cluster IP: no such port
//! postrouting         +100  masquerade marked packets, and clients that are their own endpoint
//! ```

use nftables::schema::{Chain, FlushObject, Map as NfMap, NfCmd, NfListObject, Set, SetType, SetTypeValue};
use nftables::stmt::Statement;
use nftables::types::{NfChainPolicy, NfChainType, NfHook};
use serde_json::Value;

use super::expr::*;
use super::{NodePortAddresses, Renderer, add, address_type, chain, cmd, nf_family, rule, table};
use crate::table::{DROP_CHAIN, Family, Map, REJECT_CHAIN, TABLE};

const FILTER: NfChainType = NfChainType::Filter;
const NAT: NfChainType = NfChainType::NAT;

/// Name, kind, hook and priority of each base chain.
const HOOKS: [(&str, NfChainType, NfHook, i32); 7] = [
    ("filter-prerouting", FILTER, NfHook::Prerouting, -110),
    ("filter-output", FILTER, NfHook::Output, -110),
    ("nat-prerouting", NAT, NfHook::Prerouting, -100),
    ("nat-output", NAT, NfHook::Output, -100),
    ("filter-prerouting-after-nat", FILTER, NfHook::Prerouting, -90),
    ("filter-output-after-nat", FILTER, NfHook::Output, -90),
    ("nat-postrouting", NAT, NfHook::Postrouting, 100),
];
const PLAIN: [&str; 5] = ["check", "services", "leftover", REJECT_CHAIN, DROP_CHAIN];

/// Every chain of the constant part.
pub fn chain_names() -> impl Iterator<Item = &'static str> {
    HOOKS.iter().map(|(name, ..)| *name).chain(PLAIN)
}

impl Renderer {
    pub(super) fn base(&self, family: Family) -> Vec<Value> {
        let mut all = vec![add(NfListObject::Table(table(family)))];
        all.extend(HOOKS.iter().map(|(name, kind, hook, prio)| {
            add(NfListObject::Chain(Chain {
                _type: Some(*kind),
                hook: Some(*hook),
                prio: Some(*prio),
                policy: Some(NfChainPolicy::Accept),
                ..chain(family, name)
            }))
        }));
        all.extend(PLAIN.iter().map(|name| add(NfListObject::Chain(chain(family, name)))));
        all.extend(Map::ALL.into_iter().map(|map| declare(family, map)));
        all.extend(chain_names().map(|name| cmd(NfCmd::Flush(FlushObject::Chain(chain(family, name))))));
        all.extend(self.base_rules(family).into_iter().map(|(chain, statements)| rule(family, chain, statements)));
        all
    }

    fn base_rules(&self, family: Family) -> Vec<(&'static str, Vec<Statement<'static>>)> {
        let address = || concat(vec![daddr(family), l4proto(), dport()]);
        let mut rules = vec![
            ("filter-prerouting", vec![is_new(), jump("check")]),
            ("filter-output", vec![is_new(), jump("check")]),
            ("check", vec![lookup(address(), Map::NoEndpointIps.as_str())]),
            ("check", self.node_port(family, Map::NoEndpointNodePorts)),
            // Last: a packet that gets through its chain does not come back here.
            ("check", vec![lookup(address(), Map::FirewallIps.as_str())]),
            ("nat-prerouting", vec![jump("services")]),
            ("nat-output", vec![jump("services")]),
            ("services", vec![lookup(address(), Map::ServiceIps.as_str())]),
            ("services", self.node_port(family, Map::NodePorts)),
            ("filter-prerouting-after-nat", vec![is_new(), jump("leftover")]),
            ("filter-output-after-nat", vec![is_new(), jump("leftover")]),
            (
                "leftover",
                vec![equal(daddr(family), string(format!("@{}", Map::ClusterIps.as_str()))), goto(REJECT_CHAIN)],
            ),
            (REJECT_CHAIN, vec![equal(l4proto(), string("tcp")), reject(true)]),
            (REJECT_CHAIN, vec![reject(false)]),
            (DROP_CHAIN, vec![Statement::Drop(None)]),
        ];
        let hairpin = equal(concat(vec![saddr(family), daddr(family)]), string(format!("@{}", Map::Hairpin.as_str())));
        rules.push((
            "nat-postrouting",
            vec![is_marked(self.masquerade_mark), clear_mark(self.masquerade_mark), masquerade()],
        ));
        rules.push(("nat-postrouting", vec![is_dnat(), hairpin, masquerade()]));
        rules
    }

    fn node_port(&self, family: Family, map: Map) -> Vec<Statement<'static>> {
        let here = match &self.node_ports {
            NodePortAddresses::All => unequal(daddr(family), loopback(family)),
            NodePortAddresses::Within(all) => {
                let mine: Vec<_> = all.iter().copied().filter(|range| Family::of(range.addr()) == family).collect();
                // No range of this family: no address can match.
                if mine.is_empty() {
                    equal(daddr(family), loopback(family))
                } else {
                    equal(daddr(family), ranges(&mine))
                }
            }
        };
        let not_loopback = unequal(daddr(family), loopback(family));
        vec![here, not_loopback, local_address(false), lookup(concat(vec![l4proto(), dport()]), map.as_str())]
    }
}

fn loopback(family: Family) -> Expr {
    let net = match family {
        Family::V4 => ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::new(127, 0, 0, 0), 8).into(),
        Family::V6 => ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::LOCALHOST, 128).into(),
    };
    ranges(&[net])
}

fn declare(family: Family, map: Map) -> Value {
    let ip = address_type(family);
    let key: Vec<SetType> = match map {
        Map::ServiceIps | Map::NoEndpointIps | Map::FirewallIps => {
            vec![ip, SetType::InetProto, SetType::InetService]
        }
        Map::NodePorts | Map::NoEndpointNodePorts => vec![SetType::InetProto, SetType::InetService],
        Map::ClusterIps => vec![ip],
        Map::Hairpin => vec![ip, ip],
    };
    let set_type = match key[..] {
        [one] => SetTypeValue::Single(one),
        _ => SetTypeValue::Concatenated(key.into()),
    };
    let (family, name) = (nf_family(family), map.as_str().into());
    if map.is_set() {
        return add(NfListObject::Set(Box::new(Set {
            family,
            table: TABLE.into(),
            name,
            set_type,
            ..Default::default()
        })));
    }
    let map = NfMap { family, table: TABLE.into(), name, map: set_type.clone(), set_type, ..Default::default() };
    let mut command = add(NfListObject::Map(Box::new(map)));
    // The crate has no word for a map to verdicts.
    command["add"]["map"]["map"] = Value::from("verdict");
    command
}
