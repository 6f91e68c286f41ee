//! The config file as arguments: one map of settings, beside `apiVersion` and `kind`.

use std::path::Path;

use clap::{Arg, ArgAction, Command};
use serde_yaml::Value;

use super::{Error, argv, suggest};

/// Keys that say what the file is and set nothing.
const IGNORED: [&str; 2] = ["apiVersion", "kind"];

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
    let mut arguments = Vec::new();
    for (key, value) in map {
        let Value::String(key) = key else {
            return Err(bad(format!("key {key:?} must be a text")));
        };
        if IGNORED.contains(&key.as_str()) {
            continue;
        }
        let arg = find(command, &key).ok_or_else(|| unknown(command, path, text, &key))?;
        let names = argv::longs(arg);
        let Some(long) = names.first() else { continue };
        if names.iter().any(|name| given(name)) {
            continue;
        }
        let values =
            values(&value).ok_or_else(|| bad(format!("key {key:?}: expected a value, a list or a flat map")))?;
        if matches!(arg.get_action(), ArgAction::Append) {
            arguments.extend(values.iter().map(|value| format!("--{long}={value}")));
        } else if !values.is_empty() {
            arguments.push(format!("--{long}={}", values.join(",")));
        }
    }
    Ok(arguments)
}

fn find<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    let key = suggest::fold(key);
    command.get_arguments().find(|arg| argv::longs(arg).iter().any(|long| suggest::fold(long) == key))
}

fn unknown(command: &Command, path: &Path, text: &str, key: &str) -> Error {
    let names: Vec<String> = command.get_arguments().filter_map(|arg| arg.get_long()).map(suggest::camel).collect();
    let line = text.lines().position(|line| line.trim_start().trim_start_matches(['"', '\'']).starts_with(key));
    Error::UnknownKey {
        path: path.to_owned(),
        line: line.map(|index| index + 1),
        key: key.to_owned(),
        nearest: suggest::nearest(key, names.iter().map(String::as_str)),
    }
}

/// A value as flag values; nothing for null. A map is `key=value` pairs; deeper nesting is refused.
fn values(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Sequence(items) => items.iter().map(scalar).collect(),
        Value::Mapping(map) => {
            map.iter().map(|(key, value)| Some(format!("{}={}", scalar(key)?, scalar(value)?))).collect()
        }
        value => scalar(value).map(|value| vec![value]),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        _ => None,
    }
}
