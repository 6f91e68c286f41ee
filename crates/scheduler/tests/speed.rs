//! How much CPU a decision costs, in process: `cargo test --release -p scheduler --test speed -- --ignored --nocapture`.
//!
//! Not a timed test; prints one line for each workload. Upstream spends 2.1 to 13.6 ms of CPU a pod on the same workloads (API calls included).

#![allow(clippy::unwrap_used)] // test support

use std::sync::Arc;
use std::time::Instant;

use proto::core::v1 as core;
use scheduler::queue::Queue;
use scheduler::state::{Action, State};

const PODS: usize = 2000;

fn quantity(text: &str) -> proto::Quantity {
    proto::Quantity { string: text.into() }
}

fn node(index: usize) -> core::Node {
    let mut node = core::Node::default();
    node.metadata.name = format!("node-{index}");
    node.metadata.labels =
        [("kubernetes.io/hostname", node.metadata.name.clone()), ("zone", format!("z{}", index % 5))]
            .map(|(k, v)| (k.to_owned(), v))
            .into();
    node.status.allocatable =
        [("cpu", "32"), ("memory", "128Gi"), ("pods", "110")].map(|(k, v)| (k.to_owned(), quantity(v))).into();
    node
}

fn pod(index: usize, json: &str) -> core::Pod {
    let mut pod: core::Pod = proto::json::from_slice(json.as_bytes()).unwrap();
    pod.metadata.namespace = "bench".into();
    pod.metadata.name = format!("pod-{index}");
    pod.metadata.uid = format!("uid-{index}");
    pod.spec.scheduler_name = "default-scheduler".into();
    pod
}

#[test]
#[ignore = "prints figures; run it with --release"]
fn decisions_per_second() {
    let container =
        r#""containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"100m","memory":"100Mi"}}}]"#;
    let labels = r#""metadata":{"labels":{"app":"x"}}"#;
    let term = r#"{"topologyKey":"TOPOLOGY","labelSelector":{"matchLabels":{"app":"x"}}}"#;
    let spread = r#""topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"app":"x"}}}]"#;
    let anti = format!(
        r#""affinity":{{"podAntiAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":[{}]}}}}"#,
        term.replace("TOPOLOGY", "kubernetes.io/hostname")
    );
    let zone = r#""affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"zone","operator":"In","values":["z1","z2"]}]}]}}}"#;
    for nodes in [1000, 5000] {
        for (name, spec) in [
            ("plain", container.to_owned()),
            ("topology spread", format!("{container},{spread}")),
            ("pod anti-affinity", format!("{container},{anti}")),
            ("node affinity", format!("{container},{zone}")),
        ] {
            if name == "pod anti-affinity" && nodes < PODS {
                continue;
            }
            let mut state = State::new("default-scheduler", Queue::new(1000, 10_000), 1);
            (0..nodes).for_each(|index| state.node_changed(&node(index), 0));
            let json = format!("{{{labels},\"spec\":{{{spec}}}}}");
            let pods: Vec<_> = (0..PODS).map(|index| pod(index, &json)).collect();
            let started = Instant::now();
            pods.iter().for_each(|pod| state.pod_changed(pod, 0));
            let mut bound = 0;
            while let Some(actions) = state.decide(0) {
                bound += actions.iter().filter(|action| matches!(action, Action::Bind(_))).count();
                for action in actions {
                    if let Action::Bind(pod) = action {
                        state.bound(&Arc::unwrap_or_clone(pod));
                    }
                }
            }
            let took = started.elapsed();
            println!(
                "{nodes} nodes, {name}: {bound} bound, {:.3} ms a pod, {:.0} pods/s",
                took.as_secs_f64() * 1000.0 / PODS as f64,
                PODS as f64 / took.as_secs_f64()
            );
            assert_eq!(bound, PODS);
        }
    }
}
