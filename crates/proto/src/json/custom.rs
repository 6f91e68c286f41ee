//! JSON of objects without a schema of ours: trees, and custom objects made of one.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::decode::{Decoded, Error, Path};
use super::encode;
use crate::custom::CustomObject;

/// Whole numbers up to here are the same as fractions.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Writes a tree with the escapes of upstream's server; keys are in order.
pub fn value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => encode::integer(out, number),
            (None, number) => encode::double(out, number.unwrap_or_default()),
        },
        Value::String(text) => encode::string(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                self::value(out, item);
            }
            out.push(b']');
        }
        Value::Object(map) => self::map(out, map),
    }
}

/// Writes an object; keys are in order.
pub fn map(out: &mut Vec<u8>, map: &Map<String, Value>) {
    out.push(b'{');
    let begin = out.len();
    for (name, value) in map {
        key(out, begin, name);
        self::value(out, value);
    }
    out.push(b'}');
}

fn key(out: &mut Vec<u8>, begin: usize, name: &str) {
    if out.len() > begin {
        out.push(b',');
    }
    encode::string(out, name);
    out.push(b':');
}

/// Writes a custom object, its fields in order of their names, as upstream writes what it has no type for.
pub fn object(out: &mut Vec<u8>, object: &CustomObject) {
    use crate::dynamic::DynObject;
    enum Field<'a> {
        Text(&'a str),
        Metadata,
        Tree(&'a Value),
    }
    let info = object.info();
    let fixed = [
        Some(("apiVersion", Field::Text(info.api_version))),
        Some(("kind", Field::Text(info.kind))),
        Some(("metadata", Field::Metadata)),
        object.status.as_ref().map(|status| ("status", Field::Tree(status))),
    ];
    let body = object.body.iter().map(|(name, value)| (name.as_str(), Field::Tree(value)));
    let mut fields: Vec<(&str, Field<'_>)> = fixed.into_iter().flatten().chain(body).collect();
    fields.sort_by_key(|(name, _)| *name);
    out.push(b'{');
    let begin = out.len();
    for (name, field) in fields {
        key(out, begin, name);
        match field {
            Field::Text(text) => encode::string(out, text),
            Field::Metadata => encode::message(out, &object.metadata, false),
            Field::Tree(tree) => value(out, tree),
        }
    }
    out.push(b'}');
}

/// Reads a custom object; what it says to be is told, and judged by the caller.
pub fn read<'de, D>(deserializer: D, into: &mut CustomObject) -> Result<Decoded, Error>
where
    D: Deserializer<'de, Error = serde_json::Error>,
{
    let mut duplicate = Vec::new();
    let tree = Tree { path: &Path::Root, duplicate: &mut duplicate };
    let Value::Object(mut tree) = tree.deserialize(deserializer).map_err(Error::syntax)? else {
        return Err(Error::Type {
            path: "<root>".to_owned(),
            expected: "an object",
            found: "something else".to_owned(),
        });
    };
    let api_version = text(&mut tree, "apiVersion")?;
    let kind = text(&mut tree, "kind")?;
    let mut unknown = Vec::new();
    if let Some(metadata) = tree.remove("metadata") {
        let below = |path: String| format!("metadata.{path}");
        let decoded = super::value_into(metadata, &mut into.metadata).map_err(|error| error.below("metadata"))?;
        unknown.extend(decoded.unknown.into_iter().map(below));
    }
    into.status = tree.remove("status");
    into.body = tree;
    Ok(Decoded { api_version, kind, unknown, duplicate })
}

fn text(tree: &mut Map<String, Value>, name: &'static str) -> Result<String, Error> {
    match tree.remove(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(Error::Type { path: name.to_owned(), expected: "a string", found: format!("{other}") }),
    }
}

/// Reads a tree, and tells the keys that are given twice.
struct Tree<'a> {
    path: &'a Path<'a>,
    duplicate: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        // As upstream: what fits no signed number is a fraction.
        i64::try_from(value).map_or_else(|_| self.visit_f64(value as f64), |value| Ok(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        if value.fract() == 0.0 && value.abs() < WHOLE_MAX {
            return Ok((value as i64).into());
        }
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is none"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let Self { path, duplicate } = self;
        let mut list = Vec::new();
        loop {
            let at = Path::Index(path, list.len());
            match items.next_element_seed(Tree { path: &at, duplicate: &mut *duplicate })? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let Self { path, duplicate } = self;
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let at = Path::Name(path, &name);
            let value = entries.next_value_seed(Tree { path: &at, duplicate: &mut *duplicate })?;
            if map.contains_key(&name) {
                let told = at.to_string();
                if !duplicate.contains(&told) {
                    duplicate.push(told);
                }
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}
