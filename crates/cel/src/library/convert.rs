//! Conversions between types.

use super::prelude::*;
use super::time;
use crate::value::Text;

pub const ROWS: &[Row] = &[
    row!("type", "(A) -> type<A>", Step, |_, args| Ok(Value::Type(args[0].type_name()))),
    row!("dyn", "(A) -> dyn", Dyn, |_, args| Ok(args[0].clone())),
    row!(
        "int",
        "(int) -> int | (uint) -> int | (double) -> int | (string) -> int | (timestamp) -> int | (duration) -> int",
        Step,
        int
    ),
    row!("uint", "(uint) -> uint | (int) -> uint | (double) -> uint | (string) -> uint", Step, uint),
    row!("double", "(double) -> double | (int) -> double | (uint) -> double | (string) -> double", Step, double),
    row!("bool", "(bool) -> bool | (string) -> bool", Step, bool),
    row!(
        "string",
        "(string) -> string | (bool) -> string | (int) -> string | (uint) -> string | (double) -> string | (timestamp) -> string | (duration) -> string",
        Step,
        string
    ),
    row!("string", "(bytes) -> string", ToText, string),
    row!("bytes", "(bytes) -> bytes", Step, |_, args| Ok(args[0].clone())),
    row!("bytes", "(string) -> bytes", ToBytes, |_, args| match args {
        [Value::String(text)] => Ok(Value::Bytes(text.as_bytes().into())),
        _ => Err(Error::NoOverload),
    }),
    row!("timestamp", "(timestamp) -> timestamp | (string) -> timestamp | (int) -> timestamp", Step, timestamp),
    row!("duration", "(duration) -> duration | (string) -> duration | (int) -> duration", Step, duration),
];

fn int<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Int(match args {
        [Value::Int(value)] => *value,
        [Value::Uint(value)] => i64::try_from(*value).map_err(|_| Error::INT_OVERFLOW)?,
        // The doubles next to the ends round into what an int holds, or not.
        [Value::Double(value)] if *value > -9_223_372_036_854_775_808.0 && *value < 9_223_372_036_854_775_807.0 => {
            *value as i64
        }
        [Value::Double(_)] => return Err(Error::INT_OVERFLOW),
        [Value::String(text)] => text
            .parse()
            .map_err(|_| Error::new(format!("type conversion error from 'string' to 'int': {}", &**text)))?,
        [Value::Timestamp(time)] => time.as_nanosecond().div_euclid(1_000_000_000) as i64,
        [Value::Duration(nanos)] => *nanos,
        _ => return Err(Error::NoOverload),
    }))
}

fn uint<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Uint(match args {
        [Value::Uint(value)] => *value,
        [Value::Int(value)] => u64::try_from(*value).map_err(|_| Error::UINT_OVERFLOW)?,
        [Value::Double(value)] if *value >= 0.0 && *value < 18_446_744_073_709_551_615.0 => *value as u64,
        [Value::Double(_)] => return Err(Error::UINT_OVERFLOW),
        [Value::String(text)] => text
            .parse()
            .map_err(|_| Error::new(format!("type conversion error from 'string' to 'uint': {}", &**text)))?,
        _ => return Err(Error::NoOverload),
    }))
}

fn double<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Double(match args {
        [Value::Double(value)] => *value,
        [Value::Int(value)] => *value as f64,
        [Value::Uint(value)] => *value as f64,
        [Value::String(text)] => text.parse().map_err(|_| Error::conversion("string", "double"))?,
        _ => return Err(Error::NoOverload),
    }))
}

fn bool<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Bool(value)] => Ok(Value::Bool(*value)),
        [Value::String(text)] => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(Error::conversion("string", "bool")),
        },
        _ => Err(Error::NoOverload),
    }
}

fn string<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value @ Value::String(_)] => Ok(value.clone()),
        [Value::Bytes(bytes)] => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Value::String(Text::Shared(text.into()))),
            Err(_) => Err(Error::new("invalid UTF-8 in bytes, cannot convert to string")),
        },
        [value] => plain(value).map(Value::text).ok_or(Error::NoOverload),
        _ => Err(Error::NoOverload),
    }
}

/// A scalar as text.
pub fn plain(value: &Value<'_>) -> Option<String> {
    Some(match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double_text(*value),
        Value::String(text) => text.to_string(),
        Value::Timestamp(time) => time.to_string(),
        Value::Duration(nanos) => time::duration_text(*nanos),
        _ => return None,
    })
}

/// The shortest text that is this number; with an exponent where it is far from one.
pub fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn timestamp<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value @ Value::Timestamp(_)] => Ok(value.clone()),
        [Value::String(text)] => time::timestamp(text)
            .map(Value::Timestamp)
            .ok_or_else(|| Error::conversion("string", "google.protobuf.Timestamp")),
        [Value::Int(seconds)] => time::moved(jiff::Timestamp::UNIX_EPOCH, i128::from(*seconds) * 1_000_000_000),
        _ => Err(Error::NoOverload),
    }
}

fn duration<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value @ Value::Duration(_)] => Ok(value.clone()),
        [Value::String(text)] => time::duration(text)
            .map(Value::Duration)
            .ok_or_else(|| Error::conversion("string", "google.protobuf.Duration")),
        [Value::Int(nanos)] => Ok(Value::Duration(*nanos)),
        _ => Err(Error::NoOverload),
    }
}
