//! Requests as the facts record them, and which of them concern the kinds that are served.

use serde_json::Value;

/// Resources of served groups that are answered, not stored.
const ANSWERED: &[&str] = &["authentication.k8s.io", "authorization.k8s.io"];

/// Where a request goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    pub group: String,
    pub version: String,
    pub plural: String,
    pub namespace: String,
    pub name: String,
    pub subresource: String,
    /// What follows the question mark.
    pub query: Vec<(String, String)>,
}

impl Target {
    /// Reads a REST path; `None` where it names no resource.
    pub fn parse(path: &str) -> Option<Self> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let steps: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match steps.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..]
                if rest.first().is_some_and(|step| !matches!(*step, "status" | "finalize")) =>
            {
                (*namespace, rest)
            }
            rest => ("", rest),
        };
        let step = |index: usize| rest.get(index).copied().unwrap_or_default().to_owned();
        Some(Self {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: step(0),
            namespace: namespace.to_owned(),
            name: step(1),
            subresource: step(2),
            query: pairs(query),
        })
    }

    /// Whether the target is a stored object of a kind that is served.
    pub fn is_served(&self) -> bool {
        let row = api::resource::find(&self.group, &self.version, &self.plural);
        row.is_some() && !ANSWERED.contains(&self.group.as_str())
    }

    /// The value of a query parameter; empty where it is not given.
    pub fn parameter(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| text.replace('+', " ").replace("%20", " ").replace("%3D", "=").replace("%2C", ",");
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

/// The body of a request with its long parts written out.
pub fn body(request: &Value) -> String {
    match &request["body"] {
        Value::String(text) => text.clone(),
        value => expand(value).to_string(),
    }
}

/// `@repeat:N` is N times x, `@repeatlist:N:E` an array of N times E.
fn expand(value: &Value) -> Value {
    match value {
        Value::String(text) => repeated(text).unwrap_or_else(|| value.clone()),
        Value::Array(items) => items.iter().map(expand).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (expand_key(key), expand(value))).collect(),
        plain => plain.clone(),
    }
}

fn expand_key(key: &str) -> String {
    match repeated(key) {
        Some(Value::String(text)) => text,
        _ => key.to_owned(),
    }
}

fn repeated(text: &str) -> Option<Value> {
    if let Some(count) = text.strip_prefix("@repeat:") {
        return Some(Value::String("x".repeat(count.parse().ok()?)));
    }
    let (count, item) = text.strip_prefix("@repeatlist:")?.split_once(':')?;
    let item = serde_json::from_str(item).unwrap_or_else(|_| Value::String(item.to_owned()));
    Some(Value::Array(vec![item; count.parse().ok()?]))
}

/// A header of a request.
pub fn header<'a>(request: &'a Value, name: &str) -> &'a str {
    let headers = request["headers"].as_object();
    let found = headers.and_then(|headers| headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)));
    found.and_then(|(_, value)| value.as_str()).unwrap_or_default()
}

/// Reason and field of each cause of a refusal.
pub fn causes(status: &Value) -> Vec<(String, String)> {
    let causes = status["details"]["causes"].as_array();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    causes.into_iter().flatten().map(|cause| (text(&cause["reason"]), text(&cause["field"]))).collect()
}
