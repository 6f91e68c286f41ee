//! `cargo xtask up`: from a fresh machine to a page served by the cluster.

mod choose;

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use ipnet::Ipv4Net;
use testkit::claim;
use testkit::cluster::Cluster;
use testkit::layout::Layout;
use testkit::leftovers;
use testkit::packages;
use testkit::routes::{self, Range};
use testkit::settings::{Daemon, Node, Settings};
use testkit::{host, process};

use crate::progress::Progress;
use crate::{build, fetch, workspace};

/// Manifests below the workspace's root that every cluster gets.
const KUBE_DNS: &str = "deploy/kube-dns.yaml";
/// The example that is applied and fetched.
const HELLO: &str = "deploy/examples/hello.yaml";

/// What `up` may be told. Ranges, ports, names and the network that are not told are those of the cluster that is there,
/// or what the machine suggests; which daemons run, and which programs, is told each time.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// Where the cluster's state lives [default: .keelson in the workspace].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Start only these, without hello: store, apiserver, controller-manager, scheduler, kubelet, proxy, dns [default: all].
    #[arg(long, value_delimiter = ',')]
    daemons: Vec<Daemon>,
    /// ClusterIPs come from this range [default: 10.96.0.0/12].
    #[arg(long, visible_alias = "service-cluster-ip-range", value_name = "CIDR")]
    service_range: Option<Ipv4Net>,
    /// Pod addresses come from this range [default: 10.244.0.0/16].
    #[arg(long, visible_alias = "cluster-cidr", value_name = "CIDR")]
    pod_range: Option<Ipv4Net>,
    /// The Node's name [default: the host's name].
    #[arg(long, visible_alias = "hostname-override")]
    node_name: Option<String>,
    /// The address that others reach this machine by [default: the source of its default route].
    #[arg(long)]
    node_ip: Option<IpAddr>,
    /// Run everything inside this named network namespace (`ip netns`).
    #[arg(long)]
    netns: Option<String>,
    /// The apiserver's port [default: 6443].
    #[arg(long)]
    secure_port: Option<u16>,
    /// The store's port [default: 2379]; its peer port is the next one.
    #[arg(long)]
    store_port: Option<u16>,
    /// The cargo profile to build and run.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Run the programs that were built before.
    #[arg(long)]
    no_build: bool,
    /// Where the programs lie, instead of cargo's target folder; implies --no-build.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Do not apply and fetch hello.
    #[arg(long)]
    no_hello: bool,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<()> {
    host::require_root()?;
    let mut progress = Progress::new();
    install(options, &mut progress)?;

    let dir = workspace::state(options.dir.as_deref())?;
    Layout::new(&dir).refuse_foreign()?;
    let before = Cluster::open(&dir)?.map(|cluster| cluster.settings);
    let settings = choose::settings(options, dir, before.as_ref())?;
    refuse_overlaps(&settings)?;
    if settings.daemons.iter().any(|daemon| daemon.is_on_every_node()) {
        claim::check(settings.first_node().network.as_deref(), &settings.dir)?;
    }
    let cluster = Cluster::new(settings);
    if let Some(before) = before {
        clear_leftovers(&Cluster::new(before), &cluster, &mut progress)?;
    }
    if !options.no_build && options.programs.is_none() {
        progress.finish_step();
        build::build(&options.profile)?;
    }

    progress.step("making certificates");
    let made = cluster.prepare()?;
    if !made.is_empty() {
        progress.detail(&made.join(", "));
    }
    cluster.start(&mut |text| progress.step(text))?;
    if cluster.settings.has(Daemon::Kubelet) {
        progress.step("importing the image keelson.io/hello:1");
        cluster.import_hello()?;
    }
    let pages = match options.no_hello || cluster.settings.daemons.len() < Daemon::ALL.len() {
        true => Vec::new(),
        false => hello(&cluster, &mut progress)?,
    };
    progress.finish_step();
    drop(progress);
    summary(&cluster, &pages);
    Ok(())
}

fn install(options: &Options, progress: &mut Progress) -> Result<()> {
    let built = options.no_build || options.programs.is_some();
    let needs: &[&[packages::Need]] = if built { &[packages::RUN] } else { &[packages::BUILD, packages::RUN] };
    let missing = packages::missing(needs);
    packages::install(&missing, &mut |text| progress.step(text))
}

fn refuse_overlaps(settings: &Settings) -> Result<()> {
    let ranges = [
        Range { flag: "service-range", network: settings.service_range },
        Range { flag: "pod-range", network: settings.pod_range },
    ];
    let network = settings.first_node().network.as_deref();
    routes::check(&ranges, &routes::read(network)?, &leftovers::INTERFACES)
}

/// After a crash or a reboot nothing of the run state is worth keeping; a cluster that runs is left alone.
fn clear_leftovers(before: &Cluster, now: &Cluster, progress: &mut Progress) -> Result<()> {
    let same_nodes = before.settings.nodes == now.settings.nodes;
    let lives = before.processes().records().iter().any(process::Record::is_alive);
    if lives && same_nodes {
        return Ok(());
    }
    progress.step("clearing what an earlier run left");
    let removed = before.stop(&mut |_| {})?;
    if removed != leftovers::Removed::default() {
        progress.detail(&removed.to_string());
    }
    Ok(())
}

fn hello(cluster: &Cluster, progress: &mut Progress) -> Result<Vec<fetch::Page>> {
    let root = workspace::root()?;
    let keelctl = cluster.keelctl();
    progress.step("publishing DNS");
    keelctl.apply(&kube_dns(cluster, &root)?)?;
    progress.step(&format!("applying {HELLO}"));
    keelctl.run(&["apply", "-f", &root.join(HELLO).display().to_string()])?;
    progress.step("waiting for the rollout of hello");
    fetch::await_rollout(&keelctl, &mut |text| progress.detail(text))?;
    progress.step("fetching the page");
    fetch::pages(cluster, &mut |text| progress.detail(text))
}

/// The Service and endpoints of DNS, with this cluster's addresses.
fn kube_dns(cluster: &Cluster, root: &std::path::Path) -> Result<String> {
    let file = root.join(KUBE_DNS);
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let settings = &cluster.settings;
    let Node { name, address, .. } = settings.first_node();
    Ok(text
        .replace("${DNS_SERVICE_IP}", &settings.dns_address()?.to_string())
        .replace("${DNS_ENDPOINT_IP}", &address.to_string())
        .replace("${DNS_PORT}", &settings.ports.dns.to_string())
        .replace("${NODE_NAME}", name))
}

fn summary(cluster: &Cluster, pages: &[fetch::Page]) {
    for page in pages {
        testkit::say!("{}\n    {}", page.way, page.text.trim());
    }
    testkit::say!("\nWhat runs:");
    for process in cluster.status() {
        let pid = process.pid.map_or_else(|| "not running".to_owned(), |pid| format!("process {pid}"));
        testkit::say!("  {:<20} {pid}, log {}", process.name, cluster.processes().log(&process.name).display());
    }
    if !cluster.settings.has(Daemon::Apiserver) {
        return;
    }
    let keelctl = cluster.keelctl();
    let inside = match &keelctl.network {
        Some(network) => format!("nsenter --net=/run/netns/{network} "),
        None => String::new(),
    };
    testkit::say!("\nWhat to try next:");
    testkit::say!("  export KUBECONFIG={}", keelctl.kubeconfig.display());
    testkit::say!("  export PATH=$PATH:{}", cluster.settings.programs.display());
    for command in [
        "keelctl get pods -A -o wide",
        "keelctl describe deployment hello",
        "keelctl scale deployment hello --replicas=5",
        "keelctl logs deployment/hello",
    ] {
        testkit::say!("  {inside}{command}");
    }
    testkit::say!("  cargo xtask status; cargo xtask down");
}
