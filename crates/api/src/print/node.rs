//! A node in a row: whether it is ready and takes pods, its roles, addresses and versions.

use serde_json::{Value, json};

use super::Row;
use super::value::{at, condition, text};

pub fn cells(row: &Row<'_>) -> Vec<Value> {
    let info = |field: &str| row.text_or(&format!("status.nodeInfo.{field}"), "<unknown>");
    let kernel =
        match (text(row.object, "status.nodeInfo.kernelVersion"), text(row.object, "status.nodeInfo.architecture")) {
            (None | Some(""), _) => "<unknown>".to_owned(),
            (Some(kernel), None | Some("")) => kernel.to_owned(),
            (Some(kernel), Some(arch)) => format!("{kernel} ({arch})"),
        };
    vec![
        row.name(),
        json!(status(row.object)),
        json!(roles(row.object)),
        row.age(),
        row.text("status.nodeInfo.kubeletVersion"),
        json!(address(row, "InternalIP")),
        json!(address(row, "ExternalIP")),
        info("osImage"),
        json!(kernel),
        info("containerRuntimeVersion"),
    ]
}

fn status(node: &Value) -> String {
    let ready = match condition(node, "Ready").and_then(|ready| text(ready, "status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let cordoned = at(node, "spec.unschedulable").and_then(Value::as_bool).unwrap_or_default();
    if cordoned { format!("{ready},SchedulingDisabled") } else { ready.to_owned() }
}

/// The roles that a node's labels give it; `<none>` where none do.
pub fn roles(node: &Value) -> String {
    let labels = at(node, "metadata.labels").and_then(Value::as_object);
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => Some(role),
            _ if key == "kubernetes.io/role" => value.as_str().filter(|role| !role.is_empty()),
            _ => None,
        })
        .collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

fn address<'a>(row: &Row<'a>, kind: &str) -> &'a str {
    let found = row.list("status.addresses").iter().find(|address| text(address, "type") == Some(kind));
    found.and_then(|address| text(address, "address")).unwrap_or("<none>")
}
