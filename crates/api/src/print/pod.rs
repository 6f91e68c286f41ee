//! A pod in a row: how many containers are ready, the one word for its state, how often it restarted.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::value::{at, condition, condition_is_true, list, number, text};
use super::{Row, age};

/// What a table says of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub ready: usize,
    pub total: usize,
    /// Running, Pending, Init:0/2, CrashLoopBackOff, Completed, Terminating, ...
    pub state: String,
    pub restarts: i64,
    pub last_restart: Option<Timestamp>,
}

pub fn cells(row: &Row<'_>) -> Vec<Value> {
    let pod = row.object;
    let summary = summary(pod);
    let restarts = match summary.last_restart {
        Some(time) if summary.restarts > 0 => {
            format!("{} ({} ago)", summary.restarts, age::span(row.now.as_second() - time.as_second()))
        }
        _ => summary.restarts.to_string(),
    };
    let ip = list(pod, "status.podIPs").first().and_then(|ip| text(ip, "ip")).or(text(pod, "status.podIP"));
    vec![
        row.name(),
        json!(format!("{}/{}", summary.ready, summary.total)),
        json!(summary.state),
        json!(restarts),
        row.age(),
        json!(ip.filter(|ip| !ip.is_empty()).unwrap_or("<none>")),
        row.text_or("spec.nodeName", "<none>"),
        row.text_or("status.nominatedNodeName", "<none>"),
        json!(gates(pod)),
    ]
}

fn gates(pod: &Value) -> String {
    let gates = list(pod, "spec.readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open =
        gates.iter().filter(|gate| condition_is_true(pod, text(gate, "conditionType").unwrap_or_default())).count();
    format!("{open}/{}", gates.len())
}

/// Sums up a pod's containers.
pub fn summary(pod: &Value) -> Summary {
    let mut tally = Tally { total: list(pod, "spec.containers").len(), ..Tally::default() };
    let mut state = text(pod, "status.reason")
        .filter(|reason| !reason.is_empty())
        .or_else(|| text(pod, "status.phase"))
        .unwrap_or_default()
        .to_owned();
    if condition(pod, "PodScheduled").is_some_and(|scheduled| text(scheduled, "reason") == Some("SchedulingGated")) {
        state = "SchedulingGated".to_owned();
    }
    let waits_for = initializing(pod, &mut tally);
    match waits_for {
        Some(init) if !condition_is_true(pod, "Initialized") => state = init,
        waits_for => {
            if let Some(init) = waits_for {
                state = init;
            }
            tally.restarts = tally.sidecar_restarts;
            tally.last_restart = tally.last_sidecar_restart;
            if let Some(found) = main_state(pod, &mut tally) {
                state = found;
            }
        }
    }
    if text(pod, "metadata.deletionTimestamp").is_some() {
        let phase = text(pod, "status.phase").unwrap_or_default();
        if text(pod, "status.reason") == Some("NodeLost") {
            state = "Unknown".to_owned();
        } else if !matches!(phase, "Succeeded" | "Failed") {
            state = "Terminating".to_owned();
        }
    }
    Summary {
        ready: tally.ready,
        total: tally.total,
        state,
        restarts: tally.restarts,
        last_restart: tally.last_restart,
    }
}

#[derive(Default)]
struct Tally {
    total: usize,
    ready: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
    sidecar_restarts: i64,
    last_sidecar_restart: Option<Timestamp>,
}

impl Tally {
    fn count(&mut self, status: &Value, sidecar: bool) {
        let restarts = number(status, "restartCount");
        let time = text(status, "lastState.terminated.finishedAt").and_then(age::parse);
        self.restarts += restarts;
        self.last_restart = self.last_restart.max(time);
        if sidecar {
            self.sidecar_restarts += restarts;
            self.last_sidecar_restart = self.last_sidecar_restart.max(time);
        }
    }
}

/// What the first unfinished init container says; `None` once all are done.
fn initializing(pod: &Value, tally: &mut Tally) -> Option<String> {
    let specs = list(pod, "spec.initContainers");
    let is_sidecar = |name: Option<&str>| {
        specs.iter().any(|spec| text(spec, "name") == name && text(spec, "restartPolicy") == Some("Always"))
    };
    tally.total += specs.iter().filter(|spec| text(spec, "restartPolicy") == Some("Always")).count();
    for (index, status) in list(pod, "status.initContainerStatuses").iter().enumerate() {
        let sidecar = is_sidecar(text(status, "name"));
        tally.count(status, sidecar);
        if at(status, "state.terminated").is_some() && number(status, "state.terminated.exitCode") == 0 {
            continue;
        }
        if sidecar && at(status, "started").and_then(Value::as_bool).unwrap_or_default() {
            tally.ready += usize::from(is_ready(status));
            continue;
        }
        let word = match (at(status, "state.terminated"), text(status, "state.waiting.reason")) {
            (Some(terminated), _) => end_word(terminated),
            (None, Some(reason)) if !reason.is_empty() && reason != "PodInitializing" => reason.to_owned(),
            _ => format!("{index}/{}", specs.len()),
        };
        return Some(format!("Init:{word}"));
    }
    None
}

/// The state that the first of the containers with something to say gives the pod.
fn main_state(pod: &Value, tally: &mut Tally) -> Option<String> {
    let mut state = None;
    let mut running = false;
    for status in list(pod, "status.containerStatuses").iter().rev() {
        tally.count(status, false);
        let waiting = text(status, "state.waiting.reason").filter(|reason| !reason.is_empty());
        if let Some(reason) = waiting {
            state = Some(reason.to_owned());
        } else if let Some(terminated) = at(status, "state.terminated") {
            state = Some(end_word(terminated));
        } else if is_ready(status) && at(status, "state.running").is_some() {
            running = true;
            tally.ready += 1;
        }
    }
    if running && state.as_deref() == Some("Completed") {
        let ready = condition_is_true(pod, "Ready");
        state = Some(if ready { "Running" } else { "NotReady" }.to_owned());
    }
    state
}

fn is_ready(status: &Value) -> bool {
    at(status, "ready").and_then(Value::as_bool).unwrap_or_default()
}

/// Why a container ended: its reason, else its signal or exit code.
fn end_word(terminated: &Value) -> String {
    match (text(terminated, "reason").unwrap_or_default(), number(terminated, "signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pod: Value, ready: &str, state: &str, restarts: i64) {
        let got = summary(&pod);
        assert_eq!(
            (format!("{}/{}", got.ready, got.total).as_str(), got.state.as_str(), got.restarts),
            (ready, state, restarts)
        );
    }

    #[test]
    fn a_waiting_container_names_the_pods_state() {
        let status = json!({"phase": "Pending", "containerStatuses": [{"name": "a", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]});
        check(json!({"spec": {"containers": [{"name": "a"}]}, "status": status}), "0/1", "ImagePullBackOff", 0);
    }

    #[test]
    fn the_first_container_with_a_reason_wins() {
        let status = json!({"phase": "Pending", "containerStatuses": [
            {"name": "a", "state": {"waiting": {"reason": "First"}}}, {"name": "b", "state": {"waiting": {"reason": "Second"}}}]});
        check(json!({"spec": {"containers": [{}, {}]}, "status": status}), "0/2", "First", 0);
    }

    #[test]
    fn a_deleted_pod_is_terminating_until_it_ended() {
        let deleted = json!({"deletionTimestamp": "2020-01-01T00:00:00Z"});
        check(json!({"metadata": deleted, "status": {"phase": "Running"}}), "0/0", "Terminating", 0);
        check(json!({"metadata": deleted, "status": {"phase": "Succeeded"}}), "0/0", "Succeeded", 0);
    }

    #[test]
    fn a_started_sidecar_counts_as_a_ready_container() {
        let spec = json!({"containers": [{"name": "c"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]});
        let status = json!({"phase": "Pending", "initContainerStatuses": [{"name": "s", "ready": true, "started": true, "restartCount": 2, "state": {"running": {}}}]});
        check(json!({"spec": spec, "status": status}), "1/2", "Pending", 2);
    }
}
