//! Expressions and statements, each a short name for a long nest of the `nftables` crate's types.

use std::collections::HashSet;
use std::net::SocketAddr;

use ipnet::IpNet;
use nftables::expr::{
    BinaryOperation, CT, Expression, Fib, FibFlag, FibResult, Map, Meta, MetaKey, NamedExpression, NgMode, Numgen,
    Payload, PayloadField, Prefix, SetItem, Verdict,
};
use nftables::stmt::{
    JumpTarget, Mangle, Match, NAT, NATFamily, NATFlag, Operator, Reject, RejectType, Set, SetOp, Statement, VerdictMap,
};

use crate::table::Family;

pub type Expr = Expression<'static>;
pub type Stmt = Statement<'static>;

pub fn string(text: impl ToString) -> Expr {
    Expression::String(text.to_string().into())
}

pub fn named(expression: NamedExpression<'static>) -> Expr {
    Expression::Named(expression)
}

pub fn concat(parts: Vec<Expr>) -> Expr {
    named(NamedExpression::Concat(parts))
}

fn payload(protocol: &'static str, field: &'static str) -> Expr {
    named(NamedExpression::Payload(Payload::PayloadField(PayloadField {
        protocol: protocol.into(),
        field: field.into(),
    })))
}

pub fn saddr(family: Family) -> Expr {
    payload(family.as_str(), "saddr")
}

pub fn daddr(family: Family) -> Expr {
    payload(family.as_str(), "daddr")
}

pub fn dport() -> Expr {
    payload("th", "dport")
}

pub fn meta(key: MetaKey) -> Expr {
    named(NamedExpression::Meta(Meta { key }))
}

pub fn l4proto() -> Expr {
    meta(MetaKey::L4proto)
}

pub fn equal(left: Expr, right: Expr) -> Stmt {
    Statement::Match(Match { left, right, op: Operator::EQ })
}

pub fn unequal(left: Expr, right: Expr) -> Stmt {
    Statement::Match(Match { left, right, op: Operator::NEQ })
}

/// An anonymous set of ranges, or the one range.
pub fn ranges(ranges: &[IpNet]) -> Expr {
    let prefix = |net: &IpNet| {
        named(NamedExpression::Prefix(Prefix { addr: Box::new(string(net.network())), len: net.prefix_len().into() }))
    };
    match ranges {
        [one] => prefix(one),
        many => named(NamedExpression::Set(many.iter().map(|net| SetItem::Element(prefix(net))).collect())),
    }
}

/// The source is outside all ranges; no ranges: no condition, as nothing is inside.
pub fn outside(family: Family, inside: &[IpNet]) -> Option<Stmt> {
    (!inside.is_empty()).then(|| unequal(saddr(family), ranges(inside)))
}

pub fn goto(chain: &str) -> Stmt {
    Statement::Goto(JumpTarget { target: chain.to_owned().into() })
}

pub fn jump(chain: &'static str) -> Stmt {
    Statement::Jump(JumpTarget { target: chain.into() })
}

pub fn verdict_goto(chain: &str) -> Expr {
    Expression::Verdict(Verdict::Goto(JumpTarget { target: chain.to_owned().into() }))
}

/// The source (or destination) is an address of this node.
pub fn local_address(source: bool) -> Stmt {
    let flag = if source { FibFlag::Saddr } else { FibFlag::Daddr };
    equal(named(NamedExpression::Fib(Fib { result: FibResult::Type, flags: HashSet::from([flag]) })), string("local"))
}

/// The packet is the first of its connection.
pub fn is_new() -> Stmt {
    ct_is("state", Operator::IN, "new")
}

/// The connection's destination was translated.
pub fn is_dnat() -> Stmt {
    ct_is("status", Operator::IN, "dnat")
}

fn ct_is(key: &'static str, op: Operator, value: &'static str) -> Stmt {
    let left = named(NamedExpression::CT(CT { key: key.into(), family: None, dir: None }));
    Statement::Match(Match { left, right: string(value), op })
}

pub fn set_mark(bit: u32) -> Stmt {
    let old = meta(MetaKey::Mark);
    let new = Expression::BinaryOperation(Box::new(BinaryOperation::OR(vec![old.clone(), Expression::Number(bit)])));
    Statement::Mangle(Mangle { key: old, value: new })
}

pub fn clear_mark(bit: u32) -> Stmt {
    let old = meta(MetaKey::Mark);
    let new = Expression::BinaryOperation(Box::new(BinaryOperation::XOR(old.clone(), Expression::Number(bit))));
    Statement::Mangle(Mangle { key: old, value: new })
}

pub fn is_marked(bit: u32) -> Stmt {
    let masked = BinaryOperation::AND(meta(MetaKey::Mark), Expression::Number(bit));
    unequal(Expression::BinaryOperation(Box::new(masked)), Expression::Number(0))
}

pub fn masquerade() -> Stmt {
    Statement::Masquerade(Some(NAT {
        addr: None,
        family: None,
        port: None,
        flags: Some(HashSet::from([NATFlag::FullyRandom])),
    }))
}

pub fn reject(tcp_reset: bool) -> Stmt {
    Statement::Reject(tcp_reset.then(|| Reject::new(Some(RejectType::TCPReset), None)))
}

pub fn lookup(key: Expr, map: &str) -> Stmt {
    Statement::VerdictMap(VerdictMap { key, data: string(format!("@{map}")) })
}

/// A number below `count`, by chance.
fn chance(count: usize) -> Expr {
    let ng_mod = u32::try_from(count).unwrap_or(u32::MAX);
    named(NamedExpression::Numgen(Numgen { mode: NgMode::Random, ng_mod, offset: Some(0) }))
}

fn number(index: usize) -> Expr {
    Expression::Number(u32::try_from(index).unwrap_or(u32::MAX))
}

/// To one of the endpoints.
pub fn dnat(family: Family, endpoints: &[SocketAddr]) -> Stmt {
    let nat_family = match family {
        Family::V4 => NATFamily::IP,
        Family::V6 => NATFamily::IP6,
    };
    let nat = match endpoints {
        [one] => NAT {
            addr: Some(string(one.ip())),
            port: Some(Expression::Number(one.port().into())),
            family: None,
            flags: None,
        },
        many => {
            let pair = |(index, endpoint): (usize, &SocketAddr)| {
                let to = concat(vec![string(endpoint.ip()), Expression::Number(endpoint.port().into())]);
                SetItem::Mapping(number(index), to)
            };
            let data = named(NamedExpression::Set(many.iter().enumerate().map(pair).collect()));
            let pick = named(NamedExpression::Map(Box::new(Map { key: chance(many.len()), data })));
            NAT { addr: Some(pick), port: None, family: Some(nat_family), flags: None }
        }
    };
    Statement::DNAT(Some(nat))
}

/// To one of the chains.
pub fn spread(chains: &[String]) -> Stmt {
    let pair = |(index, chain): (usize, &String)| SetItem::Mapping(number(index), verdict_goto(chain));
    let data = named(NamedExpression::Set(chains.iter().enumerate().map(pair).collect()));
    Statement::VerdictMap(VerdictMap { key: chance(chains.len()), data })
}

pub fn remember(family: Family, set: &str) -> Stmt {
    Statement::Set(Set { op: SetOp::Update, elem: saddr(family), set: format!("@{set}").into() })
}
