//! Memory (proportional set size), CPU and store writes of a cluster with nothing to do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use testkit::cluster::Cluster;
use testkit::image::HELLO;
use testkit::{leftovers, process, wait};

/// Pods of the second look.
const PODS: usize = 20;
/// How long things may settle before a look.
const SETTLE: Duration = Duration::from_secs(15);
/// Ticks of CPU time a second, as Linux shows them.
const TICKS: f64 = 100.0;

/// What goals speak of: a name, its processes, and the most memory in MiB.
const GROUPS: &[(&str, &[&str], f64)] = &[
    ("control plane", &["store", "apiserver", "scheduler", "controller-manager"], 100.0),
    ("node", &["kubelet", "proxy", "dns", "log writers"], 60.0),
];
/// Of a core, all daemons together.
const CPU_AT_MOST: f64 = 1.0;
/// Revisions of the store, with one node.
const WRITES_AT_MOST: f64 = 5.0;

/// Runs the benchmark.
pub fn run(cluster: &Cluster, time: Duration) -> Result<()> {
    let keelctl = cluster.keelctl();
    let mut table = format!("{:<22} {:>6} {:>10} {:>8}\n", "process", "pods", "Pss MiB", "CPU %");
    for pods in [0, PODS] {
        keelctl.apply(&manifest(pods))?;
        keelctl.run(&["rollout", "status", "deployment/bench-idle", "--timeout=120s"])?;
        wait::pause(SETTLE);
        look(cluster, time, pods, &mut table)?;
    }
    keelctl.run(&["delete", "deployment", "bench-idle"])?;
    testkit::say!("\n{table}");
    Ok(())
}

fn look(cluster: &Cluster, time: Duration, pods: usize, table: &mut String) -> Result<()> {
    let processes = processes(cluster);
    let ticks = |pids: &[i32]| pids.iter().filter_map(|pid| cpu_ticks(*pid)).sum::<f64>();
    let before: BTreeMap<&String, f64> = processes.iter().map(|(name, pids)| (name, ticks(pids))).collect();
    let marks = ["bench-idle-before", "bench-idle-after"];
    let began_at = revision(cluster, marks[0])?;
    wait::pause(time);
    #[expect(clippy::cast_precision_loss, reason = "revisions of a test cluster are small")]
    let writes = (revision(cluster, marks[1])? - began_at - 1) as f64 / time.as_secs_f64();
    cluster.keelctl().run(&["delete", "configmap", marks[0], marks[1]])?;
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (name, pids) in &processes {
        let memory = pids.iter().filter_map(|pid| pss_kib(*pid)).sum::<f64>() / 1024.0;
        let cpu = (ticks(pids) - before[name]) / TICKS / time.as_secs_f64() * 100.0;
        testkit::say!(
            "{}",
            json!({"bench": "idle", "process": name, "count": pids.len(), "pods": pods, "pss_mib": memory, "cpu_percent": cpu})
        );
        writeln!(table, "{name:<22} {pods:>6} {memory:>10.1} {cpu:>8.2}")?;
        for (group, members, _) in GROUPS {
            if members.contains(&name.as_str()) {
                let sum = sums.entry(group).or_default();
                *sum = (sum.0 + memory, sum.1 + cpu);
            }
        }
    }
    for (group, _, at_most) in GROUPS {
        let (memory, cpu) = sums.get(group).copied().unwrap_or_default();
        goal(table, &format!("{group}, Pss MiB"), pods, memory, *at_most)?;
        sums.entry("all").and_modify(|sum| sum.1 += cpu).or_insert((0.0, cpu));
    }
    goal(table, "CPU of them all, %", pods, sums.get("all").map_or(0.0, |sum| sum.1), CPU_AT_MOST)?;
    goal(table, "store writes a second", pods, writes, WRITES_AT_MOST)?;
    Ok(())
}

/// One figure that a goal speaks of.
fn goal(table: &mut String, what: &str, pods: usize, value: f64, at_most: f64) -> Result<()> {
    let met = value <= at_most;
    testkit::say!(
        "{}",
        json!({"bench": "idle", "goal": what, "pods": pods, "value": value, "at_most": at_most, "met": met})
    );
    let verdict = if met { "" } else { ", missed" };
    writeln!(table, "  {what:<40} {pods:>3} {value:>10.2}   goal: at most {at_most}{verdict}")?;
    Ok(())
}

/// Every process of the cluster by name; the pods' log writers and shims are summed up.
fn processes(cluster: &Cluster) -> BTreeMap<String, Vec<i32>> {
    let mut found: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for record in cluster.processes().records() {
        found.entry(record.name).or_default().push(record.pid);
    }
    let known: Vec<i32> = found.values().flatten().copied().collect();
    for pid in leftovers::processes(&cluster.settings.dir) {
        let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let name = match program.file_name().and_then(|name| name.to_str()) {
            Some(name) if name.starts_with("containerd-shim") => "shims",
            Some(name) if name.starts_with("keelson-kubelet") || name.starts_with("keelson-log") => "log writers",
            _ => continue,
        };
        if !known.contains(&pid) {
            found.entry(name.to_owned()).or_default().push(pid);
        }
    }
    found
}

fn pss_kib(pid: i32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse().ok())
}

fn cpu_ticks(pid: i32) -> Option<f64> {
    process::stat(pid).map(|stat| stat.cpu_ticks)
}

/// The store's revision, by the version of an object written just now.
fn revision(cluster: &Cluster, mark: &str) -> Result<i64> {
    let keelctl = cluster.keelctl();
    keelctl.run(&["create", "configmap", mark])?;
    let object = keelctl.json(&["get", "configmap", mark])?;
    let text = object.pointer("/metadata/resourceVersion").and_then(|value| value.as_str()).context("a version")?;
    text.parse().with_context(|| format!("the version is {text:?}"))
}

fn manifest(pods: usize) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: bench-idle}}\nspec:\n  replicas: {pods}\n  \
         selector: {{matchLabels: {{app: bench-idle}}}}\n  template:\n    metadata: {{labels: {{app: bench-idle}}}}\n    \
         spec:\n      terminationGracePeriodSeconds: 0\n      containers:\n      - name: main\n        image: {HELLO}\n        \
         command: [sleep, '36000']\n"
    )
}
