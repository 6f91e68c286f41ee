//! Forgets UDP flows whose endpoint is gone: without a connection to end, their packets would follow the old translation for
//! as long as they keep coming.

use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;

use tokio::process::Command;

use crate::ruleset::{Fragment, udp_flows};
use crate::table::{Family, Key};

/// Flows to a UDP port that conntrack must forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleFlow {
    /// What the client sent to.
    pub key: Key,
    /// Only flows that were translated to this address; `None`: all, also those that met no endpoint.
    pub endpoint: Option<IpAddr>,
}

/// What became stale from the old part of a Service to the new one.
pub fn stale(old: &Fragment, new: &Fragment) -> Vec<StaleFlow> {
    let (old, new) = (udp_flows(old), udp_flows(new));
    let mut all = Vec::new();
    for (key, endpoints) in &old {
        let kept = new.get(key).map_or(&[][..], Vec::as_slice);
        let gone = endpoints.iter().filter(|endpoint| !kept.contains(endpoint));
        all.extend(gone.map(|endpoint: &SocketAddr| StaleFlow { key: *key, endpoint: Some(endpoint.ip()) }));
    }
    // A flow that began while there was no endpoint was not translated, and would stay so.
    let first = new.iter().filter(|(key, endpoints)| !endpoints.is_empty() && old.get(key).is_none_or(Vec::is_empty));
    all.extend(first.map(|(key, _)| StaleFlow { key: *key, endpoint: None }));
    all
}

impl StaleFlow {
    fn family(&self) -> Family {
        match (self.key, self.endpoint) {
            (_, Some(ip)) | (Key::Address(ip, ..) | Key::Ip(ip), None) => Family::of(ip),
            (Key::Port(..), None) => Family::V4,
        }
    }

    /// Arguments of `conntrack`.
    fn arguments(&self) -> Vec<String> {
        let family = match self.family() {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        };
        let mut args: Vec<String> = ["-D", "-f", family, "-p", "udp"].map(str::to_owned).into();
        match self.key {
            Key::Address(ip, _, port) => {
                args.extend(["--orig-dst".to_owned(), ip.to_string(), "--orig-port-dst".to_owned(), port.to_string()]);
            }
            Key::Port(_, port) => args.extend(["--orig-port-dst".to_owned(), port.to_string()]),
            Key::Ip(ip) => args.extend(["--orig-dst".to_owned(), ip.to_string()]),
        }
        if let Some(endpoint) = self.endpoint {
            args.extend(["--dst-nat".to_owned(), endpoint.to_string()]);
        }
        args
    }
}

/// Runs `conntrack` for each flow. What it cannot do is logged: the flow then ends by its timeout.
pub async fn forget(program: &[String], flows: &[StaleFlow]) {
    let Some((name, before)) = program.split_first() else {
        return;
    };
    for flow in flows {
        let run = Command::new(name)
            .args(before)
            .args(flow.arguments())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await;
        match run {
            // It exits with 1 when there was no such flow.
            Ok(output)
                if output.status.success() || String::from_utf8_lossy(&output.stderr).contains(" 0 flow entries") => {}
            Ok(output) => {
                tracing::warn!(flow = ?flow, "conntrack: {}", String::from_utf8_lossy(&output.stderr).trim())
            }
            Err(error) => {
                tracing::warn!("cannot run {name}: {error}; UDP flows to endpoints that are gone end by their timeout");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::fragment;
    use crate::service::ServiceName;
    use crate::testing::{parse_script, settings};

    #[track_caller]
    fn check(old: &[&str], new: &[&str], expect: &[(&str, Option<&str>)]) {
        let part = |endpoints: &[&str]| {
            let mut text = "service a/dns 10.96.0.10\nport - udp 53\nport tcp tcp 53\n".to_owned();
            for endpoint in endpoints {
                text += &format!(
                    "endpoint a/dns - udp {endpoint}:53 node-1\nendpoint a/dns tcp tcp {endpoint}:53 node-1\n"
                );
            }
            let (services, endpoints) = parse_script(&text);
            let name = ServiceName::new("a", "dns");
            fragment(&services[&name], &endpoints.get(&name).cloned().unwrap_or_default(), &settings())
        };
        let flows = stale(&part(old), &part(new));
        let text: Vec<_> =
            flows.iter().map(|flow| (flow.key.to_string(), flow.endpoint.map(|ip| ip.to_string()))).collect();
        let expect: Vec<_> = expect.iter().map(|(key, ip)| ((*key).to_owned(), ip.map(str::to_owned))).collect();
        assert_eq!(text, expect);
    }

    #[test]
    fn flows_to_an_endpoint_that_is_gone_are_stale() {
        check(&["10.244.0.1", "10.244.0.2"], &["10.244.0.2"], &[("10.96.0.10 . udp . 53", Some("10.244.0.1"))]);
    }

    #[test]
    fn flows_from_before_the_first_endpoint_are_stale() {
        check(&[], &["10.244.0.1"], &[("10.96.0.10 . udp . 53", None)]);
    }

    #[test]
    fn a_further_endpoint_disturbs_nobody() {
        check(&["10.244.0.1"], &["10.244.0.1", "10.244.0.2"], &[]);
    }
}
