//! Decides a cluster's settings from flags, from the cluster that is there, and from the machine.

use std::path::PathBuf;

use anyhow::Result;
use testkit::host;
use testkit::settings::{Daemon, Node, Settings};

use super::Options;
use crate::build;

/// A flag wins over what the cluster had, which wins over what the machine suggests.
pub fn settings(options: &Options, dir: PathBuf, before: Option<&Settings>) -> Result<Settings> {
    let programs = match &options.programs {
        Some(folder) => std::path::absolute(folder)?,
        None => build::programs(&options.profile)?,
    };
    let old = before.map(Settings::first_node);
    let network = options.netns.clone().or_else(|| old.and_then(|node| node.network.clone()));
    let node = Node {
        name: match (&options.node_name, old) {
            (Some(name), _) => name.clone(),
            (None, Some(node)) => node.name.clone(),
            (None, None) => host::name()?,
        },
        // Asked again each time: a laptop's address changes.
        address: match options.node_ip {
            Some(address) => address,
            None => host::address(network.as_deref())?,
        },
        network,
    };
    let mut settings = Settings::new(dir, programs, node);
    if let Some(before) = before {
        settings.service_range = before.service_range;
        settings.pod_range = before.pod_range;
        settings.ports = before.ports;
        settings.extra_flags = before.extra_flags.clone();
        settings.environment = before.environment.clone();
    }
    settings.service_range = options.service_range.unwrap_or(settings.service_range);
    settings.pod_range = options.pod_range.unwrap_or(settings.pod_range);
    settings.ports.apiserver = options.secure_port.unwrap_or(settings.ports.apiserver);
    if let Some(port) = options.store_port {
        settings.ports.store = port;
        settings.ports.store_peer = port.saturating_add(1);
    }
    if !options.daemons.is_empty() {
        settings.daemons = Daemon::ALL.into_iter().filter(|daemon| options.daemons.contains(daemon)).collect();
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            node_name: Some("one".to_owned()),
            node_ip: Some(std::net::Ipv4Addr::new(192, 0, 2, 1).into()),
            profile: "release".to_owned(),
            ..Options::default()
        }
    }

    #[test]
    fn chosen_daemons_start_in_their_order_whatever_the_flags_order() {
        let options = Options { daemons: vec![Daemon::Apiserver, Daemon::Store], ..options() };
        let settings = settings(&options, "/state".into(), None).unwrap();
        assert_eq!(settings.daemons, [Daemon::Store, Daemon::Apiserver]);
    }

    #[test]
    fn ranges_are_remembered_unless_a_flag_moves_them() {
        let first = Options { service_range: Some("10.200.0.0/16".parse().unwrap()), ..options() };
        let before = settings(&first, "/state".into(), None).unwrap();
        let again = settings(&options(), "/state".into(), Some(&before)).unwrap();
        assert_eq!(again.service_range, before.service_range);
    }
}
