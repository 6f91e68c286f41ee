//! A node in words: its state, what it has, what runs on it and how much of it is taken.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{Beside, Text, ago, date, flag_at, list_at, name, plain, str_at};

pub fn node(out: &mut Text, object: &Value, beside: &Beside, now: Timestamp) {
    out.pair(0, "Name", name(object));
    let cells = api::print::cells("", "nodes", object, now);
    out.pair(0, "Roles", cells.get(2).and_then(Value::as_str).unwrap_or("<none>"));
    out.labels(object);
    out.pair(0, "CreationTimestamp", date(str_at(object, "/metadata/creationTimestamp")));
    taints(out, object);
    out.pair(0, "Unschedulable", flag_at(object, "/spec/unschedulable").to_string());
    out.line(0, "Lease:");
    let lease = |path: &str| beside.lease.as_ref().and_then(|lease| str_at(lease, path));
    out.pair(1, "HolderIdentity", lease("/spec/holderIdentity").unwrap_or("<unset>"));
    out.pair(1, "AcquireTime", date(lease("/spec/acquireTime")));
    out.pair(1, "RenewTime", date(lease("/spec/renewTime")));
    conditions(out, object);
    let addresses = list_at(object, "/status/addresses");
    out.line(0, "Addresses:");
    for address in addresses {
        out.pair(1, str_at(address, "/type").unwrap_or_default(), str_at(address, "/address").unwrap_or_default());
    }
    for (label, path) in [("Capacity", "/status/capacity"), ("Allocatable", "/status/allocatable")] {
        if let Some(amounts) = object.pointer(path).and_then(Value::as_object).filter(|amounts| !amounts.is_empty()) {
            out.line(0, format!("{label}:"));
            let sorted: BTreeMap<_, _> = amounts.iter().collect();
            sorted.into_iter().for_each(|(name, amount)| out.pair(1, name, plain(amount)));
        }
    }
    info(out, object);
    for (label, path) in [("PodCIDR", "/spec/podCIDR"), ("ProviderID", "/spec/providerID")] {
        if let Some(found) = str_at(object, path).filter(|found| !found.is_empty()) {
            out.pair(0, label, found);
        }
    }
    if let Some(cidrs) = object.pointer("/spec/podCIDRs").and_then(Value::as_array).filter(|cidrs| !cidrs.is_empty()) {
        out.pair(0, "PodCIDRs", cidrs.iter().map(plain).collect::<Vec<_>>().join(","));
    }
    pods(out, object, beside, now);
}

fn taints(out: &mut Text, object: &Value) {
    let mut taints: Vec<String> = list_at(object, "/spec/taints")
        .iter()
        .map(|taint| {
            let value = str_at(taint, "/value")
                .filter(|value| !value.is_empty())
                .map(|value| format!("={value}"))
                .unwrap_or_default();
            format!(
                "{}{value}:{}",
                str_at(taint, "/key").unwrap_or_default(),
                str_at(taint, "/effect").unwrap_or_default()
            )
        })
        .collect();
    taints.sort();
    if taints.is_empty() {
        return out.pair(0, "Taints", "<none>");
    }
    for (index, taint) in taints.into_iter().enumerate() {
        if index == 0 { out.pair(0, "Taints", taint) } else { out.line(0, format!("\t{taint}")) }
    }
}

fn conditions(out: &mut Text, object: &Value) {
    let conditions = list_at(object, "/status/conditions");
    if conditions.is_empty() {
        return;
    }
    out.line(0, "Conditions:");
    out.line(1, "Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage");
    out.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
    for condition in conditions {
        let text = |path: &str| str_at(condition, path);
        out.line(
            1,
            format!(
                "{} \t{} \t{} \t{} \t{} \t{}",
                text("/type").unwrap_or_default(),
                text("/status").unwrap_or_default(),
                date(text("/lastHeartbeatTime")),
                date(text("/lastTransitionTime")),
                text("/reason").unwrap_or_default(),
                text("/message").unwrap_or_default()
            ),
        );
    }
}

fn info(out: &mut Text, object: &Value) {
    let labels = [
        ("Machine ID", "machineID"),
        ("System UUID", "systemUUID"),
        ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
    ];
    out.line(0, "System Info:");
    for (label, field) in labels {
        out.pair(1, label, str_at(object, &format!("/status/nodeInfo/{field}")).unwrap_or_default());
    }
}

/// An amount in thousandths of its unit.
pub fn milli(text: &str) -> i128 {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-' && c != '+').unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: i128 = whole.parse().unwrap_or_default();
    // Nine digits after the point are more than anyone writes.
    let fraction: i128 = format!("{fraction:0<9.9}").parse().unwrap_or_default();
    let nano = whole * 1_000_000_000 + fraction;
    let milli = |factor: i128| nano * factor / 1_000_000;
    match suffix {
        "n" => nano / 1_000_000_000_000_000,
        "u" => nano / 1_000_000_000_000,
        "m" => nano / 1_000_000_000,
        "" => milli(1),
        "k" => milli(1_000),
        "M" => milli(1_000_000),
        "G" => milli(1_000_000_000),
        "T" => milli(1_000_000_000_000),
        "P" => milli(1_000_000_000_000_000),
        "E" => milli(1_000_000_000_000_000_000),
        "Ki" => milli(1 << 10),
        "Mi" => milli(1 << 20),
        "Gi" => milli(1 << 30),
        "Ti" => milli(1 << 40),
        "Pi" => milli(1 << 50),
        "Ei" => milli(1 << 60),
        exponent => {
            let power: u32 = exponent.trim_start_matches(['e', 'E', '+']).parse().unwrap_or_default();
            milli(10_i128.checked_pow(power.min(20)).unwrap_or(1))
        }
    }
}

/// An amount as quantities are written: `310m`, `2`, `64Mi`.
fn amount(resource: &str, milli: i128) -> String {
    if resource == "cpu" || milli % 1000 != 0 {
        return if milli % 1000 == 0 { (milli / 1000).to_string() } else { format!("{milli}m") };
    }
    let units = milli / 1000;
    let binary = [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
    let fits = binary.into_iter().find(|(_, power)| units != 0 && units % (1 << power) == 0);
    fits.map_or_else(|| units.to_string(), |(name, power)| format!("{}{name}", units >> power))
}

/// What a pod asks for: its containers' sum, or an init container's share where that is more; sidecars stay beside both.
pub fn pod_amount(pod: &Value, side: &str, resource: &str) -> i128 {
    let of = |container: &Value| {
        container
            .pointer(&format!("/resources/{side}"))
            .and_then(|all| all.get(resource))
            .map_or(0, |found| milli(&plain(found)))
    };
    let mut sum: i128 = list_at(pod, "/spec/containers").iter().map(of).sum();
    let (mut sidecars, mut peak) = (0, 0);
    for init in list_at(pod, "/spec/initContainers") {
        if str_at(init, "/restartPolicy") == Some("Always") {
            sidecars += of(init);
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars + of(init));
        }
    }
    sum += sidecars;
    let overhead =
        pod.pointer("/spec/overhead").and_then(|all| all.get(resource)).map_or(0, |found| milli(&plain(found)));
    let total = sum.max(peak);
    if total > 0 || side == "requests" { total + overhead } else { total }
}

fn pods(out: &mut Text, object: &Value, beside: &Beside, now: Timestamp) {
    let allocatable = |resource: &str| {
        let found = object
            .pointer("/status/allocatable")
            .or_else(|| object.pointer("/status/capacity"))
            .and_then(|all| all.get(resource));
        found.map_or(0, |found| milli(&plain(found)))
    };
    let share = |amount: i128, resource: &str| match allocatable(resource) {
        0 => 0,
        all => amount * 100 / all,
    };
    let cell = |resource: &str, milli: i128| format!("{} ({}%)", amount(resource, milli), share(milli, resource));
    let running = |pod: &&Value| !matches!(str_at(pod, "/status/phase"), Some("Succeeded" | "Failed"));
    let mut pods: Vec<&Value> = beside.pods.iter().filter(running).collect();
    pods.sort_by_key(|pod| (str_at(pod, "/metadata/namespace").unwrap_or_default().to_owned(), name(pod).to_owned()));
    out.line(0, format!("Non-terminated Pods:\t({} in total)", pods.len()));
    out.line(1, "Namespace\tName\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    out.line(1, "---------\t----\t------------\t----------\t---------------\t-------------\t---");
    for pod in &pods {
        let sides = [("requests", "cpu"), ("limits", "cpu"), ("requests", "memory"), ("limits", "memory")];
        let cells = sides.map(|(side, resource)| cell(resource, pod_amount(pod, side, resource)));
        out.line(
            1,
            format!(
                "{}\t{}\t{}\t{}",
                str_at(pod, "/metadata/namespace").unwrap_or_default(),
                name(pod),
                cells.join("\t"),
                ago(str_at(pod, "/metadata/creationTimestamp"), now)
            ),
        );
    }
    out.line(0, "Allocated resources:");
    out.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)");
    out.line(1, "Resource\tRequests\tLimits");
    out.line(1, "--------\t--------\t------");
    let mut resources = vec!["cpu".to_owned(), "memory".to_owned(), "ephemeral-storage".to_owned()];
    let others = object
        .pointer("/status/allocatable")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone());
    let mut others: Vec<String> = others.filter(|name| !resources.contains(name) && name != "pods").collect();
    others.sort();
    resources.extend(others);
    for resource in resources {
        let sum = |side: &str| pods.iter().map(|pod| pod_amount(pod, side, &resource)).sum::<i128>();
        let countable =
            matches!(resource.as_str(), "cpu" | "memory" | "ephemeral-storage") || resource.starts_with("hugepages-");
        let text = |milli: i128| if countable { cell(&resource, milli) } else { amount(&resource, milli) };
        out.line(1, format!("{resource}\t{}\t{}", text(sum("requests")), text(sum("limits"))));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_read_and_written_as_quantities() {
        for (text, want) in
            [("100m", 100), ("2", 2000), ("1.5", 1500), ("1Ki", 1_024_000), ("1e3", 1_000_000), ("0", 0), ("0.1", 100)]
        {
            assert_eq!(milli(text), want, "{text}");
        }
        assert_eq!(
            (amount("cpu", 310).as_str(), amount("cpu", 2000).as_str(), amount("memory", milli("64Mi")).as_str()),
            ("310m", "2", "64Mi")
        );
    }

    #[test]
    fn an_init_container_counts_where_it_asks_for_more() {
        let with = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        let pod = json!({"spec": {"containers": [with("100m"), with("200m")], "initContainers": [with("500m")]}});
        assert_eq!(pod_amount(&pod, "requests", "cpu"), 500);
    }
}
