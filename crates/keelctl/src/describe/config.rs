//! Namespaces, config maps, secrets, accounts, classes; and any kind that has no description of its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Text, flag_at, int_at, list_at, name, plain, str_at};

pub fn namespace(out: &mut Text, object: &Value) {
    out.pair(0, "Name", name(object));
    out.labels(object);
    out.pair(0, "Status", str_at(object, "/status/phase").unwrap_or_default());
    let conditions = list_at(object, "/status/conditions");
    if !conditions.is_empty() {
        out.line(0, "Conditions:");
        out.line(1, "Type\tStatus\tReason\tMessage");
        out.line(1, "----\t------\t------\t-------");
        for condition in conditions {
            let text = |path: &str| str_at(condition, path).unwrap_or_default();
            out.line(1, format!("{}\t{}\t{}\t{}", text("/type"), text("/status"), text("/reason"), text("/message")));
        }
    }
}

pub fn config_map(out: &mut Text, object: &Value) {
    out.metadata(object);
    out.line(0, "\nData\n====");
    for (key, value) in object.get("data").and_then(Value::as_object).into_iter().flatten() {
        out.line(0, format!("{key}:\n----\n{}\n", plain(value)));
    }
    out.line(0, "\nBinaryData\n====");
    for (key, value) in object.get("binaryData").and_then(Value::as_object).into_iter().flatten() {
        out.line(0, format!("{key}: {} bytes", bytes(value)));
    }
    out.line(0, "");
}

fn bytes(value: &Value) -> usize {
    value.as_str().and_then(|text| STANDARD.decode(text).ok()).map_or(0, |bytes| bytes.len())
}

pub fn secret(out: &mut Text, object: &Value) {
    out.metadata(object);
    out.line(0, format!("\nType:\t{}", str_at(object, "/type").unwrap_or_default()));
    out.line(0, "\nData\n====");
    for (key, value) in object.get("data").and_then(Value::as_object).into_iter().flatten() {
        out.pair(0, key, format!("{} bytes", bytes(value)));
    }
}

pub fn service_account(out: &mut Text, object: &Value) {
    out.metadata(object);
    for (label, path) in [("Image pull secrets", "/imagePullSecrets"), ("Mountable secrets", "/secrets")] {
        let names: Vec<&str> = list_at(object, path).iter().filter_map(|secret| str_at(secret, "/name")).collect();
        if names.is_empty() {
            out.pair(0, label, "<none>");
        }
        for (index, secret) in names.into_iter().enumerate() {
            if index == 0 { out.pair(0, label, secret) } else { out.line(0, format!("\t{secret}")) }
        }
    }
}

pub fn priority_class(out: &mut Text, object: &Value) {
    out.pair(0, "Name", name(object));
    out.pair(0, "Value", int_at(object, "/value").to_string());
    out.pair(0, "GlobalDefault", flag_at(object, "/globalDefault").to_string());
    out.pair(0, "PreemptionPolicy", str_at(object, "/preemptionPolicy").unwrap_or_default());
    out.pair(0, "Description", str_at(object, "/description").unwrap_or_default());
    out.annotations(object);
}

/// Every field with a heading made of its name.
pub fn any(out: &mut Text, object: &Value) {
    out.metadata(object);
    for (label, path) in [("API Version", "/apiVersion"), ("Kind", "/kind")] {
        out.pair(0, label, str_at(object, path).unwrap_or_default());
    }
    let rest = object
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind" | "metadata"));
    for (key, value) in rest {
        field(out, 0, key, value);
    }
}

fn field(out: &mut Text, indent: usize, key: &str, value: &Value) {
    let label = heading(key);
    match value {
        Value::Object(map) if map.is_empty() => out.line(indent, format!("{label}:")),
        Value::Object(map) => {
            out.line(indent, format!("{label}:"));
            map.iter().for_each(|(key, value)| field(out, indent + 1, key, value));
        }
        Value::Array(items) => {
            out.line(indent, format!("{label}:"));
            for item in items {
                match item {
                    Value::Object(map) => map.iter().for_each(|(key, value)| field(out, indent + 1, key, value)),
                    item => out.line(indent + 1, plain(item)),
                }
            }
        }
        Value::Null => out.pair(indent, &label, "<nil>"),
        scalar => out.pair(indent, &label, plain(scalar)),
    }
}

/// `holderIdentity` becomes `Holder Identity`.
fn heading(key: &str) -> String {
    let mut out = String::new();
    let mut before = ' ';
    for (index, c) in key.chars().enumerate() {
        if index == 0 {
            out.extend(c.to_uppercase());
        } else {
            if c.is_uppercase() && before.is_lowercase() {
                out.push(' ');
            }
            out.push(c);
        }
        before = c;
    }
    out
}
