//! Values from JSON, by their schema where there is one, and back.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value as Json;

use super::{List, Map, Value, Work};
use crate::error::Error;
use crate::library::time;
use crate::types::{Decl, Shape, Type};

/// A value of JSON. Where its declaration does not fit, it is taken as it stands.
pub fn of_json<'a>(json: &'a Json, decl: Option<&'a Decl>) -> Value<'a> {
    match (json, decl.map(|decl| (&decl.ty, &decl.shape))) {
        (Json::Null, _) => Value::Null,
        (Json::Bool(value), _) => Value::Bool(*value),
        (Json::Number(number), Some((Type::Double, _))) => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        (Json::Number(number), Some((Type::Int, _))) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Value::Int(value),
            (None, Some(value)) if value.fract() == 0.0 && value.abs() < 9.2e18 => Value::Int(value as i64),
            (None, value) => Value::Double(value.unwrap_or(f64::NAN)),
        },
        (Json::Number(number), _) => match number.as_i64() {
            Some(value) => Value::Int(value),
            None => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        (Json::String(text), Some((ty, _))) => of_text(text, ty).unwrap_or(Value::String(text.as_str().into())),
        (Json::String(text), None) => Value::String(text.as_str().into()),
        (Json::Array(items), Some((_, Shape::List(inner, kind)))) => {
            Value::List(List::json(items, Some(inner), Some(kind)))
        }
        (Json::Array(items), _) => Value::List(List::json(items, None, None)),
        (Json::Object(entries), Some((_, Shape::Object(_) | Shape::Map(_)))) => Value::Map(Map::json(entries, decl)),
        (Json::Object(entries), _) => Value::Map(Map::json(entries, None)),
    }
}

fn of_text<'a>(text: &str, ty: &Type) -> Option<Value<'a>> {
    match ty {
        Type::Bytes => STANDARD.decode(text).ok().map(|bytes| Value::Bytes(bytes.into())),
        Type::Duration => time::duration(text).map(Value::Duration),
        Type::Timestamp => {
            time::timestamp(text).or_else(|| time::timestamp(&format!("{text}T00:00:00Z"))).map(Value::Timestamp)
        }
        _ => None,
    }
}

/// A time as JSON and `string()` write it.
pub(crate) fn time_text(time: Timestamp) -> String {
    time.to_string()
}

impl Value<'_> {
    /// The value as JSON: what a mutation puts into an object.
    ///
    /// # Errors
    /// For values that JSON has no form for, and for those that would be too large.
    pub fn to_json(&self) -> Result<Json, Error> {
        self.written(&mut Work::default())
    }

    fn written(&self, work: &mut Work) -> Result<Json, Error> {
        work.step(1)?;
        Ok(match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) => Json::from(*value),
            Self::Uint(value) => Json::from(*value),
            Self::Double(value) => serde_json::Number::from_f64(*value)
                .map(Json::Number)
                .ok_or_else(|| Error::conversion("double", "json"))?,
            Self::String(text) => Json::String(text.to_string()),
            Self::Bytes(bytes) => Json::String(STANDARD.encode(bytes)),
            Self::Duration(nanos) => Json::String(time::duration_text(*nanos)),
            Self::Timestamp(time) => Json::String(time_text(*time)),
            Self::List(list) => Json::Array(list.iter().map(|item| item.written(work)).collect::<Result<_, _>>()?),
            Self::Map(map) => {
                let mut made = serde_json::Map::new();
                for (key, value) in map.entries() {
                    made.insert(key.to_string(), value.written(work)?);
                }
                Json::Object(made)
            }
            Self::Optional(Some(value)) => Arc::clone(value).written(work)?,
            Self::Optional(None) => Json::Null,
            Self::Type(_) | Self::Host(_) => return Err(Error::conversion(&self.type_name(), "json")),
        })
    }
}
