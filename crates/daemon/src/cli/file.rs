//! The config file as arguments: one map of settings, beside `apiVersion` and `kind`.
//!
//! Upstream's component config files (`apiVersion: kubelet.config.k8s.io/v1beta1`, ...) are read too, as far as the
//! settings exist: a nested key counts as the flag that upstream has for it. In them a key without a setting is passed
//! over where its value asks for nothing (`0s`, `{}`, `""`), since tools write out every key; else it is refused.

use std::path::Path;

use clap::{Arg, ArgAction, Command};
use serde_yaml::Value;

use super::{Error, argv, suggest};

/// Groups in groups of settings.
const NESTING_MAX: usize = 4;
/// Keys that say what the file is and set nothing.
const IGNORED: [&str; 2] = ["apiVersion", "kind"];

/// How upstream's files and flags name the same setting, where not by the same words.
const RENAMED: [(&str, &str); 23] = [
    ("authentication.x509.clientCAFile", "client-ca-file"),
    ("authentication.anonymous.enabled", "anonymous-auth"),
    ("authentication.webhook.enabled", "authentication-token-webhook"),
    ("authentication.webhook.cacheTTL", "authentication-token-webhook-cache-ttl"),
    ("clientConnection.kubeconfig", "kubeconfig"),
    ("clientConnection.contentType", "kube-api-content-type"),
    ("clientConnection.qps", "kube-api-qps"),
    ("clientConnection.burst", "kube-api-burst"),
    ("leaderElection.leaderElect", "leader-elect"),
    ("iptables.masqueradeAll", "masquerade-all"),
    ("nftables.masqueradeAll", "masquerade-all"),
    ("logging.format", "logging-format"),
    ("logging.verbosity", "v"),
    ("enableProfiling", "profiling"),
    ("enableContentionProfiling", "contention-profiling"),
    ("profiles.schedulerName", "scheduler-name"),
    ("staticPodPath", "pod-manifest-path"),
    ("serverTLSBootstrap", "rotate-server-certificates"),
    ("eventRecordQPS", "event-qps"),
    ("registryPullQPS", "registry-qps"),
    ("client-transport-security.allowed-hostname", "client-cert-allowed-hostname"),
    ("peer-transport-security.allowed-cn", "peer-cert-allowed-cn"),
    ("peer-transport-security.allowed-hostname", "peer-cert-allowed-hostname"),
];
/// Maps whose flags compare: `memory.available: 100Mi` is `memory.available<100Mi`.
const COMPARING: [&str; 2] = ["evictionHard", "evictionSoft"];
/// Groups of upstream's files whose keys are flags that begin with other words, or with none.
const PREFIXES: [(&str, &str); 5] = [
    ("leaderElection.", "leader-elect-"),
    ("iptables.", "iptables-"),
    ("nftables.", ""),
    // etcd's file.
    ("client-transport-security.", ""),
    ("peer-transport-security.", "peer-"),
];

/// The arguments that say what the file says, except for flags that are `given` on the command line.
pub fn arguments(
    command: &Command,
    path: &Path,
    text: &str,
    given: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>, Error> {
    let bad = |reason: String| Error::BadConfig { path: path.to_owned(), reason };
    let map = match serde_yaml::from_str::<Value>(text).map_err(|error| bad(error.to_string()))? {
        Value::Mapping(map) => map,
        Value::Null => return Ok(Vec::new()),
        _ => return Err(bad("must be a map of settings, one `key: value` a line".to_owned())),
    };
    let api_version = map.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let upstreams = api_version.split('/').next().is_some_and(|group| group.ends_with(".config.k8s.io"));
    let mut settings = Vec::new();
    collect(command, "", map, &mut settings).map_err(bad)?;
    let mut arguments = Vec::new();
    for Setting { path: key, arg, value } in settings {
        let Some(arg) = arg else {
            if IGNORED.contains(&key.as_str()) || (upstreams && asks_for_nothing(&value)) {
                continue;
            }
            return Err(unknown(command, path, text, &key));
        };
        if upstreams && is_default(&value) {
            continue;
        }
        let names = argv::longs(arg);
        let Some(long) = names.first() else { continue };
        if names.iter().any(|name| given(name)) {
            continue;
        }
        let between = if COMPARING.contains(&key.as_str()) { '<' } else { '=' };
        let values = values(&value, between)
            .ok_or_else(|| bad(format!("key {key:?}: expected a value, a list or a flat map")))?;
        if matches!(arg.get_action(), ArgAction::Append) {
            arguments.extend(values.iter().map(|value| format!("--{long}={value}")));
        } else if !values.is_empty() {
            // Upstream has some settings once for iptables and once for nftables; the later, nftables', counts.
            arguments.retain(|earlier: &String| !earlier.starts_with(&format!("--{long}=")));
            arguments.push(format!("--{long}={}", values.join(",")));
        }
    }
    Ok(arguments)
}

/// A key of the file, with dots where it is nested, and the flag that it sets.
struct Setting<'a> {
    path: String,
    arg: Option<&'a Arg>,
    value: Value,
}

/// Every key with a value. A map below a key that is no setting holds settings of its own.
fn collect<'a>(
    command: &'a Command,
    above: &str,
    map: serde_yaml::Mapping,
    into: &mut Vec<Setting<'a>>,
) -> Result<(), String> {
    for (key, value) in map {
        let Value::String(key) = key else {
            return Err(format!("key {key:?} must be a text"));
        };
        let path = if above.is_empty() { key } else { format!("{above}.{key}") };
        match (find(command, &path), value) {
            (None, Value::Mapping(map)) if !map.is_empty() && path.split('.').count() < NESTING_MAX => {
                collect(command, &path, map, into)?;
            }
            // Upstream's scheduler has a list of profiles; where there is one, its keys are settings.
            (None, Value::Sequence(mut list)) if list.len() == 1 && list[0].is_mapping() => {
                if let Some(Value::Mapping(map)) = list.pop() {
                    collect(command, &path, map, into)?;
                }
            }
            (arg, value) => into.push(Setting { path, arg, value }),
        }
    }
    Ok(())
}

/// The flag of a key: by the same words, or by upstream's name for it.
fn find<'a>(command: &'a Command, path: &str) -> Option<&'a Arg> {
    let named = |name: &str| {
        let name = suggest::fold(name);
        command.get_arguments().find(|arg| argv::longs(arg).iter().any(|long| suggest::fold(long) == name))
    };
    if let Some((_, flag)) = RENAMED.iter().find(|(key, _)| *key == path) {
        return named(flag);
    }
    let prefixed =
        || PREFIXES.iter().find_map(|(group, prefix)| named(&format!("{prefix}{}", path.strip_prefix(group)?)));
    named(&path.replace('.', "-")).or_else(prefixed)
}

/// In upstream's files an empty text and no time at all stand for the default.
fn is_default(value: &Value) -> bool {
    matches!(value, Value::String(text) if matches!(text.as_str(), "" | "0s"))
}

/// A zero in Go's sense, as tools write out what nobody set.
fn asks_for_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => matches!(text.as_str(), "" | "0" | "0s"),
        Value::Sequence(items) => items.is_empty(),
        Value::Mapping(map) => map.values().all(asks_for_nothing),
        Value::Bool(true) | Value::Tagged(_) => false,
    }
}

fn unknown(command: &Command, path: &Path, text: &str, key: &str) -> Error {
    let names: Vec<String> = command.get_arguments().filter_map(|arg| arg.get_long()).map(suggest::camel).collect();
    let last = key.rsplit('.').next().unwrap_or(key);
    let line = text.lines().position(|line| line.trim_start().trim_start_matches(['"', '\'']).starts_with(last));
    Error::UnknownKey {
        path: path.to_owned(),
        line: line.map(|index| index + 1),
        key: key.to_owned(),
        nearest: suggest::nearest(key, names.iter().map(String::as_str)),
    }
}

/// A value as flag values; nothing for null. A map is `key=value` pairs; deeper nesting is refused, except for taints.
fn values(value: &Value, between: char) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Sequence(items) => items.iter().map(|item| scalar(item).or_else(|| taint(item))).collect(),
        Value::Mapping(map) => {
            map.iter().map(|(key, value)| Some(format!("{}{between}{}", scalar(key)?, scalar(value)?))).collect()
        }
        value => scalar(value).map(|value| vec![value]),
    }
}

/// `{key: a, value: b, effect: NoSchedule}` as flags have it: `a=b:NoSchedule`.
fn taint(value: &Value) -> Option<String> {
    let part = |name: &str| value.get(name).and_then(scalar);
    let (key, effect) = (part("key")?, part("effect")?);
    Some(match part("value").filter(|value| !value.is_empty()) {
        Some(value) => format!("{key}={value}:{effect}"),
        None => format!("{key}:{effect}"),
    })
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        _ => None,
    }
}
