//! Named network namespaces that play machines, and running code inside one.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns};

use crate::process::run;

/// The file that pins a named network namespace.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// A network namespace that plays one machine: a loopback, and an uplink with an address.
///
/// It is removed when the value is dropped.
#[derive(Debug)]
pub struct Machine {
    name: String,
    address: Ipv4Addr,
}

/// The bridge inside the first machine that the others are plugged into.
const UPLINK: &str = "uplink0";
/// The size of the network between machines.
const PREFIX: u8 = 24;

impl Machine {
    /// Makes a machine whose uplink is a bridge: others may be plugged into it.
    pub fn create(name: &str, address: Ipv4Addr) -> Result<Self> {
        let machine = Self::bare(name, address)?;
        machine.ip(&["link", "add", UPLINK, "type", "bridge"])?;
        machine.configure_uplink()?;
        // Without a default route the kernel refuses ClusterIPs before any rule sees them.
        machine.ip(&["route", "add", "default", "dev", UPLINK])?;
        Ok(machine)
    }

    /// Makes a machine that is plugged into `first`'s bridge.
    pub fn beside(first: &Self, name: &str, address: Ipv4Addr) -> Result<Self> {
        let machine = Self::bare(name, address)?;
        let port = format!("port-{}", address.octets()[3]);
        machine.ip(&["link", "add", UPLINK, "type", "veth", "peer", "name", &port, "netns", &first.name])?;
        first.ip(&["link", "set", &port, "master", UPLINK, "up"])?;
        machine.configure_uplink()?;
        // A default route, as a machine in a rack has: the neighbour plays the router.
        machine.ip(&["route", "add", "default", "via", &first.address.to_string()])?;
        Ok(machine)
    }

    fn bare(name: &str, address: Ipv4Addr) -> Result<Self> {
        if path(name).exists() {
            run("ip", ["netns", "delete", name])?;
        }
        run("ip", ["netns", "add", name]).context("making a network namespace (root is needed)")?;
        let machine = Self { name: name.to_owned(), address };
        machine.ip(&["link", "set", "lo", "up"])?;
        Ok(machine)
    }

    fn configure_uplink(&self) -> Result<()> {
        self.ip(&["address", "add", &format!("{}/{PREFIX}", self.address), "dev", UPLINK])?;
        self.ip(&["link", "set", UPLINK, "up"])?;
        Ok(())
    }

    /// The name of its namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Takes the uplink down or up: an unplugged cable.
    pub fn set_uplink(&self, up: bool) -> Result<()> {
        self.ip(&["link", "set", UPLINK, if up { "up" } else { "down" }])
    }

    fn ip(&self, args: &[&str]) -> Result<()> {
        run("ip", ["-n", &self.name].iter().chain(args).copied()).map(|_| ())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = run("ip", ["netns", "delete", &self.name]);
    }
}

/// Runs `work` inside a named network namespace, on a thread of its own; `None` means here.
pub fn inside<T: Send>(network: Option<&str>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let Some(network) = network else { return work() };
    let file = path(network);
    let namespace = File::open(&file).with_context(|| format!("opening {}", file.display()))?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).context("entering a network namespace")?;
            work()
        });
        thread.join().map_err(|_| anyhow!("a thread inside {network} panicked"))?
    })
}
