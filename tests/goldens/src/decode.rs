//! Kubernetes' protobuf as JSON, by the recorded facts alone: `fields.tsv` says what messages hold, `special-types.tsv` which
//! types have another form. Nothing of this project's own codec is used, so that the two can be compared.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::read;
use crate::wire::{self, Wire, fields, last, text};

const META: &str = "k8s.io.apimachinery.pkg.apis.meta.v1";
const MAGIC: &[u8] = b"k8s\0";

/// A row of `fields.tsv`.
#[derive(Debug)]
struct Field {
    name: String,
    number: u32,
    kind: String,
    label: String,
    inline: bool,
    omitempty: String,
    pointer: bool,
}

/// What messages hold.
#[derive(Debug)]
pub struct Facts {
    messages: HashMap<String, Vec<Field>>,
}

impl Facts {
    /// Reads `fields.tsv`.
    pub fn read() -> Self {
        let mut messages = HashMap::<String, Vec<Field>>::new();
        for line in read("fields.tsv").lines().skip(1) {
            let column: Vec<&str> = line.split('\t').collect();
            let field = Field {
                name: column[2].to_owned(),
                number: column[4].parse().expect("a field's number"),
                kind: column[5].to_owned(),
                label: column[6].to_owned(),
                inline: column[7] == "yes",
                omitempty: column[8].to_owned(),
                pointer: column[9] == "pointer",
            };
            messages.entry(format!("{}.{}", column[0], column[1])).or_default().push(field);
        }
        Self { messages }
    }

    /// The JSON of an answer: an object or a list in its envelope, without nulls and empty lists, which protobuf cannot tell
    /// from what is not there.
    pub fn answer(&self, bytes: &[u8]) -> Value {
        let body = bytes.strip_prefix(MAGIC).expect("an answer begins with Kubernetes' magic bytes");
        let unknown = fields(body);
        let meta = fields(last(&unknown, 1).expect("a type").bytes());
        let (version, kind) = (text(&meta, 1), text(&meta, 2));
        let mut found = self.message(&self.name_of(&version, &kind), last(&unknown, 2).expect("an object").bytes());
        found["apiVersion"] = version.into();
        found["kind"] = kind.into();
        plain(found)
    }

    /// The message of a kind: packages end with the group's first word and the version.
    fn name_of(&self, api_version: &str, kind: &str) -> String {
        let (group, version) = api_version.split_once('/').unwrap_or(("core", api_version));
        let end = format!(".{}.{version}.{kind}", group.split('.').next().unwrap_or_default());
        let of_meta = format!("{META}.{kind}");
        let mut names = self.messages.keys().filter(|name| name.ends_with(&end));
        let found = names.next().cloned().or_else(|| self.messages.contains_key(&of_meta).then_some(of_meta));
        found.unwrap_or_else(|| panic!("fields.tsv has no {kind} of {api_version}"))
    }

    fn message(&self, name: &str, bytes: &[u8]) -> Value {
        if let Some(special) = self.special(name, bytes) {
            return special;
        }
        // A message without fields has no row.
        let rows = self.messages.get(name).map(Vec::as_slice).unwrap_or_default();
        let sent = fields(bytes);
        let mut object = Map::new();
        for row in rows {
            let values = sent.get(&row.number).map(Vec::as_slice).unwrap_or_default();
            if row.inline {
                let inner = values.last().map(|value| value.bytes()).unwrap_or_default();
                object.extend(self.message(&row.kind, inner).as_object().cloned().unwrap_or_default());
            } else if let Some(value) = self.field(name, row, values) {
                object.insert(row.name.clone(), value);
            }
        }
        Value::Object(object)
    }

    fn field(&self, message: &str, row: &Field, values: &[Wire<'_>]) -> Option<Value> {
        match row.label.as_str() {
            "map" => Some(self.map(&row.kind, values)).filter(|map| map.as_object().is_some_and(|map| !map.is_empty())),
            "repeated" => {
                let items = values
                    .iter()
                    .flat_map(|value| self.items(&row.kind, *value))
                    .map(|item| claim(message, &row.name, item));
                Some(items.collect::<Vec<_>>()).filter(|items| !items.is_empty()).map(Value::from)
            }
            _ => self.single(row, values.last().copied()),
        }
    }

    fn single(&self, row: &Field, value: Option<Wire<'_>>) -> Option<Value> {
        let is_message = row.kind.contains('.');
        match value {
            None if row.pointer => None,
            None if is_message => self.value_message(row, &[]),
            Some(value) if is_message && !row.pointer => self.value_message(row, value.bytes()),
            Some(value) => {
                Some(self.scalar_or_message(&row.kind, value)).filter(|value| row.pointer || kept(row, value))
            }
            None => Some(zero(&row.kind)).filter(|value| kept(row, value)),
        }
    }

    /// A message that is always there; left out where it is zero and says so.
    fn value_message(&self, row: &Field, bytes: &[u8]) -> Option<Value> {
        let found = self.message(&row.kind, bytes);
        let is_zero = found.is_null() || found.as_object().is_some_and(Map::is_empty);
        (row.omitempty != "omitzero" || !is_zero).then_some(found)
    }

    fn map(&self, kind: &str, entries: &[Wire<'_>]) -> Value {
        let kind = kind.strip_prefix("map<string,").and_then(|rest| rest.strip_suffix('>')).expect("a map of strings");
        let entry = |entry: &Wire<'_>| {
            let entry = fields(entry.bytes());
            let value = match last(&entry, 2) {
                Some(value) => self.scalar_or_message(kind, value),
                None if kind.contains('.') => self.message(kind, &[]),
                None => zero(kind),
            };
            (text(&entry, 1), value)
        };
        Value::Object(entries.iter().map(entry).collect())
    }

    /// One item, or several packed numbers.
    fn items(&self, kind: &str, value: Wire<'_>) -> Vec<Value> {
        match (kind, value) {
            ("int32" | "int64" | "bool", Wire::Bytes(_)) => panic!("Kubernetes packs no numbers"),
            _ => vec![self.scalar_or_message(kind, value)],
        }
    }

    fn scalar_or_message(&self, kind: &str, value: Wire<'_>) -> Value {
        match kind {
            "string" => String::from_utf8(value.bytes().to_vec()).expect("strings are UTF-8").into(),
            "bytes" => STANDARD.encode(value.bytes()).into(),
            "bool" => (value.number() != 0).into(),
            // Negative numbers are written with all 64 bits.
            "int32" | "int64" => value.number().cast_signed().into(),
            "double" => f64::from_bits(value.number()).into(),
            message if message.contains('.') => self.message(message, value.bytes()),
            other => panic!("fields.tsv names a type {other}"),
        }
    }

    /// Types with a form of their own.
    fn special(&self, name: &str, bytes: &[u8]) -> Option<Value> {
        let short = name.rsplit('.').next().unwrap_or_default();
        let sent = fields(bytes);
        let number = |field: u32| last(&sent, field).map_or(0, Wire::number).cast_signed();
        Some(match short {
            "Time" if name.starts_with(META) => time(&sent, false),
            "MicroTime" if name.starts_with(META) => time(&sent, true),
            "Duration" if name.starts_with(META) => duration(number(1)).into(),
            "Quantity" if name.contains(".resource.") => text(&sent, 1).into(),
            "IntOrString" => match number(1) {
                0 => number(2).into(),
                _ => text(&sent, 3).into(),
            },
            "FieldsV1" | "RawExtension" | "JSON" => match last(&sent, 1).map(Wire::bytes) {
                None | Some([]) => Value::Null,
                Some(raw) => serde_json::from_slice(raw).expect("raw JSON"),
            },
            "Verbs" | "ExtraValue" => {
                let items = sent.get(&1).into_iter().flatten();
                items.map(|item| self.scalar_or_message("string", *item)).collect()
            }
            "JSONSchemaPropsOrBool" => match last(&sent, 2) {
                Some(schema) => self.props(name, schema),
                None => (number(1) != 0).into(),
            },
            "JSONSchemaPropsOrArray" => match last(&sent, 1) {
                Some(schema) => self.props(name, schema),
                None => sent.get(&2).into_iter().flatten().map(|schema| self.props(name, *schema)).collect(),
            },
            "JSONSchemaPropsOrStringArray" => match last(&sent, 1) {
                Some(schema) => self.props(name, schema),
                None => {
                    sent.get(&2).into_iter().flatten().map(|word| self.scalar_or_message("string", *word)).collect()
                }
            },
            _ => return None,
        })
    }

    fn props(&self, beside: &str, schema: Wire<'_>) -> Value {
        let package = beside.rsplit_once('.').map_or("", |(package, _)| package);
        self.message(&format!("{package}.JSONSchemaProps"), schema.bytes())
    }
}

/// Whether a scalar is written.
fn kept(row: &Field, value: &Value) -> bool {
    row.omitempty == "no" || row.kind.contains('.') || *value != zero(&row.kind)
}

fn zero(kind: &str) -> Value {
    match kind {
        "string" | "bytes" => "".into(),
        "bool" => false.into(),
        "double" => 0.0.into(),
        _ => 0.into(),
    }
}

/// Claims within a StatefulSet name their kind in JSON alone.
fn claim(message: &str, field: &str, mut item: Value) -> Value {
    if message.ends_with(".StatefulSetSpec") && field == "volumeClaimTemplates" {
        item["apiVersion"] = "v1".into();
        item["kind"] = "PersistentVolumeClaim".into();
    }
    item
}

fn time(sent: &BTreeMap<u32, Vec<Wire<'_>>>, micro: bool) -> Value {
    let Some(seconds) = wire::last(sent, 1).map(|value| value.number().cast_signed()) else { return Value::Null };
    let nanos = wire::last(sent, 2).map_or(0, |value| value.number().cast_signed());
    let nanos = if micro { i32::try_from(nanos).expect("nanoseconds") / 1000 * 1000 } else { 0 };
    let at = Timestamp::new(seconds, nanos).expect("a time");
    match micro {
        true => at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string().into(),
        false => at.to_string().into(),
    }
}

/// As Go writes it, for whole seconds.
fn duration(nanos: i64) -> String {
    let seconds = nanos / 1_000_000_000;
    assert_eq!(seconds * 1_000_000_000, nanos, "whole seconds");
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}

/// Without nulls and empty lists among fields, and with one form for all numbers.
pub fn plain(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, plain(value)))
            .filter(|(_, value)| !value.is_null() && *value != json!([]))
            .collect(),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Number(number) => match number.as_f64() {
            Some(whole) if number.is_f64() && whole.fract() == 0.0 => json!(whole as i64),
            _ => Value::Number(number),
        },
        other => other,
    }
}
