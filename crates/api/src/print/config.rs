//! Rows of access rules, leases, classes, certificates and dynamic resources.

use serde_json::{Value, json};

use super::value::{condition_is_true, list, text};
use super::{Row, age};

pub fn cells(group: &str, resource: &str, row: &Row<'_>) -> Option<Vec<Value>> {
    Some(match (group, resource) {
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => vec![row.name(), row.created()],
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => binding(row),
        ("coordination.k8s.io", "leases") => vec![row.name(), row.text("spec.holderIdentity"), row.age()],
        ("scheduling.k8s.io", "priorityclasses") => {
            let policy = row.text_or("preemptionPolicy", "PreemptLowerPriority");
            vec![row.name(), row.number("value"), row.flag("globalDefault"), row.age(), policy]
        }
        ("node.k8s.io", "runtimeclasses") => vec![row.name(), row.text("handler"), row.age()],
        ("certificates.k8s.io", "certificatesigningrequests") => signing_request(row),
        ("resource.k8s.io", "resourceclaims") => vec![row.name(), json!(claim_state(row)), row.age()],
        ("resource.k8s.io", "resourceslices") => {
            let node = if row.at("spec.allNodes").and_then(Value::as_bool).unwrap_or_default() {
                json!("<all>")
            } else {
                row.text("spec.nodeName")
            };
            vec![row.name(), node, row.text("spec.driver"), row.text("spec.pool.name"), row.age()]
        }
        _ => return None,
    })
}

fn binding(row: &Row<'_>) -> Vec<Value> {
    let subjects = |kind: &str| -> Value {
        let found = row.list("subjects").iter().filter(|subject| text(subject, "kind") == Some(kind));
        let names = found.map(|subject| {
            let name = text(subject, "name").unwrap_or_default();
            match text(subject, "namespace") {
                Some(namespace) if kind == "ServiceAccount" => format!("{namespace}/{name}"),
                _ => name.to_owned(),
            }
        });
        json!(names.collect::<Vec<_>>().join(", "))
    };
    let role = format!(
        "{}/{}",
        text(row.object, "roleRef.kind").unwrap_or_default(),
        text(row.object, "roleRef.name").unwrap_or_default()
    );
    vec![row.name(), json!(role), row.age(), subjects("User"), subjects("Group"), subjects("ServiceAccount")]
}

fn signing_request(row: &Row<'_>) -> Vec<Value> {
    let seconds = row.at("spec.expirationSeconds").and_then(Value::as_i64);
    let mut state = if condition_is_true(row.object, "Denied") {
        "Denied"
    } else if condition_is_true(row.object, "Approved") {
        "Approved"
    } else {
        "Pending"
    }
    .to_owned();
    if condition_is_true(row.object, "Failed") {
        state.push_str(",Failed");
    }
    if text(row.object, "status.certificate").is_some_and(|certificate| !certificate.is_empty()) {
        state.push_str(",Issued");
    }
    vec![
        row.name(),
        row.age(),
        row.text_or("spec.signerName", "<none>"),
        row.text("spec.username"),
        json!(seconds.map_or_else(|| "<none>".to_owned(), age::span)),
        json!(state),
    ]
}

fn claim_state(row: &Row<'_>) -> String {
    let mut states = Vec::new();
    if row.deleted() {
        states.push("deleted");
    }
    if row.at("status.allocation").is_some() {
        states.push("allocated");
    } else if !row.deleted() {
        states.push("pending");
    }
    if !list(row.object, "status.reservedFor").is_empty() {
        states.push("reserved");
    }
    states.join(",")
}
