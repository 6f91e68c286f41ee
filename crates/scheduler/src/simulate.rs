//! Decisions for a list of nodes and pods, without a cluster: `keelson-scheduler simulate`.
//!
//! Input is YAML or JSON: Nodes, Namespaces and Pods, as documents or in Lists. Pods with a node are placed first, the others are decided in
//! the order of the queue; each takes its room. Output is one line a pod, with every node's reasons where none takes it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use proto::core::v1 as core;
use serde::Deserialize;
use serde_json::Value;

use crate::message;
use crate::plan::{self, Choice, Memo, Verdict};
use crate::pod::PodInfo;
use crate::preempt::Preemption;
use crate::queue::Queue;
use crate::reason::Reason;
use crate::snapshot::Snapshot;

/// Why a list cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    #[error("document {number} is not YAML")]
    Yaml { number: usize, source: serde_yaml::Error },
    #[error("{kind} {name} cannot be read")]
    Object { kind: String, name: String, source: proto::json::Error },
    #[error("a {kind} cannot be simulated; give Nodes, Namespaces and Pods")]
    Kind { kind: String },
}

/// Decides for all pods; `seed` breaks ties.
pub fn run(text: &str, seed: u64) -> Result<String, SimulateError> {
    let mut snapshot = Snapshot::default();
    let mut queue = Queue::new(0, 0);
    for object in objects(text)? {
        read(object, &mut snapshot, &mut queue)?;
    }
    let mut memo = Memo::default();
    let mut lines = BTreeMap::new();
    let mut order = 0;
    while let Some(waiting) = queue.pop(0) {
        let pod = waiting.pod;
        let choice = memo.choose(&snapshot, &pod, seed.wrapping_add(order));
        order += 1;
        let name = format!("{}/{}", pod.namespace, pod.name);
        let line = match choice {
            Choice::Node(ix) => {
                let node = snapshot.names[ix].to_string();
                let line = format!("{name} -> {node}\n");
                snapshot.place(Arc::new(PodInfo { node, ..(*pod).clone() }));
                line
            }
            Choice::Refused(decision) => pending(&snapshot, &pod, &decision, &name),
        };
        lines.insert(order, line);
        queue.remove(&pod.key());
    }
    let gated = queue.counts()[3];
    let mut out: String = lines.into_values().collect();
    if gated > 0 {
        let _infallible = writeln!(out, "{gated} gated");
    }
    Ok(out)
}

fn pending(snapshot: &Snapshot, pod: &PodInfo, decision: &plan::Decision, name: &str) -> String {
    let preemption = Preemption::of(snapshot, pod, decision, None);
    let mut out = format!("{name} pending: {}\n", message::unschedulable(decision, &preemption));
    for (ix, verdict) in &decision.verdicts {
        if let Verdict::Refused(reasons) = verdict {
            let reasons: Vec<String> = reasons.iter().map(Reason::to_string).collect();
            let _infallible = writeln!(out, "  {}: {}", snapshot.names[*ix], reasons.join(", "));
        }
    }
    if let Preemption::Nominated { node, victims } = preemption {
        let victims: Vec<String> =
            victims.iter().map(|victim| format!("{}/{}", victim.namespace, victim.name)).collect();
        let _infallible = writeln!(out, "  would preempt on {}: {}", snapshot.names[node], victims.join(", "));
    }
    out
}

fn objects(text: &str) -> Result<Vec<Value>, SimulateError> {
    let mut all = Vec::new();
    for (number, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let value =
            Value::deserialize(document).map_err(|source| SimulateError::Yaml { number: number + 1, source })?;
        match value.get("items").and_then(Value::as_array) {
            Some(items) => all.extend(items.iter().cloned().map(|item| typed(item, &value))),
            None if value.is_null() => {}
            None => all.push(value),
        }
    }
    Ok(all)
}

/// Items of a NodeList need not say that they are Nodes.
fn typed(mut item: Value, list: &Value) -> Value {
    let kind = list["kind"].as_str().and_then(|kind| kind.strip_suffix("List")).unwrap_or_default();
    if item.get("kind").is_none() && !kind.is_empty() {
        item["kind"] = kind.into();
    }
    item
}

fn read(object: Value, snapshot: &mut Snapshot, queue: &mut Queue) -> Result<(), SimulateError> {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let failed = |source| SimulateError::Object { kind: kind.clone(), name, source };
    match kind.as_str() {
        "Node" => {
            snapshot.set_node(&proto::json::from_value::<core::Node>(object).map_err(failed)?);
        }
        "Namespace" => {
            let namespace = proto::json::from_value::<core::Namespace>(object).map_err(failed)?;
            snapshot.namespaces.insert(namespace.metadata.name, namespace.metadata.labels);
        }
        "Pod" => {
            let mut pod = proto::json::from_value::<core::Pod>(object).map_err(failed)?;
            if pod.metadata.namespace.is_empty() {
                pod.metadata.namespace = "default".to_owned();
            }
            let pod = Arc::new(PodInfo::from_api(&pod));
            match (pod.finished, pod.node.is_empty()) {
                (true, _) => {}
                (false, false) => snapshot.place(pod),
                (false, true) => queue.put(pod, 0),
            }
        }
        _ => return Err(SimulateError::Kind { kind }),
    }
    Ok(())
}
