//! Rows of services, endpoint slices, ingresses, policies, address ranges.

use serde_json::{Value, json};

use super::value::{at, list, number, plain, shortened, text, texts};
use super::{Row, join_map, label_selector};

/// Ports, endpoints and hosts shown before the rest is only counted.
const ITEMS_MAX: usize = 3;

pub fn cells(group: &str, resource: &str, row: &Row<'_>) -> Option<Vec<Value>> {
    Some(match (group, resource) {
        ("discovery.k8s.io", "endpointslices") => {
            let (ports, endpoints) = (ports(row), addresses(row));
            vec![row.name(), row.text("addressType"), json!(ports), json!(endpoints), row.age()]
        }
        ("networking.k8s.io", "ingresses") => ingress(row),
        ("networking.k8s.io", "ingressclasses") => {
            vec![row.name(), row.text("spec.controller"), json!(parameters(row)), row.age()]
        }
        ("networking.k8s.io", "networkpolicies") => {
            vec![row.name(), json!(label_selector(row.at("spec.podSelector"))), row.age()]
        }
        ("networking.k8s.io", "servicecidrs") => {
            let cidrs: Vec<&str> = row.list("spec.cidrs").iter().filter_map(Value::as_str).collect();
            vec![row.name(), json!(cidrs.join(",")), row.age()]
        }
        ("networking.k8s.io", "ipaddresses") => {
            let parts = ["group", "resource", "namespace", "name"]
                .map(|field| text(row.object, &format!("spec.parentRef.{field}")));
            let parent: Vec<&str> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
            vec![row.name(), json!(parent.join("/"))]
        }
        _ => return None,
    })
}

pub fn service(row: &Row<'_>) -> Vec<Value> {
    let ports: Vec<String> = row.list("spec.ports").iter().map(service_port).collect();
    let ports = if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") };
    let cluster_ip = row.list("spec.clusterIPs").first().and_then(Value::as_str);
    let cluster_ip = cluster_ip.or_else(|| text(row.object, "spec.clusterIP")).filter(|ip| !ip.is_empty());
    vec![
        row.name(),
        row.text("spec.type"),
        json!(cluster_ip.unwrap_or("<none>")),
        json!(external(row)),
        json!(ports),
        row.age(),
        json!(join_map(row.at("spec.selector"))),
    ]
}

fn service_port(port: &Value) -> String {
    let protocol = text(port, "protocol").unwrap_or("TCP");
    match number(port, "nodePort") {
        0 => format!("{}/{protocol}", number(port, "port")),
        node_port => format!("{}:{node_port}/{protocol}", number(port, "port")),
    }
}

/// Where a service can be reached from outside.
fn external(row: &Row<'_>) -> String {
    let ips: Vec<&str> = row.list("spec.externalIPs").iter().filter_map(Value::as_str).collect();
    let kind = text(row.object, "spec.type").unwrap_or("ClusterIP");
    let all: Vec<&str> = match kind {
        "ExternalName" => vec![text(row.object, "spec.externalName").unwrap_or_default()],
        "LoadBalancer" => balancer(row).into_iter().chain(ips).collect(),
        _ => ips,
    };
    match (all.is_empty(), kind) {
        (false, _) => all.join(","),
        (true, "LoadBalancer") => "<pending>".to_owned(),
        (true, _) => "<none>".to_owned(),
    }
}

fn balancer<'a>(row: &Row<'a>) -> Vec<&'a str> {
    let points = row.list("status.loadBalancer.ingress").iter();
    points
        .filter_map(|point| text(point, "ip").or_else(|| text(point, "hostname")))
        .filter(|point| !point.is_empty())
        .collect()
}

fn ports(row: &Row<'_>) -> String {
    let ports = row.list("ports").iter();
    let all: Vec<String> = ports
        .map(|port| at(port, "port").map_or_else(|| text(port, "name").unwrap_or("*").to_owned(), plain))
        .collect();
    if all.is_empty() { "<unset>".to_owned() } else { shortened(&all, ITEMS_MAX, ",") }
}

fn addresses(row: &Row<'_>) -> String {
    let endpoints = row.list("endpoints").iter();
    let all: Vec<String> = endpoints.flat_map(|endpoint| list(endpoint, "addresses")).map(plain).collect();
    if all.is_empty() { "<unset>".to_owned() } else { shortened(&all, ITEMS_MAX, ",") }
}

fn ingress(row: &Row<'_>) -> Vec<Value> {
    let rules = row.list("spec.rules");
    let hosts: Vec<String> =
        texts(rules, "host").into_iter().filter(|host| !host.is_empty()).map(str::to_owned).collect();
    let hosts = if hosts.is_empty() { "*".to_owned() } else { shortened(&hosts, ITEMS_MAX, ",") };
    let ports = if row.list("spec.tls").is_empty() { "80" } else { "80, 443" };
    vec![
        row.name(),
        row.text_or("spec.ingressClassName", "<none>"),
        json!(hosts),
        json!(balancer(row).join(",")),
        json!(ports),
        row.age(),
    ]
}

fn parameters(row: &Row<'_>) -> String {
    let Some(parameters) = row.at("spec.parameters") else { return "<none>".to_owned() };
    let kind = text(parameters, "kind").unwrap_or_default();
    let group = text(parameters, "apiGroup").map(|group| format!(".{group}")).unwrap_or_default();
    format!("{kind}{group}/{}", text(parameters, "name").unwrap_or_default())
}
