//! Tables of expressions: each line of `testdata` is an expression and what it comes to.
//!
//! `error:` is what an evaluation ends with, `issue:` the first thing that keeps it from being compiled, with its column.
//! `UPDATE_EXPECT=1` writes what is found; the difference is to be read.

mod estimates;
mod hostile;
mod variables;

use std::path::Path;

use serde_json::json;

use crate::library::time;
use crate::value::{Access, Authorizer, Builder, Decision, Host, Key};
use crate::{Env, Program, Scope, Type, Value, cost};

/// Allows what names the verb `get`.
struct Getter;

impl Authorizer for Getter {
    fn check(&self, access: &Access) -> Decision {
        let reason = format!("{access:?}");
        Decision { allowed: access.verb == "get", reason, error: access.path.as_ref().map(|_| "broken".to_owned()) }
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// A value as tables write it.
fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => format!("{value}u"),
        Value::Double(value) => format!("{value:?}"),
        Value::String(text) => quoted(text),
        Value::Bytes(bytes) => format!("b{}", quoted(&String::from_utf8_lossy(bytes))),
        Value::Duration(nanos) => format!("duration({})", time::duration_text(*nanos)),
        Value::Timestamp(time) => format!("timestamp({time})"),
        Value::List(list) => format!("[{}]", list.iter().map(|item| shown(&item)).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let entry = |(key, value): (Key<'_>, Value<'_>)| format!("{}: {}", shown(&key.value()), shown(&value));
            format!("{{{}}}", map.entries().into_iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::Type(name) => format!("type({})", &**name),
        Value::Optional(None) => "none".to_owned(),
        Value::Optional(Some(value)) => format!("some({})", shown(value)),
        Value::Host(host) => match &**host {
            Host::Ip(ip) => format!("ip({ip})"),
            Host::Cidr(cidr) => format!("cidr({}/{})", cidr.address, cidr.prefix),
            other => other.type_name().to_owned(),
        },
    }
}

fn outcome(source: &str) -> String {
    let object = json!({
        "name": "web-1", "replicas": 3, "big": 18_446_744_073_709_551_615_u64, "ratio": 0.5, "none": null, "on": true,
        "labels": {"app": "web", "tier.io/x": "y"},
        "ports": [{"name": "http", "port": 80}, {"name": "https", "port": 443}],
        "words": ["b", "a", "c"], "empty": [], "nested": {"a": {"b": {"c": 7}}},
    });
    let env = Env::new()
        .with_bind()
        .with("object", Type::Dyn)
        .with("n", Type::Int)
        .with("text", Type::String)
        .with("authorizer", Type::Opaque("kubernetes.authorization.Authorizer"));
    let program = match Program::compile(&env, source) {
        Ok(program) => program,
        Err(issues) => {
            let first = &issues.all[0];
            return format!("issue: {}: {}", first.at + 1, first.text);
        }
    };
    let getter: std::sync::Arc<dyn Authorizer> = std::sync::Arc::new(Getter);
    let scope = Scope::new()
        .with("object", crate::of_json(&object, None))
        .with("n", Value::Int(5))
        .with("text", Value::text("abd"))
        .with("authorizer", Value::host(Host::Authorizer(Builder { authorizer: getter, access: Access::default() })));
    match program.evaluate(&scope, cost::PER_CALL_LIMIT).value {
        Ok(value) => shown(&value),
        Err(error) => format!("error: {error}"),
    }
}

#[track_caller]
fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    let table = std::fs::read_to_string(&path).unwrap();
    let mut found = String::new();
    let mut rows = 0;
    for line in table.lines() {
        match line.split_once(" => ") {
            Some((source, _)) if !line.starts_with('#') => {
                rows += 1;
                let source = source.trim_end();
                found.push_str(&format!("{source} => {}\n", outcome(source)));
            }
            _ => found.push_str(&format!("{line}\n")),
        }
    }
    assert!(rows > 0, "{name} has no rows");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let wrong: Vec<String> = table
        .lines()
        .zip(found.lines())
        .filter(|(wanted, found)| wanted != found)
        .map(|(wanted, found)| format!("wanted {wanted}\n found {found}"))
        .collect();
    assert!(wrong.is_empty(), "{} of {rows} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_language_is_as_told() {
    check("language.txt");
}

#[test]
fn macros_are_as_told() {
    check("macros.txt");
}

#[test]
fn mistakes_are_told() {
    check("mistakes.txt");
}

#[test]
fn conversions_and_times_are_as_told() {
    check("conversions.txt");
}

#[test]
fn texts_are_as_told() {
    check("texts.txt");
}

#[test]
fn lists_are_as_told() {
    check("lists.txt");
}

#[test]
fn libraries_of_kubernetes_are_as_told() {
    check("kubernetes.txt");
}
