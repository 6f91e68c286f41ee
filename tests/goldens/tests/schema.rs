//! Every field of every API group is in `proto/k8s`, with upstream's name, number, type and label.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use test_goldens::read;

/// What a field is on the wire.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    json: String,
    number: i32,
    kind: String,
    label: &'static str,
}

fn kind(field: &FieldDescriptorProto) -> String {
    let scalar = match field.r#type() {
        Type::Message => return field.type_name().trim_start_matches('.').to_owned(),
        Type::Bool => "bool",
        Type::Int32 => "int32",
        Type::Int64 => "int64",
        Type::Double => "double",
        Type::String => "string",
        Type::Bytes => "bytes",
        other => return other.as_str_name().to_owned(),
    };
    scalar.to_owned()
}

/// A map's entry is a message of its own within the message.
fn field(message: &DescriptorProto, field: &FieldDescriptorProto) -> Field {
    let last = field.type_name().rsplit('.').next().unwrap_or_default();
    let entry = message.nested_type.iter().find(|nested| nested.name() == last);
    let (kind, label) = match entry {
        Some(entry) => (format!("map<{},{}>", kind(&entry.field[0]), kind(&entry.field[1])), "map"),
        None if field.label() == Label::Repeated => (kind(field), "repeated"),
        None => (kind(field), "optional"),
    };
    Field { json: field.json_name().to_owned(), number: field.number(), kind, label }
}

/// Ours, by package, message and protobuf name.
fn ours() -> BTreeMap<(String, String, String), Field> {
    let files = FileDescriptorSet::decode(proto::DESCRIPTORS).expect("descriptors that we wrote").file;
    let mut fields = BTreeMap::new();
    for file in files.iter().filter(|file| file.package().starts_with("k8s.io.")) {
        for message in &file.message_type {
            for one in &message.field {
                let key = (file.package().to_owned(), message.name().to_owned(), one.name().to_owned());
                fields.insert(key, field(message, one));
            }
        }
    }
    fields
}

#[test]
fn every_field_of_every_group_has_upstreams_number_and_type() {
    let ours = ours();
    let text = read("fields.tsv");
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let column = |name: &str| head.iter().position(|found| *found == name).expect("fields.tsv has the column");
    let columns =
        ["proto_package", "message", "proto_field_name", "field_name", "number", "proto_type", "label"].map(column);
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        let [package, message, name, json, number, kind, label] = columns.map(|index| cells[index]);
        rows += 1;
        let key = (package.to_owned(), message.to_owned(), name.to_owned());
        let Some(found) = ours.get(&key) else {
            wrong.push(format!("{package}.{message}.{name} is missing"));
            continue;
        };
        // Forms that have no name in JSON.
        let same_name = ["", "-", "None"].contains(&json) || found.json == json;
        if !same_name || found.number.to_string() != number || found.kind != kind || found.label != label {
            wrong.push(format!("{package}.{message}.{name}: {found:?}, upstream {json} {number} {kind} {label}"));
        }
    }
    assert!(rows > 2000, "only {rows} rows: the facts moved");
    assert!(wrong.is_empty(), "{} of {rows} fields differ:\n{}", wrong.len(), wrong.join("\n"));
}
