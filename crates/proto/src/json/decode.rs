//! JSON to messages.
//!
//! serde_json reads the text (depth at most 128); what a value must be is read from the schema tables.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as _, de};
use serde_json::value::RawValue;

use crate::quantity;
use crate::reflect::{Mut, Reflect};
use crate::schema::{FieldInfo, Form, Label, MessageInfo, ValueType};
use crate::time::{MicroTime, Time};

use super::special;

/// What decoding tells beside the message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decoded {
    pub api_version: String,
    pub kind: String,
    /// Paths of fields that the schema does not know.
    pub unknown: Vec<String>,
    /// Paths of fields that were given twice; the last one counts.
    pub duplicate: Vec<String>,
}

/// Why JSON could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Syntax(String),
    #[error("{path}: expected {expected}, got {found}")]
    Type { path: String, expected: &'static str, found: String },
    #[error("{path}: {reason}")]
    Value { path: String, reason: String },
    #[error("expected kind {expected}, got {found}")]
    WrongKind { expected: &'static str, found: String },
}

impl Error {
    /// As it is told of something below that field.
    pub(super) fn below(self, field: &str) -> Self {
        let place = |path: String| if path == "<root>" { field.to_owned() } else { format!("{field}.{path}") };
        match self {
            Self::Type { path, expected, found } => Self::Type { path: place(path), expected, found },
            Self::Value { path, reason } => Self::Value { path: place(path), reason },
            other => other,
        }
    }

    pub(super) fn syntax(source: serde_json::Error) -> Self {
        Self::Syntax(source.to_string())
    }
}

/// Reads JSON text into a message.
pub fn decode_into(bytes: &[u8], message: &mut dyn Reflect) -> Result<Decoded, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let decoded = read(&mut deserializer, message)?;
    deserializer.end().map_err(Error::syntax)?;
    Ok(decoded)
}

/// Reads a tree into a message.
pub fn value_into(value: serde_json::Value, message: &mut dyn Reflect) -> Result<Decoded, Error> {
    read(value, message)
}

fn read<'de, D>(deserializer: D, message: &mut dyn Reflect) -> Result<Decoded, Error>
where
    D: Deserializer<'de, Error = serde_json::Error>,
{
    let info = message.message();
    if let Some(object) = message.as_any_mut().downcast_mut() {
        return super::custom::read(deserializer, object);
    }
    let mut context = Context::default();
    let seed = Seed {
        target: Mut::Message(message),
        label: Label::Single,
        value: ValueType::Message(info),
        path: &Path::Root,
        type_meta: true,
        context: &mut context,
    };
    if let Err(source) = seed.deserialize(deserializer) {
        return Err(context.error.unwrap_or_else(|| Error::syntax(source)));
    }
    let decoded = context.decoded;
    match info.kind {
        Some(name) if !decoded.kind.is_empty() && decoded.kind != name.kind => {
            Err(Error::WrongKind { expected: name.kind, found: decoded.kind })
        }
        _ => Ok(decoded),
    }
}

#[derive(Default)]
struct Context {
    decoded: Decoded,
    /// The first error that knows its path; serde's own error only stops the reading.
    error: Option<Error>,
}

/// Where a value stands: a list that ends at the root, so that a path costs nothing until it is told.
pub(super) enum Path<'a> {
    Root,
    Name(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Name(Path::Root, name) => f.write_str(name),
            Path::Name(parent, name) => write!(f, "{parent}.{name}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A place for one value.
struct Seed<'a> {
    target: Mut<'a>,
    label: Label,
    value: ValueType,
    path: &'a Path<'a>,
    /// kind and apiVersion are expected here.
    type_meta: bool,
    context: &'a mut Context,
}

impl<'a> Seed<'a> {
    fn fail<E: de::Error>(self, error: Error) -> E {
        self.context.error = Some(error);
        E::custom("")
    }

    fn wrong_type<E: de::Error>(self, found: impl Into<String>) -> E {
        let error = Error::Type { path: place(self.path), expected: self.expected(), found: found.into() };
        self.fail(error)
    }

    fn wrong_value<E: de::Error>(self, reason: impl Into<String>) -> E {
        let error = Error::Value { path: place(self.path), reason: reason.into() };
        self.fail(error)
    }

    fn form(&self) -> Option<Form> {
        match (self.label, self.value) {
            (Label::Single, ValueType::Message(info)) => Some(info.form),
            _ => None,
        }
    }

    fn expected(&self) -> &'static str {
        match (self.label, self.value) {
            (Label::List, _) => "an array",
            (Label::Map, _) => "an object",
            (_, ValueType::Bool) => "a boolean",
            (_, ValueType::Int32 | ValueType::Int64) => "an integer",
            (_, ValueType::Double) => "a number",
            (_, ValueType::String) => "a string",
            (_, ValueType::Bytes) => "a base64 string",
            (_, ValueType::Message(info)) => match info.form {
                Form::Plain => "an object",
                Form::Time => "a time such as 2006-01-02T15:04:05Z",
                Form::MicroTime => "a time such as 2006-01-02T15:04:05.000000Z",
                Form::Duration => "a duration such as 1h30m",
                Form::Quantity => "a quantity",
                Form::IntOrString => "an integer or a string",
                Form::Raw => "JSON",
                Form::Items => "an array of strings",
                Form::SchemaOrArray => "a schema or an array of schemas",
                Form::SchemaOrBool => "a schema or a boolean",
                Form::SchemaOrStrings => "a schema or an array of strings",
                Form::Custom => "an object",
            },
        }
    }
}

/// The path as errors tell it; the whole document is `<root>`.
fn place(path: &Path<'_>) -> String {
    match path {
        Path::Root => "<root>".to_owned(),
        path => path.to_string(),
    }
}

/// The value behind a pointer, made when there is none.
fn inner(target: Mut<'_>) -> Mut<'_> {
    match target {
        Mut::Pointer(pointer) => pointer.set(),
        target => target,
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.form() {
            Some(Form::Raw) => {
                let raw = Box::<RawValue>::deserialize(deserializer)?;
                self.raw(raw.get())
            }
            Some(Form::Quantity) => {
                let raw = Box::<RawValue>::deserialize(deserializer)?;
                self.quantity(raw.get())
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl Seed<'_> {
    fn raw<E: de::Error>(self, text: &str) -> Result<(), E> {
        if text == "null" {
            self.target.clear();
            return Ok(());
        }
        if !special::is_shallow(text.as_bytes()) {
            return Err(self.wrong_value("nested too deep"));
        }
        let managed = matches!(self.value, ValueType::Message(info) if info.short_name() == "FieldsV1");
        if let Mut::Message(message) = inner(self.target)
            && let Mut::Bytes(bytes) = message.get_mut(0)
        {
            bytes.clear();
            // Managed fields are the server's own; everything else is kept as it was written.
            if managed {
                special::compact(bytes, text.as_bytes());
            } else {
                bytes.extend_from_slice(text.as_bytes());
            }
        }
        Ok(())
    }

    fn quantity<E: de::Error>(self, text: &str) -> Result<(), E> {
        if text == "null" {
            self.target.clear();
            return Ok(());
        }
        let written: String = match text.as_bytes().first() {
            Some(b'"') => match serde_json::from_str::<String>(text) {
                Ok(written) => written.trim().to_owned(),
                Err(_) => return Err(self.wrong_type("a malformed string")),
            },
            Some(b'{') => return Err(self.wrong_type("an object")),
            Some(b'[') => return Err(self.wrong_type("an array")),
            Some(b't' | b'f') => return Err(self.wrong_type("a boolean")),
            _ => text.to_owned(),
        };
        match quantity::canonical(&written) {
            Ok(canonical) => {
                self.set_string(canonical);
                Ok(())
            }
            Err(error) => Err(self.wrong_value(error.to_string())),
        }
    }

    /// Sets the string of a message whose first field is one.
    fn set_string(self, text: String) {
        if let Mut::Message(message) = inner(self.target)
            && let Mut::String(string) = message.get_mut(0)
        {
            *string = text;
        }
    }

    fn integer<E: de::Error>(self, value: i128) -> Result<(), E> {
        let narrow = i32::try_from(value).ok();
        let wide = i64::try_from(value).ok();
        match (self.label, self.value, narrow, wide) {
            (Label::Single, ValueType::Int32, Some(value), _) => {
                if let Mut::Int32(target) = inner(self.target) {
                    *target = value;
                }
                Ok(())
            }
            (Label::Single, ValueType::Int64, _, Some(value)) => {
                if let Mut::Int64(target) = inner(self.target) {
                    *target = value;
                }
                Ok(())
            }
            (Label::Single, ValueType::Double, _, _) => {
                if let Mut::Double(target) = inner(self.target) {
                    *target = value as f64;
                }
                Ok(())
            }
            (Label::Single, ValueType::Message(info), Some(value), _) if info.form == Form::IntOrString => {
                if let Mut::Message(message) = inner(self.target)
                    && let Some(target) = message.as_any_mut().downcast_mut::<crate::IntOrString>()
                {
                    *target = crate::IntOrString { r#type: 0, int_val: value, str_val: String::new() };
                }
                Ok(())
            }
            _ => Err(self.wrong_type(format!("number {value}"))),
        }
    }

    fn text<E: de::Error>(self, text: &str) -> Result<(), E> {
        match (self.label, self.value) {
            (Label::Single, ValueType::String) => {
                if let Mut::String(target) = inner(self.target) {
                    target.clear();
                    target.push_str(text);
                }
                Ok(())
            }
            (Label::Single, ValueType::Bytes) => self.bytes(text),
            (Label::Single, ValueType::Message(info)) if info.form != Form::Plain => self.special_text(info, text),
            _ => Err(self.wrong_type("string")),
        }
    }

    fn bytes<E: de::Error>(self, text: &str) -> Result<(), E> {
        let decoded = if text.contains(['\n', '\r']) {
            STANDARD.decode(text.replace(['\n', '\r'], ""))
        } else {
            STANDARD.decode(text)
        };
        match decoded {
            Ok(bytes) => {
                if let Mut::Bytes(target) = inner(self.target) {
                    *target = bytes;
                }
                Ok(())
            }
            Err(error) => Err(self.wrong_value(format!("illegal base64 data: {error}"))),
        }
    }

    fn special_text<E: de::Error>(self, info: &'static MessageInfo, text: &str) -> Result<(), E> {
        let found = || format!("string {text:?}");
        match info.form {
            Form::Time => match Time::parse(text) {
                Some(time) => self.set_any(time),
                None => return Err(self.wrong_type(found())),
            },
            Form::MicroTime => match MicroTime::parse(text) {
                Some(time) => self.set_any(time),
                None => return Err(self.wrong_type(found())),
            },
            Form::Duration => match special::parse_duration(text) {
                Some(duration) => self.set_any(crate::meta::v1::Duration { duration }),
                None => return Err(self.wrong_type(found())),
            },
            Form::IntOrString => {
                self.set_any(crate::IntOrString { r#type: 1, int_val: 0, str_val: text.to_owned() });
            }
            _ => return Err(self.wrong_type("string")),
        }
        Ok(())
    }

    fn set_any<T: 'static>(self, value: T) {
        if let Mut::Message(message) = inner(self.target)
            && let Some(target) = message.as_any_mut().downcast_mut::<T>()
        {
            *target = value;
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.target.clear();
        Ok(())
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        match (self.label, self.value) {
            (Label::Single, ValueType::Bool) => {
                if let Mut::Bool(target) = inner(self.target) {
                    *target = value;
                }
                Ok(())
            }
            (Label::Single, ValueType::Message(info)) if info.form == Form::SchemaOrBool => {
                if let Mut::Message(message) = inner(self.target)
                    && let Mut::Bool(allows) = message.get_mut(0)
                {
                    *allows = value;
                }
                Ok(())
            }
            _ => Err(self.wrong_type("a boolean")),
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        match (self.label, self.value) {
            (Label::Single, ValueType::Double) => {
                if let Mut::Double(target) = inner(self.target) {
                    *target = value;
                }
                Ok(())
            }
            _ => Err(self.wrong_type(format!("number {value:?}"))),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.text(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { label, value, path, type_meta, .. } = self;
        let (value, index) = match (label, value) {
            (Label::List, value) => (value, None),
            (Label::Single, ValueType::Message(info)) => match info.form {
                Form::Items => (ValueType::String, Some(0)),
                Form::SchemaOrArray | Form::SchemaOrStrings => (info.fields[1].value, Some(1)),
                _ => return Err(self.wrong_type("an array")),
            },
            _ => return Err(self.wrong_type("an array")),
        };
        let target = match (inner(self.target), index) {
            (Mut::Message(message), Some(index)) => message.get_mut(index),
            (target, _) => target,
        };
        let Mut::List(list) = target else { return Ok(()) };
        list.clear();
        let context = self.context;
        loop {
            let at = list.len();
            let seed =
                Item { list: &mut *list, value, path: &Path::Index(path, at), type_meta, context: &mut *context };
            if items.next_element_seed(seed)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match (self.label, self.value) {
            (Label::Map, value) => self.entries(value, map),
            (Label::Single, ValueType::Message(info)) => match info.form {
                Form::Plain => {
                    let Mut::Message(message) = inner(self.target) else { return Ok(()) };
                    fields(message, info, self.path, self.type_meta, self.context, map)
                }
                Form::SchemaOrArray | Form::SchemaOrStrings => self.schema(0, map),
                Form::SchemaOrBool => self.schema(1, map),
                _ => Err(self.wrong_type("an object")),
            },
            _ => Err(self.wrong_type("an object")),
        }
    }
}

impl Seed<'_> {
    fn entries<'de, A: MapAccess<'de>>(self, value: ValueType, mut map: A) -> Result<(), A::Error> {
        let Mut::Map(target) = inner(self.target) else { return Ok(()) };
        let context = self.context;
        while let Some(key) = map.next_key::<String>()? {
            let path = Path::Name(self.path, &key);
            if target.entry(&key).is_some() {
                context.decoded.duplicate.push(path.to_string());
            }
            let target = target.entry_mut(key.clone());
            let seed =
                Seed { target, label: Label::Single, value, path: &path, type_meta: false, context: &mut *context };
            map.next_value_seed(seed)?;
        }
        Ok(())
    }

    /// A schema where something else would do: it stands in the field at `index`.
    fn schema<'de, A: MapAccess<'de>>(self, index: usize, map: A) -> Result<(), A::Error> {
        let Mut::Message(message) = inner(self.target) else { return Ok(()) };
        if index == 1
            && let Mut::Bool(allows) = message.get_mut(0)
        {
            *allows = true;
        }
        let Mut::Message(schema) = inner(message.get_mut(index)) else { return Ok(()) };
        let info = schema.message();
        fields(schema, info, self.path, false, self.context, map)
    }
}

/// A place at the end of a list.
struct Item<'a> {
    list: &'a mut dyn crate::reflect::List,
    value: ValueType,
    path: &'a Path<'a>,
    type_meta: bool,
    context: &'a mut Context,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { list, value, path, type_meta, context } = self;
        let seed = Seed { target: list.push(), label: Label::Single, value, path, type_meta, context };
        seed.deserialize(deserializer)
    }
}

fn fields<'de, A: MapAccess<'de>>(
    message: &mut dyn Reflect,
    info: &'static MessageInfo,
    path: &Path<'_>,
    type_meta: bool,
    context: &mut Context,
    mut map: A,
) -> Result<(), A::Error> {
    let mut seen = Seen::default();
    while let Some(name) = map.next_key::<Name<'_>>()? {
        let name = name.0.as_ref();
        let here = Path::Name(path, name);
        let Some((steps, field)) = seen.find(info, name) else {
            if type_meta && matches!(name, "kind" | "apiVersion") {
                type_field(name, &here, context, &mut map)?;
            } else {
                context.decoded.unknown.push(here.to_string());
                map.next_value::<IgnoredAny>()?;
            }
            continue;
        };
        if !seen.insert(steps) {
            context.decoded.duplicate.push(here.to_string());
        }
        let (label, value) = (field.label, field.value);
        let target = reach(message, steps);
        map.next_value_seed(Seed {
            target,
            label,
            value,
            path: &here,
            type_meta: field.type_meta,
            context: &mut *context,
        })?;
    }
    Ok(())
}

/// kind and apiVersion of the document itself are kept, those of items are read over.
fn type_field<'de, A: MapAccess<'de>>(
    name: &str,
    path: &Path<'_>,
    context: &mut Context,
    map: &mut A,
) -> Result<(), A::Error> {
    let mut text = String::new();
    let target = Mut::String(&mut text);
    let seed =
        Seed { target, label: Label::Single, value: ValueType::String, path, type_meta: false, context: &mut *context };
    map.next_value_seed(seed)?;
    if let Path::Name(Path::Root, _) = path {
        let kept = if name == "kind" { &mut context.decoded.kind } else { &mut context.decoded.api_version };
        if !kept.is_empty() {
            context.decoded.duplicate.push(name.to_owned());
        }
        *kept = text;
    }
    Ok(())
}

/// The field at the end of the steps, through inlined messages.
fn reach(message: &mut dyn Reflect, steps: crate::schema::FieldPath) -> Mut<'_> {
    let mut steps = steps.steps();
    // A path is never empty.
    let mut target = message.get_mut(steps.next().unwrap_or(0));
    for step in steps {
        target = match inner(target) {
            Mut::Message(message) => message.get_mut(step),
            other => other,
        };
    }
    target
}

/// A field name; borrowed from the text where it has no escapes.
struct Name<'de>(std::borrow::Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }
            fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(name.into()))
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(name.to_owned().into()))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// Which fields of a message were given; remembers where the last one was found, since names come in order mostly.
#[derive(Default)]
struct Seen {
    own: u64,
    inlined: Vec<crate::schema::FieldPath>,
    next: usize,
}

impl Seen {
    fn find(
        &mut self,
        info: &'static MessageInfo,
        name: &str,
    ) -> Option<(crate::schema::FieldPath, &'static FieldInfo)> {
        let found = info.find_from(self.next, name);
        if let Some((path, _)) = &found {
            self.next = path.steps().next().unwrap_or(0) + 1;
        }
        found
    }

    /// False where the field was given before.
    fn insert(&mut self, path: crate::schema::FieldPath) -> bool {
        let mut steps = path.steps();
        match (steps.next(), steps.next()) {
            (Some(index), None) if index < 64 => {
                let bit = 1 << index;
                let fresh = self.own & bit == 0;
                self.own |= bit;
                fresh
            }
            _ => {
                let fresh = !self.inlined.contains(&path);
                self.inlined.push(path);
                fresh
            }
        }
    }
}
