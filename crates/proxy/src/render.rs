//! Steps to the JSON that `nft -j` takes, through the `nftables` crate's types.
//!
//! Forms used are those that nft 1.0.6 takes and lists again: verdict maps with concatenated keys, anonymous maps with
//! concatenated values (a *named* one crashes it), sets with a timeout (it does not know the flag `dynamic` in JSON).

pub mod base;
mod expr;

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use nftables::expr::Expression;
use nftables::schema::{
    Chain, Element, FlushObject, NfCmd, NfListObject, NfObject, Rule as NfRule, Set, SetFlag, SetType, SetTypeValue,
    Table,
};
use nftables::stmt::Statement;
use nftables::types::NfFamily;
use serde_json::Value;

use crate::service::Protocol;
use crate::table::{DROP_CHAIN, Family, Key, Map, Op, Rule, TABLE, Target};
use expr::*;

/// On which of the node's addresses node ports are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// Every address of this node but loopback.
    All,
    /// Addresses of this node within these ranges.
    Within(Vec<IpNet>),
}

/// Settings of the constant part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renderer {
    pub node_ports: NodePortAddresses,
    /// Bit of the packet mark that says "masquerade me".
    pub masquerade_mark: u32,
}

impl Renderer {
    /// The commands of these steps, neighbouring elements of one map in one command, each with the step it stands for.
    pub fn commands(&self, steps: &[Op]) -> Vec<(String, Value)> {
        let mut commands = Vec::new();
        let mut rest = steps;
        while let Some((first, others)) = rest.split_first() {
            if let Some((command, taken)) = elements(rest) {
                let more = if taken > 1 { format!(" (and {} more)", taken - 1) } else { String::new() };
                commands.push((format!("{first}{more}"), command));
                rest = &rest[taken..];
            } else {
                commands.extend(self.step(first).into_iter().map(|command| (first.to_string(), command)));
                rest = others;
            }
        }
        commands
    }

    fn step(&self, op: &Op) -> Vec<Value> {
        match op {
            Op::Base(family) => self.base(*family),
            Op::DeleteTable(family) => {
                vec![cmd(NfCmd::Delete(NfListObject::Table(table(*family))))]
            }
            Op::AddSet { family, name, timeout_s } => {
                vec![add(NfListObject::Set(Box::new(client_set(*family, name, Some(*timeout_s)))))]
            }
            Op::DeleteSet { family, name } => {
                vec![cmd(NfCmd::Delete(NfListObject::Set(Box::new(client_set(*family, name, None)))))]
            }
            Op::AddChain { family, name } => vec![add(NfListObject::Chain(chain(*family, name)))],
            Op::FlushChain { family, name } => {
                vec![cmd(NfCmd::Flush(FlushObject::Chain(chain(*family, name))))]
            }
            Op::DeleteChain { family, name } => vec![cmd(NfCmd::Delete(NfListObject::Chain(chain(*family, name))))],
            Op::AddRule { family, chain, rule: what } => vec![rule(*family, chain, self.statements(*family, what))],
            // Rendered by `elements`.
            Op::AddElement { .. } | Op::DeleteElement { .. } => Vec::new(),
        }
    }

    fn statements(&self, family: Family, rule: &Rule) -> Vec<Statement<'static>> {
        match rule {
            Rule::MasqueradeOffCluster { to, inside } => {
                let mut all = vec![equal(daddr(family), string(*to))];
                all.extend(outside(family, inside));
                all.push(self.mark());
                all
            }
            Rule::Masquerade => vec![self.mark()],
            Rule::Goto(chain) => vec![goto(chain)],
            Rule::FromGoto { inside, chain } => {
                vec![equal(saddr(family), ranges(inside)), goto(chain)]
            }
            Rule::FromNodeGoto { chain } => vec![local_address(true), self.mark(), goto(chain)],
            Rule::Balance { protocol, endpoints } => {
                vec![equal(l4proto(), string(protocol.as_str())), dnat(family, endpoints)]
            }
            Rule::Sticky { set, chain } => {
                vec![equal(saddr(family), string(format!("@{set}"))), goto(chain)]
            }
            Rule::Spread { chains } => vec![spread(chains)],
            Rule::Remember { set } => vec![remember(family, set)],
            Rule::DropOutside { inside } => {
                let mut all: Vec<_> = outside(family, inside).into_iter().collect();
                all.push(Statement::Drop(None));
                all
            }
        }
    }

    fn mark(&self) -> Statement<'static> {
        set_mark(self.masquerade_mark)
    }
}

/// The command for the element steps at the head of `steps`, and how many it stands for.
fn elements(steps: &[Op]) -> Option<(Value, usize)> {
    let kind = |op: &Op| match op {
        Op::AddElement { family, map, .. } => Some((true, *family, *map)),
        Op::DeleteElement { family, map, .. } => Some((false, *family, *map)),
        _ => None,
    };
    let (adds, family, map) = kind(steps.first()?)?;
    let taken = steps.iter().take_while(|op| kind(op) == Some((adds, family, map))).count();
    let values: Vec<_> = steps[..taken]
        .iter()
        .filter_map(|op| match op {
            Op::AddElement { key, target, .. } => Some(element(map, *key, Some(target))),
            Op::DeleteElement { key, .. } => Some(element(map, *key, None)),
            _ => None,
        })
        .collect();
    let object = NfListObject::Element(Element {
        family: nf_family(family),
        table: TABLE.into(),
        name: map.as_str().into(),
        elem: values.into(),
    });
    Some((cmd(if adds { NfCmd::Add(object) } else { NfCmd::Delete(object) }), taken))
}

fn element(map: Map, key: Key, target: Option<&Target>) -> Expression<'static> {
    let key = match key {
        Key::Address(ip, protocol, port) => {
            concat(vec![string(ip), string(protocol.as_str()), Expression::Number(port.into())])
        }
        Key::Port(protocol, port) => concat(vec![string(protocol.as_str()), Expression::Number(port.into())]),
        Key::Ip(ip) if map == Map::Hairpin => concat(vec![string(ip), string(ip)]),
        Key::Ip(ip) => string(ip),
    };
    match target {
        Some(Target::Goto(chain)) => Expression::List(vec![key, verdict_goto(chain)]),
        Some(Target::Drop) => Expression::List(vec![key, verdict_goto(DROP_CHAIN)]),
        // A deleted element of a map may be named by its key alone only in newer versions: nft 1.0.6 takes that too.
        Some(Target::Member) | None => key,
    }
}

fn nf_family(family: Family) -> NfFamily {
    match family {
        Family::V4 => NfFamily::IP,
        Family::V6 => NfFamily::IP6,
    }
}

fn table(family: Family) -> Table<'static> {
    Table { family: nf_family(family), name: TABLE.into(), handle: None }
}

fn chain(family: Family, name: &str) -> Chain<'static> {
    Chain { family: nf_family(family), table: TABLE.into(), name: name.to_owned().into(), ..Default::default() }
}

fn client_set(family: Family, name: &str, timeout_s: Option<u32>) -> Set<'static> {
    Set {
        family: nf_family(family),
        table: TABLE.into(),
        name: name.to_owned().into(),
        set_type: SetTypeValue::Single(address_type(family)),
        flags: timeout_s.map(|_| HashSet::from([SetFlag::Timeout])),
        timeout: timeout_s,
        ..Default::default()
    }
}

fn address_type(family: Family) -> SetType {
    match family {
        Family::V4 => SetType::Ipv4Addr,
        Family::V6 => SetType::Ipv6Addr,
    }
}

fn rule(family: Family, chain: &str, statements: Vec<Statement<'static>>) -> Value {
    add(NfListObject::Rule(NfRule {
        family: nf_family(family),
        table: TABLE.into(),
        chain: chain.to_owned().into(),
        expr: statements.into(),
        ..Default::default()
    }))
}

fn add(object: NfListObject<'static>) -> Value {
    cmd(NfCmd::Add(object))
}

fn cmd(command: NfCmd<'static>) -> Value {
    serde_json::to_value(NfObject::CmdObject(command)).expect("the crate's types have string keys only")
}

/// Reads a key of a listing back.
pub fn read_key(map: Map, parts: &[Value]) -> Option<Key> {
    let ip = |value: &Value| value.as_str()?.parse::<IpAddr>().ok();
    let port = |value: &Value| u16::try_from(value.as_u64()?).ok();
    let protocol = |value: &Value| Protocol::from_nft(value.as_str()?);
    Some(match (map, parts) {
        (Map::ClusterIps, [address]) => Key::Ip(ip(address)?),
        (Map::Hairpin, [from, to]) if from == to => Key::Ip(ip(from)?),
        (_, [proto, number]) => Key::Port(protocol(proto)?, port(number)?),
        (_, [address, proto, number]) => Key::Address(ip(address)?, protocol(proto)?, port(number)?),
        _ => return None,
    })
}
