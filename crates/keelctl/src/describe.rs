//! Objects in words, as kubectl's describe puts them. Pure: everything to tell is passed in.
//!
//! Texts have tabs between cells; `output::tabs::details` lines them up.

pub mod config;
pub mod container;
pub mod event;
pub mod node;
pub mod pod;
pub mod service;
pub mod volume;
pub mod workload;

use jiff::Timestamp;
use serde_json::Value;

pub use container::pod_template;

/// What a description may need beside the object itself.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    pub events: Vec<Value>,
    /// Pods that belong to the object, or run on it.
    pub pods: Vec<Value>,
    pub replica_sets: Vec<Value>,
    pub endpoint_slices: Vec<Value>,
    pub lease: Option<Value>,
}

/// The text for an object of a kind.
pub fn text(kind: &str, object: &Value, beside: &Beside, now: Timestamp) -> String {
    let mut out = Text::default();
    match kind {
        "Pod" => pod::pod(&mut out, object),
        "Deployment" => workload::deployment(&mut out, object, beside),
        "ReplicaSet" => workload::replica_set(&mut out, object, beside),
        "StatefulSet" => workload::stateful_set(&mut out, object, beside),
        "DaemonSet" => workload::daemon_set(&mut out, object, beside),
        "Job" => workload::job(&mut out, object),
        "Service" => service::service(&mut out, object, beside),
        "Endpoints" => service::endpoints(&mut out, object),
        "Node" => node::node(&mut out, object, beside, now),
        "Namespace" => config::namespace(&mut out, object),
        "ConfigMap" => config::config_map(&mut out, object),
        "Secret" => config::secret(&mut out, object),
        "ServiceAccount" => config::service_account(&mut out, object),
        "PersistentVolume" => volume::persistent_volume(&mut out, object),
        "PersistentVolumeClaim" => volume::claim(&mut out, object, beside),
        "PriorityClass" => config::priority_class(&mut out, object),
        _ => config::any(&mut out, object),
    }
    // The kinds whose description kubectl ends without events.
    if !matches!(kind, "Secret" | "ReplicaSet") || !beside.events.is_empty() {
        event::events(&mut out, &beside.events, now);
    }
    out.0
}

/// Lines of tabbed cells.
#[derive(Default)]
pub struct Text(pub String);

impl Text {
    pub fn line(&mut self, indent: usize, text: impl AsRef<str>) {
        self.0.extend(std::iter::repeat_n("  ", indent));
        self.0.push_str(text.as_ref());
        self.0.push('\n');
    }

    /// `Label:<tab>value`
    pub fn pair(&mut self, indent: usize, label: &str, value: impl AsRef<str>) {
        self.line(indent, format!("{label}:\t{}", value.as_ref()));
    }

    /// A label with the entries of a map, one a line: `a=b`.
    pub fn map(&mut self, indent: usize, label: &str, map: Option<&Value>, separator: &str, skip: &[&str]) {
        let mut entries: Vec<(&String, &Value)> = map
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter(|(key, _)| !skip.contains(&key.as_str()))
            .collect();
        entries.sort_by(|a, b| a.0.cmp(b.0));
        if entries.is_empty() {
            return self.pair(indent, label, "<none>");
        }
        for (index, (key, value)) in entries.into_iter().enumerate() {
            let value = plain(value);
            let entry = if separator == ": " && (value.contains('\n') || value.len() > 140) {
                format!(
                    "{key}:\n{}",
                    value
                        .trim_end()
                        .lines()
                        .map(|line| format!("{}\t  {line}", "  ".repeat(indent)))
                        .collect::<Vec<_>>()
                        .join("\n")
                )
            } else {
                format!("{key}{separator}{value}")
            };
            if index == 0 { self.pair(indent, label, entry) } else { self.line(indent, format!("\t{entry}")) }
        }
    }

    /// Name, namespace, labels, annotations: how most descriptions begin.
    pub fn metadata(&mut self, object: &Value) {
        self.pair(0, "Name", name(object));
        if let Some(namespace) = str_at(object, "/metadata/namespace") {
            self.pair(0, "Namespace", namespace);
        }
        self.labels(object);
    }

    pub fn labels(&mut self, object: &Value) {
        self.map(0, "Labels", object.pointer("/metadata/labels"), "=", &[]);
        self.annotations(object);
    }

    pub fn annotations(&mut self, object: &Value) {
        self.map(0, "Annotations", object.pointer("/metadata/annotations"), ": ", &[crate::merge::LAST_APPLIED]);
    }
}

pub fn name(object: &Value) -> &str {
    str_at(object, "/metadata/name").unwrap_or_default()
}

pub fn str_at<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
    object.pointer(path).and_then(Value::as_str)
}

pub fn int_at(object: &Value, path: &str) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or_default()
}

pub fn list_at<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    object.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub fn flag_at(object: &Value, path: &str) -> bool {
    object.pointer(path).and_then(Value::as_bool).unwrap_or_default()
}

pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `True` or `False`.
pub fn title(flag: bool) -> &'static str {
    if flag { "True" } else { "False" }
}

pub fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    list_at(object, "/metadata/ownerReferences").iter()
}

/// `Deployment/hello`: who controls an object.
pub fn controller(object: &Value) -> Option<String> {
    let owner = owners(object).find(|owner| flag_at(owner, "/controller"))?;
    Some(format!("{}/{}", str_at(owner, "/kind").unwrap_or_default(), str_at(owner, "/name").unwrap_or_default()))
}

pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list_at(object, "/status/conditions").iter().find(|condition| str_at(condition, "/type") == Some(kind))
}

/// Is the pod's Ready condition true?
pub fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|ready| str_at(ready, "/status") == Some("True"))
}

/// A time as describe writes it: `Mon, 23 Nov 2026 18:17:36 +0000`.
pub fn date(time: Option<&str>) -> String {
    let Some(time) = time.and_then(|time| time.parse::<Timestamp>().ok()) else { return "<unset>".to_owned() };
    time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

/// How long ago a time was.
pub fn ago(time: Option<&str>, now: Timestamp) -> String {
    api::print::since(time, now)
}

#[cfg(test)]
mod tests;
