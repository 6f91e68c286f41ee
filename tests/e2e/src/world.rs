//! One cluster of release programs, in a network namespace and a directory of its own.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use testkit::cluster::Cluster;
use testkit::keelctl::Keelctl;
use testkit::namespace::Machine;
use testkit::packages;
use testkit::settings::{Daemon, Node, Settings};

use crate::Space;

/// The first machine's address (a network that is kept for documentation, so it is nobody's).
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// Lines of each log that a failure shows.
const TAIL: usize = 12;

/// A running cluster; everything of it is gone when this is dropped.
pub struct World {
    /// The cluster.
    pub cluster: Cluster,
    /// The machines, first node first; the cluster's processes live in their networks.
    pub machines: Vec<Machine>,
    dir: TempDir,
}

/// How a cluster differs from the usual one.
pub type Change = fn(&mut Settings);

impl World {
    /// Starts a cluster of one node; `name` keeps suites apart.
    pub fn start(name: &str, change: Change) -> Result<Self> {
        Self::start_with_nodes(name, 1, change)
    }

    /// Starts a cluster of several nodes, each a network namespace with its own containerd, kubelet and proxy.
    pub fn start_with_nodes(name: &str, nodes: u8, change: Change) -> Result<Self> {
        let world = Self::prepare(name, nodes, change)?;
        world.cluster.prepare()?;
        world.cluster.start(&mut |step| testkit::say!("  {step}"))?;
        world.cluster.import_hello()?;
        world.publish_dns()?;
        Ok(world)
    }

    /// Makes machines and settings; starts nothing.
    pub fn prepare(name: &str, nodes: u8, change: Change) -> Result<Self> {
        let missing = packages::missing(&[packages::RUN, packages::TEST]);
        ensure!(missing.is_empty(), "install first (cargo xtask test does): {}", missing.join(", "));
        let programs = programs()?;
        let dir = tempfile::Builder::new().prefix(&format!("kln-{name}-")).tempdir()?;
        let mut machines: Vec<Machine> = Vec::new();
        for index in 0..nodes {
            let network = format!("kln-{name}-{index}");
            let address = Ipv4Addr::from_bits(FIRST_ADDRESS.to_bits() + u32::from(index));
            machines.push(match machines.first() {
                None => Machine::create(&network, address)?,
                Some(first) => Machine::beside(first, &network, address)?,
            });
        }
        let mut all = machines.iter().enumerate().map(|(index, machine)| Node {
            name: format!("node-{index}"),
            address: machine.address().into(),
            network: Some(machine.name().to_owned()),
        });
        let first = all.next().context("a cluster has a node")?;
        let mut settings = Settings::new(dir.path().canonicalize()?, programs, first);
        settings.nodes.extend(all);
        change(&mut settings);
        Ok(Self { cluster: Cluster::new(settings), machines, dir })
    }

    /// The cluster's directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The administrator's command line.
    pub fn keelctl(&self) -> Keelctl {
        self.cluster.keelctl()
    }

    /// The network that the first node lives in.
    pub fn network(&self) -> Option<&str> {
        self.cluster.settings.first_node().network.as_deref()
    }

    /// The first node.
    pub fn node(&self) -> &Node {
        self.cluster.settings.first_node()
    }

    /// A Kubernetes namespace for one test.
    pub fn space(&self, name: &str) -> Result<Space<'_>> {
        Space::create(self, name)
    }

    fn publish_dns(&self) -> Result<()> {
        if !self.cluster.settings.has(Daemon::Dns) {
            return Ok(());
        }
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kube-dns.yaml");
        let settings = &self.cluster.settings;
        let text = std::fs::read_to_string(file)?
            .replace("${DNS_SERVICE_IP}", &settings.dns_address()?.to_string())
            .replace("${DNS_ENDPOINT_IP}", &self.node().address.to_string())
            .replace("${DNS_PORT}", &settings.ports.dns.to_string())
            .replace("${NODE_NAME}", &self.node().name);
        self.keelctl().apply(&text).map(drop)
    }

    /// What someone who looks at a failure asks first.
    pub fn diagnose(&self) -> String {
        let keelctl = self.keelctl();
        let mut text = String::new();
        for args in [
            &["get", "pods", "-A", "-o", "wide"][..],
            &["get", "deployments,replicasets,services,endpointslices", "-A"],
            &["get", "events", "-A"],
        ] {
            let answer = keelctl.run(args).unwrap_or_else(|error| format!("{error:#}"));
            let lines: Vec<&str> = answer.lines().collect();
            let last = lines[lines.len().saturating_sub(40)..].join("\n");
            text += &format!("-- keelctl {}\n{last}\n", args.join(" "));
        }
        for process in self.cluster.status() {
            let state = process.pid.map_or_else(|| "not running".to_owned(), |pid| format!("process {pid}"));
            text += &format!("-- {} ({state})\n{}\n", process.name, self.cluster.processes().tail(&process.name, TAIL));
        }
        text
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Err(error) = self.cluster.stop(&mut |_| {}) {
            testkit::say!("the cluster did not stop cleanly: {error:#}");
        }
        if std::env::var_os("KEELSON_KEEP").is_some() {
            let kept = std::mem::replace(&mut self.dir, TempDir::new().expect("the disk has room for a folder"));
            testkit::say!("kept {}", kept.keep().display());
        }
    }
}

/// The folder of the programs: named by `KEELSON_PROGRAMS`, else cargo's own.
pub fn programs() -> Result<PathBuf> {
    let folder = match (std::env::var_os("KEELSON_PROGRAMS"), std::env::var_os("CARGO_TARGET_DIR")) {
        (Some(folder), _) => PathBuf::from(folder),
        (None, Some(target)) => PathBuf::from(target).join("release"),
        (None, None) => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release"),
    };
    for program in Daemon::ALL.map(Daemon::program).iter().map(String::as_str).chain(["keelctl"]) {
        ensure!(
            folder.join(program).is_file(),
            "{} is missing: run `cargo build --release --workspace --bins`, or `cargo xtask test`, which does",
            folder.join(program).display()
        );
    }
    Ok(folder.canonicalize()?)
}
