//! Deployments, replica sets, stateful sets, daemon sets and jobs in words.

use serde_json::Value;

use super::container::write_template;
use super::{Beside, Text, controller, date, flag_at, int_at, list_at, name, owners, plain, str_at};

const REVISION: &str = "deployment.kubernetes.io/revision";

fn selector(object: &Value) -> String {
    api::print::label_selector(object.pointer("/spec/selector"))
}

pub fn deployment(out: &mut Text, object: &Value, beside: &Beside) {
    let number = |path: &str| int_at(object, path);
    out.pair(0, "Name", name(object));
    out.pair(0, "Namespace", str_at(object, "/metadata/namespace").unwrap_or_default());
    out.pair(0, "CreationTimestamp", date(str_at(object, "/metadata/creationTimestamp")));
    out.labels(object);
    out.pair(0, "Selector", selector(object));
    out.pair(
        0,
        "Replicas",
        format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            number("/spec/replicas"),
            number("/status/updatedReplicas"),
            number("/status/replicas"),
            number("/status/availableReplicas"),
            number("/status/unavailableReplicas")
        ),
    );
    out.pair(0, "StrategyType", str_at(object, "/spec/strategy/type").unwrap_or_default());
    out.pair(0, "MinReadySeconds", number("/spec/minReadySeconds").to_string());
    if let Some(rolling) = object.pointer("/spec/strategy/rollingUpdate") {
        let bound = |field: &str| rolling.get(field).map(plain).unwrap_or_default();
        out.pair(
            0,
            "RollingUpdateStrategy",
            format!("{} max unavailable, {} max surge", bound("maxUnavailable"), bound("maxSurge")),
        );
    }
    write_template(out, &object["spec"]["template"]);
    conditions(out, object);
    let of_this = |set: &&Value| owners(set).any(|owner| owner.get("uid") == object.pointer("/metadata/uid"));
    let (mut old, mut new) = (Vec::new(), Vec::new());
    let current = object.pointer("/metadata/annotations").and_then(|all| all.get(REVISION));
    for set in beside.replica_sets.iter().filter(of_this) {
        let is_new = set.pointer("/metadata/annotations").and_then(|all| all.get(REVISION)) == current;
        let text = format!(
            "{} ({}/{} replicas created)",
            name(set),
            int_at(set, "/status/replicas"),
            int_at(set, "/spec/replicas")
        );
        if is_new {
            new.push(text)
        } else {
            old.push((str_at(set, "/metadata/creationTimestamp").unwrap_or_default(), text))
        }
    }
    old.sort();
    let old: Vec<String> = old.into_iter().map(|(_, text)| text).collect();
    let or_none = |texts: Vec<String>| if texts.is_empty() { "<none>".to_owned() } else { texts.join(", ") };
    out.pair(0, "OldReplicaSets", or_none(old));
    out.pair(0, "NewReplicaSet", or_none(new));
}

fn conditions(out: &mut Text, object: &Value) {
    let conditions = list_at(object, "/status/conditions");
    if conditions.is_empty() {
        return;
    }
    out.line(0, "Conditions:");
    out.line(1, "Type\tStatus\tReason");
    out.line(1, "----\t------\t------");
    for condition in conditions {
        let text = |path: &str| str_at(condition, path).unwrap_or_default();
        out.line(1, format!("{} \t{}\t{}", text("/type"), text("/status"), text("/reason")));
    }
}

/// How many pods are in which phase.
fn phases(out: &mut Text, beside: &Beside, object: &Value) {
    let of_this = |pod: &&Value| owners(pod).any(|owner| owner.get("uid") == object.pointer("/metadata/uid"));
    let count = |phase: &str| {
        beside.pods.iter().filter(of_this).filter(|pod| str_at(pod, "/status/phase") == Some(phase)).count()
    };
    out.pair(
        0,
        "Pods Status",
        format!(
            "{} Running / {} Waiting / {} Succeeded / {} Failed",
            count("Running"),
            count("Pending"),
            count("Succeeded"),
            count("Failed")
        ),
    );
}

pub fn replica_set(out: &mut Text, object: &Value, beside: &Beside) {
    out.pair(0, "Name", name(object));
    out.pair(0, "Namespace", str_at(object, "/metadata/namespace").unwrap_or_default());
    out.pair(0, "Selector", selector(object));
    out.labels(object);
    if let Some(owner) = controller(object) {
        out.pair(0, "Controlled By", owner);
    }
    out.pair(
        0,
        "Replicas",
        format!("{} current / {} desired", int_at(object, "/status/replicas"), int_at(object, "/spec/replicas")),
    );
    phases(out, beside, object);
    write_template(out, &object["spec"]["template"]);
    conditions(out, object);
}

pub fn stateful_set(out: &mut Text, object: &Value, beside: &Beside) {
    out.pair(0, "Name", name(object));
    out.pair(0, "Namespace", str_at(object, "/metadata/namespace").unwrap_or_default());
    out.pair(0, "CreationTimestamp", date(str_at(object, "/metadata/creationTimestamp")));
    out.pair(0, "Selector", selector(object));
    out.labels(object);
    out.pair(
        0,
        "Replicas",
        format!("{} desired | {} total", int_at(object, "/spec/replicas"), int_at(object, "/status/replicas")),
    );
    out.pair(0, "Update Strategy", str_at(object, "/spec/updateStrategy/type").unwrap_or_default());
    if let Some(rolling) = object.pointer("/spec/updateStrategy/rollingUpdate") {
        out.pair(1, "Partition", int_at(rolling, "/partition").to_string());
    }
    phases(out, beside, object);
    write_template(out, &object["spec"]["template"]);
    let claims = list_at(object, "/spec/volumeClaimTemplates");
    if claims.is_empty() {
        return out.pair(0, "Volume Claims", "<none>");
    }
    out.line(0, "Volume Claims:");
    for claim in claims {
        out.pair(1, "Name", name(claim));
        out.pair(1, "StorageClass", str_at(claim, "/spec/storageClassName").unwrap_or_default());
        out.map(1, "Labels", claim.pointer("/metadata/labels"), "=", &[]);
        out.map(1, "Annotations", claim.pointer("/metadata/annotations"), ": ", &[]);
        out.pair(
            1,
            "Capacity",
            claim.pointer("/spec/resources/requests/storage").map_or_else(|| "<default>".to_owned(), plain),
        );
        let modes: Vec<String> = list_at(claim, "/spec/accessModes").iter().map(plain).collect();
        out.pair(1, "Access Modes", format!("[{}]", modes.join(" ")));
    }
}

pub fn daemon_set(out: &mut Text, object: &Value, beside: &Beside) {
    out.pair(0, "Name", name(object));
    out.pair(0, "Namespace", str_at(object, "/metadata/namespace").unwrap_or_default());
    out.pair(0, "Selector", selector(object));
    out.map(0, "Node-Selector", object.pointer("/spec/template/spec/nodeSelector"), "=", &[]);
    out.labels(object);
    let numbers = [
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ];
    for (label, field) in numbers {
        out.line(0, format!("{label}: {}", int_at(object, &format!("/status/{field}"))));
    }
    phases(out, beside, object);
    write_template(out, &object["spec"]["template"]);
}

pub fn job(out: &mut Text, object: &Value) {
    let number = |path: &str| int_at(object, path);
    out.pair(0, "Name", name(object));
    out.pair(0, "Namespace", str_at(object, "/metadata/namespace").unwrap_or_default());
    out.pair(0, "Selector", selector(object));
    out.labels(object);
    if let Some(owner) = controller(object) {
        out.pair(0, "Controlled By", owner);
    }
    out.pair(0, "Parallelism", object.pointer("/spec/parallelism").map_or_else(|| "<unset>".to_owned(), plain));
    out.pair(0, "Completions", object.pointer("/spec/completions").map_or_else(|| "<unset>".to_owned(), plain));
    if let Some(mode) = str_at(object, "/spec/completionMode") {
        out.pair(0, "Completion Mode", mode);
    }
    out.pair(0, "Suspend", flag_at(object, "/spec/suspend").to_string());
    out.pair(0, "Backoff Limit", number("/spec/backoffLimit").to_string());
    let (start, end) = (str_at(object, "/status/startTime"), str_at(object, "/status/completionTime"));
    if start.is_some() {
        out.pair(0, "Start Time", date(start));
    }
    if end.is_some() {
        out.pair(0, "Completed At", date(end));
    }
    let time = |text: Option<&str>| text.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    if let (Some(start), Some(end)) = (time(start), time(end)) {
        out.pair(0, "Duration", api::print::span(end.as_second() - start.as_second()));
    }
    out.pair(
        0,
        "Pods Statuses",
        format!(
            "{} Active ({} Ready) / {} Succeeded / {} Failed",
            number("/status/active"),
            number("/status/ready"),
            number("/status/succeeded"),
            number("/status/failed")
        ),
    );
    write_template(out, &object["spec"]["template"]);
}
