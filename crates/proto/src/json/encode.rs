//! Messages to JSON bytes.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::reflect::{List, Map, Ref, Reflect};
use crate::schema::{FieldInfo, Form, MessageInfo, ValueType};

use super::special;

/// Writes a message in the form it has; `with_type` begins a kind with its kind and apiVersion.
pub fn message(out: &mut Vec<u8>, message: &dyn Reflect, with_type: bool) {
    let info = message.message();
    match info.form {
        Form::Plain => plain(out, message, info, with_type),
        form => special_form(out, message, form),
    }
}

fn plain(out: &mut Vec<u8>, message: &dyn Reflect, info: &'static MessageInfo, with_type: bool) {
    out.push(b'{');
    let begin = out.len();
    if with_type && let Some(name) = info.kind {
        out.extend_from_slice(b"\"kind\":");
        string(out, name.kind);
        out.extend_from_slice(b",\"apiVersion\":");
        string(out, name.api_version);
    }
    fields(out, begin, message, info);
    out.push(b'}');
}

/// Writes the fields that are not left out; `begin` is where their object begins.
fn fields(out: &mut Vec<u8>, begin: usize, message: &dyn Reflect, info: &'static MessageInfo) {
    for (index, field) in info.fields.iter().enumerate() {
        let value = message.get(index);
        if field.inline {
            if let Ref::Message(inner) = value {
                fields(out, begin, inner, inner.message());
            }
            continue;
        }
        if field.not_served || is_left_out(field, value) {
            continue;
        }
        if out.len() > begin {
            out.push(b',');
        }
        out.extend_from_slice(field.key.as_bytes());
        field_value(out, field, value);
    }
}

/// Upstream's omitempty: scalars when zero, lists and maps when empty, pointers when unset; messages never.
pub fn is_left_out(field: &FieldInfo, value: Ref<'_>) -> bool {
    if field.omit_zero {
        return is_zero(value);
    }
    if field.keep_empty {
        return false;
    }
    match value {
        Ref::Unset => true,
        Ref::Message(_) => false,
        _ if field.pointer => false,
        other => is_zero(other),
    }
}

/// Whether a field that is not left out is written as null: without content, but there.
pub fn is_written_null(field: &FieldInfo, value: Ref<'_>) -> bool {
    match value {
        Ref::List(list) => list.is_empty(),
        Ref::Map(map) => map.is_empty(),
        Ref::Bytes(bytes) => bytes.is_empty(),
        Ref::Message(time) => !field.pointer && is_unset_time(time),
        _ => false,
    }
}

/// Whether a value is its type's zero; a message when all its fields are.
pub fn is_zero(value: Ref<'_>) -> bool {
    match value {
        Ref::Unset => true,
        Ref::Bool(value) => !value,
        Ref::Int32(value) => value == 0,
        Ref::Int64(value) => value == 0,
        Ref::Double(value) => value == 0.0,
        Ref::String(value) => value.is_empty(),
        Ref::Bytes(value) => value.is_empty(),
        Ref::List(value) => value.is_empty(),
        Ref::Map(value) => value.is_empty(),
        Ref::Message(value) => (0..value.message().fields.len()).all(|index| is_zero(value.get(index))),
    }
}

fn field_value(out: &mut Vec<u8>, field: &FieldInfo, value: Ref<'_>) {
    match value {
        Ref::List(list) if list.is_empty() => empty_list(out, field),
        Ref::List(list) => items(out, list, field.type_meta),
        Ref::Map(map) if map.is_empty() => out.extend_from_slice(b"null"),
        Ref::Map(map) => entries(out, map),
        Ref::Bytes([]) => out.extend_from_slice(b"null"),
        // A time that was never set is null in a plain field; a pointer to it is the beginning of 1970.
        Ref::Message(time) if !field.pointer && is_unset_time(time) => out.extend_from_slice(b"null"),
        other => scalar(out, other),
    }
}

/// A list object's items are always an array; any other list that is empty was never stored.
pub fn empty_list(out: &mut Vec<u8>, field: &FieldInfo) {
    let items = field.name == "items" && matches!(field.value, ValueType::Message(_));
    out.extend_from_slice(if items { b"[]" } else { b"null" });
}

fn is_unset_time(message: &dyn Reflect) -> bool {
    matches!(message.message().form, Form::Time | Form::MicroTime) && is_zero(Ref::Message(message))
}

fn items(out: &mut Vec<u8>, list: &dyn List, with_type: bool) {
    out.push(b'[');
    for index in 0..list.len() {
        if index > 0 {
            out.push(b',');
        }
        match list.item(index) {
            Ref::Message(item) => message(out, item, with_type),
            item => scalar(out, item),
        }
    }
    out.push(b']');
}

fn entries(out: &mut Vec<u8>, map: &dyn Map) {
    out.push(b'{');
    let begin = out.len();
    map.visit(&mut |key, value| {
        if out.len() > begin {
            out.push(b',');
        }
        string(out, key);
        out.push(b':');
        scalar(out, value);
    });
    out.push(b'}');
}

fn scalar(out: &mut Vec<u8>, value: Ref<'_>) {
    match value {
        Ref::Unset => out.extend_from_slice(b"null"),
        Ref::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Ref::Int32(value) => integer(out, i64::from(value)),
        Ref::Int64(value) => integer(out, value),
        Ref::Double(value) => double(out, value),
        Ref::String(value) => string(out, value),
        Ref::Bytes(value) => bytes(out, value),
        Ref::Message(value) => message(out, value, false),
        Ref::List(value) => items(out, value, false),
        Ref::Map(value) => entries(out, value),
    }
}

fn special_form(out: &mut Vec<u8>, message: &dyn Reflect, form: Form) {
    match form {
        Form::Time => match message.as_any().downcast_ref::<crate::time::Time>() {
            Some(time) => quoted(out, format_args!("{time}")),
            None => out.extend_from_slice(b"null"),
        },
        Form::MicroTime => match message.as_any().downcast_ref::<crate::time::MicroTime>() {
            Some(time) => quoted(out, format_args!("{time}")),
            None => out.extend_from_slice(b"null"),
        },
        Form::Duration => match message.get(0) {
            Ref::Int64(nanos) => string(out, &special::duration_text(nanos)),
            _ => out.extend_from_slice(b"null"),
        },
        Form::Quantity => match message.get(0) {
            Ref::String("") => out.extend_from_slice(b"\"0\""),
            value => scalar(out, value),
        },
        Form::IntOrString => match message.get(0) {
            Ref::Int64(0) => scalar(out, message.get(1)),
            _ => scalar(out, message.get(2)),
        },
        Form::Raw => match message.get(0) {
            Ref::Bytes(raw) if !raw.is_empty() => special::write_raw(out, raw),
            _ => out.extend_from_slice(b"null"),
        },
        Form::Items => scalar(out, message.get(0)),
        // The second field is an array where the first is not set.
        Form::SchemaOrArray | Form::SchemaOrStrings => match message.get(0) {
            Ref::Unset => scalar(out, message.get(1)),
            schema => scalar(out, schema),
        },
        Form::SchemaOrBool => match message.get(1) {
            Ref::Unset => scalar(out, message.get(0)),
            schema => scalar(out, schema),
        },
        Form::Custom => match message.as_any().downcast_ref() {
            Some(object) => super::custom::object(out, object),
            None => out.extend_from_slice(b"null"),
        },
        Form::Plain => plain(out, message, message.message(), false),
    }
}

pub fn quoted(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "\"{text}\"");
}

pub(super) fn integer(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The shortest text that reads back as the same number; a whole number has no fraction.
pub(super) fn double(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        out.extend_from_slice(b"null");
    } else if value.fract() == 0.0 && value.abs() < 1e15 {
        integer(out, value as i64);
    } else {
        let _ = write!(out, "{value}");
    }
}

pub fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    let begin = out.len();
    out.resize(begin + value.len().div_ceil(3) * 4, 0);
    // The buffer has the size that padded base64 needs.
    let written = STANDARD.encode_slice(value, &mut out[begin..]).unwrap_or(0);
    out.truncate(begin + written);
    out.push(b'"');
}

/// Writes a string with the escapes of upstream's server: beside what JSON asks for, what a web page or a script could
/// take for its own (`<`, `>`, `&` and the separators of lines and paragraphs).
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escaped(out, text.as_bytes());
    out.push(b'"');
}

/// Writes the inside of a string.
fn escaped(out: &mut Vec<u8>, mut rest: &[u8]) {
    while let Some(at) = rest.iter().position(|byte| special::MAY_BE_ESCAPED[usize::from(*byte)]) {
        let len = special::escape_len(&rest[at..]);
        // The first byte of a letter that is written as it is goes with what is before it.
        let as_it_is = if len == 0 { at + 1 } else { at };
        out.extend_from_slice(&rest[..as_it_is]);
        special::escape(out, &rest[at..at + len]);
        rest = &rest[as_it_is + len..];
    }
    out.extend_from_slice(rest);
}
