//! A cluster of real processes: started, stopped, inspected.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::claim;
use crate::containerd;
use crate::flags;
use crate::http;
use crate::image::{self, Image};
use crate::keelctl::Keelctl;
use crate::kubeconfig;
use crate::layout::Layout;
use crate::leftovers::{self, Removed};
use crate::namespace;
use crate::pki::Authority;
use crate::process::{Processes, Spec, Started};
use crate::settings::{Daemon, Node, Settings};
use crate::wait;

/// How long a daemon may take to end politely.
const GRACE: Duration = Duration::from_secs(10);
/// How long a daemon may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// A cluster: its settings, and where its files lie.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// What it is made of.
    pub settings: Settings,
    layout: Layout,
}

/// A line of `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStatus {
    /// The process's name.
    pub name: String,
    /// Its id, if it runs.
    pub pid: Option<i32>,
}

impl Cluster {
    /// A cluster by its settings; nothing is done yet.
    pub fn new(settings: Settings) -> Self {
        let layout = Layout::new(&settings.dir);
        Self { settings, layout }
    }

    /// The cluster that lies in `dir`, if one does; a damaged or copied one is an error.
    pub fn open(dir: &Path) -> Result<Option<Self>> {
        Ok(Layout::new(dir).load()?.map(Self::new))
    }

    /// Where its files lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Records and logs of its processes.
    pub fn processes(&self) -> Processes {
        self.layout.processes()
    }

    /// The administrator's command line.
    pub fn keelctl(&self) -> Keelctl {
        Keelctl {
            program: self.settings.programs.join("keelctl"),
            kubeconfig: self.layout.admin_kubeconfig(),
            network: self.settings.first_node().network.clone(),
        }
    }

    /// Writes settings, certificates and kubeconfigs; gives what certificates were made.
    pub fn prepare(&self) -> Result<Vec<String>> {
        self.layout.save(&self.settings)?;
        let pki = self.layout.pki();
        let made = pki.ensure(&flags::identities(&self.settings)?)?;
        let first = self.settings.first_node();
        let server = self.settings.server_url(first);
        kubeconfig::write_with_data(&self.layout.admin_kubeconfig(), &server, &pki, flags::ADMIN)?;
        for daemon in [Daemon::ControllerManager, Daemon::Scheduler, Daemon::Dns] {
            kubeconfig::write_with_files(&self.layout.kubeconfig(daemon.name()), &server, &pki, daemon.name())?;
        }
        for node in &self.settings.nodes {
            let server = self.settings.server_url(node);
            for daemon in [Daemon::Kubelet, Daemon::Proxy] {
                let process = flags::process_name(&self.settings, daemon, node);
                kubeconfig::write_with_files(&self.layout.kubeconfig(&process), &server, &pki, &process)?;
            }
        }
        Ok(made)
    }

    /// Starts everything in order, each part once the ones before it are ready; `say` is told each step.
    pub fn start(&self, say: &mut dyn FnMut(&str)) -> Result<()> {
        for daemon in self.settings.daemons.clone() {
            for node in self.nodes_of(daemon) {
                say(&format!("starting {}", flags::process_name(&self.settings, daemon, node)));
                self.start_one(daemon, node)?;
            }
        }
        Ok(())
    }

    /// Starts one daemon on one node and waits until it is ready.
    pub fn start_one(&self, daemon: Daemon, node: &Node) -> Result<Started> {
        if daemon == Daemon::Kubelet {
            self.start_containerd(node)?;
        }
        self.start_spec(daemon, node, &flags::spec(&self.settings, &self.layout, daemon, node)?)
    }

    /// Starts a daemon in another way than [`flags`] decides, and waits until it is ready.
    pub fn start_spec(&self, daemon: Daemon, node: &Node, spec: &Spec) -> Result<Started> {
        if daemon.is_on_every_node() {
            claim::take(node.network.as_deref(), &self.settings.dir)?;
        }
        let started = self.processes().start(spec, GRACE)?;
        wait::until(&format!("{} to be ready", spec.name), READY, || {
            let record = self.processes().record(&spec.name);
            if !record.is_some_and(|record| record.is_alive()) {
                return Err(anyhow::anyhow!("it ended"));
            }
            self.is_ready(daemon, node).map(|()| Some(()))
        })
        .with_context(|| {
            format!(
                "the end of {}:\n{}",
                self.processes().log(&spec.name).display(),
                self.processes().tail(&spec.name, 15)
            )
        })?;
        Ok(started)
    }

    /// Starts a node's containerd and waits until it answers.
    pub fn start_containerd(&self, node: &Node) -> Result<Started> {
        let files = self.layout.node(node);
        let name = flags::containerd_name(&self.settings, node);
        let started = self.processes().start(&containerd::spec(name.clone(), node, &files)?, GRACE)?;
        containerd::wait_ready(&files, READY)
            .with_context(|| format!("the end of its log:\n{}", self.processes().tail(&name, 15)))?;
        Ok(started)
    }

    /// Makes an image and imports it on every node.
    pub fn import(&self, image: &Image, reference: &str) -> Result<()> {
        let file = format!("{}.tar", reference.replace(['/', ':'], "_"));
        let written = image.write_archive(reference, &self.layout.images().join(file))?;
        for node in &self.settings.nodes {
            containerd::import(&self.layout.node(node), &written.archive, reference, &written.digest)?;
        }
        Ok(())
    }

    /// Imports the image of `hello.yaml` on every node.
    pub fn import_hello(&self) -> Result<()> {
        self.import(&Image::hello()?, image::HELLO)
    }

    /// Ends one daemon of one node politely.
    pub fn stop_one(&self, daemon: Daemon, node: &Node) -> Result<bool> {
        self.processes().stop(&flags::process_name(&self.settings, daemon, node), GRACE)
    }

    /// Ends every process and removes everything that is not a file: what a power cut does, more politely.
    pub fn stop(&self, say: &mut dyn FnMut(&str)) -> Result<Removed> {
        // A cluster that runs has its networks, even if the note of it was lost.
        let records = self.processes().records();
        for node in &self.settings.nodes {
            let names =
                [Daemon::Kubelet, Daemon::Proxy].map(|daemon| flags::process_name(&self.settings, daemon, node));
            let network = node.network.as_deref();
            if claim::owner(network).is_none() && records.iter().any(|record| names.contains(&record.name)) {
                claim::take(network, &self.settings.dir)?;
            }
        }
        Self::stop_in(&self.layout, say)
    }

    /// As [`Self::stop`], for a directory whose settings cannot be read.
    pub fn stop_in(layout: &Layout, say: &mut dyn FnMut(&str)) -> Result<Removed> {
        let processes = layout.processes();
        // Clients before servers, so that nobody complains in its log; containerd last.
        let mut records = processes.records();
        records.sort_by_key(|record| std::cmp::Reverse(stop_rank(&record.name)));
        for record in records {
            if processes.stop(&record.name, GRACE)? {
                say(&format!("stopped {}", record.name));
            }
        }
        leftovers::remove(layout)
    }

    /// Ends everything at once and without a word, as a power cut does; files stay.
    pub fn cut_power(&self) -> Result<Removed> {
        let alive: Vec<i32> =
            self.processes().records().iter().filter(|record| record.is_alive()).map(|record| record.pid).collect();
        crate::process::kill_all(&alive)?;
        leftovers::remove(&self.layout)
    }

    /// Every process that should run, and whether it does.
    pub fn status(&self) -> Vec<ProcessStatus> {
        let processes = self.processes();
        let mut names = Vec::new();
        for daemon in &self.settings.daemons {
            for node in self.nodes_of(*daemon) {
                if *daemon == Daemon::Kubelet {
                    names.push(flags::containerd_name(&self.settings, node));
                }
                names.push(flags::process_name(&self.settings, *daemon, node));
            }
        }
        names
            .into_iter()
            .map(|name| {
                let pid = processes.record(&name).filter(|record| record.is_alive()).map(|record| record.pid);
                ProcessStatus { name, pid }
            })
            .collect()
    }

    /// The nodes that a daemon runs on.
    pub fn nodes_of(&self, daemon: Daemon) -> &[Node] {
        if daemon.is_on_every_node() { &self.settings.nodes } else { &self.settings.nodes[..1] }
    }

    fn is_ready(&self, daemon: Daemon, node: &Node) -> Result<()> {
        let ports = &self.settings.ports;
        match daemon {
            Daemon::Store => self.accepts(node, ports.store),
            Daemon::Apiserver => self.answers_tls(node, ports.apiserver, "/readyz"),
            Daemon::ControllerManager => self.answers_tls(node, ports.controller_manager, "/healthz"),
            Daemon::Scheduler => self.answers_tls(node, ports.scheduler, "/healthz"),
            Daemon::Kubelet => self.answers(node, ports.kubelet_health, "/healthz"),
            Daemon::Proxy => self.answers(node, ports.proxy_health, "/livez"),
            Daemon::Dns => self.answers(node, ports.dns_health, "/healthz"),
        }
    }

    fn accepts(&self, node: &Node, port: u16) -> Result<()> {
        namespace::inside(node.network.as_deref(), || {
            TcpStream::connect_timeout(&local(port), Duration::from_secs(1)).map(drop).context("connecting")
        })
    }

    fn answers(&self, node: &Node, port: u16, path: &str) -> Result<()> {
        check(&http::get(node.network.as_deref(), local(port), path)?)
    }

    fn answers_tls(&self, node: &Node, port: u16, path: &str) -> Result<()> {
        let authority = self.layout.pki().authority(Authority::Cluster);
        check(&http::get_tls(node.network.as_deref(), local(port), path, &authority)?)
    }
}

fn check(answer: &http::Answer) -> Result<()> {
    if answer.status != 200 {
        bail!("it answers {}: {}", answer.status, answer.body.trim());
    }
    Ok(())
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn stop_rank(process: &str) -> usize {
    if process.starts_with("containerd") {
        return 0;
    }
    // The store and the apiserver end after their clients.
    1 + Daemon::ALL.iter().position(|daemon| process.starts_with(daemon.name())).unwrap_or(Daemon::ALL.len())
}
