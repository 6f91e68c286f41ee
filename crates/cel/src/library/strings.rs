//! Texts: the standard functions and those of the strings extension, version 2. Places in texts are counted in characters.

use super::prelude::*;
use crate::value::Text;

pub const ROWS: &[Row] = &[
    row!("contains", "string.(string) -> bool", Contains, |_, args| test(args, |a, b| a.contains(b))),
    row!("startsWith", "string.(string) -> bool", Prefix, |_, args| test(args, |a, b| a.starts_with(b))),
    row!("endsWith", "string.(string) -> bool", Prefix, |_, args| test(args, |a, b| a.ends_with(b))),
    row!("charAt", "string.(int) -> string", Step, char_at),
    row!("indexOf", "string.(string) -> int | string.(string, int) -> int", Walk, index_of),
    row!("lastIndexOf", "string.(string) -> int | string.(string, int) -> int", Walk, last_index_of),
    row!("lowerAscii", "string.() -> string", Text, |vm, args| changed(vm, args, str::to_ascii_lowercase)),
    row!("upperAscii", "string.() -> string", Text, |vm, args| changed(vm, args, str::to_ascii_uppercase)),
    row!("trim", "string.() -> string", Text, |vm, args| changed(vm, args, |text| text.trim().to_owned())),
    row!("replace", "string.(string, string) -> string | string.(string, string, int) -> string", Replace, replace),
    row!("split", "string.(string) -> list<string> | string.(string, int) -> list<string>", Split, split),
    row!("join", "list<string>.() -> string | list<string>.(string) -> string", Join, join),
    row!("substring", "string.(int) -> string | string.(int, int) -> string", Text, substring),
    row!("format", "string.(list<dyn>) -> string", Format, super::format::format),
    row!("strings.quote", "(string) -> string", Quote, quote),
    row!("jsonpatch.escapeKey", "(string) -> string", Text, |vm, args| {
        changed(vm, args, |text| text.replace('~', "~0").replace('/', "~1"))
    }),
];

fn test<'a>(args: &[Value<'a>], holds: fn(&str, &str) -> bool) -> Outcome<'a> {
    match args {
        [Value::String(a), Value::String(b)] => Ok(Value::Bool(holds(a, b))),
        _ => Err(Error::NoOverload),
    }
}

fn changed<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>], change: fn(&str) -> String) -> Outcome<'a> {
    match args {
        [Value::String(text)] => {
            vm.makes(text.len())?;
            Ok(Value::text(change(text)))
        }
        _ => Err(Error::NoOverload),
    }
}

/// The byte of a character; the end is one too.
fn byte_of(text: &str, character: i64) -> Option<usize> {
    let character = usize::try_from(character).ok()?;
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    places.nth(character)
}

fn out_of_range(at: i64) -> Error {
    Error::new(format!("index out of range: {at}"))
}

/// The character at which a byte stands.
fn character(text: &str, byte: usize) -> i64 {
    text[..byte].chars().count() as i64
}

fn char_at<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::Int(at)] = args else { return Err(Error::NoOverload) };
    let byte = byte_of(text, *at).ok_or_else(|| out_of_range(*at))?;
    let found = text[byte..].chars().next().map(String::from).unwrap_or_default();
    Ok(Value::text(found))
}

fn index_of<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, wanted, from) = match args {
        [Value::String(text), Value::String(wanted)] => (text, wanted, 0),
        [Value::String(text), Value::String(wanted), Value::Int(from)] => (text, wanted, *from),
        _ => return Err(Error::NoOverload),
    };
    if wanted.is_empty() && from == 0 {
        return Ok(Value::Int(0));
    }
    let from = byte_of(text, from).ok_or_else(|| out_of_range(from))?;
    Ok(Value::Int(text[from..].find(&**wanted).map_or(-1, |at| character(text, from + at))))
}

fn last_index_of<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, wanted, last) = match args {
        [Value::String(text), Value::String(wanted)] => (text, wanted, None),
        [Value::String(text), Value::String(wanted), Value::Int(last)] => (text, wanted, Some(*last)),
        _ => return Err(Error::NoOverload),
    };
    let last = match last {
        Some(last) => byte_of(text, last).ok_or_else(|| out_of_range(last))?,
        None => text.len(),
    };
    let end = (last + wanted.len()).min(text.len());
    let end = (end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let found = text[..end].rfind(&**wanted).filter(|at| *at <= last);
    Ok(Value::Int(found.map_or(-1, |at| character(text, at))))
}

fn replace<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, old, new, most) = match args {
        [Value::String(text), Value::String(old), Value::String(new)] => (text, old, new, -1),
        [Value::String(text), Value::String(old), Value::String(new), Value::Int(most)] => (text, old, new, *most),
        _ => return Err(Error::NoOverload),
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let count = text.matches(&**old).take(most).count();
    vm.makes(text.len().saturating_add(count.saturating_mul(new.len())))?;
    Ok(Value::text(text.replacen(&**old, new, most)))
}

fn split<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, separator, most) = match args {
        [Value::String(text), Value::String(separator)] => (text, separator, -1),
        [Value::String(text), Value::String(separator), Value::Int(most)] => (text, separator, *most),
        _ => return Err(Error::NoOverload),
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let items: Vec<Value<'a>> = if most == 0 {
        Vec::new()
    } else if separator.is_empty() {
        vm.copies(text.chars().count())?;
        characters(text, most)
    } else {
        vm.copies(text.matches(&**separator).count())?;
        text.splitn(most, &**separator).map(|part| Value::text(part.to_owned())).collect()
    };
    Ok(Value::list(items))
}

/// Each character; the last of `most` parts is the rest.
fn characters<'a>(text: &str, most: usize) -> Vec<Value<'a>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if parts.len() + 1 == most {
            parts.push(Value::text(rest.to_owned()));
            break;
        }
        parts.push(Value::text(String::from(letter)));
        rest = &rest[letter.len_utf8()..];
    }
    parts
}

fn join<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let (list, separator) = match args {
        [Value::List(list)] => (list, Text::Borrowed("")),
        [Value::List(list), Value::String(separator)] => (list, separator.clone()),
        _ => return Err(Error::NoOverload),
    };
    let mut made = String::new();
    for (index, item) in list.iter().enumerate() {
        let Value::String(text) = item else { return Err(Error::NoOverload) };
        vm.makes(made.len() + text.len() + separator.len())?;
        if index > 0 {
            made.push_str(&separator);
        }
        made.push_str(&text);
    }
    Ok(Value::text(made))
}

fn substring<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, from, to) = match args {
        [Value::String(text), Value::Int(from)] => (text, *from, None),
        [Value::String(text), Value::Int(from), Value::Int(to)] => (text, *from, Some(*to)),
        _ => return Err(Error::NoOverload),
    };
    let start = byte_of(text, from).ok_or_else(|| out_of_range(from))?;
    let end = match to {
        Some(to) => byte_of(text, to).ok_or_else(|| out_of_range(to))?,
        None => text.len(),
    };
    match text.get(start..end) {
        Some(part) => Ok(Value::text(part.to_owned())),
        None => Err(Error::new(format!("invalid substring range. start: {from}, end: {}", to.unwrap_or_default()))),
    }
}

fn quote<'a>(vm: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text)] = args else { return Err(Error::NoOverload) };
    vm.makes(text.len() * 2)?;
    Ok(Value::text(quoted(text)))
}

/// A text as it is written between quotes.
pub fn quoted(text: &str) -> String {
    let mut made = String::with_capacity(text.len() + 2);
    made.push('"');
    for letter in text.chars() {
        match letter {
            '\u{7}' => made.push_str("\\a"),
            '\u{8}' => made.push_str("\\b"),
            '\u{c}' => made.push_str("\\f"),
            '\n' => made.push_str("\\n"),
            '\r' => made.push_str("\\r"),
            '\t' => made.push_str("\\t"),
            '\u{b}' => made.push_str("\\v"),
            '\\' => made.push_str("\\\\"),
            '"' => made.push_str("\\\""),
            other => made.push(other),
        }
    }
    made.push('"');
    made
}
