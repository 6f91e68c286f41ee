//! A network of its own for a few members: a namespace each, joined by a bridge in another one, the hub, where the clients
//! are; and rules that lose what one member sends to another. All of it goes with the value.
//!
//! Needs root, iproute2 and nftables.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use testkit::namespace::path;

/// The bridge in the hub, and the members' way to it.
const BRIDGE: &str = "br0";
const LINK: &str = "eth0";
/// The table with what is lost, in the namespace of whoever would receive it.
const TABLE: &str = "inet faults";

pub struct Net {
    prefix: String,
    members: usize,
}

impl Net {
    /// `name` is short and tells tests of one process apart.
    pub fn new(name: &str, members: usize) -> Result<Self> {
        let net = Self { prefix: format!("ks{}{name}", std::process::id()), members };
        for space in net.spaces() {
            run("ip", &["netns", "add", &space])?;
            ip(&space, "link set lo up")?;
        }
        let hub = net.hub();
        ip(&hub, &format!("link add name {BRIDGE} type bridge"))?;
        ip(&hub, &format!("address add {}/24 dev {BRIDGE}", address(members)))?;
        ip(&hub, &format!("link set {BRIDGE} up"))?;
        for at in 0..members {
            let space = net.space(at);
            ip(&hub, &format!("link add name m{at} type veth peer name {LINK} netns {space}"))?;
            ip(&hub, &format!("link set m{at} master {BRIDGE} up"))?;
            ip(&space, &format!("address add {}/24 dev {LINK}", address(at)))?;
            ip(&space, &format!("link set {LINK} up"))?;
        }
        Ok(net)
    }

    /// Where the bridge is, and clients reach everybody.
    pub fn hub(&self) -> String {
        format!("{}-hub", self.prefix)
    }

    /// A member's namespace.
    pub fn space(&self, member: usize) -> String {
        format!("{}-m{member}", self.prefix)
    }

    fn spaces(&self) -> impl Iterator<Item = String> {
        std::iter::once(self.hub()).chain((0..self.members).map(|at| self.space(at)))
    }

    /// Loses what `from` sends to `to`, from now on.
    pub fn lose(&self, from: usize, to: usize) -> Result<()> {
        let rules = format!(
            "add table {TABLE}\n\
             add chain {TABLE} input {{ type filter hook input priority 0; policy accept; }}\n\
             add rule {TABLE} input ip saddr {} drop\n",
            address(from)
        );
        self.nft(to, &rules)
    }

    /// Loses what these two send to each other.
    pub fn part(&self, one: usize, other: usize) -> Result<()> {
        self.lose(one, other)?;
        self.lose(other, one)
    }

    /// Loses nothing any more.
    pub fn heal(&self) -> Result<()> {
        (0..self.members).try_for_each(|at| self.nft(at, &format!("add table {TABLE}\ndelete table {TABLE}\n")))
    }

    fn nft(&self, member: usize, rules: &str) -> Result<()> {
        let mut child = Command::new("nsenter")
            .arg(format!("--net={}", path(&self.space(member)).display()))
            .args(["--", "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .context("nsenter does not start; install util-linux and nftables")?;
        child.stdin.take().context("a pipe")?.write_all(rules.as_bytes())?;
        let ended = child.wait()?;
        ensure!(ended.success(), "nft refused {rules:?} (root and nftables are needed)");
        Ok(())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for space in self.spaces() {
            // One that could not be made is not there.
            let _absent = Command::new("ip").args(["netns", "delete", &space]).stderr(Stdio::null()).status();
        }
    }
}

/// A member's address; one more is the hub's.
pub fn address(member: usize) -> String {
    format!("10.79.0.{}", member + 1)
}

fn ip(space: &str, args: &str) -> Result<()> {
    let args: Vec<&str> = ["-n", space].into_iter().chain(args.split(' ')).collect();
    run("ip", &args)
}

fn run(program: &str, args: &[&str]) -> Result<()> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{program} does not start; apt-get install iproute2"))?;
    ensure!(
        output.status.success(),
        "{program} {args:?}: {} (root is needed)",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
