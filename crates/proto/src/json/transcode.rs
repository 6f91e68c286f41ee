//! Protobuf bytes to JSON without making the object between them.
//!
//! A list of many thousand objects is written from stored bytes: to make each object only to write it and drop it costs more
//! than all else that a list does. [`wire`] finds where a message's fields lie, and the schema tables say in which order and
//! form they are written. It takes bytes as our encoder and upstream's write them (singular fields once, the items of a list
//! together, maps sorted) and says so where they are not: then the object is made after all, so what is written is always
//! what [`super::write`] writes.

mod wire;

use crate::schema::{FieldInfo, Form, Label, MessageInfo, ValueType};
use crate::time::{MicroTime, Time};

use super::{encode, special};
use wire::{Fields, Slot};

/// Messages within messages; one below prost's limit, so that what it refuses is never written.
const DEPTH_MAX: usize = 99;
/// What may hold the version of an object.
const OBJECT_META: &str = "k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta";
/// resourceVersion in it.
const RESOURCE_VERSION: u32 = 6;

/// Appends JSON of an object's protobuf bytes, with `version` as its metadata.resourceVersion where that is not empty.
/// Without `with_type` it is written as items of lists are, without kind and apiVersion. False: nothing was appended, since
/// the bytes are malformed or not in the order that they are always written in.
pub fn write_bytes(
    out: &mut Vec<u8>,
    info: &'static MessageInfo,
    bytes: &[u8],
    version: &str,
    with_type: bool,
) -> bool {
    let begin = out.len();
    let done = Writer { out, version }.object(info, bytes, with_type).is_some();
    if !done {
        out.truncate(begin);
    }
    done
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    version: &'a str,
}

/// Where a message is, as far as the version goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Object,
    Metadata,
    Below,
}

impl Writer<'_> {
    fn object(&mut self, info: &'static MessageInfo, bytes: &[u8], with_type: bool) -> Option<()> {
        self.message(info, bytes, with_type, Place::Object, DEPTH_MAX)
    }

    fn message(
        &mut self,
        info: &'static MessageInfo,
        bytes: &[u8],
        with_type: bool,
        place: Place,
        depth: usize,
    ) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        if info.form != Form::Plain {
            return self.special_form(info, bytes, depth);
        }
        self.out.push(b'{');
        let begin = self.out.len();
        if with_type && let Some(name) = info.kind {
            self.out.extend_from_slice(b"\"kind\":");
            encode::string(self.out, name.kind);
            self.out.extend_from_slice(b",\"apiVersion\":");
            encode::string(self.out, name.api_version);
        }
        self.fields(begin, info, bytes, place, depth)?;
        self.out.push(b'}');
        Some(())
    }

    /// Writes the fields that are not left out; `begin` is where their object begins. Small messages have few slots to clear.
    fn fields(
        &mut self,
        begin: usize,
        info: &'static MessageInfo,
        bytes: &[u8],
        place: Place,
        depth: usize,
    ) -> Option<()> {
        match info.fields.len() {
            0..=8 => self.fields_of::<8>(begin, info, bytes, place, depth),
            9..=24 => self.fields_of::<24>(begin, info, bytes, place, depth),
            _ => self.fields_of::<64>(begin, info, bytes, place, depth),
        }
    }

    fn fields_of<const N: usize>(
        &mut self,
        begin: usize,
        info: &'static MessageInfo,
        bytes: &[u8],
        place: Place,
        depth: usize,
    ) -> Option<()> {
        let fields = Fields::<N>::find(info, bytes)?;
        for (field, slot) in fields.iter() {
            if field.inline {
                let ValueType::Message(inner) = field.value else { return None };
                if slot.is_set() || !field.pointer {
                    self.fields(begin, inner, slot.content(bytes), Place::Below, depth.checked_sub(1)?)?;
                }
                continue;
            }
            if place == Place::Metadata && field.number == RESOURCE_VERSION && !self.version.is_empty() {
                self.key(begin, field);
                encode::string(self.out, self.version);
                continue;
            }
            if field.not_served || is_left_out(field, slot, bytes, depth)? {
                continue;
            }
            self.key(begin, field);
            let below = match field.value {
                ValueType::Message(inner) if place == Place::Object && inner.name == OBJECT_META => Place::Metadata,
                _ => Place::Below,
            };
            self.value(field, slot, bytes, below, depth)?;
        }
        Some(())
    }

    fn key(&mut self, begin: usize, field: &FieldInfo) {
        if self.out.len() > begin {
            self.out.push(b',');
        }
        self.out.extend_from_slice(field.key.as_bytes());
    }

    fn value(&mut self, field: &FieldInfo, slot: Slot, bytes: &[u8], place: Place, depth: usize) -> Option<()> {
        match field.label {
            Label::List if !slot.is_set() => encode::empty_list(self.out, field),
            Label::List => return self.items(field, slot, bytes, depth),
            Label::Map if !slot.is_set() => self.null(),
            Label::Map => return self.entries(field, slot, bytes, depth),
            Label::Single => return self.single(field, slot, bytes, place, depth),
        }
        Some(())
    }

    fn single(&mut self, field: &FieldInfo, slot: Slot, bytes: &[u8], place: Place, depth: usize) -> Option<()> {
        if field.pointer && !slot.is_set() {
            self.null();
            return Some(());
        }
        let content = slot.content(bytes);
        match field.value {
            ValueType::Bytes if content.is_empty() => self.null(),
            ValueType::Message(inner) if !field.pointer && is_time(inner) && is_zero(inner, content, depth)? => {
                self.null()
            }
            ValueType::Message(inner) => return self.message(inner, content, false, place, depth),
            _ => return self.scalar(field.value, slot, bytes, depth),
        }
        Some(())
    }

    /// A value that is there, or its type's zero.
    fn scalar(&mut self, value: ValueType, slot: Slot, bytes: &[u8], depth: usize) -> Option<()> {
        match value {
            ValueType::Bool => self.out.extend_from_slice(if slot.number != 0 { b"true" } else { b"false" }),
            // As prost reads it: the lower half.
            ValueType::Int32 => encode::integer(self.out, i64::from(slot.number as i32)),
            ValueType::Int64 => encode::integer(self.out, slot.number as i64),
            ValueType::Double => encode::double(self.out, f64::from_bits(slot.number)),
            ValueType::String => encode::string(self.out, text(slot.content(bytes))?),
            ValueType::Bytes => encode::bytes(self.out, slot.content(bytes)),
            ValueType::Message(inner) => return self.message(inner, slot.content(bytes), false, Place::Below, depth),
        }
        Some(())
    }

    fn items(&mut self, field: &FieldInfo, slot: Slot, bytes: &[u8], depth: usize) -> Option<()> {
        self.out.push(b'[');
        let begin = self.out.len();
        let mut rest = slot.occurrences(bytes);
        while !rest.is_empty() {
            let (item, len) = wire::next(rest, field.value)?;
            if self.out.len() > begin {
                self.out.push(b',');
            }
            match field.value {
                ValueType::Message(inner) => {
                    self.message(inner, item.content(rest), field.type_meta, Place::Below, depth)?;
                }
                value => self.scalar(value, item, rest, depth)?,
            }
            rest = &rest[len..];
        }
        self.out.push(b']');
        Some(())
    }

    fn entries(&mut self, field: &FieldInfo, slot: Slot, bytes: &[u8], depth: usize) -> Option<()> {
        self.out.push(b'{');
        let begin = self.out.len();
        let (mut rest, mut before) = (slot.occurrences(bytes), None);
        while !rest.is_empty() {
            let (entry, len) = wire::next(rest, ValueType::Bytes)?;
            let entry = entry.content(rest);
            let (key, value) = wire::entry(entry, field.value)?;
            let key = text(key.content(entry))?;
            // A map as it is read is sorted, and has each key once.
            if before.is_some_and(|before| before >= key) {
                return None;
            }
            if self.out.len() > begin {
                self.out.push(b',');
            }
            encode::string(self.out, key);
            self.out.push(b':');
            self.scalar(field.value, value, entry, depth)?;
            before = Some(key);
            rest = &rest[len..];
        }
        self.out.push(b'}');
        Some(())
    }

    fn special_form(&mut self, info: &'static MessageInfo, bytes: &[u8], depth: usize) -> Option<()> {
        let fields = Fields::<8>::find(info, bytes)?;
        let first = fields.get(0);
        match info.form {
            Form::Time => encode::quoted(self.out, format_args!("{}", Time::from_unix(first.number as i64))),
            Form::MicroTime => {
                let time = MicroTime { seconds: first.number as i64, nanos: fields.get(1).number as i32 };
                encode::quoted(self.out, format_args!("{time}"));
            }
            Form::Duration => encode::string(self.out, &special::duration_text(first.number as i64)),
            Form::Quantity if first.content(bytes).is_empty() => self.out.extend_from_slice(b"\"0\""),
            Form::Quantity => encode::string(self.out, text(first.content(bytes))?),
            Form::IntOrString => {
                let index = if first.number == 0 { 1 } else { 2 };
                return self.single(&info.fields[index], fields.get(index), bytes, Place::Below, depth);
            }
            Form::Raw if first.content(bytes).is_empty() => self.null(),
            Form::Raw => special::write_raw(self.out, first.content(bytes)),
            Form::Items if !first.is_set() => self.out.extend_from_slice(b"[]"),
            Form::Items => return self.items(&info.fields[0], first, bytes, depth),
            // Schemas of definitions are few, and custom objects are JSON.
            Form::SchemaOrArray | Form::SchemaOrBool | Form::SchemaOrStrings | Form::Custom | Form::Plain => {
                return None;
            }
        }
        Some(())
    }

    fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn is_time(info: &MessageInfo) -> bool {
    matches!(info.form, Form::Time | Form::MicroTime)
}

/// As [`encode::is_left_out`] decides it of a value.
fn is_left_out(field: &FieldInfo, slot: Slot, bytes: &[u8], depth: usize) -> Option<bool> {
    if field.omit_zero {
        return is_zero_field(field, slot, bytes, depth);
    }
    if field.keep_empty {
        return Some(false);
    }
    match (field.label, field.value) {
        (Label::List | Label::Map, _) => Some(!slot.is_set()),
        _ if field.pointer => Some(!slot.is_set()),
        (_, ValueType::Message(_)) => Some(false),
        _ => is_zero_field(field, slot, bytes, depth),
    }
}

fn is_zero_field(field: &FieldInfo, slot: Slot, bytes: &[u8], depth: usize) -> Option<bool> {
    if !slot.is_set() {
        return Some(true);
    }
    match (field.label, field.value) {
        (Label::List | Label::Map, _) => Some(false),
        (_, ValueType::Bool | ValueType::Int64) => Some(slot.number == 0),
        (_, ValueType::Int32) => Some(slot.number as i32 == 0),
        (_, ValueType::Double) => Some(f64::from_bits(slot.number) == 0.0),
        (_, ValueType::String | ValueType::Bytes) => Some(slot.content(bytes).is_empty()),
        (_, ValueType::Message(inner)) => is_zero(inner, slot.content(bytes), depth),
    }
}

/// Whether all fields of a message are zero.
fn is_zero(info: &'static MessageInfo, bytes: &[u8], depth: usize) -> Option<bool> {
    if bytes.is_empty() {
        return Some(true);
    }
    let (fields, depth) = (Fields::<64>::find(info, bytes)?, depth.checked_sub(1)?);
    for (field, slot) in fields.iter() {
        if !is_zero_field(field, slot, bytes, depth)? {
            return Some(false);
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests;
