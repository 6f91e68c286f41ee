//! Facts about the machine that this runs on.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::run;

/// Whether we may make namespaces, mounts and network rules.
pub fn require_root() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("containers, mounts and network rules need root: run it with sudo -E");
    }
    Ok(())
}

/// The machine's name as a Node's name: lower case, as Kubernetes has it.
pub fn name() -> Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").context("reading the host's name")?;
    Ok(name.trim().to_lowercase())
}

/// The address that other machines reach this one by: the source of the default route, else the first global one.
pub fn address(network: Option<&str>) -> Result<IpAddr> {
    let ip = |args: &[&str]| {
        let network = network.into_iter().flat_map(|network| ["-n", network]);
        run("ip", network.chain(args.iter().copied()))
    };
    if let Ok(text) = ip(&["-j", "route", "get", "198.51.100.1"])
        && let Some(source) = json(&text)?.pointer("/0/prefsrc").and_then(Value::as_str)
    {
        return Ok(source.parse()?);
    }
    let all = json(&ip(&["-j", "-4", "address", "show", "scope", "global"])?)?;
    let first = all.as_array().into_iter().flatten().find_map(|link| link.pointer("/addr_info/0/local")?.as_str());
    match first {
        Some(address) => Ok(address.parse()?),
        None => bail!("this machine has no address but loopback: name one with --node-ip"),
    }
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).context("reading what `ip -j` wrote")
}
