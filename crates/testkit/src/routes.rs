//! Finds host routes that a cluster's ranges would hide.

use anyhow::{Context, Result, bail};
use ipnet::Ipv4Net;
use serde_json::Value;

use crate::process;

/// A route of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub network: Ipv4Net,
    /// The interface it leaves by.
    pub interface: String,
}

/// A range that a flag sets.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// The flag.
    pub flag: &'static str,
    /// Its value.
    pub network: Ipv4Net,
}

/// Reads the IPv4 routes of the host or of a named network namespace, default routes left out.
pub fn read(network: Option<&str>) -> Result<Vec<Route>> {
    let mut args = Vec::new();
    if let Some(network) = network {
        args.extend(["-n", network]);
    }
    args.extend(["-4", "-j", "route", "show", "table", "main"]);
    parse(&process::run("ip", args)?)
}

fn parse(text: &str) -> Result<Vec<Route>> {
    let rows: Value = serde_json::from_str(text).context("reading what `ip -j route` wrote")?;
    let rows = rows.as_array().cloned().unwrap_or_default();
    Ok(rows.iter().filter_map(route).collect())
}

fn route(row: &Value) -> Option<Route> {
    let to = row.get("dst")?.as_str()?;
    // A route to one host is written without its length.
    let network = to.parse().ok().or_else(|| Some(Ipv4Net::from(to.parse::<std::net::Ipv4Addr>().ok()?)))?;
    let interface = row.get("dev").and_then(Value::as_str).unwrap_or("nothing");
    Some(Route { network, interface: interface.to_owned() })
}

/// Refuses a range that overlaps a route, or another range, and names the flag that moves it.
pub fn check(ranges: &[Range], routes: &[Route], own_interfaces: &[&str]) -> Result<()> {
    for (index, range) in ranges.iter().enumerate() {
        for route in routes.iter().filter(|route| !is_own(&route.interface, own_interfaces)) {
            if overlap(range.network, route.network) {
                bail!(
                    "the range {} overlaps the host's route to {} by {}: choose another with --{}",
                    range.network,
                    route.network,
                    route.interface,
                    range.flag,
                );
            }
        }
        for other in &ranges[..index] {
            if overlap(range.network, other.network) {
                bail!(
                    "the ranges {} (--{}) and {} (--{}) overlap: choose another for one of them",
                    other.network,
                    other.flag,
                    range.network,
                    range.flag,
                );
            }
        }
    }
    Ok(())
}

fn is_own(interface: &str, own: &[&str]) -> bool {
    own.iter().any(|prefix| interface.starts_with(prefix))
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = r#"[
        {"dst":"default","gateway":"192.0.2.1","dev":"eth0"},
        {"dst":"192.0.2.0/24","dev":"eth0","scope":"link"},
        {"dst":"10.100.7.9","dev":"tun0"},
        {"dst":"10.244.0.0/24","dev":"keelson0"},
        {"type":"unreachable","dst":"172.16.0.0/12"}
    ]"#;

    #[track_caller]
    fn verdict(service: &str, pod: &str) -> String {
        let ranges = [
            Range { flag: "service-range", network: service.parse().unwrap() },
            Range { flag: "pod-range", network: pod.parse().unwrap() },
        ];
        match check(&ranges, &parse(ROUTES).unwrap(), &["keelson"]) {
            Ok(()) => "free".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_default_route_and_our_own_bridge_are_in_nobodys_way() {
        assert_eq!(verdict("10.97.0.0/16", "10.244.0.0/16"), "free");
    }

    #[test]
    fn a_route_inside_a_range_is_refused_by_the_flags_name() {
        let text = verdict("10.96.0.0/12", "10.244.0.0/16");
        assert!(text.contains("--service-range") && text.contains("10.100.7.9/32") && text.contains("tun0"), "{text}");
    }

    #[test]
    fn a_range_inside_a_route_is_refused() {
        let text = verdict("10.97.0.0/16", "172.20.0.0/16");
        assert!(text.contains("--pod-range") && text.contains("172.16.0.0/12"), "{text}");
    }

    #[test]
    fn ranges_that_overlap_each_other_are_refused() {
        let text = verdict("10.0.0.0/24", "10.0.0.0/16");
        assert!(text.contains("--service-range") && text.contains("--pod-range"), "{text}");
    }
}
