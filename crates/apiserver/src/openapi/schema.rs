//! Definitions: what a message looks like in JSON, from its schema table.

use std::collections::BTreeMap;

use proto::meta::v1::ObjectMeta_INFO;
use proto::schema::{FieldInfo, Form, Label, ListType, MessageInfo, ValueType};
use serde_json::{Map, Value, json};

use super::name;

/// Which OpenAPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// 2.0: a value has one type, and nothing stands beside a reference but its description.
    V2,
    /// 3.0.
    V3,
}

impl Dialect {
    /// A reference to a definition.
    pub fn reference(self, definition: &str) -> Value {
        let folder = match self {
            Self::V2 => "#/definitions/",
            Self::V3 => "#/components/schemas/",
        };
        json!({ "$ref": format!("{folder}{definition}") })
    }
}

/// Group, version and kind, as `x-kubernetes-group-version-kind` tells them.
pub fn kind_value(group: &str, version: &str, kind: &str) -> Value {
    json!({ "group": group, "version": version, "kind": kind })
}

/// Every message that is reached from `roots`, by the name of its definition.
pub fn reached(roots: impl IntoIterator<Item = &'static MessageInfo>) -> BTreeMap<String, &'static MessageInfo> {
    let mut found = BTreeMap::new();
    let mut open: Vec<&'static MessageInfo> = roots.into_iter().collect();
    while let Some(message) = open.pop() {
        // An array of strings stands where it is used.
        if message.form == Form::Items || found.insert(name::definition(message), message).is_some() {
            continue;
        }
        if matches!(message.form, Form::Plain | Form::Custom) {
            each_field(message, &mut |field| open.extend(field.message()));
        }
    }
    found
}

/// The fields of a message's JSON: those of inlined messages too, none that is never served.
fn each_field(message: &'static MessageInfo, visit: &mut dyn FnMut(&'static FieldInfo)) {
    for field in message.fields.iter().filter(|field| !field.not_served) {
        match field.message() {
            Some(inner) if field.inline => each_field(inner, visit),
            _ => visit(field),
        }
    }
}

/// The definition of a message. `everywhere`: the group versions (`v1`, `apps/v1`) that kinds of all groups are in.
pub fn definition(message: &'static MessageInfo, dialect: Dialect, everywhere: &[String]) -> Value {
    let mut out = Map::new();
    describe(&mut out, message.doc);
    match message.form {
        Form::Plain => object(&mut out, message, dialect),
        Form::Time | Form::MicroTime => drop(insert(&mut out, "string", "date-time")),
        Form::Duration => drop(insert(&mut out, "string", "")),
        Form::Quantity => one_of(&mut out, dialect, &["string", "number"]),
        Form::IntOrString => {
            out.insert("format".to_owned(), "int-or-string".into());
            one_of(&mut out, dialect, &["integer", "string"]);
        }
        // Any value at all: what takes objects only says so.
        Form::Raw if message.short_name() != "JSON" => drop(insert(&mut out, "object", "")),
        Form::Raw | Form::Items | Form::SchemaOrArray | Form::SchemaOrBool | Form::SchemaOrStrings | Form::Custom => {}
    }
    if message.atomic {
        out.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
    }
    let kinds = kinds(message, everywhere);
    if !kinds.is_empty() {
        out.insert("x-kubernetes-group-version-kind".to_owned(), kinds.into());
    }
    Value::Object(out)
}

/// Kinds that upstream registers in every group version, for clients that decode them there.
const EVERYWHERE: &[&str] = &["DeleteOptions", "WatchEvent"];

fn kinds(message: &MessageInfo, everywhere: &[String]) -> Vec<Value> {
    let kind = message.short_name();
    let one = |api_version: &str| {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        kind_value(group, version, kind)
    };
    if message.name.contains(".meta.v1.") && EVERYWHERE.contains(&kind) {
        return everywhere.iter().map(|api_version| one(api_version)).collect();
    }
    message.kind.iter().map(|kind| one(kind.api_version)).collect()
}

fn object(out: &mut Map<String, Value>, message: &'static MessageInfo, dialect: Dialect) {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    if message.kind.is_some() {
        properties = type_properties();
    }
    each_field(message, &mut |field| {
        properties.insert(field.name.to_owned(), property(field, dialect));
        if field.required {
            required.push(field.name);
        }
    });
    out.insert("type".to_owned(), "object".into());
    if !properties.is_empty() {
        out.insert("properties".to_owned(), properties.into());
    }
    if !required.is_empty() {
        out.insert("required".to_owned(), required.into());
    }
}

fn property(field: &FieldInfo, dialect: Dialect) -> Value {
    let mut value = item(field, dialect);
    let mut out = match field.label {
        Label::Single => {
            // Upstream's readers of 3.0 take nothing from beside a reference.
            let beside = !field.doc.is_empty() || !field.default_json.is_empty() || field.granular || field.atomic;
            if dialect == Dialect::V3 && beside && value.contains_key("$ref") {
                value = Map::from_iter([("allOf".to_owned(), json!([value]))]);
            }
            value
        }
        Label::List => Map::from_iter([("type".to_owned(), "array".into()), ("items".to_owned(), value.into())]),
        Label::Map => {
            Map::from_iter([("type".to_owned(), "object".into()), ("additionalProperties".to_owned(), value.into())])
        }
    };
    describe(&mut out, field.doc);
    // As upstream: in 2.0 a default would make old clients write it into what they apply.
    if dialect == Dialect::V3
        && !field.default_json.is_empty()
        && let Ok(default) = serde_json::from_str::<Value>(field.default_json)
    {
        out.insert("default".to_owned(), default);
    }
    merge_rules(&mut out, field);
    Value::Object(out)
}

/// How patches and server-side apply treat the field.
fn merge_rules(out: &mut Map<String, Value>, field: &FieldInfo) {
    let list_type = match field.list_type {
        ListType::Unset => "",
        ListType::Atomic => "atomic",
        ListType::Set => "set",
        ListType::Map => "map",
    };
    let map_type = match (field.atomic, field.granular) {
        (true, _) => "atomic",
        (_, true) => "granular",
        _ => "",
    };
    for (name, text) in [
        ("list-type", list_type),
        ("map-type", map_type),
        ("patch-strategy", field.patch_strategy),
        ("patch-merge-key", field.patch_merge_key),
    ] {
        if !text.is_empty() {
            out.insert(format!("x-kubernetes-{name}"), text.into());
        }
    }
    if !field.list_map_keys.is_empty() {
        out.insert("x-kubernetes-list-map-keys".to_owned(), field.list_map_keys.into());
    }
}

/// The field's value, one item of its list, or one value of its map.
fn item(field: &FieldInfo, dialect: Dialect) -> Map<String, Value> {
    let mut out = Map::new();
    match field.value {
        ValueType::Bool => insert(&mut out, "boolean", field.format),
        ValueType::Int32 | ValueType::Int64 => insert(&mut out, "integer", field.format),
        ValueType::Double => insert(&mut out, "number", field.format),
        ValueType::String => insert(&mut out, "string", field.format),
        ValueType::Bytes => insert(&mut out, "string", "byte"),
        ValueType::Message(message) if message.form == Form::Items => {
            out.insert("items".to_owned(), json!({ "type": "string" }));
            insert(&mut out, "array", "")
        }
        ValueType::Message(message) => {
            if let Value::Object(reference) = dialect.reference(&name::definition(message)) {
                out = reference;
            }
            &mut out
        }
    };
    if !field.values.is_empty() {
        let mut values = field.values.to_vec();
        values.sort_unstable();
        out.insert("enum".to_owned(), values.into());
    }
    out
}

fn insert<'o>(out: &'o mut Map<String, Value>, kind: &str, format: &str) -> &'o mut Map<String, Value> {
    out.insert("type".to_owned(), kind.into());
    if !format.is_empty() {
        out.insert("format".to_owned(), format.into());
    }
    out
}

/// 2.0 has no choice of types: there the value is a string.
fn one_of(out: &mut Map<String, Value>, dialect: Dialect, kinds: &[&str]) {
    match dialect {
        Dialect::V2 => drop(out.insert("type".to_owned(), "string".into())),
        Dialect::V3 => {
            let kinds: Vec<Value> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
            out.insert("oneOf".to_owned(), kinds.into());
        }
    }
}

/// A field of every object: its type, and its metadata.
pub fn object_properties(dialect: Dialect) -> Map<String, Value> {
    let mut properties = type_properties();
    let mut metadata = dialect.reference(&name::definition(&ObjectMeta_INFO));
    if dialect == Dialect::V3 {
        metadata = json!({ "allOf": [metadata] });
    }
    metadata["description"] = "What every object has: its name, labels, owners.".into();
    properties.insert("metadata".to_owned(), metadata);
    properties
}

fn type_properties() -> Map<String, Value> {
    let mut properties = Map::new();
    for (name, text) in [
        ("apiVersion", "Group and version of the API that the object is written for."),
        ("kind", "What the object is. It cannot be changed."),
    ] {
        properties.insert(name.to_owned(), json!({ "type": "string", "description": text }));
    }
    properties
}

fn describe(out: &mut Map<String, Value>, doc: &str) {
    if !doc.is_empty() {
        out.insert("description".to_owned(), doc.into());
    }
}
