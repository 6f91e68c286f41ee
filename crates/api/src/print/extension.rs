//! Rows of what extends or guards the API server: webhooks, policies, definitions, API services, flow control.

use serde_json::{Value, json};

use super::Row;
use super::value::{condition, plain, text};

pub fn cells(group: &str, resource: &str, row: &Row<'_>) -> Option<Vec<Value>> {
    Some(match (group, resource) {
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations" | "validatingwebhookconfigurations") => {
            vec![row.name(), json!(row.list("webhooks").len()), row.age()]
        }
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies") => policy(row, "spec.mutations"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => policy(row, "spec.validations"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings" | "validatingadmissionpolicybindings") => {
            vec![row.name(), row.text("spec.policyName"), json!(parameter(row)), row.age()]
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => vec![row.name(), row.created()],
        ("apiregistration.k8s.io", "apiservices") => api_service(row),
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => flow_schema(row),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") => priority_level(row),
        _ => return None,
    })
}

fn policy(row: &Row<'_>, rules: &str) -> Vec<Value> {
    let param = match (text(row.object, "spec.paramKind.apiVersion"), text(row.object, "spec.paramKind.kind")) {
        (Some(version), Some(kind)) => format!("{version}/{kind}"),
        _ => "<unset>".to_owned(),
    };
    vec![row.name(), json!(row.list(rules).len()), json!(param), row.age()]
}

fn parameter(row: &Row<'_>) -> String {
    let Some(reference) = row.at("spec.paramRef") else { return "<unset>".to_owned() };
    let name = text(reference, "name").unwrap_or("*");
    text(reference, "namespace").map_or_else(|| format!("*/{name}"), |namespace| format!("{namespace}/{name}"))
}

fn api_service(row: &Row<'_>) -> Vec<Value> {
    let service = match (text(row.object, "spec.service.namespace"), text(row.object, "spec.service.name")) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        _ => "Local".to_owned(),
    };
    let available = condition(row.object, "Available").map_or_else(
        || "Unknown".to_owned(),
        |available| match (text(available, "status").unwrap_or("Unknown"), text(available, "reason")) {
            ("True", _) => "True".to_owned(),
            (status, reason) => format!("{status} ({})", reason.unwrap_or_default()),
        },
    );
    vec![row.name(), json!(service), json!(available), row.age()]
}

fn flow_schema(row: &Row<'_>) -> Vec<Value> {
    let dangling = condition(row.object, "Dangling").and_then(|dangling| text(dangling, "status")).unwrap_or("?");
    vec![
        row.name(),
        row.text_or("spec.priorityLevelConfiguration.name", "<none>"),
        row.number("spec.matchingPrecedence"),
        row.text_or("spec.distinguisherMethod.type", "<none>"),
        row.age(),
        json!(dangling),
    ]
}

fn priority_level(row: &Row<'_>) -> Vec<Value> {
    let shares = ["spec.limited.nominalConcurrencyShares", "spec.exempt.nominalConcurrencyShares"];
    let shares = shares.into_iter().find_map(|path| row.at(path)).cloned().unwrap_or_else(|| json!("<none>"));
    let queuing = |field: &str| {
        let found = row.at(&format!("spec.limited.limitResponse.queuing.{field}")).cloned();
        found.unwrap_or_else(|| json!("<none>"))
    };
    let level = row.at("spec.type").map_or_else(String::new, plain);
    vec![
        row.name(),
        json!(level),
        shares,
        queuing("queues"),
        queuing("handSize"),
        queuing("queueLengthLimit"),
        row.age(),
    ]
}
