//! Addresses and blocks of them that are not written as they would be written again.
//!
//! Upstream once took leading zeros and IPv4 inside IPv6; what is stored so is still served, and complained about.

use std::net::{IpAddr, Ipv4Addr};

use super::Warnings;
use crate::status::quoted;
use crate::validate::Path;

/// An address as upstream once read it; true where it is not read so any more.
fn lenient(text: &str) -> Option<(IpAddr, bool)> {
    match text.parse() {
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(inner) => Some((inner.into(), true)),
            None => Some((address.into(), false)),
        },
        Ok(address) => Some((address, false)),
        Err(_) => zeros(text).map(|address| (address.into(), true)),
    }
}

/// An IPv4 address with leading zeros, which never meant octal numbers here.
fn zeros(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.split('.').map(unpadded).collect();
    parts.join(".").parse().ok()
}

fn unpadded(number: &str) -> &str {
    match number.trim_start_matches('0') {
        "" if !number.is_empty() => "0",
        rest => rest,
    }
}

/// An address.
pub fn ip(warnings: &mut Warnings, path: Path<'_>, text: &str) {
    let Some((address, old)) = lenient(text) else { return };
    let (shown, canonical) = (quoted(text), address.to_string());
    if old {
        warnings.push(format!(
            "{path}: non-standard IP address {shown} will be considered invalid in a future Kubernetes release: \
             use {}",
            quoted(&canonical)
        ));
    } else if canonical != text {
        let canonical = quoted(&canonical);
        warnings.push(format!("{path}: IPv6 address {shown} should be in RFC 5952 canonical format ({canonical})"));
    }
}

/// Addresses.
pub fn ips(warnings: &mut Warnings, path: Path<'_>, texts: &[String]) {
    for (index, text) in texts.iter().enumerate() {
        ip(warnings, path.index(index), text);
    }
}

/// Blocks of addresses.
pub fn cidrs(warnings: &mut Warnings, path: Path<'_>, texts: &[String]) {
    for (index, text) in texts.iter().enumerate() {
        cidr(warnings, path.index(index), text);
    }
}

/// A block of addresses.
pub fn cidr(warnings: &mut Warnings, path: Path<'_>, text: &str) {
    let Some((address, length)) = text.split_once('/') else { return };
    let Some((address, mut old)) = lenient(address) else { return };
    let Ok(mut bits) = length.parse::<u8>() else { return };
    old |= bits.to_string() != length;
    if text.contains(':') && address.is_ipv4() {
        // IPv4 within IPv6 counts the bits of IPv6.
        let Some(inner) = bits.checked_sub(96) else { return };
        bits = inner;
    }
    let Ok(block) = ipnet::IpNet::new(address, bits) else { return };
    let (shown, canonical) = (quoted(text), quoted(&block.trunc().to_string()));
    if block.network() != address {
        let single = quoted(&ipnet::IpNet::from(address).to_string());
        warnings.push(format!(
            "{path}: CIDR value {shown} is ambiguous in this context (should be {canonical} or {single}?)"
        ));
    }
    let again = block.to_string();
    if old {
        warnings.push(format!(
            "{path}: non-standard CIDR value {shown} will be considered invalid in a future Kubernetes release: \
             use {canonical}"
        ));
    } else if again != text {
        let again = quoted(&again);
        warnings.push(format!("{path}: IPv6 CIDR value {shown} should be in RFC 5952 canonical format ({again})"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_ip(text: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        ip(&mut warnings, Path::root("ip"), text);
        warnings
    }

    fn of_cidr(text: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        cidr(&mut warnings, Path::root("cidr"), text);
        warnings
    }

    #[test]
    fn canonical_addresses_are_fine() {
        for text in ["10.0.0.1", "0.0.0.0", "::", "2001:db8::2", "no address", ""] {
            assert_eq!(of_ip(text), Vec::<String>::new(), "{text}");
        }
        for text in ["10.0.0.0/8", "0.0.0.0/0", "::/0", "2001:db8::/64", "10.0.0.0", "10.0.0.0/99", "/", "a/8"] {
            assert_eq!(of_cidr(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn other_spellings_are_told() {
        let future = "will be considered invalid in a future Kubernetes release: use";
        assert_eq!(
            of_ip("010.1.002.3"),
            [format!("ip: non-standard IP address \"010.1.002.3\" {future} \"10.1.2.3\"")]
        );
        assert_eq!(
            of_ip("::ffff:1.2.3.4"),
            [format!("ip: non-standard IP address \"::ffff:1.2.3.4\" {future} \"1.2.3.4\"")]
        );
        assert_eq!(
            of_ip("2001:db8:0:0::2"),
            ["ip: IPv6 address \"2001:db8:0:0::2\" should be in RFC 5952 canonical format (\"2001:db8::2\")"]
        );
        assert_eq!(
            of_cidr("10.0.0.8/24"),
            [
                "cidr: CIDR value \"10.0.0.8/24\" is ambiguous in this context (should be \"10.0.0.0/24\" or \"10.0.0.8/32\"?)"
            ]
        );
        assert_eq!(
            of_cidr("10.0.00.0/24"),
            [format!("cidr: non-standard CIDR value \"10.0.00.0/24\" {future} \"10.0.0.0/24\"")]
        );
        assert_eq!(
            of_cidr("2001:db8:0:0::/64"),
            ["cidr: IPv6 CIDR value \"2001:db8:0:0::/64\" should be in RFC 5952 canonical format (\"2001:db8::/64\")"]
        );
        assert_eq!(
            of_cidr("::ffff:1.2.3.0/120"),
            [format!("cidr: non-standard CIDR value \"::ffff:1.2.3.0/120\" {future} \"1.2.3.0/24\"")]
        );
    }
}
