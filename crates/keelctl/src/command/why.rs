//! `keelctl why pod NAME`: why a pod does not run, or what it waits for.
//!
//! The scheduler is asked first for pods without a node (each node's reason, the nearest miss); where it cannot be
//! reached, the pod's condition and events tell. Containers that wait say which and why, with the registry's answer.

use jiff::Timestamp;
use proto::keelson::scheduler::v1::{ExplainPodRequest, ExplainPodResponse};
use serde_json::Value;

use super::describe::events;
use crate::cli::Global;
use crate::describe::{self, ago, event, int_at, list_at, name, str_at};
use crate::error;
use crate::remote::Remote;
use crate::resource::Catalog;

/// Where the scheduler's leader says it can be asked.
const EXPLAIN_ADDRESS: &str = "keelson.io/explain-address";
/// Nodes listed one by one; the rest is only counted.
const NODES_MAX: usize = 20;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The pod: pod NAME, or pod/NAME
    #[arg(required = true)]
    pub words: Vec<String>,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let words = match args.words.as_slice() {
        [word] if !word.contains('/') => vec![format!("pods/{word}")],
        words => words.to_vec(),
    };
    let (resource, pod_name) = catalog.one(&words)?;
    if resource.kind != "Pod" {
        anyhow::bail!("why tells of pods: keelctl why pod NAME; for {} use keelctl describe", resource.plural);
    }
    let pod = remote.get(&resource, &remote.namespace, &pod_name).await?;
    let events = events(&remote, &catalog, &pod).await.unwrap_or_default();
    let explained = if str_at(&pod, "/spec/nodeName").unwrap_or_default().is_empty() {
        Some(ask(&remote, &catalog, &pod).await)
    } else {
        None
    };
    let (explained, unreachable) = match explained {
        Some(Ok(explained)) => (Some(explained), None),
        Some(Err(problem)) => (None, Some(error::text(&problem))),
        None => (None, None),
    };
    let mut text = tell(&pod, explained.as_ref(), &events, Timestamp::now());
    if let Some(problem) = unreachable {
        text.push_str(&format!("(the scheduler could not be asked for every node's reason: {problem})\n"));
    }
    Ok(crate::terminal::print(&text)?)
}

async fn ask(remote: &Remote, catalog: &Catalog, pod: &Value) -> anyhow::Result<ExplainPodResponse> {
    let leases = catalog.of_kind("coordination.k8s.io/v1", "Lease")?;
    let lease = remote.get(leases, "kube-system", "kube-scheduler").await?;
    let address =
        lease.pointer("/metadata/annotations").and_then(|all| all.get(EXPLAIN_ADDRESS)).and_then(Value::as_str);
    let Some(address) = address else { anyhow::bail!("its lease names no address (annotation {EXPLAIN_ADDRESS})") };
    remote
        .explain(
            address,
            ExplainPodRequest {
                namespace: str_at(pod, "/metadata/namespace").unwrap_or_default().to_owned(),
                name: name(pod).to_owned(),
            },
        )
        .await
}

/// The whole story, from what is known.
pub fn tell(pod: &Value, explained: Option<&ExplainPodResponse>, events: &[Value], now: Timestamp) -> String {
    let mut out = String::new();
    let summary = api::print::pod_summary(pod);
    let mut say = |line: String| {
        out.push_str(&line);
        out.push('\n');
    };
    say(format!(
        "Pod {}/{} is {}: {} of {} containers ready.",
        str_at(pod, "/metadata/namespace").unwrap_or_default(),
        name(pod),
        summary.state,
        summary.ready,
        summary.total
    ));
    if let Some(time) = str_at(pod, "/metadata/deletionTimestamp") {
        for line in deletion(pod, time, now) {
            say(line);
        }
    }
    let unplaced = str_at(pod, "/spec/nodeName").unwrap_or_default().is_empty();
    if unplaced && str_at(pod, "/status/phase") != Some("Failed") {
        placement(pod, explained, events).into_iter().for_each(&mut say);
    }
    for path in ["/status/reason", "/status/message"] {
        if let Some(found) = str_at(pod, path).filter(|found| !found.is_empty()) {
            say(format!("The pod says: {found}"));
        }
    }
    for (statuses, kind) in
        [("/status/initContainerStatuses", "Init container"), ("/status/containerStatuses", "Container")]
    {
        for status in list_at(pod, statuses) {
            container(pod, status, kind, events, now).into_iter().for_each(&mut say);
        }
    }
    let gates = list_at(pod, "/spec/readinessGates").iter().filter_map(|gate| str_at(gate, "/conditionType"));
    let closed: Vec<&str> = gates
        .filter(|gate| describe::condition(pod, gate).is_none_or(|found| str_at(found, "/status") != Some("True")))
        .collect();
    if !closed.is_empty() {
        say(format!("Readiness gates that are not open: {}.", closed.join(", ")));
    }
    let warnings: Vec<&Value> = event::sorted(events)
        .into_iter()
        .rev()
        .filter(|event| str_at(event, "/type") == Some("Warning"))
        .take(3)
        .collect();
    if !warnings.is_empty() && summary.ready < summary.total {
        say("Latest warnings:".to_owned());
        for warning in warnings {
            say(format!(
                "  {} ago  {}: {}",
                ago(event::last_seen(warning), now),
                str_at(warning, "/reason").unwrap_or_default(),
                event::message(warning)
            ));
        }
    }
    if summary.ready == summary.total && summary.total > 0 && str_at(pod, "/metadata/deletionTimestamp").is_none() {
        say("Nothing holds it back.".to_owned());
    }
    out
}

fn deletion(pod: &Value, time: &str, now: Timestamp) -> Vec<String> {
    let mut lines = vec![format!(
        "It is being deleted, with {} s to end; its time ends or ended {}.",
        int_at(pod, "/metadata/deletionGracePeriodSeconds"),
        describe::date(Some(time))
    )];
    let finalizers: Vec<String> = list_at(pod, "/metadata/finalizers").iter().map(describe::plain).collect();
    let late = time.parse::<Timestamp>().is_ok_and(|time| now.as_second() > time.as_second() + 5);
    if !finalizers.is_empty() {
        lines.push(format!("It stays until its finalizers are removed by their owners: {}.", finalizers.join(", ")));
    } else if late {
        lines.push(format!(
            "It should be gone: the kubelet of node {} has not confirmed its end; is that node up? (keelctl get node)",
            str_at(pod, "/spec/nodeName").unwrap_or("<none>")
        ));
    }
    lines
}

fn placement(pod: &Value, explained: Option<&ExplainPodResponse>, events: &[Value]) -> Vec<String> {
    let mut lines = vec!["It has no node yet.".to_owned()];
    let gates: Vec<&str> =
        list_at(pod, "/spec/schedulingGates").iter().filter_map(|gate| str_at(gate, "/name")).collect();
    if !gates.is_empty() {
        lines.push(format!("It is not considered until its scheduling gates are removed: {}.", gates.join(", ")));
    }
    if let Some(explained) = explained {
        lines.extend(verdicts(explained));
        return lines;
    }
    let condition = describe::condition(pod, "PodScheduled");
    let message = condition.and_then(|condition| str_at(condition, "/message")).filter(|message| !message.is_empty());
    let event =
        event::sorted(events).into_iter().rev().find(|event| str_at(event, "/reason") == Some("FailedScheduling"));
    match (message, event) {
        (Some(message), _) => lines.push(format!("The scheduler says: {message}")),
        (None, Some(event)) => lines.push(format!("The scheduler said: {}", event::message(event))),
        (None, None) => {
            let scheduler = str_at(pod, "/spec/schedulerName").unwrap_or("default-scheduler");
            lines.push(format!("No scheduler has looked at it: does one named {scheduler} run?"));
        }
    }
    lines
}

fn verdicts(explained: &ExplainPodResponse) -> Vec<String> {
    let mut lines = Vec::new();
    if !explained.message.is_empty() {
        lines.push(format!("The scheduler says: {}", explained.message));
    }
    if explained.attempts > 0 || !explained.queue.is_empty() {
        let queue = if explained.queue.is_empty() { "no" } else { &explained.queue };
        lines.push(format!("It was tried {} time(s) and waits in the {queue} queue.", explained.attempts));
    }
    for node in explained.nodes.iter().take(NODES_MAX) {
        let reasons =
            if node.reasons.is_empty() { format!("fits (score {})", node.total) } else { node.reasons.join("; ") };
        lines.push(format!("  {}: {reasons}", node.node));
    }
    if explained.nodes.len() > NODES_MAX {
        lines.push(format!("  and {} more nodes", explained.nodes.len() - NODES_MAX));
    }
    if !explained.nearest_miss.is_empty() {
        lines.push(format!("Nearest miss: {}", explained.nearest_miss));
    }
    lines
}

/// What one container waits for or died of.
fn container(pod: &Value, status: &Value, kind: &str, events: &[Value], now: Timestamp) -> Vec<String> {
    let text = |path: &str| str_at(status, path).filter(|text| !text.is_empty());
    let own = text("/name").unwrap_or_default();
    let image = text("/image").unwrap_or_default();
    let mut lines = Vec::new();
    if let Some(reason) = text("/state/waiting/reason") {
        let message = text("/state/waiting/message").map(|message| format!(": {message}")).unwrap_or_default();
        lines.push(format!("{kind} {own} waits: {reason}{message}"));
        match reason {
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
                lines.extend(pull(own, image, events, now))
            }
            "CrashLoopBackOff" => lines.push(format!(
                "  It ended {} time(s); its last words: keelctl logs {} -c {own} --previous",
                int_at(status, "/restartCount"),
                name(pod)
            )),
            "CreateContainerConfigError" => lines.push(
                "  Something that it refers to is missing; create it, and the kubelet goes on by itself.".to_owned(),
            ),
            _ => {}
        }
    } else if let Some(ended) = status.pointer("/state/terminated").filter(|ended| int_at(ended, "/exitCode") != 0) {
        lines.push(format!(
            "{kind} {own} ended with exit code {}{}.",
            int_at(ended, "/exitCode"),
            str_at(ended, "/reason").map(|reason| format!(" ({reason})")).unwrap_or_default()
        ));
    } else if status.pointer("/state/running").is_some()
        && !status.pointer("/ready").and_then(Value::as_bool).unwrap_or_default()
        && kind == "Container"
    {
        let since = ago(text("/state/running/startedAt"), now);
        let probe = events
            .iter()
            .filter(|event| str_at(event, "/reason") == Some("Unhealthy") && about(event, own))
            .max_by_key(|event| event::last_seen(event).map(str::to_owned));
        let probe = probe.map(|event| format!(": {}", event::message(event))).unwrap_or_default();
        lines.push(format!("{kind} {own} runs for {since} but is not ready{probe}"));
    }
    if let Some(last) = status.pointer("/lastState/terminated").filter(|_| !lines.is_empty()) {
        let reason = str_at(last, "/reason").unwrap_or_default();
        let message = str_at(last, "/message")
            .filter(|message| !message.is_empty())
            .map(|message| format!(": {}", message.trim()))
            .unwrap_or_default();
        lines.push(format!(
            "  Its run before ended {} ago: {reason}, exit code {}{message}",
            ago(str_at(last, "/finishedAt"), now),
            int_at(last, "/exitCode")
        ));
    }
    lines
}

fn about(event: &Value, container: &str) -> bool {
    str_at(event, "/involvedObject/fieldPath").is_some_and(|path| path.ends_with(&format!("{{{container}}}")))
}

/// What the registry answered, and when the next try is.
fn pull(container: &str, image: &str, events: &[Value], now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    let failed = event::sorted(events).into_iter().rev().find(|event| {
        str_at(event, "/reason") == Some("Failed")
            && about(event, container)
            && event::message(event).starts_with("Failed to pull image")
    });
    if let Some(failed) = failed {
        lines.push(format!("  {} ago: {}", ago(event::last_seen(failed), now), event::message(failed)));
    }
    let tries = event::sorted(events)
        .into_iter()
        .rev()
        .find(|event| str_at(event, "/reason") == Some("Pulling") && about(event, container));
    if let Some(last) = tries {
        // The kubelet doubles its pause after each failure, from 10 s to 5 min.
        let count = event::count(last).clamp(1, 6);
        let pause = (10_i64 << (count - 1)).min(300);
        let passed = event::last_seen(last)
            .and_then(|time| time.parse::<Timestamp>().ok())
            .map_or(0, |time| now.as_second() - time.as_second());
        let next = (pause - passed).max(0);
        lines.push(format!(
            "  {image} was tried {} time(s); the next try comes in about {}.",
            event::count(last),
            api::print::span(next)
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use proto::keelson::scheduler::v1::NodeVerdict;
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2020-01-01T00:01:00Z".parse().unwrap()
    }

    #[test]
    fn a_pending_pod_lists_every_nodes_reason_and_the_nearest_miss() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Pending"}});
        let node = |name: &str, reason: &str| NodeVerdict {
            node: name.into(),
            reasons: vec![reason.into()],
            ..NodeVerdict::default()
        };
        let explained = ExplainPodResponse {
            nodes: vec![node("a", "Insufficient cpu"), node("b", "node(s) had untolerated taint")],
            queue: "unschedulable".into(),
            attempts: 2,
            message: "0/2 nodes are available".into(),
            nearest_miss: "a lacks 200m cpu".into(),
            ..ExplainPodResponse::default()
        };
        let text = tell(&pod, Some(&explained), &[], now());
        assert_eq!(
            text,
            "Pod n/p is Pending: 0 of 1 containers ready.\nIt has no node yet.\nThe scheduler says: 0/2 nodes are available\nIt was tried 2 time(s) and waits in the unschedulable queue.\n  a: Insufficient cpu\n  b: node(s) had untolerated taint\nNearest miss: a lacks 200m cpu\n"
        );
    }

    #[test]
    fn without_the_scheduler_the_condition_tells() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient cpu."}]}});
        assert!(
            tell(&pod, None, &[], now()).contains("The scheduler says: 0/1 nodes are available: 1 Insufficient cpu.")
        );
        assert!(tell(&json!({"metadata": {"name": "p"}}), None, &[], now()).contains("No scheduler has looked at it"));
    }

    #[test]
    fn a_failed_pull_shows_the_registrys_answer_and_the_next_try() {
        let event = |reason: &str, message: &str, count: i64| json!({"type": "Warning", "reason": reason, "message": message, "count": count, "lastTimestamp": "2020-01-01T00:00:50Z", "involvedObject": {"fieldPath": "spec.containers{c}"}});
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "x", "containers": [{"name": "c"}]},
            "status": {"phase": "Pending", "containerStatuses": [{"name": "c", "image": "r.example/i:1", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}]}});
        let text = tell(
            &pod,
            None,
            &[
                event("Failed", "Failed to pull image \"r.example/i:1\": 404 not found", 2),
                event("Pulling", "Pulling image", 2),
            ],
            now(),
        );
        assert!(text.contains("Container c waits: ImagePullBackOff: Back-off pulling image"), "{text}");
        assert!(
            text.contains("404 not found") && text.contains("tried 2 time(s); the next try comes in about 10s"),
            "{text}"
        );
    }

    #[test]
    fn a_healthy_pod_is_held_back_by_nothing() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "x", "containers": [{"name": "c"}]}, "status": {"phase": "Running", "containerStatuses": [{"name": "c", "ready": true, "state": {"running": {}}}]}});
        assert!(tell(&pod, None, &[], now()).ends_with("Nothing holds it back.\n"));
    }
}
