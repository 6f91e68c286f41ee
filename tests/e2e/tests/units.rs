//! A cluster that is started as deploy/ says: by the units' own ExecStart and Environment lines and the config files.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use test_e2e::ports::{self, Caller};
use test_e2e::{World, manifest};
use testkit::flags::{ADMIN, STORE_CLIENT};
use testkit::pki::Authority;
use testkit::process::Spec;
use testkit::settings::Daemon;

fn main() -> ExitCode {
    test_e2e::run(
        start,
        &[
            ("units_and_config_files_start_a_cluster", units_and_config_files_start_a_cluster),
            ("every_port_tells_its_health_and_services", every_port_tells_its_health_and_services),
        ],
    )
}

fn start() -> Result<World> {
    let world = World::prepare("units", 1, |_| {})?;
    let cluster = &world.cluster;
    cluster.prepare()?;
    cluster.start_containerd(world.node())?;
    for daemon in Daemon::ALL {
        cluster.start_spec(daemon, world.node(), &from_unit(&world, daemon)?)?;
    }
    cluster.import_hello()?;
    Ok(world)
}

/// The command line of a unit, with the places of an installed system moved below the cluster's directory.
fn from_unit(world: &World, daemon: Daemon) -> Result<Spec> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    let unit = fs::read_to_string(deploy.join(format!("systemd/keelson-{daemon}.service")))?;
    let config = fs::read_to_string(deploy.join(format!("config/{daemon}.yaml")))?;
    let dir = world.cluster.settings.dir.display().to_string();
    fs::write(format!("{dir}/{daemon}.yaml"), moved(world, &config))?;

    let value = |key: &'static str| unit.lines().filter_map(move |line| line.strip_prefix(key));
    let start = value("ExecStart=").next().context("a unit has an ExecStart")?;
    let mut words = start.split(' ').map(|word| moved(world, word));
    let program = words.next().context("an ExecStart has a program")?;
    let environment = value("Environment=").filter_map(|line| line.split_once('='));
    Ok(Spec {
        name: daemon.name().to_owned(),
        program: program.into(),
        args: words.collect(),
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        network: world.network().map(str::to_owned),
    })
}

fn moved(world: &World, text: &str) -> String {
    let settings = &world.cluster.settings;
    let files = world.cluster.layout().node(world.node());
    let dir = settings.dir.display().to_string();
    let address = world.node().address.to_string();
    text.replace("/usr/bin", &settings.programs.display().to_string())
        .replace("/etc/keelson", &dir)
        .replace("/var/lib/keelson", &dir)
        .replace("/var/log/pods", &files.pod_logs().display().to_string())
        .replace("/run/containerd/containerd.sock", &files.containerd_socket().display().to_string())
        // What an administrator fills in: a namespace shares the machine's name.
        .replace("# hostnameOverride: node-1", &format!("hostnameOverride: {}", world.node().name))
        .replace("# nodeIp: 192.0.2.11", &format!("nodeIp: {address}"))
        .replace("# advertiseAddress: 192.0.2.10", &format!("advertiseAddress: {address}"))
}

fn units_and_config_files_start_a_cluster(world: &World) -> Result<()> {
    let space = world.space("installed")?;
    space.apply(&manifest::web("web", 1, "installed", ""))?;
    space.wait_rollout("web")?;
    ensure!(space.wait_page("web")? == "installed\n");
    Ok(())
}

/// The daemon, its port, who asks it, and what it serves beside health and reflection.
type Port<'a> = (&'a str, u16, Option<&'a Caller>, &'a [&'a str]);

fn every_port_tells_its_health_and_services(world: &World) -> Result<()> {
    let pki = world.cluster.layout().pki();
    let caller = |authority: Authority, who: &str| Caller {
        ca: pki.authority(authority),
        certificate: pki.certificate(who),
        key: pki.key(who),
    };
    let (admin, member) = (caller(Authority::Cluster, ADMIN), caller(Authority::Store, STORE_CLIENT));
    let ports = &world.cluster.settings.ports;
    let etcd = ["KV", "Watch", "Lease", "Cluster", "Maintenance", "Auth"].map(|name| format!("etcdserverpb.{name}"));
    let recipes = ["v3electionpb.Election", "v3lockpb.Lock"];
    let etcd: Vec<&str> = etcd.iter().map(String::as_str).chain(recipes).collect();
    let api = ["Resources", "Streams", "Auth", "Discovery"].map(|name| format!("keelson.api.v1.{name}"));
    let api: Vec<&str> = api.iter().map(String::as_str).collect();
    let all: [Port<'_>; 10] = [
        ("store", ports.store, Some(&member), &etcd),
        ("store, between members", ports.store_peer, Some(&member), &["keelson.raft.v1.Raft"]),
        ("apiserver", ports.apiserver, Some(&admin), &api),
        ("controller-manager", ports.controller_manager, Some(&admin), &[]),
        ("scheduler", ports.scheduler, Some(&admin), &["keelson.scheduler.v1.Explain"]),
        ("kubelet", ports.kubelet, Some(&admin), &["keelson.node.v1.Node"]),
        ("kubelet's health", ports.kubelet_health, None, &[]),
        ("proxy's health", ports.proxy_health, None, &[]),
        ("proxy's metrics", ports.proxy_metrics, None, &[]),
        ("dns's health", ports.dns_health, None, &[]),
    ];
    for (what, port, caller, services) in all {
        let told = ports::ask(world.network(), port, caller).with_context(|| what.to_owned())?;
        ensure!(told.serving, "{what}: not SERVING");
        let mut found: Vec<&str> = told.services.iter().map(String::as_str).collect();
        found.sort_unstable();
        let mut wanted = [services, &["grpc.health.v1.Health"]].concat();
        wanted.sort_unstable();
        ensure!(found == wanted, "{what}: reflection lists {found:?}");
    }
    Ok(())
}
