//! The containers of pods and of pod templates.

use serde_json::Value;

use super::{Text, date, flag_at, int_at, list_at, plain, str_at};

/// A pod template: labels, containers, volumes, where it may run.
pub fn pod_template(template: &Value) -> String {
    let mut out = Text::default();
    write_template(&mut out, template);
    out.0
}

pub fn write_template(out: &mut Text, template: &Value) {
    out.line(0, "Pod Template:");
    out.map(1, "Labels", template.pointer("/metadata/labels"), "=", &[]);
    let annotations = template.pointer("/metadata/annotations");
    if annotations.and_then(Value::as_object).is_some_and(|map| !map.is_empty()) {
        out.map(1, "Annotations", annotations, ": ", &[]);
    }
    let spec = &template["spec"];
    if let Some(account) = str_at(spec, "/serviceAccountName").filter(|account| !account.is_empty()) {
        out.pair(1, "Service Account", account);
    }
    if !list_at(spec, "/initContainers").is_empty() {
        containers(out, 1, "Init Containers", list_at(spec, "/initContainers"), &[], true);
    }
    containers(out, 1, "Containers", list_at(spec, "/containers"), &[], true);
    super::volume::volumes(out, 1, list_at(spec, "/volumes"));
    out.map(1, "Node-Selectors", spec.pointer("/nodeSelector"), "=", &[]);
    tolerations(out, 1, list_at(spec, "/tolerations"));
}

/// A section of containers, with what is known of their state.
pub fn containers(
    out: &mut Text,
    indent: usize,
    label: &str,
    containers: &[Value],
    statuses: &[Value],
    template: bool,
) {
    let pad = "  ".repeat(indent);
    out.line(indent, format!("{label}:"));
    for container in containers {
        let name = str_at(container, "/name").unwrap_or_default();
        let status = statuses.iter().find(|status| str_at(status, "/name") == Some(name));
        // In a template names stand one column in, in a pod two.
        let space = if template { " " } else { "  " };
        out.line(0, format!("{pad}{space}{name}:"));
        container_lines(out, 1, container, status);
    }
}

fn container_lines(out: &mut Text, indent: usize, container: &Value, status: Option<&Value>) {
    let at = indent + 1;
    if let Some(status) = status {
        out.pair(at, "Container ID", str_at(status, "/containerID").unwrap_or_default());
    }
    out.pair(at, "Image", str_at(container, "/image").unwrap_or_default());
    if let Some(status) = status {
        out.pair(at, "Image ID", str_at(status, "/imageID").unwrap_or_default());
    }
    ports(out, at, list_at(container, "/ports"));
    words(out, at, "Command", list_at(container, "/command"));
    words(out, at, "Args", list_at(container, "/args"));
    if let Some(status) = status {
        state(out, at, "State", &status["state"]);
        if status.pointer("/lastState/terminated").is_some() {
            state(out, at, "Last State", &status["lastState"]);
        }
        out.pair(at, "Ready", super::title(flag_at(status, "/ready")));
        out.pair(at, "Restart Count", int_at(status, "/restartCount").to_string());
    }
    amounts(out, at, "Limits", container.pointer("/resources/limits"));
    amounts(out, at, "Requests", container.pointer("/resources/requests"));
    for (label, path) in
        [("Liveness", "/livenessProbe"), ("Readiness", "/readinessProbe"), ("Startup", "/startupProbe")]
    {
        if let Some(probe) = container.pointer(path) {
            out.pair(at, label, describe_probe(probe));
        }
    }
    environment_from(out, at, list_at(container, "/envFrom"));
    environment(out, at, list_at(container, "/env"));
    mounts(out, at, list_at(container, "/volumeMounts"));
}

fn ports(out: &mut Text, indent: usize, ports: &[Value]) {
    let join = |path: &str| {
        let one = |port: &Value| {
            let name = str_at(port, "/name").filter(|name| !name.is_empty()).map(|name| format!(" ({name})"));
            format!("{}/{}{}", int_at(port, path), str_at(port, "/protocol").unwrap_or("TCP"), name.unwrap_or_default())
        };
        let all: Vec<String> = ports.iter().map(one).collect();
        if all.is_empty() { "<none>".to_owned() } else { all.join(", ") }
    };
    let plural = if ports.len() > 1 { "s" } else { "" };
    out.pair(indent, &format!("Port{plural}"), join("/containerPort"));
    out.pair(indent, &format!("Host Port{plural}"), join("/hostPort"));
}

fn words(out: &mut Text, indent: usize, label: &str, words: &[Value]) {
    if words.is_empty() {
        return;
    }
    out.line(indent, format!("{label}:"));
    for word in words {
        for line in word.as_str().unwrap_or_default().split('\n') {
            out.line(indent + 1, line);
        }
    }
}

fn amounts(out: &mut Text, indent: usize, label: &str, amounts: Option<&Value>) {
    let Some(amounts) = amounts.and_then(Value::as_object).filter(|amounts| !amounts.is_empty()) else { return };
    out.line(indent, format!("{label}:"));
    for (name, amount) in amounts {
        out.pair(indent + 1, name, plain(amount));
    }
}

fn state(out: &mut Text, indent: usize, label: &str, state: &Value) {
    let text = |path: &str| str_at(state, path);
    if state.get("running").is_some() {
        out.pair(indent, label, "Running");
        out.pair(indent + 1, "Started", date(text("/running/startedAt")));
    } else if state.get("terminated").is_some() {
        out.pair(indent, label, "Terminated");
        if let Some(reason) = text("/terminated/reason").filter(|reason| !reason.is_empty()) {
            out.pair(indent + 1, "Reason", reason);
        }
        if let Some(message) = text("/terminated/message").filter(|message| !message.is_empty()) {
            out.pair(indent + 1, "Message", message.trim_end());
        }
        out.pair(indent + 1, "Exit Code", int_at(state, "/terminated/exitCode").to_string());
        if int_at(state, "/terminated/signal") > 0 {
            out.pair(indent + 1, "Signal", int_at(state, "/terminated/signal").to_string());
        }
        out.pair(indent + 1, "Started", date(text("/terminated/startedAt")));
        out.pair(indent + 1, "Finished", date(text("/terminated/finishedAt")));
    } else {
        out.pair(indent, label, "Waiting");
        if let Some(reason) = text("/waiting/reason").filter(|reason| !reason.is_empty()) {
            out.pair(indent + 1, "Reason", reason);
        }
    }
}

fn describe_probe(probe: &Value) -> String {
    let number = |path: &str| int_at(probe, path);
    let attributes = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("/initialDelaySeconds"),
        number("/timeoutSeconds"),
        number("/periodSeconds"),
        number("/successThreshold"),
        number("/failureThreshold")
    );
    let action = if let Some(exec) = probe.get("exec") {
        let command: Vec<String> = list_at(exec, "/command").iter().map(plain).collect();
        format!("exec [{}]", command.join(" "))
    } else if let Some(http) = probe.get("httpGet") {
        let (scheme, host) =
            (str_at(http, "/scheme").unwrap_or("HTTP").to_lowercase(), str_at(http, "/host").unwrap_or_default());
        let port = http.get("port").map(plain).unwrap_or_default();
        let path = str_at(http, "/path").unwrap_or("/");
        format!("http-get {scheme}://{host}:{port}{path}")
    } else if let Some(tcp) = probe.get("tcpSocket") {
        format!(
            "tcp-socket {}:{}",
            str_at(tcp, "/host").unwrap_or_default(),
            tcp.get("port").map(plain).unwrap_or_default()
        )
    } else if let Some(grpc) = probe.get("grpc") {
        format!("grpc <pod>:{} {}", int_at(grpc, "/port"), str_at(grpc, "/service").unwrap_or_default())
    } else {
        "unknown".to_owned()
    };
    format!("{action} {attributes}")
}

fn environment_from(out: &mut Text, indent: usize, sources: &[Value]) {
    if sources.is_empty() {
        return;
    }
    out.line(indent, "Environment Variables from:");
    for source in sources {
        let (kind, from) = if source.get("configMapRef").is_some() {
            ("ConfigMap", &source["configMapRef"])
        } else {
            ("Secret", &source["secretRef"])
        };
        let prefix = str_at(source, "/prefix")
            .filter(|prefix| !prefix.is_empty())
            .map(|prefix| format!(" with prefix '{prefix}'"));
        out.line(
            indent + 1,
            format!(
                "{}\t{kind}{}\tOptional: {}",
                str_at(from, "/name").unwrap_or_default(),
                prefix.unwrap_or_default(),
                flag_at(from, "/optional")
            ),
        );
    }
}

fn environment(out: &mut Text, indent: usize, variables: &[Value]) {
    if variables.is_empty() {
        return out.pair(indent, "Environment", "<none>");
    }
    out.line(indent, "Environment:");
    for variable in variables {
        let name = str_at(variable, "/name").unwrap_or_default();
        let from = |path: &str| variable.pointer(&format!("/valueFrom/{path}"));
        let value = if let Some(field) = from("fieldRef") {
            format!(
                " ({}:{})",
                str_at(field, "/apiVersion").unwrap_or("v1"),
                str_at(field, "/fieldPath").unwrap_or_default()
            )
        } else if let Some(resource) = from("resourceFieldRef") {
            let divisor = resource
                .get("divisor")
                .map(plain)
                .filter(|divisor| divisor != "0")
                .unwrap_or_else(|| "node allocatable".to_owned());
            format!("{divisor} ({})", str_at(resource, "/resource").unwrap_or_default())
        } else if let Some((kind, key)) = from("secretKeyRef")
            .map(|key| ("secret", key))
            .or_else(|| from("configMapKeyRef").map(|key| ("config map", key)))
        {
            format!(
                "<set to the key '{}' in {kind} '{}'>\tOptional: {}",
                str_at(key, "/key").unwrap_or_default(),
                str_at(key, "/name").unwrap_or_default(),
                flag_at(key, "/optional")
            )
        } else {
            let value = str_at(variable, "/value").unwrap_or_default();
            value.split('\n').collect::<Vec<_>>().join(&format!("\n{}\t", "  ".repeat(indent + 1)))
        };
        out.pair(indent + 1, name, value);
    }
}

fn mounts(out: &mut Text, indent: usize, mounts: &[Value]) {
    if mounts.is_empty() {
        return out.pair(indent, "Mounts", "<none>");
    }
    out.line(indent, "Mounts:");
    let mut lines: Vec<String> = mounts
        .iter()
        .map(|mount| {
            let mode = if flag_at(mount, "/readOnly") { "ro" } else { "rw" };
            let path = str_at(mount, "/subPath")
                .filter(|path| !path.is_empty())
                .map(|path| format!(",path=\"{path}\""))
                .unwrap_or_default();
            format!(
                "{} from {} ({mode}{path})",
                str_at(mount, "/mountPath").unwrap_or_default(),
                str_at(mount, "/name").unwrap_or_default()
            )
        })
        .collect();
    lines.sort();
    lines.into_iter().for_each(|line| out.line(indent + 1, line));
}

/// The tolerations, one a line.
pub fn tolerations(out: &mut Text, indent: usize, tolerations: &[Value]) {
    if tolerations.is_empty() {
        return out.pair(indent, "Tolerations", "<none>");
    }
    let mut lines: Vec<String> = tolerations.iter().map(toleration).collect();
    lines.sort();
    for (index, line) in lines.into_iter().enumerate() {
        if index == 0 { out.pair(indent, "Tolerations", line) } else { out.line(indent, format!("\t{line}")) }
    }
}

fn toleration(toleration: &Value) -> String {
    let text = |path: &str| str_at(toleration, path).filter(|text| !text.is_empty());
    let mut line = text("/key").unwrap_or_default().to_owned();
    if let Some(value) = text("/value") {
        line.push_str(&format!("={value}"));
    }
    if let Some(effect) = text("/effect") {
        line.push_str(&format!(":{effect}"));
    }
    if text("/operator") == Some("Exists") {
        let space = if line.is_empty() { "" } else { " " };
        line.push_str(&format!("{space}op=Exists"));
    }
    if let Some(seconds) = toleration.get("tolerationSeconds").and_then(Value::as_i64) {
        line.push_str(&format!(" for {seconds}s"));
    }
    line
}
