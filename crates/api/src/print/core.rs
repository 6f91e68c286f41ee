//! Rows of the core group, pods and nodes apart: namespaces, services, config, volumes, events, quotas.

use serde_json::{Value, json};

use super::value::{at, list, number, plain, shortened, text};
use super::{Row, age, join_map, network, node, pod, storage};

/// Endpoints shown before the rest is only counted.
const ENDPOINTS_MAX: usize = 3;

pub fn cells(group: &str, resource: &str, row: &Row<'_>) -> Option<Vec<Value>> {
    if group == "events.k8s.io" && resource == "events" {
        return Some(event(row));
    }
    if !group.is_empty() {
        return None;
    }
    Some(match resource {
        "pods" => pod::cells(row),
        "nodes" => node::cells(row),
        "services" => network::service(row),
        "persistentvolumes" => storage::volume(row),
        "persistentvolumeclaims" => storage::claim(row),
        "events" => event(row),
        "namespaces" => vec![row.name(), row.text("status.phase"), row.age()],
        "configmaps" => vec![row.name(), json!(len(row, "data") + len(row, "binaryData")), row.age()],
        "secrets" => vec![row.name(), row.text("type"), json!(len(row, "data")), row.age()],
        "endpoints" => vec![row.name(), json!(endpoints(row.object)), row.age()],
        "limitranges" => vec![row.name(), row.created()],
        "resourcequotas" => quota(row),
        "componentstatuses" => component(row),
        "podtemplates" => {
            let [names, images] = row.containers("template.spec");
            vec![row.name(), names, images, json!(join_map(row.at("template.metadata.labels")))]
        }
        "replicationcontrollers" => {
            let [names, images] = row.containers("spec.template.spec");
            let selector = json!(join_map(row.at("spec.selector")));
            vec![
                row.name(),
                row.number("spec.replicas"),
                row.number("status.replicas"),
                row.number("status.readyReplicas"),
                row.age(),
                names,
                images,
                selector,
            ]
        }
        _ => return None,
    })
}

fn len(row: &Row<'_>, path: &str) -> usize {
    row.at(path).and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

fn endpoints(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in list(object, "subsets") {
        let ports = list(subset, "ports");
        for address in list(subset, "addresses") {
            let ip = text(address, "ip").unwrap_or_default();
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            all.extend(ports.iter().map(|port| join_host_port(ip, number(port, "port"))));
        }
    }
    if all.is_empty() { "<none>".to_owned() } else { shortened(&all, ENDPOINTS_MAX, ",") }
}

fn join_host_port(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// An event of either group: they hold the same under different names.
fn event(row: &Row<'_>) -> Vec<Value> {
    let event = row.object;
    let either =
        |core: &str, newer: &str| text(event, core).or_else(|| text(event, newer)).filter(|found| !found.is_empty());
    let event_time = text(event, "eventTime");
    let first = either("firstTimestamp", "deprecatedFirstTimestamp").or(event_time);
    let last = text(event, "series.lastObservedTime").or(either("lastTimestamp", "deprecatedLastTimestamp")).or(first);
    let count = [number(event, "series.count"), number(event, "count"), number(event, "deprecatedCount"), 1];
    let regarding = at(event, "involvedObject").or_else(|| at(event, "regarding")).unwrap_or(&Value::Null);
    let about = format!(
        "{}/{}",
        text(regarding, "kind").unwrap_or_default().to_lowercase(),
        text(regarding, "name").unwrap_or_default()
    );
    let component = either("source.component", "deprecatedSource.component")
        .or(either("reportingComponent", "reportingController"))
        .unwrap_or_default();
    let host = either("source.host", "deprecatedSource.host").or(either("reportingInstance", "reportingInstance"));
    let source = host.map_or_else(|| component.to_owned(), |host| format!("{component}, {host}"));
    vec![
        json!(age::since(last, row.now)),
        row.text("type"),
        row.text("reason"),
        json!(about),
        json!(text(regarding, "fieldPath").unwrap_or_default()),
        json!(source),
        json!(either("message", "note").unwrap_or_default().trim()),
        json!(age::since(first, row.now)),
        json!(count.into_iter().find(|count| *count != 0)),
        row.name(),
    ]
}

/// What is used of each hard limit, requests and limits apart.
fn quota(row: &Row<'_>) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let mut hard: Vec<_> = row.at("status.hard").and_then(Value::as_object).into_iter().flatten().collect();
    hard.sort_by(|a, b| a.0.cmp(b.0));
    for (name, most) in hard {
        let used = row.at("status.used").and_then(|used| used.get(name)).map_or_else(|| "0".to_owned(), plain);
        let side = if name.starts_with("limits.") { &mut limits } else { &mut requests };
        side.push(format!("{name}: {used}/{}", plain(most)));
    }
    vec![row.name(), json!(requests.join(", ")), json!(limits.join(", ")), row.age()]
}

fn component(row: &Row<'_>) -> Vec<Value> {
    let healthy = row.list("conditions").iter().find(|condition| text(condition, "type") == Some("Healthy"));
    let (status, message, error) = healthy.map_or(("Unknown", "", ""), |condition| {
        let word = match text(condition, "status") {
            Some("True") => "Healthy",
            Some("False") => "Unhealthy",
            _ => "Unknown",
        };
        (word, text(condition, "message").unwrap_or_default(), text(condition, "error").unwrap_or_default())
    });
    vec![row.name(), json!(status), json!(message), json!(error)]
}
