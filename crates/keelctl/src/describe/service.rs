//! Services and endpoints in words.

use serde_json::Value;

use super::{Beside, Text, flag_at, int_at, list_at, name, plain, str_at};

/// Endpoints shown before the rest is only counted.
const ENDPOINTS_MAX: usize = 3;

pub fn service(out: &mut Text, object: &Value, beside: &Beside) {
    let text = |path: &str| str_at(object, path).unwrap_or_default();
    out.metadata(object);
    out.pair(0, "Selector", api::print::join_map(object.pointer("/spec/selector")));
    out.pair(0, "Type", text("/spec/type"));
    out.pair(0, "IP Family Policy", text("/spec/ipFamilyPolicy"));
    let joined = |path: &str| {
        let all: Vec<String> = list_at(object, path).iter().map(plain).collect();
        if all.is_empty() { "<none>".to_owned() } else { all.join(",") }
    };
    out.pair(0, "IP Families", joined("/spec/ipFamilies"));
    out.pair(0, "IP", text("/spec/clusterIP"));
    out.pair(0, "IPs", joined("/spec/clusterIPs"));
    if !list_at(object, "/spec/externalIPs").is_empty() {
        out.pair(0, "External IPs", joined("/spec/externalIPs"));
    }
    if !text("/spec/externalName").is_empty() {
        out.pair(0, "External Name", text("/spec/externalName"));
    }
    let ingress: Vec<String> = list_at(object, "/status/loadBalancer/ingress")
        .iter()
        .filter_map(|point| str_at(point, "/ip").or(str_at(point, "/hostname")))
        .map(str::to_owned)
        .collect();
    if !ingress.is_empty() {
        out.pair(0, "LoadBalancer Ingress", ingress.join(", "));
    }
    for port in list_at(object, "/spec/ports") {
        ports(out, port, beside);
    }
    out.pair(0, "Session Affinity", text("/spec/sessionAffinity"));
    for (label, path) in [
        ("External Traffic Policy", "/spec/externalTrafficPolicy"),
        ("Internal Traffic Policy", "/spec/internalTrafficPolicy"),
    ] {
        if !text(path).is_empty() {
            out.pair(0, label, text(path));
        }
    }
}

fn ports(out: &mut Text, port: &Value, beside: &Beside) {
    let protocol = str_at(port, "/protocol").unwrap_or("TCP");
    let port_name = str_at(port, "/name").filter(|name| !name.is_empty());
    out.line(0, format!("Port:\t{}\t{}/{protocol}", port_name.unwrap_or("<unset>"), int_at(port, "/port")));
    out.pair(0, "TargetPort", format!("{}/{protocol}", port.get("targetPort").map(plain).unwrap_or_default()));
    if int_at(port, "/nodePort") > 0 {
        out.line(0, format!("NodePort:\t{}\t{}/{protocol}", port_name.unwrap_or("<unset>"), int_at(port, "/nodePort")));
    }
    let mut all = Vec::new();
    for slice in &beside.endpoint_slices {
        let found = list_at(slice, "/ports")
            .iter()
            .find(|found| str_at(found, "/name").filter(|name| !name.is_empty()) == port_name);
        let Some(number) = found.map(|found| int_at(found, "/port")) else { continue };
        for endpoint in list_at(slice, "/endpoints") {
            if endpoint.pointer("/conditions/ready").is_none() || flag_at(endpoint, "/conditions/ready") {
                all.extend(list_at(endpoint, "/addresses").iter().map(|ip| join(&plain(ip), number)));
            }
        }
    }
    let more = all.len().saturating_sub(ENDPOINTS_MAX);
    let shown = all.into_iter().take(ENDPOINTS_MAX).collect::<Vec<_>>().join(",");
    out.pair(0, "Endpoints", if more > 0 { format!("{shown} + {more} more...") } else { shown });
}

fn join(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

pub fn endpoints(out: &mut Text, object: &Value) {
    out.pair(0, "Name", name(object));
    out.pair(0, "Namespace", str_at(object, "/metadata/namespace").unwrap_or_default());
    out.labels(object);
    out.line(0, "Subsets:");
    for subset in list_at(object, "/subsets") {
        let joined = |path: &str| {
            let all: Vec<&str> = list_at(subset, path).iter().filter_map(|address| str_at(address, "/ip")).collect();
            if all.is_empty() { "<none>".to_owned() } else { all.join(",") }
        };
        out.pair(1, "Addresses", joined("/addresses"));
        out.pair(1, "NotReadyAddresses", joined("/notReadyAddresses"));
        if !list_at(subset, "/ports").is_empty() {
            out.line(1, "Ports:");
            out.line(2, "Name\tPort\tProtocol");
            out.line(2, "----\t----\t--------");
            for port in list_at(subset, "/ports") {
                let name = str_at(port, "/name").filter(|name| !name.is_empty()).unwrap_or("<unset>");
                out.line(
                    2,
                    format!("{name}\t{}\t{}", int_at(port, "/port"), str_at(port, "/protocol").unwrap_or_default()),
                );
            }
        }
        out.line(0, "");
    }
}
