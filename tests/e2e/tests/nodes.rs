//! What a user sees with two nodes: pods reach each other across them, and move when a node's agent stops.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use test_e2e::space::{LIMIT, is_ready, name};
use test_e2e::{World, manifest};
use testkit::settings::{Daemon, Settings};
use testkit::wait;

fn main() -> ExitCode {
    test_e2e::run(
        || World::start_with_nodes("nodes", 2, hurry),
        &[
            ("both_nodes_register_and_are_ready", both_nodes_register_and_are_ready),
            ("pods_on_two_nodes_reach_each_other_and_the_service", pods_on_two_nodes_reach_each_other_and_the_service),
            ("a_drained_node_is_empty", a_drained_node_is_empty),
            ("a_stopped_kubelets_pods_move", a_stopped_kubelets_pods_move),
        ],
    )
}

/// Upstream's flags, shorter than their defaults.
fn hurry(settings: &mut Settings) {
    let flags = ["--node-monitor-period=1s", "--node-monitor-grace-period=8s"].map(str::to_owned);
    settings.extra_flags.insert(Daemon::ControllerManager, flags.into());
    settings.extra_flags.insert(
        Daemon::Kubelet,
        vec!["--node-status-update-frequency=2s".to_owned(), "--node-lease-duration-seconds=8".to_owned()],
    );
}

/// Pods on each node, by anti-affinity; they leave an unreachable node at once.
fn spread(extra: &str) -> String {
    let affinity = "      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: ScheduleAnyway
        labelSelector: {matchLabels: {app: web}}
      containers:";
    manifest::web("web", 2, "page", extra).replacen("      containers:", affinity, 1)
}

fn both_nodes_register_and_are_ready(world: &World) -> Result<()> {
    wait::until("two ready nodes", LIMIT, || {
        let nodes = world.keelctl().json(&["get", "nodes"])?;
        let nodes = nodes["items"].as_array().cloned().unwrap_or_default();
        Ok((nodes.len() == 2 && nodes.iter().all(is_ready)).then_some(()))
    })
}

fn node_of(pod: &Value) -> String {
    pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()
}

fn pods_on_two_nodes_reach_each_other_and_the_service(world: &World) -> Result<()> {
    let space = world.space("across")?;
    space.apply(&spread(""))?;
    space.wait_rollout("web")?;
    let pods = space.list("pods", "app=web")?;
    let nodes: Vec<String> = pods.iter().map(node_of).collect();
    ensure!(nodes[0] != nodes[1], "both pods are on {}", nodes[0]);
    for (from, to) in [(0, 1), (1, 0)] {
        let address = pods[to]["status"]["podIP"].as_str().context("a pod address")?;
        for host in [&format!("{address}:8080"), "web.across.svc.cluster.local"] {
            let page = wait::until(host, Duration::from_secs(30), || {
                space
                    .exec(&name(&pods[from]), &["timeout", "3", "wget", "-q", "-O", "-", &format!("http://{host}/")])
                    .map(Some)
            })?;
            ensure!(page == "page\n", "{page:?}");
        }
    }
    Ok(())
}

fn a_drained_node_is_empty(world: &World) -> Result<()> {
    let space = world.space("drained")?;
    space.apply(&spread(""))?;
    space.wait_rollout("web")?;
    world.keelctl().run(&[
        "drain",
        "node-1",
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--force",
        "--timeout=60s",
    ])?;
    space.wait_rollout("web")?;
    let pods = space.list("pods", "app=web")?;
    ensure!(pods.iter().all(|pod| node_of(pod) == "node-0"), "{pods:#?}");
    world.keelctl().run(&["uncordon", "node-1"]).map(drop)
}

fn a_stopped_kubelets_pods_move(world: &World) -> Result<()> {
    let space = world.space("moved")?;
    space.apply(&spread(""))?;
    space.wait_rollout("web")?;
    let second = &world.cluster.settings.nodes[1];
    world.cluster.stop_one(Daemon::Kubelet, second)?;
    wait::until("the node to be not ready", LIMIT, || {
        Ok((!is_ready(&world.keelctl().json(&["get", "node", "node-1"])?)).then_some(()))
    })?;
    wait::until("both pods on the first node", LIMIT, || {
        let pods = space.list("pods", "app=web")?;
        let there = pods.iter().filter(|pod| node_of(pod) == "node-0" && is_ready(pod)).count();
        Ok((there == 2).then_some(()))
    })?;
    world.cluster.start_one(Daemon::Kubelet, second)?;
    wait::until("the node to be ready", LIMIT, || {
        Ok(is_ready(&world.keelctl().json(&["get", "node", "node-1"])?).then_some(()))
    })
}
