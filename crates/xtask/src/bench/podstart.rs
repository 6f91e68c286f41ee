//! Pods of one busybox container, image present: create -> Ready, delete -> gone; with the floor in the same run.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use testkit::cluster::Cluster;
use testkit::image::HELLO;

use super::watch::{Kind, Watch};
use super::{floor, middle_and_tail};

/// The namespace that the pods live in.
const NAMESPACE: &str = "bench-podstart";
/// Longest wait for one step.
const LIMIT: Duration = Duration::from_secs(300);
/// One pod alone is measured this often, or its percentiles would be one number.
const ROUNDS_ALONE: usize = 10;

/// Runs the benchmark.
pub fn run(cluster: &Cluster, sizes: &[usize]) -> Result<()> {
    let keelctl = cluster.keelctl();
    keelctl.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n"))?;
    let mut table = String::from(
        "pods      ready p50   ready p99   all ready   gone p50    gone p99    all gone    floor seq   floor par   runc seq\n",
    );
    for &pods in sizes {
        let floor = floor::measure(cluster, pods)?;
        let rounds = if pods == 1 { ROUNDS_ALONE } else { 1 };
        let mut ready = Vec::new();
        let mut gone = Vec::new();
        let (mut all_ready, mut all_gone) = (0.0_f64, 0.0_f64);
        for _ in 0..rounds {
            let round = round(cluster, pods)?;
            all_ready = all_ready.max(round.ready.iter().copied().fold(0.0, f64::max));
            all_gone = all_gone.max(round.gone.iter().copied().fold(0.0, f64::max));
            ready.extend(round.ready);
            gone.extend(round.gone);
        }
        let (ready, gone) = (middle_and_tail(ready), middle_and_tail(gone));
        println!(
            "{}",
            json!({
                "bench": "podstart", "pods": pods,
                "ready_p50_s": ready.0, "ready_p99_s": ready.1, "all_ready_s": all_ready,
                "gone_p50_s": gone.0, "gone_p99_s": gone.1, "all_gone_s": all_gone,
                "floor_sequential_s": floor.sequential, "floor_parallel_s": floor.parallel, "floor_parallelism": floor.best,
                "runc_sequential_s": floor.runc,
            })
        );
        writeln!(
            table,
            "{pods:<9} {:<11.3} {:<11.3} {all_ready:<11.3} {:<11.3} {:<11.3} {all_gone:<11.3} {:<11.3} {:<11.3} {:<11.3}",
            ready.0, ready.1, gone.0, gone.1, floor.sequential, floor.parallel, floor.runc
        )?;
    }
    keelctl.run(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    println!("\n{table}seconds; floor: the same containers by ctr, and by runc alone, all of them");
    Ok(())
}

struct Round {
    ready: Vec<f64>,
    gone: Vec<f64>,
}

fn round(cluster: &Cluster, pods: usize) -> Result<Round> {
    let keelctl = cluster.keelctl();
    let watch = Watch::start(&keelctl, NAMESPACE)?;
    // The watch must stand before the first pod is made.
    testkit::wait::pause(Duration::from_millis(300));
    let manifest: String = (0..pods).map(manifest).collect();
    let created = Instant::now();
    keelctl.apply(&manifest)?;
    let ready = watch.wait(Kind::Ready, pods, LIMIT)?;
    let deleted = Instant::now();
    keelctl.run(&["delete", "pods", "--all", "-n", NAMESPACE, "--wait=false"])?;
    let gone = watch.wait(Kind::Gone, pods, LIMIT)?;
    let since = |start: Instant, times: &std::collections::BTreeMap<String, Instant>| {
        times.values().map(|at| at.saturating_duration_since(start).as_secs_f64()).collect()
    };
    Ok(Round { ready: since(created, &ready), gone: since(deleted, &gone) })
}

fn manifest(index: usize) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: pod-{index}, namespace: {NAMESPACE}}}\nspec:\n  \
         terminationGracePeriodSeconds: 0\n  containers:\n  - name: main\n    image: {HELLO}\n    \
         imagePullPolicy: IfNotPresent\n    command: [sleep, '3600']\n"
    )
}
