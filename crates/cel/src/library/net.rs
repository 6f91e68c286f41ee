//! Addresses and networks.

use std::net::IpAddr;

use super::prelude::*;
use crate::value::Cidr;

pub const ROWS: &[Row] = &[
    row!("ip", "(string) -> Ip", Parse, |_, args| match args {
        [Value::String(text)] => address(text).map(|ip| Value::host(Host::Ip(ip))),
        _ => Err(Error::NoOverload),
    }),
    row!("ip", "Cidr.() -> Ip", Step, |_, args| of_cidr(args, |cidr| Value::host(Host::Ip(cidr.address)))),
    row!("isIP", "(string) -> bool", Parse, |_, args| match args {
        [Value::String(text)] => Ok(Value::Bool(address(text).is_ok())),
        _ => Err(Error::NoOverload),
    }),
    row!("ip.isCanonical", "(string) -> bool", Canonical, |_, args| match args {
        [Value::String(text)] => Ok(Value::Bool(address(text)?.to_string() == **text)),
        _ => Err(Error::NoOverload),
    }),
    row!("family", "Ip.() -> int", Step, |_, args| of_ip(args, |ip| Value::Int(if ip.is_ipv4() { 4 } else { 6 }))),
    row!("isUnspecified", "Ip.() -> bool", Step, |_, args| of_ip(args, |ip| Value::Bool(ip.is_unspecified()))),
    row!("isLoopback", "Ip.() -> bool", Step, |_, args| of_ip(args, |ip| Value::Bool(ip.is_loopback()))),
    row!("isLinkLocalMulticast", "Ip.() -> bool", Step, |_, args| {
        of_ip(args, |ip| Value::Bool(link_local_multicast(ip)))
    }),
    row!("isLinkLocalUnicast", "Ip.() -> bool", Step, |_, args| of_ip(args, |ip| Value::Bool(link_local(ip)))),
    row!("isGlobalUnicast", "Ip.() -> bool", Step, |_, args| of_ip(args, |ip| Value::Bool(global(ip)))),
    row!("string", "(Ip) -> string", Step, |_, args| of_ip(args, |ip| Value::text(ip.to_string()))),
    row!("cidr", "(string) -> Cidr", Parse, |_, args| match args {
        [Value::String(text)] => network(text).map(|cidr| Value::host(Host::Cidr(cidr))),
        _ => Err(Error::NoOverload),
    }),
    row!("isCIDR", "(string) -> bool", Parse, |_, args| match args {
        [Value::String(text)] => Ok(Value::Bool(network(text).is_ok())),
        _ => Err(Error::NoOverload),
    }),
    row!("containsIP", "Cidr.(Ip) -> bool | Cidr.(string) -> bool", ContainsIp, contains_ip),
    row!("containsCIDR", "Cidr.(Cidr) -> bool | Cidr.(string) -> bool", ContainsCidr, contains_cidr),
    row!("masked", "Cidr.() -> Cidr", Step, |_, args| {
        of_cidr(args, |cidr| {
            Value::host(Host::Cidr(Cidr { address: masked(cidr.address, cidr.prefix), prefix: cidr.prefix }))
        })
    }),
    row!("prefixLength", "Cidr.() -> int", Step, |_, args| {
        of_cidr(args, |cidr| Value::Int(i64::from(cidr.prefix)))
    }),
    row!("string", "(Cidr) -> string", Step, |_, args| {
        of_cidr(args, |cidr| Value::text(format!("{}/{}", cidr.address, cidr.prefix)))
    }),
];

fn of_ip<'a>(args: &[Value<'a>], then: fn(&IpAddr) -> Value<'static>) -> Outcome<'a> {
    match args {
        [Value::Host(host)] => match &**host {
            Host::Ip(ip) => Ok(then(ip)),
            _ => Err(Error::NoOverload),
        },
        _ => Err(Error::NoOverload),
    }
}

fn of_cidr<'a>(args: &[Value<'a>], then: fn(&Cidr) -> Value<'static>) -> Outcome<'a> {
    match args {
        [Value::Host(host)] => match &**host {
            Host::Cidr(cidr) => Ok(then(cidr)),
            _ => Err(Error::NoOverload),
        },
        _ => Err(Error::NoOverload),
    }
}

/// An address; none that holds one of the other family.
fn address(text: &str) -> Result<IpAddr, Error> {
    let wrong = |why: &str| {
        Error::new(format!(
            "IP Address {} parse error during conversion from string: {why}",
            super::strings::quoted(text)
        ))
    };
    let ip: IpAddr = text.parse().map_err(|_| wrong("unable to parse IP"))?;
    match ip {
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => Err(wrong("IPv4-mapped IPv6 address is not allowed")),
        ip => Ok(ip),
    }
}

fn network(text: &str) -> Result<Cidr, Error> {
    let wrong = || Error::new("network address parse error during conversion from string: invalid CIDR address");
    let (ip, prefix) = text.rsplit_once('/').ok_or_else(wrong)?;
    let address = address(ip)?;
    let plain = !prefix.is_empty()
        && prefix.bytes().all(|byte| byte.is_ascii_digit())
        && (prefix == "0" || !prefix.starts_with('0'));
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.parse().ok().filter(|prefix| plain && *prefix <= most).ok_or_else(wrong)?;
    Ok(Cidr { address, prefix })
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(four) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(four) & mask).into())
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(six) & mask).into())
        }
    }
}

fn holds(network: &Cidr, address: IpAddr) -> bool {
    network.address.is_ipv4() == address.is_ipv4()
        && masked(network.address, network.prefix) == masked(address, network.prefix)
}

fn contains_ip<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Host(cidr), other] = args else { return Err(Error::NoOverload) };
    let Host::Cidr(cidr) = &**cidr else { return Err(Error::NoOverload) };
    let ip = match other {
        Value::String(text) => address(text)?,
        Value::Host(host) => match &**host {
            Host::Ip(ip) => *ip,
            _ => return Err(Error::NoOverload),
        },
        _ => return Err(Error::NoOverload),
    };
    Ok(Value::Bool(holds(cidr, ip)))
}

fn contains_cidr<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Host(cidr), other] = args else { return Err(Error::NoOverload) };
    let Host::Cidr(cidr) = &**cidr else { return Err(Error::NoOverload) };
    let inner = match other {
        Value::String(text) => network(text)?,
        Value::Host(host) => match &**host {
            Host::Cidr(inner) => *inner,
            _ => return Err(Error::NoOverload),
        },
        _ => return Err(Error::NoOverload),
    };
    Ok(Value::Bool(inner.prefix >= cidr.prefix && holds(cidr, inner.address)))
}

fn link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

fn link_local_multicast(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    }
}

fn global(ip: &IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !broadcast && !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast() && !link_local(ip)
}
