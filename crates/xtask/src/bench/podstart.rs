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

/// The pod that shows that the watch stands; it fits nowhere.
const MARKER: &str = "marker";
/// Goals: one pod beside the sequential floor, the most pods beside the parallel one.
const ONE_AT_MOST: f64 = 2.0;
const ALL_AT_MOST: f64 = 1.5;

/// Runs the benchmark.
pub fn run(cluster: &Cluster, sizes: &[usize]) -> Result<()> {
    let keelctl = cluster.keelctl();
    let marker = manifest(MARKER).replace("spec:\n", "spec:\n  nodeSelector: {keelson.io/none: here}\n");
    keelctl.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n{marker}"))?;
    let mut table = String::from(
        "pods   ready p50  ready p99  all ready  gone p50   gone p99   all gone   floor seq  floor par  runc seq   ratio  goal\n",
    );
    for &pods in sizes {
        let floor = floor::measure(cluster, pods)?;
        let rounds = if pods == 1 { ROUNDS_ALONE } else { 1 };
        let rounds = (0..rounds).map(|_| round(cluster, pods)).collect::<Result<Vec<_>>>()?;
        let ready = middle_and_tail(rounds.iter().flat_map(|round| round.ready.clone()).collect());
        let gone = middle_and_tail(rounds.iter().flat_map(|round| round.gone.clone()).collect());
        let (all_ready, _) = middle_and_tail(rounds.iter().map(|round| round.all_ready).collect());
        let (all_gone, _) = middle_and_tail(rounds.iter().map(|round| round.all_gone).collect());
        let (ratio, goal) = match pods {
            1 => (ready.0 / floor.sequential, ONE_AT_MOST),
            _ => (all_ready / floor.parallel, ALL_AT_MOST),
        };
        testkit::say!(
            "{}",
            json!({
                "bench": "podstart", "pods": pods,
                "ready_p50_s": ready.0, "ready_p99_s": ready.1, "all_ready_s": all_ready,
                "gone_p50_s": gone.0, "gone_p99_s": gone.1, "all_gone_s": all_gone,
                "floor_sequential_s": floor.sequential, "floor_parallel_s": floor.parallel, "floor_parallelism": floor.best,
                "runc_sequential_s": floor.runc, "ratio": ratio, "goal": goal, "met": ratio <= goal,
            })
        );
        writeln!(
            table,
            "{pods:<6} {:<10.3} {:<10.3} {all_ready:<10.3} {:<10.3} {:<10.3} {all_gone:<10.3} {:<10.3} {:<10.3} {:<10.3} {ratio:<6.2} {goal:.1}{}",
            ready.0,
            ready.1,
            gone.0,
            gone.1,
            floor.sequential,
            floor.parallel,
            floor.runc,
            if ratio <= goal { "" } else { ", missed" }
        )?;
    }
    keelctl.run(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    testkit::say!(
        "\n{table}seconds; p50 and p99 from a pod's first sight in the API, `all` from before the command that made them;\n\
         floor: as many containers by containerd's API and by runc alone; ratio: one pod's p50 to the sequential floor,\n\
         all of several to the parallel one"
    );
    Ok(())
}

struct Round {
    ready: Vec<f64>,
    all_ready: f64,
    gone: Vec<f64>,
    all_gone: f64,
}

fn round(cluster: &Cluster, pods: usize) -> Result<Round> {
    let keelctl = cluster.keelctl();
    let watch = Watch::start(&keelctl, NAMESPACE)?;
    watch.wait(Kind::Seen, 1, LIMIT)?;
    let names: Vec<String> = (0..pods).map(|index| format!("pod-{index}")).collect();
    let manifest: String = names.iter().map(|name| manifest(name)).collect();
    let (ready, all_ready) = timed(pods, &watch, Kind::Ready, || keelctl.apply(&manifest).map(drop))?;
    let mut delete = vec!["delete", "pods", "-n", NAMESPACE, "--wait=false"];
    delete.extend(names.iter().map(String::as_str));
    let (gone, all_gone) = timed(pods, &watch, Kind::Gone, || keelctl.run(&delete).map(drop))?;
    Ok(Round { ready, all_ready, gone, all_gone })
}

/// How long it took for each pod to become what it should, and for all of them with the command.
fn timed(pods: usize, watch: &Watch, kind: Kind, act: impl FnOnce() -> Result<()>) -> Result<(Vec<f64>, f64)> {
    let began = Instant::now();
    act()?;
    let spans = watch.wait(kind, pods, LIMIT)?;
    let each = spans.values().map(|span| span.to.saturating_duration_since(span.from).as_secs_f64()).collect();
    let last = spans.values().map(|span| span.to).max().unwrap_or(began);
    Ok((each, last.saturating_duration_since(began).as_secs_f64()))
}

fn manifest(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\nspec:\n  containers:\n  \
         - name: main\n    image: {HELLO}\n    imagePullPolicy: IfNotPresent\n    command: {}\n",
        json!(floor::COMMAND)
    )
}
