//! `FieldsV1`: a set of fields as JSON.
//!
//! Each step is a key: `f:` a field, `k:` an item's keys as JSON, `v:` an item's value as JSON, `i:` a place; `.` says that
//! the step itself is a member where it has steps below it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::element::{Element, Scalar};
use super::set::{Node, Set};

/// Why a text is no set of fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fieldsV1: {0}")]
pub struct Error(String);

/// The set as JSON, steps in upstream's order.
pub fn encode(set: &Set) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(&mut out, false, set);
    out
}

fn write(out: &mut Vec<u8>, member: bool, set: &Set) {
    out.push(b'{');
    if member && !set.is_empty() {
        out.extend_from_slice(b"\".\":{}");
    }
    for node in set.nodes() {
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        step(out, node);
        out.push(b':');
        write(out, node.member, &node.children);
    }
    out.push(b'}');
}

fn step(out: &mut Vec<u8>, node: &Node) {
    match &node.element {
        Element::Field(name) => quoted(out, b"f:", name),
        Element::Key(keys) => quoted(out, b"k:", &keys_text(keys)),
        Element::Value(value) => quoted(out, b"v:", &value.to_string()),
        Element::Index(index) => quoted(out, b"i:", &index.to_string()),
    }
}

fn keys_text(keys: &[(Cow<'static, str>, Scalar)]) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in keys.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(name.as_ref()).to_string());
        text.push(':');
        text.push_str(&value.to_string());
    }
    text.push('}');
    text
}

fn quoted(out: &mut Vec<u8>, prefix: &[u8; 2], text: &str) {
    let begin = out.len() + 1;
    // Writing to a Vec cannot fail.
    let _ = serde_json::to_writer(&mut *out, text);
    out.splice(begin..begin, *prefix);
}

/// Reads JSON that [`encode`], or upstream, has written.
pub fn decode(bytes: &[u8]) -> Result<Set, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let level = Level.deserialize(&mut deserializer).map_err(|error| Error(error.to_string()))?;
    deserializer.end().map_err(|error| Error(error.to_string()))?;
    Ok(level.1)
}

/// A JSON object of steps: whether it says `.`, and the steps.
struct Level;

impl<'de> DeserializeSeed<'de> for Level {
    type Value = (bool, Set);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = (bool, Set);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut own, mut set) = (false, Set::default());
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let (dot, children) = map.next_value_seed(Level)?;
            match key.0.as_ref() {
                "." => own = true,
                text => {
                    let member = dot || children.is_empty();
                    set.push(element(text).map_err(de::Error::custom)?, member, children);
                }
            }
        }
        set.settle();
        Ok((own, set))
    }
}

/// A key, borrowed where it has no escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a step")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

fn element(text: &str) -> Result<Element, String> {
    let malformed = |error: serde_json::Error| format!("the step {text:?} is malformed: {error}");
    match text.split_at_checked(2) {
        Some(("f:", name)) => Ok(Element::Field(Cow::Owned(name.to_owned()))),
        Some(("k:", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).map_err(malformed)?;
            let mut keys: Vec<_> =
                keys.into_iter().map(|(name, value)| (Cow::Owned(name), Scalar::of(&value))).collect();
            keys.sort();
            Ok(Element::Key(keys))
        }
        Some(("v:", value)) => {
            serde_json::from_str(value).map(|value: Value| Element::Value(Scalar::of(&value))).map_err(malformed)
        }
        Some(("i:", index)) => {
            index.parse().map(Element::Index).map_err(|_| format!("the step {text:?} names no place"))
        }
        _ => Err(format!("the step {text:?} begins with none of f:, k:, v: and i:")),
    }
}
