//! `"%d of %s".format([...])`.

use super::convert;
use super::prelude::*;
use crate::value::Map;

/// Digits after the point that may be asked for.
const PRECISION_MAX: usize = 1_000;

fn wrong(why: impl std::fmt::Display) -> Error {
    Error::new(format!("error during formatting: {why}"))
}

pub fn format<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(template), Value::List(values)] = args else { return Err(Error::NoOverload) };
    let mut made = String::new();
    let mut next = 0;
    let mut rest: &str = template;
    while let Some(at) = rest.find('%') {
        made.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            made.push('%');
            rest = after;
            continue;
        }
        let (precision, after) = precision(rest)?;
        let verb = after.chars().next().ok_or_else(|| wrong("unexpected end of string"))?;
        rest = &after[verb.len_utf8()..];
        let value = values.get(next).ok_or_else(|| wrong(format!("index {next} out of range")))?;
        next += 1;
        let text = one(&value, verb, precision)?;
        vm.makes(made.len() + text.len())?;
        made.push_str(&text);
    }
    made.push_str(rest);
    Ok(Value::text(made))
}

fn precision(rest: &str) -> Result<(usize, &str), Error> {
    let Some(digits) = rest.strip_prefix('.') else { return Ok((6, rest)) };
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    let precision = digits[..end].parse().ok().filter(|precision| *precision <= PRECISION_MAX);
    match precision {
        Some(precision) => Ok((precision, &digits[end..])),
        None => Err(wrong("error while parsing precision")),
    }
}

fn one(value: &Value<'_>, verb: char, precision: usize) -> Result<String, Error> {
    let unfit = |what: &str, kinds: &str| {
        wrong(format!("{what} can only be used on {kinds}, was given {}", &*value.type_name()))
    };
    Ok(match (verb, value) {
        ('s', value) => {
            let mut made = String::new();
            text(value, &mut made)?;
            made
        }
        ('d', Value::Int(value)) => value.to_string(),
        ('d', Value::Uint(value)) => value.to_string(),
        ('d' | 'f' | 'e', Value::Double(value)) if !value.is_finite() => special(*value).to_owned(),
        ('d', _) => return Err(unfit("decimal clause", "integers")),
        ('f', Value::Double(value)) => format!("{value:.precision$}"),
        ('f', Value::Int(value)) => format!("{:.precision$}", *value as f64),
        ('f', Value::Uint(value)) => format!("{:.precision$}", *value as f64),
        ('f', _) => return Err(unfit("fixed-point clause", "doubles")),
        ('e', Value::Double(value)) => scientific(*value, precision),
        ('e', Value::Int(value)) => scientific(*value as f64, precision),
        ('e', Value::Uint(value)) => scientific(*value as f64, precision),
        ('e', _) => return Err(unfit("scientific clause", "doubles")),
        ('b', Value::Bool(value)) => if *value { "1" } else { "0" }.to_owned(),
        ('b', Value::Int(value)) => signed(*value, |magnitude| format!("{magnitude:b}")),
        ('b', Value::Uint(value)) => format!("{value:b}"),
        ('b', _) => return Err(unfit("only integers and bools can be formatted as binary, clause", "them")),
        ('o', Value::Int(value)) => signed(*value, |magnitude| format!("{magnitude:o}")),
        ('o', Value::Uint(value)) => format!("{value:o}"),
        ('o', _) => return Err(unfit("octal clause", "integers")),
        ('x', value) => hex(value).ok_or_else(|| unfit("hex clause", "integers, bytes, and strings"))?,
        ('X', value) => {
            hex(value).ok_or_else(|| unfit("hex clause", "integers, bytes, and strings"))?.to_ascii_uppercase()
        }
        (other, _) => return Err(wrong(format!("unrecognized formatting clause \"{other}\""))),
    })
}

fn signed(value: i64, write: fn(u64) -> String) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", write(value.unsigned_abs()))
}

fn hex(value: &Value<'_>) -> Option<String> {
    let bytes = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match value {
        Value::Int(value) => Some(signed(*value, |magnitude| format!("{magnitude:x}"))),
        Value::Uint(value) => Some(format!("{value:x}")),
        Value::String(text) => Some(bytes(text.as_bytes())),
        Value::Bytes(found) => Some(bytes(found)),
        _ => None,
    }
}

fn special(value: f64) -> &'static str {
    match value {
        value if value.is_nan() => "NaN",
        value if value > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

/// With an exponent of at least two digits.
fn scientific(value: f64, precision: usize) -> String {
    let plain = format!("{value:.precision$e}");
    let (digits, exponent) = plain.split_once('e').unwrap_or((&plain, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn bounded(made: &str) -> Result<(), Error> {
    if made.len() > 16 << 20 { Err(Error::TOO_LARGE) } else { Ok(()) }
}

fn text(value: &Value<'_>, made: &mut String) -> Result<(), Error> {
    bounded(made)?;
    match value {
        Value::Null => made.push_str("null"),
        Value::Double(value) if !value.is_finite() => made.push_str(special(*value)),
        Value::Bytes(bytes) => made.push_str(&String::from_utf8_lossy(bytes)),
        Value::Type(name) => made.push_str(name),
        Value::List(list) => {
            made.push('[');
            for (index, item) in list.iter().enumerate() {
                made.push_str(if index > 0 { ", " } else { "" });
                text(&item, made)?;
            }
            made.push(']');
        }
        Value::Map(map) => entries(map, made)?,
        other => match convert::plain(other) {
            Some(plain) => made.push_str(&plain),
            None => {
                let kinds = "strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps";
                let given = &*other.type_name();
                return Err(wrong(format!("string clause can only be used on {kinds}, was given {given}")));
            }
        },
    }
    Ok(())
}

/// Entries of a map, in the order of their keys' texts.
fn entries(map: &Map<'_>, made: &mut String) -> Result<(), Error> {
    let mut sorted: Vec<_> = map.entries().into_iter().map(|(key, value)| (key.to_string(), value)).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    made.push('{');
    for (index, (key, value)) in sorted.iter().enumerate() {
        made.push_str(if index > 0 { ", " } else { "" });
        made.push_str(key);
        made.push_str(": ");
        text(value, made)?;
    }
    made.push('}');
    Ok(())
}
