//! A pod in words.

use serde_json::Value;

use super::container::{containers, tolerations};
use super::volume::volumes;
use super::{Text, controller, date, int_at, list_at, name, str_at};

pub fn pod(out: &mut Text, pod: &Value) {
    let text = |path: &str| str_at(pod, path).unwrap_or_default();
    out.pair(0, "Name", name(pod));
    out.pair(0, "Namespace", text("/metadata/namespace"));
    if pod.pointer("/spec/priority").is_some() {
        out.pair(0, "Priority", int_at(pod, "/spec/priority").to_string());
    }
    if let Some(class) = str_at(pod, "/spec/priorityClassName").filter(|class| !class.is_empty()) {
        out.pair(0, "Priority Class Name", class);
    }
    if let Some(class) = str_at(pod, "/spec/runtimeClassName") {
        out.pair(0, "Runtime Class Name", class);
    }
    if let Some(account) = str_at(pod, "/spec/serviceAccountName").filter(|account| !account.is_empty()) {
        out.pair(0, "Service Account", account);
    }
    match text("/spec/nodeName") {
        "" => out.pair(0, "Node", "<none>"),
        node => out.pair(0, "Node", format!("{node}/{}", text("/status/hostIP"))),
    }
    if let Some(start) = str_at(pod, "/status/startTime") {
        out.pair(0, "Start Time", date(Some(start)));
    }
    out.labels(pod);
    status(out, pod);
    out.pair(0, "IP", text("/status/podIP"));
    let ips = list_at(pod, "/status/podIPs");
    if ips.is_empty() {
        out.pair(0, "IPs", "<none>");
    } else {
        out.line(0, "IPs:");
        ips.iter().for_each(|ip| out.pair(1, "IP", str_at(ip, "/ip").unwrap_or_default()));
    }
    if let Some(owner) = controller(pod) {
        out.pair(0, "Controlled By", owner);
    }
    if let Some(node) = str_at(pod, "/status/nominatedNodeName").filter(|node| !node.is_empty()) {
        out.pair(0, "NominatedNodeName", node);
    }
    let sections = [
        ("Init Containers", "/spec/initContainers", "/status/initContainerStatuses"),
        ("Containers", "/spec/containers", "/status/containerStatuses"),
        ("Ephemeral Containers", "/spec/ephemeralContainers", "/status/ephemeralContainerStatuses"),
    ];
    for (label, spec, status) in sections {
        if !list_at(pod, spec).is_empty() {
            containers(out, 0, label, list_at(pod, spec), list_at(pod, status), false);
        }
    }
    gates(out, pod);
    conditions(out, pod);
    volumes(out, 0, list_at(pod, "/spec/volumes"));
    if let Some(class) = str_at(pod, "/status/qosClass") {
        out.pair(0, "QoS Class", class);
    }
    out.map(0, "Node-Selectors", pod.pointer("/spec/nodeSelector"), "=", &[]);
    tolerations(out, 0, list_at(pod, "/spec/tolerations"));
}

fn status(out: &mut Text, pod: &Value) {
    let text = |path: &str| str_at(pod, path).unwrap_or_default();
    match str_at(pod, "/metadata/deletionTimestamp") {
        Some(time) if !matches!(text("/status/phase"), "Succeeded" | "Failed") => {
            out.pair(0, "Status", format!("Terminating (since {})", date(Some(time))));
            out.pair(
                0,
                "Termination Grace Period",
                format!("{}s", int_at(pod, "/metadata/deletionGracePeriodSeconds")),
            );
        }
        _ => out.pair(0, "Status", text("/status/phase")),
    }
    for (label, path) in [("Reason", "/status/reason"), ("Message", "/status/message")] {
        if let Some(found) = str_at(pod, path).filter(|found| !found.is_empty()) {
            out.pair(0, label, found);
        }
    }
    if let Some(profile) = str_at(pod, "/spec/securityContext/seccompProfile/type") {
        out.pair(0, "SeccompProfile", profile);
    }
}

fn gates(out: &mut Text, pod: &Value) {
    let gates = list_at(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return;
    }
    out.line(0, "Readiness Gates:");
    out.line(1, "Type\tStatus");
    for gate in gates {
        let kind = str_at(gate, "/conditionType").unwrap_or_default();
        let status = super::condition(pod, kind).and_then(|condition| str_at(condition, "/status")).unwrap_or("<none>");
        out.line(1, format!("{kind} \t{status} "));
    }
}

fn conditions(out: &mut Text, pod: &Value) {
    let conditions = list_at(pod, "/status/conditions");
    if conditions.is_empty() {
        return;
    }
    out.line(0, "Conditions:");
    out.line(1, "Type\tStatus");
    for condition in conditions {
        out.line(
            1,
            format!(
                "{} \t{} ",
                str_at(condition, "/type").unwrap_or_default(),
                str_at(condition, "/status").unwrap_or_default()
            ),
        );
    }
}
