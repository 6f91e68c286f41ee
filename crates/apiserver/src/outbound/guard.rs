//! Which addresses a proxy may lead to.

use std::net::IpAddr;

/// What a client is told, in upstream's words.
pub const NOT_ALLOWED: &str = "address not allowed";

/// Whether a client may be led there: an address of one machine that is not this machine's own loopback, nor one that
/// only this machine's link knows (clouds answer there with credentials). As upstream's `IsProxyableIP`.
pub fn allows(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let one_link = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(one_link || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_its_link_are_closed() {
        for (address, expect) in [
            ("10.1.2.3", true),
            ("8.8.8.8", true),
            ("fd00::1", true),
            ("2001:db8::1", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
        ] {
            assert_eq!(allows(address.parse().unwrap()), expect, "{address}");
        }
    }
}
