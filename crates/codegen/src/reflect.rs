//! Writes the schema table and the field access of every object message beside its struct.
//!
//! A message `Pod` gets a static `Pod_INFO` (JSON names, merge rules, defaults ...) and an implementation of
//! `Reflect`; a kind also gets its `Pod_KIND` row and the traits `Kind` and `Object`. `proto::json`, patches and
//! validation walk these tables instead of having code of their own for each message.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use heck::ToUpperCamelCase;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, Value};

use crate::OBJECTS;
use crate::presence::{schema, snake_case};

const META: &str = "k8s.io.apimachinery.pkg.apis.meta.v1";
const RUNTIME: &str = "k8s.io.apimachinery.pkg.runtime";

/// Messages whose struct is written by hand in `proto::time`: an unset time has an encoding of its own.
pub const HAND_WRITTEN: &[(&str, &str)] = &[("Time", "crate::time::Time"), ("MicroTime", "crate::time::MicroTime")];

/// The text to append to the generated file of a package.
pub fn package_text(file: &FileDescriptor) -> Result<String> {
    let mut text = String::from("use crate::reflect::prelude::*;\n");
    if file.package_name() == META {
        for (_, path) in HAND_WRITTEN {
            writeln!(text, "pub use {path};")?;
        }
    }
    for message in file.messages() {
        info_text(&mut text, &message)?;
        if is_hand_written(&message) {
            continue;
        }
        reflect_text(&mut text, &message)?;
        if flag_of_message(&message) {
            kind_text(&mut text, &message)?;
        }
    }
    Ok(text)
}

/// Every kind with metadata, sorted by group, version and kind: the table behind `proto::dynamic`.
pub fn kinds_text(pool: &DescriptorPool) -> Result<String> {
    let mut rows = Vec::new();
    for message in pool.all_messages().filter(|message| message.package_name().starts_with(OBJECTS)) {
        if flag_of_message(&message) && has_object_meta(&message) {
            let (group, version) = group_version(&message)?;
            rows.push((group, version, message.name().to_owned(), message));
        }
    }
    rows.sort_by(|a, b| (&a.0, &a.1, &a.2).cmp(&(&b.0, &b.1, &b.2)));
    let mut text = String::from("pub static KINDS: &[&crate::dynamic::KindInfo] = &[\n");
    for (_, _, _, message) in &rows {
        writeln!(text, "    &{}_KIND,", rust_path(message))?;
    }
    text.push_str("];\n");
    Ok(text)
}

fn is_hand_written(message: &MessageDescriptor) -> bool {
    message.package_name() == META && HAND_WRITTEN.iter().any(|(name, _)| *name == message.name())
}

fn info_text(text: &mut String, message: &MessageDescriptor) -> Result<()> {
    let ident = ident(message);
    writeln!(text, "pub static {ident}_INFO: MessageInfo = MessageInfo {{")?;
    let doc = comment(&message.parent_file(), message.path());
    writeln!(text, "    name: {:?}, form: Form::{}, doc: {doc:?},", message.full_name(), form(message))?;
    writeln!(text, "    atomic: {},", is_atomic(message))?;
    if flag_of_message(message) {
        let (group, version) = group_version(message)?;
        let api_version = api_version(&group, &version);
        writeln!(text, "    kind: Some(KindName {{ api_version: {api_version:?}, kind: {:?} }}),", message.name())?;
    } else {
        text.push_str("    kind: None,\n");
    }
    text.push_str("    fields: &[\n");
    for field in declared_fields(message) {
        field_text(text, message, &field)?;
    }
    text.push_str("    ],\n};\n");
    Ok(())
}

fn field_text(text: &mut String, message: &MessageDescriptor, field: &FieldDescriptor) -> Result<()> {
    let json = field.json_name();
    write!(text, "        FieldInfo {{ name: {json:?}, key: {:?}, number: {}", format!("{json:?}:"), field.number())?;
    let (label, value) = label_and_value(field)?;
    write!(text, ", label: Label::{label}, value: {value}")?;
    let doc = comment(&field.parent_file(), field.path());
    if !doc.is_empty() {
        write!(text, ", doc: {doc:?}")?;
    }
    if field.field_descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated()) {
        text.push_str(", deprecated: true");
    }
    if carries_type_meta(message, field) {
        text.push_str(", type_meta: true");
    }
    if let Some(schema) = schema(field) {
        for name in ["pointer", "inline", "keep_empty", "omit_zero", "required", "not_served"] {
            if boolean(&schema, name) {
                write!(text, ", {name}: true")?;
            }
        }
        for name in ["default_json", "patch_strategy", "patch_merge_key", "format"] {
            let value = string(&schema, name);
            if !value.is_empty() {
                write!(text, ", {name}: {value:?}")?;
            }
        }
        for name in ["list_map_keys", "values", "feature_gates"] {
            let values = strings(&schema, name);
            if !values.is_empty() {
                write!(text, ", {name}: &{values:?}")?;
            }
        }
        match number(&schema, "list_type") {
            1 => text.push_str(", list_type: ListType::Atomic"),
            2 => text.push_str(", list_type: ListType::Set"),
            3 => text.push_str(", list_type: ListType::Map"),
            _ => {}
        }
        if number(&schema, "map_type") == 1 || number(&schema, "struct_type") == 1 {
            text.push_str(", atomic: true");
        }
        if number(&schema, "map_type") == 2 || number(&schema, "struct_type") == 2 {
            text.push_str(", granular: true");
        }
    }
    text.push_str(", ..FieldInfo::PLAIN },\n");
    Ok(())
}

/// The comment above a message or field, in one line.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let locations = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
    let found =
        locations.filter(|location| location.path == path).find_map(|location| location.leading_comments.as_deref());
    found.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A kind listed inside a spec (a StatefulSet's volume claims) says its kind in each item.
fn carries_type_meta(message: &MessageDescriptor, field: &FieldDescriptor) -> bool {
    let item_is_kind = matches!(field.kind(), Kind::Message(of) if flag_of_message(&of));
    field.is_list() && item_is_kind && !flag_of_message(message)
}

fn label_and_value(field: &FieldDescriptor) -> Result<(&'static str, String)> {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { anyhow::bail!("{}: a map without an entry", field.full_name()) };
        let value = entry.get_field(2).with_context(|| format!("{}: a map without values", field.full_name()))?;
        return Ok(("Map", value_text(&value)?));
    }
    Ok((if field.is_list() { "List" } else { "Single" }, value_text(field)?))
}

fn value_text(field: &FieldDescriptor) -> Result<String> {
    Ok(match field.kind() {
        Kind::Bool => "ValueType::Bool".to_owned(),
        Kind::Int32 => "ValueType::Int32".to_owned(),
        Kind::Int64 => "ValueType::Int64".to_owned(),
        Kind::Double => "ValueType::Double".to_owned(),
        Kind::String => "ValueType::String".to_owned(),
        Kind::Bytes => "ValueType::Bytes".to_owned(),
        Kind::Message(of) => format!("ValueType::Message(&{}_INFO)", rust_path(&of)),
        other => anyhow::bail!("{}: objects do not use the type {other:?}", field.full_name()),
    })
}

fn reflect_text(text: &mut String, message: &MessageDescriptor) -> Result<()> {
    let ident = ident(message);
    write!(text, "crate::reflect! {{ {ident}, {ident}_INFO")?;
    for (index, field) in declared_fields(message).iter().enumerate() {
        write!(text, ", {index} {}", field_ident(field.name()))?;
    }
    text.push_str(" }\n");
    Ok(())
}

fn kind_text(text: &mut String, message: &MessageDescriptor) -> Result<()> {
    let ident = ident(message);
    let (group, version) = group_version(message)?;
    let api_version = api_version(&group, &version);
    writeln!(
        text,
        "crate::kind! {{ {ident}, {ident}_INFO, {group:?}, {version:?}, {api_version:?}, {:?}, {:?} }}",
        message.name(),
        message.full_name()
    )?;
    if has_object_meta(message) {
        writeln!(text, "crate::object! {{ {ident}, {ident}_INFO, {ident}_KIND }}")?;
    }
    Ok(())
}

/// In the order of the .proto file, which is the order of upstream's JSON.
fn declared_fields(message: &MessageDescriptor) -> Vec<FieldDescriptor> {
    let declared = &message.descriptor_proto().field;
    declared.iter().filter_map(|field| message.get_field_by_name(field.name())).collect()
}

fn form(message: &MessageDescriptor) -> &'static str {
    match message.full_name() {
        "k8s.io.apimachinery.pkg.apis.meta.v1.Time" => "Time",
        "k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime" => "MicroTime",
        "k8s.io.apimachinery.pkg.apis.meta.v1.Duration" => "Duration",
        "k8s.io.apimachinery.pkg.api.resource.Quantity" => "Quantity",
        "k8s.io.apimachinery.pkg.util.intstr.IntOrString" => "IntOrString",
        "k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1"
        | "k8s.io.apimachinery.pkg.runtime.RawExtension"
        | "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSON" => "Raw",
        "k8s.io.apimachinery.pkg.apis.meta.v1.Verbs"
        | "k8s.io.api.authentication.v1.ExtraValue"
        | "k8s.io.api.authorization.v1.ExtraValue"
        | "k8s.io.api.certificates.v1.ExtraValue" => "Items",
        "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray" => "SchemaOrArray",
        "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool" => "SchemaOrBool",
        "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray" => "SchemaOrStrings",
        _ => "Plain",
    }
}

/// The messages that have one owner as a whole in server-side apply, wherever they occur.
fn is_atomic(message: &MessageDescriptor) -> bool {
    let Some(name) = message.full_name().strip_prefix("k8s.io.") else { return false };
    matches!(
        name,
        "api.admissionregistration.v1.MatchResources"
            | "api.admissionregistration.v1.NamedRuleWithOperations"
            | "api.admissionregistration.v1.ParamKind"
            | "api.admissionregistration.v1.ParamRef"
            | "api.autoscaling.v1.CrossVersionObjectReference"
            | "api.core.v1.ConfigMapKeySelector"
            | "api.core.v1.EndpointAddress"
            | "api.core.v1.EndpointPort"
            | "api.core.v1.FileKeySelector"
            | "api.core.v1.LocalObjectReference"
            | "api.core.v1.NodeSelector"
            | "api.core.v1.NodeSelectorTerm"
            | "api.core.v1.ObjectFieldSelector"
            | "api.core.v1.ObjectReference"
            | "api.core.v1.ResourceFieldSelector"
            | "api.core.v1.ScopeSelector"
            | "api.core.v1.SecretKeySelector"
            | "api.core.v1.SecretReference"
            | "api.core.v1.TopologySelectorTerm"
            | "api.core.v1.TypedLocalObjectReference"
            | "api.discovery.v1.EndpointPort"
            | "api.networking.v1.ServiceBackendPort"
            | "api.rbac.v1.RoleRef"
            | "api.rbac.v1.Subject"
            | "apimachinery.pkg.apis.meta.v1.LabelSelector"
            | "apimachinery.pkg.apis.meta.v1.OwnerReference"
    )
}

fn has_object_meta(message: &MessageDescriptor) -> bool {
    let Some(field) = message.get_field_by_name("metadata") else { return false };
    matches!(field.kind(), Kind::Message(of) if of.package_name() == META && of.name() == "ObjectMeta")
}

fn flag_of_message(message: &MessageDescriptor) -> bool {
    let Some(extension) = message.parent_pool().get_extension_by_name("keelson.schema.v1.kind") else { return false };
    let options = message.options();
    options.has_extension(&extension) && options.get_extension(&extension).as_bool() == Some(true)
}

fn group_version(message: &MessageDescriptor) -> Result<(String, String)> {
    let file = message.parent_file();
    let version = file.package_name().rsplit('.').next().unwrap_or_default().to_owned();
    if file.package_name() == META && message.name().starts_with("PartialObjectMetadata") {
        return Ok(("meta.k8s.io".to_owned(), version));
    }
    let extension = message
        .parent_pool()
        .get_extension_by_name("keelson.schema.v1.group")
        .context("schema.proto declares the group option")?;
    let options = file.options();
    let group = options.get_extension(&extension).as_str().unwrap_or_default().to_owned();
    Ok((group, version))
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn ident(message: &MessageDescriptor) -> String {
    message.name().to_upper_camel_case()
}

fn rust_path(message: &MessageDescriptor) -> String {
    debug_assert!(message.package_name().starts_with(OBJECTS) || message.package_name() == RUNTIME);
    format!("crate::generated::{}::{}", message.package_name().replace('.', "::"), ident(message))
}

/// prost-build's name for a field.
fn field_ident(name: &str) -> String {
    let snake = snake_case(name);
    match snake.as_str() {
        "as" | "break" | "const" | "continue" | "else" | "enum" | "false" | "fn" | "for" | "if" | "impl" | "in"
        | "let" | "loop" | "match" | "mod" | "move" | "mut" | "pub" | "ref" | "return" | "static" | "struct"
        | "trait" | "true" | "type" | "unsafe" | "use" | "where" | "while" | "dyn" | "abstract" | "become" | "box"
        | "do" | "final" | "macro" | "override" | "priv" | "typeof" | "unsized" | "virtual" | "yield" | "async"
        | "await" | "try" | "gen" => format!("r#{snake}"),
        "self" | "super" | "extern" | "crate" => format!("{snake}_"),
        _ => snake,
    }
}

fn boolean(schema: &DynamicMessage, name: &str) -> bool {
    schema.get_field_by_name(name).and_then(|value| value.as_bool()).unwrap_or(false)
}

fn string(schema: &DynamicMessage, name: &str) -> String {
    schema.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn strings(schema: &DynamicMessage, name: &str) -> Vec<String> {
    let Some(value) = schema.get_field_by_name(name) else { return Vec::new() };
    let Some(list) = value.as_list() else { return Vec::new() };
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn number(schema: &DynamicMessage, name: &str) -> i32 {
    schema.get_field_by_name(name).and_then(|value| value.as_enum_number()).unwrap_or(0)
}
