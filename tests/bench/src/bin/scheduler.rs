//! How much time a decision takes: the scheduler's queue, filters, scores and snapshot in one thread, without API calls.
//!
//! Prints one JSON line for each workload and size. (Upstream spends 2.1 to 13.6 ms of CPU a pod on the same workloads, API
//! calls included.)

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use proto::core::v1 as core;
use scheduler::queue::Queue;
use scheduler::state::{Action, State};
use serde_json::{Value, json};

const SCHEDULER: &str = "default-scheduler";

/// Decides for pods over nodes that exist only in memory.
#[derive(Debug, Parser)]
struct Options {
    /// Nodes; several, joined by commas, are measured one after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 5000])]
    nodes: Vec<usize>,
    /// Pods of each workload.
    #[arg(long, default_value_t = 2000)]
    pods: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    for nodes in options.nodes {
        for (workload, spec) in workloads() {
            // One pod a node is all that it can place.
            let pods = if workload == "pod anti-affinity" { options.pods.min(nodes) } else { options.pods };
            println!("{}", measure(workload, &spec, nodes, pods)?);
        }
    }
    Ok(())
}

fn workloads() -> Vec<(&'static str, Value)> {
    let alike = json!({ "matchLabels": { "app": "x" } });
    let zones = json!([{ "key": "zone", "operator": "In", "values": ["z1", "z2"] }]);
    vec![
        ("plain", json!({})),
        (
            "topology spread",
            json!({ "topologySpreadConstraints": [{
                "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": alike,
            }] }),
        ),
        (
            "pod anti-affinity",
            json!({ "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
                { "topologyKey": "kubernetes.io/hostname", "labelSelector": alike },
            ] } } }),
        ),
        (
            "node affinity",
            json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{ "matchExpressions": zones }],
            } } } }),
        ),
    ]
}

fn measure(workload: &str, spec: &Value, nodes: usize, count: usize) -> Result<Value> {
    let mut state = State::new(SCHEDULER, Queue::new(1000, 10_000), 1);
    (0..nodes).for_each(|index| state.node_changed(&node(index), 0));
    let pods = (0..count).map(|index| pod(index, spec)).collect::<Result<Vec<_>>>()?;
    let began = Instant::now();
    pods.iter().for_each(|pod| state.pod_changed(pod, 0));
    let mut bound = 0;
    while let Some(actions) = state.decide(0) {
        for action in actions {
            if let Action::Bind(pod) = action {
                bound += 1;
                state.bound(&Arc::unwrap_or_clone(pod));
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    ensure!(bound == count, "{workload}: {bound} of {count} pods were placed on {nodes} nodes");
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let each = seconds / count as f64;
    Ok(json!({
        "bench": "scheduler", "workload": workload, "nodes": nodes, "pods": count,
        "ms_per_pod": each * 1000.0, "pods_per_s": 1.0 / each,
    }))
}

fn quantity(text: &str) -> proto::Quantity {
    proto::Quantity { string: text.into() }
}

fn node(index: usize) -> core::Node {
    let mut node = core::Node::default();
    node.metadata.name = format!("node-{index}");
    let labels = [("kubernetes.io/hostname", node.metadata.name.clone()), ("zone", format!("z{}", index % 5))];
    node.metadata.labels = labels.map(|(key, value)| (key.to_owned(), value)).into();
    let amounts = [("cpu", "32"), ("memory", "128Gi"), ("pods", "110")];
    node.status.allocatable = amounts.map(|(what, much)| (what.to_owned(), quantity(much))).into();
    node
}

fn pod(index: usize, spec: &Value) -> Result<core::Pod> {
    let mut spec = spec.clone();
    let requests = json!({ "cpu": "100m", "memory": "100Mi" });
    spec["containers"] = json!([{ "name": "c", "image": "i", "resources": { "requests": requests } }]);
    spec["schedulerName"] = json!(SCHEDULER);
    let pod = json!({
        "metadata": {
            "namespace": "bench", "name": format!("pod-{index}"), "uid": format!("uid-{index}"), "labels": { "app": "x" },
        },
        "spec": spec,
    });
    Ok(proto::json::from_slice(&serde_json::to_vec(&pod)?)?)
}
