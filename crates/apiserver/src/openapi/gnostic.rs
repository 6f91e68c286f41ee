//! The protobuf form of OpenAPI 2.0: package openapi.v2 of gnostic, which older Go clients ask for first.
//!
//! The parts of the document are made as JSON values, and written here by the field numbers of gnostic's messages. Maps are
//! lists of messages with a name (1) and a value (2); what may be any value is YAML text, of which JSON is a part.

use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::{Map, Value};

use super::v2::V2;

/// Writes a document.
pub fn document(v2: &V2<'_>) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, "2.0");
    let info = super::info();
    out.message(2, |out| {
        out.text_of(1, &info, "title");
        out.text_of(2, &info, "version");
    });
    out.message(8, |out| v2.paths().for_each(|(path, item)| out.named(2, path, |out| path_item(out, &item))));
    out.message(9, |out| v2.definitions().for_each(|(name, value)| out.named(1, name, |out| schema(out, &value))));
    out.message(10, |out| {
        v2.parameters.iter().for_each(|(name, value)| out.named(1, name, |out| parameter(out, value)))
    });
    out.message(12, |out| out.named(1, "BearerToken", |_| {}));
    let bearer = super::bearer();
    out.message(13, |out| {
        out.named(1, "BearerToken", |out| {
            out.message(2, |out| {
                for (number, name) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
                    out.text_of(number, &bearer, name);
                }
            });
        });
    });
    out.0
}

fn path_item(out: &mut Message, item: &Value) {
    let methods = [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (6, "options"), (7, "head"), (8, "patch")];
    for (number, method) in methods {
        if let Some(value) = item.get(method) {
            out.message(number, |out| operation(out, value));
        }
    }
    items(item, "parameters").for_each(|value| out.message(9, |out| parameters_item(out, value)));
}

fn operation(out: &mut Message, value: &Value) {
    out.texts_of(1, value, "tags");
    out.text_of(3, value, "description");
    out.text_of(5, value, "operationId");
    out.texts_of(6, value, "produces");
    out.texts_of(7, value, "consumes");
    items(value, "parameters").for_each(|value| out.message(8, |out| parameters_item(out, value)));
    out.message(9, |out| {
        for (code, value) in entries(value, "responses") {
            out.named(1, code, |out| out.message(1, |out| response(out, value)));
        }
    });
    out.texts_of(10, value, "schemes");
    out.extensions(13, value);
}

fn response(out: &mut Message, value: &Value) {
    out.text_of(1, value, "description");
    if let Some(value) = value.get("schema") {
        out.message(2, |out| out.message(1, |out| schema(out, value)));
    }
}

/// A parameter, or a reference to one.
fn parameters_item(out: &mut Message, value: &Value) {
    match value.get("$ref") {
        Some(_) => out.message(2, |out| out.text_of(1, value, "$ref")),
        None => out.message(1, |out| parameter(out, value)),
    }
}

fn parameter(out: &mut Message, value: &Value) {
    let required = value["required"] == true;
    match value["in"].as_str() {
        Some("body") => out.message(1, |out| {
            out.text_of(1, value, "description");
            out.text_of(2, value, "name");
            out.text_of(3, value, "in");
            out.flag(4, required);
            out.message(5, |out| schema(out, &value["schema"]));
        }),
        place => {
            // Messages that differ in a field between, and in the numbers after it.
            let (oneof, kind, unique) = if place == Some("path") { (4, 5, 19) } else { (3, 6, 20) };
            out.message(2, |out| {
                out.message(oneof, |out| {
                    out.flag(1, required);
                    out.text_of(2, value, "in");
                    out.text_of(3, value, "description");
                    out.text_of(4, value, "name");
                    out.text_of(kind, value, "type");
                    out.flag(unique, value["uniqueItems"] == true);
                });
            });
        }
    }
}

fn schema(out: &mut Message, value: &Value) {
    out.text_of(1, value, "$ref");
    out.text_of(2, value, "format");
    out.text_of(3, value, "title");
    out.text_of(4, value, "description");
    conditions(out, value);
    out.texts_of(19, value, "required");
    items(value, "enum").for_each(|one| out.message(20, |out| out.any(one)));
    if let Some(value) = value.get("additionalProperties") {
        out.message(21, |out| match value.as_bool() {
            Some(any) => out.flag(2, any),
            None => out.message(1, |out| schema(out, value)),
        });
    }
    if value.get("type").is_some() {
        out.message(22, |out| out.text_of(1, value, "type"));
    }
    if let Some(value) = value.get("items") {
        out.message(23, |out| out.message(1, |out| schema(out, value)));
    }
    if value.get("properties").is_some() {
        out.message(25, |out| {
            for (name, value) in entries(value, "properties") {
                out.named(1, name, |out| schema(out, value));
            }
        });
    }
    out.extensions(31, value);
}

/// What custom kinds say of their values.
fn conditions(out: &mut Message, value: &Value) {
    for (number, name) in [(6, "multipleOf"), (7, "maximum"), (9, "minimum")] {
        if let Some(bound) = value.get(name).and_then(Value::as_f64) {
            encode_key(number, WireType::SixtyFourBit, &mut out.0);
            out.0.extend_from_slice(&bound.to_le_bytes());
        }
    }
    for (number, name) in [(8, "exclusiveMaximum"), (10, "exclusiveMinimum"), (16, "uniqueItems")] {
        out.flag(number, value[name] == true);
    }
    out.text_of(13, value, "pattern");
    for (number, name) in [
        (11, "maxLength"),
        (12, "minLength"),
        (14, "maxItems"),
        (15, "minItems"),
        (17, "maxProperties"),
        (18, "minProperties"),
    ] {
        if let Some(bound) = value.get(name).and_then(Value::as_u64) {
            encode_key(number, WireType::Varint, &mut out.0);
            encode_varint(bound, &mut out.0);
        }
    }
}

fn items<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn entries<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    value.get(name).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// The bytes of a message, field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        encode_key(number, WireType::LengthDelimited, &mut self.0);
        encode_varint(bytes.len() as u64, &mut self.0);
        self.0.extend_from_slice(bytes);
    }

    /// A message in a field; written even when empty, since its being there may be what it says.
    fn message(&mut self, number: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(number, &inner.0);
    }

    /// An entry of a map.
    fn named(&mut self, number: u32, name: &str, write: impl FnOnce(&mut Message)) {
        self.message(number, |out| {
            out.text(1, name);
            out.message(2, write);
        });
    }

    fn text(&mut self, number: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    fn text_of(&mut self, number: u32, value: &Value, name: &str) {
        self.text(number, value.get(name).and_then(Value::as_str).unwrap_or_default());
    }

    fn texts_of(&mut self, number: u32, value: &Value, name: &str) {
        items(value, name).filter_map(Value::as_str).for_each(|text| self.bytes(number, text.as_bytes()));
    }

    fn flag(&mut self, number: u32, value: bool) {
        if value {
            encode_key(number, WireType::Varint, &mut self.0);
            encode_varint(1, &mut self.0);
        }
    }

    /// Any value, as YAML.
    fn any(&mut self, value: &Value) {
        self.text(2, &value.to_string());
    }

    /// The members whose names begin with x-.
    fn extensions(&mut self, number: u32, value: &Value) {
        let members = value.as_object().into_iter().flat_map(Map::iter);
        for (name, value) in members.filter(|(name, _)| name.starts_with("x-")) {
            self.named(number, name, |out| out.any(value));
        }
    }
}
