//! What commands print: tables, YAML, JSON, names, JSONPath templates, custom columns.

pub mod columns;
pub mod filter;
pub mod jsonpath;
pub mod table;
pub mod tabs;

use anyhow::bail;
use serde_json::{Value, json};

use crate::manifest::write::to_yaml;

/// What `-o` asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    Table,
    Wide,
    Yaml,
    Json,
    Name,
    JsonPath(jsonpath::Template),
    JsonPathAsJson(jsonpath::Template),
    Columns(columns::Columns),
}

/// The names that `-o` takes.
pub const FORMATS: &str = "json, yaml, name, wide, jsonpath=TEMPLATE, jsonpath-file=FILE, jsonpath-as-json=TEMPLATE, custom-columns=SPEC, custom-columns-file=FILE";

impl Format {
    pub fn parse(text: Option<&str>) -> anyhow::Result<Self> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Self::Table) };
        let (name, argument) = match text.split_once('=') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        let argument = || match argument {
            Some(argument) if !argument.is_empty() => Ok(argument),
            _ => bail!("-o {name} needs a value: -o {name}=..."),
        };
        Ok(match name {
            "wide" => Self::Wide,
            "yaml" => Self::Yaml,
            "json" => Self::Json,
            "name" => Self::Name,
            "jsonpath" => Self::JsonPath(jsonpath::Template::parse(argument()?)?),
            "jsonpath-file" => {
                Self::JsonPath(jsonpath::Template::parse(std::fs::read_to_string(argument()?)?.trim_end())?)
            }
            "jsonpath-as-json" => Self::JsonPathAsJson(jsonpath::Template::parse(argument()?)?),
            "custom-columns" => Self::Columns(columns::Columns::parse(argument()?)?),
            "custom-columns-file" => {
                Self::Columns(columns::Columns::parse_file(&std::fs::read_to_string(argument()?)?)?)
            }
            other => {
                let near =
                    crate::suggest::nearest(other, ["wide", "yaml", "json", "name", "jsonpath", "custom-columns"]);
                let near = near.map(|near| format!(" Did you mean {near}?")).unwrap_or_default();
                bail!(
                    "unable to match a printer suitable for the output format \"{other}\", allowed formats are: {FORMATS}.{near}"
                )
            }
        })
    }

    pub fn is_table(&self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// The text of one object; `None` for the forms that need to know its resource.
    pub fn object(&self, object: &Value) -> anyhow::Result<Option<String>> {
        Ok(match self {
            Self::Table | Self::Wide | Self::Name => None,
            Self::Yaml => Some(to_yaml(object)),
            Self::Json => Some(format!("{}\n", to_json(object))),
            Self::JsonPath(template) => Some(template.render(object)?),
            Self::JsonPathAsJson(template) => Some(format!("{}\n", to_json(&Value::Array(template.values(object)?)))),
            Self::Columns(columns) => Some(columns.render(std::slice::from_ref(object), true)?),
        })
    }
}

/// Indented JSON with sorted keys, four spaces a level, as kubectl writes it.
pub fn to_json(value: &Value) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    serde::Serialize::serialize(&sorted(value), &mut serializer).expect("a value in memory is written");
    String::from_utf8(out).expect("JSON is text")
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Objects as a List of their own.
pub fn list_of(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}})
}

/// Takes out what a reader seldom wants to see: who set which field.
pub fn hide_managed_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_sorted_and_indented_by_four() {
        assert_eq!(
            to_json(&json!({"b": 1, "a": [{"d": 1, "c": []}]})),
            "{\n    \"a\": [\n        {\n            \"c\": [],\n            \"d\": 1\n        }\n    ],\n    \"b\": 1\n}"
        );
    }

    #[test]
    fn an_unknown_format_names_the_known_ones_and_the_nearest() {
        let error = Format::parse(Some("ymal")).unwrap_err().to_string();
        assert!(error.contains("custom-columns") && error.contains("Did you mean yaml?"), "{error}");
        assert!(Format::parse(Some("jsonpath")).is_err());
    }
}
