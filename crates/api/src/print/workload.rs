//! Rows of workloads: apps, batch, autoscaling, disruption budgets.

use serde_json::{Value, json};

use super::value::{at, condition_is_true, number, plain, shortened, text};
use super::{Row, age, join_map, label_selector};

/// Metrics shown before the rest is only counted.
const METRICS_MAX: usize = 2;

pub fn cells(group: &str, resource: &str, row: &Row<'_>) -> Option<Vec<Value>> {
    Some(match (group, resource) {
        ("apps", "deployments") => {
            let head = [
                row.name(),
                ready_of(row, "status.readyReplicas"),
                row.number("status.updatedReplicas"),
                row.number("status.availableReplicas"),
            ];
            with_template(row, head.to_vec())
        }
        ("apps", "replicasets") => {
            let head = ["spec.replicas", "status.replicas", "status.readyReplicas"].map(|path| row.number(path));
            with_template(row, [vec![row.name()], head.to_vec()].concat())
        }
        ("apps", "daemonsets") => {
            let counts = [
                "desiredNumberScheduled",
                "currentNumberScheduled",
                "numberReady",
                "updatedNumberScheduled",
                "numberAvailable",
            ]
            .map(|field| row.number(&format!("status.{field}")));
            let nodes = json!(join_map(row.at("spec.template.spec.nodeSelector")));
            with_template(row, [vec![row.name()], counts.to_vec(), vec![nodes]].concat())
        }
        ("apps", "statefulsets") => {
            let [names, images] = row.containers("spec.template.spec");
            vec![row.name(), ready_of(row, "status.readyReplicas"), row.age(), names, images]
        }
        ("apps", "controllerrevisions") => vec![row.name(), json!(controller(row)), row.number("revision"), row.age()],
        ("batch", "jobs") => job(row),
        ("batch", "cronjobs") => cron_job(row),
        ("autoscaling", "horizontalpodautoscalers") => autoscaler(row),
        ("policy", "poddisruptionbudgets") => {
            let bound = |path: &str| json!(row.at(path).map_or_else(|| "N/A".to_owned(), plain));
            let (min, max) = (bound("spec.minAvailable"), bound("spec.maxUnavailable"));
            vec![row.name(), min, max, row.number("status.disruptionsAllowed"), row.age()]
        }
        _ => return None,
    })
}

fn with_template(row: &Row<'_>, mut cells: Vec<Value>) -> Vec<Value> {
    let [names, images] = row.containers("spec.template.spec");
    cells.extend([row.age(), names, images, json!(label_selector(row.at("spec.selector")))]);
    cells
}

fn ready_of(row: &Row<'_>, ready: &str) -> Value {
    json!(format!("{}/{}", number(row.object, ready), number(row.object, "spec.replicas")))
}

fn controller(row: &Row<'_>) -> String {
    let is_controller = |owner: &&Value| at(owner, "controller").and_then(Value::as_bool).unwrap_or_default();
    let Some(owner) = row.list("metadata.ownerReferences").iter().find(is_controller) else {
        return "<none>".to_owned();
    };
    let kind = text(owner, "kind").unwrap_or_default().to_lowercase();
    let group =
        text(owner, "apiVersion").and_then(|version| version.split_once('/')).map(|pair| format!(".{}", pair.0));
    format!("{kind}{}/{}", group.unwrap_or_default(), text(owner, "name").unwrap_or_default())
}

fn job(row: &Row<'_>) -> Vec<Value> {
    let job = row.object;
    let succeeded = number(job, "status.succeeded");
    let completions = match (at(job, "spec.completions").and_then(Value::as_i64), number(job, "spec.parallelism")) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let state = if row.deleted() {
        "Terminating"
    } else {
        let named = ["Complete", "Failed", "Suspended", "FailureTarget"];
        named.into_iter().find(|kind| condition_is_true(job, kind)).unwrap_or("Running")
    };
    let [names, images] = row.containers("spec.template.spec");
    let selector = json!(label_selector(row.at("spec.selector")));
    vec![row.name(), json!(state), json!(completions), json!(duration(row)), row.age(), names, images, selector]
}

/// From a job's start to its end, or to now while it runs.
fn duration(row: &Row<'_>) -> String {
    let Some(start) = text(row.object, "status.startTime").and_then(age::parse) else { return String::new() };
    let end = text(row.object, "status.completionTime").and_then(age::parse).unwrap_or(row.now);
    age::span(end.as_second() - start.as_second())
}

fn cron_job(row: &Row<'_>) -> Vec<Value> {
    let suspended = at(row.object, "spec.suspend").and_then(Value::as_bool).unwrap_or_default();
    let last = match text(row.object, "status.lastScheduleTime") {
        Some(time) => age::since(Some(time), row.now),
        None => "<none>".to_owned(),
    };
    let [names, images] = row.containers("spec.jobTemplate.spec.template.spec");
    vec![
        row.name(),
        row.text("spec.schedule"),
        row.text_or("spec.timeZone", "<none>"),
        json!(if suspended { "True" } else { "False" }),
        json!(row.list("status.active").len()),
        json!(last),
        row.age(),
        names,
        images,
        json!(label_selector(row.at("spec.jobTemplate.spec.selector"))),
    ]
}

fn autoscaler(row: &Row<'_>) -> Vec<Value> {
    let target = |field: &str| text(row.object, &format!("spec.scaleTargetRef.{field}")).unwrap_or_default();
    vec![
        row.name(),
        json!(format!("{}/{}", target("kind"), target("name"))),
        json!(targets(row)),
        json!(row.at("spec.minReplicas").map_or_else(|| "<unset>".to_owned(), plain)),
        row.number("spec.maxReplicas"),
        row.number("status.currentReplicas"),
        row.age(),
    ]
}

fn targets(row: &Row<'_>) -> String {
    if let Some(target) = row.at("spec.targetCPUUtilizationPercentage") {
        let current = row.at("status.currentCPUUtilizationPercentage").map(|current| format!("{current}%"));
        return format!("cpu: {}/{target}%", current.unwrap_or_else(|| "<unknown>".to_owned()));
    }
    let current = row.list("status.currentMetrics");
    let all: Vec<String> = row
        .list("spec.metrics")
        .iter()
        .enumerate()
        .map(|(index, metric)| metric_target(metric, current.get(index)))
        .collect();
    if all.is_empty() { "<none>".to_owned() } else { shortened(&all, METRICS_MAX, ", ") }
}

/// One metric as `what: current/target`.
fn metric_target(metric: &Value, current: Option<&Value>) -> String {
    let kind = text(metric, "type").unwrap_or_default();
    let source = match kind {
        "ContainerResource" => "containerResource",
        "Resource" => "resource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => return "<unknown type>".to_owned(),
    };
    let spec = at(metric, source).unwrap_or(&Value::Null);
    let now = |field: &str| {
        let value = current.and_then(|current| at(current, &format!("{source}.current.{field}")));
        value.map_or_else(|| "<unknown>".to_owned(), plain)
    };
    let resource = matches!(kind, "Resource" | "ContainerResource");
    let name = if resource { format!("{}: ", text(spec, "name").unwrap_or_default()) } else { String::new() };
    if let Some(average) = at(spec, "target.averageUtilization") {
        let used = now("averageUtilization");
        let percent = if used == "<unknown>" { "" } else { "%" };
        return format!("{name}{used}{percent}/{average}%");
    }
    if let Some(average) = at(spec, "target.averageValue") {
        let note = if matches!(kind, "Object" | "External") { " (avg)" } else { "" };
        return format!("{name}{}/{}{note}", now("averageValue"), plain(average));
    }
    format!("{name}{}/{}", now("value"), at(spec, "target.value").map_or_else(|| "<unset>".to_owned(), plain))
}
