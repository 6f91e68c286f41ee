//! Stored bytes of real objects: read, written again, served as JSON and as protobuf.
//!
//! Stored bytes and served protobuf are compared byte for byte. Of the served JSON the recording keeps the order of
//! fields, repeated keys and the spelling of numbers, not the spaces between and the escapes in strings (it was read and
//! written once on its way into the file); so that text is compared without spaces and with strings escaped one way.

use api::resource;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::dynamic::{DynObject, kind_by_api_version};
use proto::envelope;
use serde_json::Value;
use serde_json::value::RawValue;
use test_goldens::{difference, read};

struct Row {
    line: usize,
    value: Value,
    /// The served JSON as it stands in the file: raw parts of an object keep their order and space.
    served: Box<RawValue>,
}

impl Row {
    fn text(&self, name: &str) -> &str {
        self.value[name].as_str().unwrap_or_default()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        STANDARD.decode(self.text(name)).expect("facts hold valid base64")
    }

    fn place(&self) -> String {
        format!("line {} ({})", self.line, self.text("key"))
    }
}

#[derive(serde::Deserialize)]
struct Served {
    served_json: Box<RawValue>,
}

fn rows() -> Vec<Row> {
    let text = read("storage/objects.jsonl");
    let rows: Vec<Row> = text
        .lines()
        .enumerate()
        .map(|(index, line)| Row {
            line: index + 1,
            value: serde_json::from_str(line).expect("facts hold valid JSON"),
            served: serde_json::from_str::<Served>(line).expect("facts hold valid JSON").served_json,
        })
        .collect();
    assert_eq!(rows.len(), 208, "the facts changed: every row must be looked at");
    rows
}

/// The object of a stored value in the version it is served in, without resourceVersion.
fn stored(row: &Row) -> Result<Box<dyn DynObject>, String> {
    let served = &row.value["served_json"];
    let api_version = served["apiVersion"].as_str().unwrap_or_default();
    let mut object =
        api::convert::read_stored(&row.bytes("stored_base64"), api_version).map_err(|error| error.to_string())?;
    api::default::apply(object.as_mut());
    Ok(object)
}

#[track_caller]
fn report(what: &str, failures: &[String], total: usize) {
    println!("{what}: {} of {total}", total - failures.len());
    assert!(failures.is_empty(), "{what}: {} of {total} rows differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn stored_protobuf_is_read_and_written_unchanged() {
    let rows: Vec<Row> = rows().into_iter().filter(|row| row.text("codec") == "protobuf").collect();
    assert_eq!(rows.len(), 202, "the facts changed: every row must be looked at");
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let bytes = row.bytes("stored_base64");
            let unknown = envelope::decode(&bytes).map_err(|error| error.to_string());
            let written = unknown.and_then(|unknown| {
                let meta = unknown.type_meta;
                let info = kind_by_api_version(&meta.api_version, &meta.kind)
                    .or_else(|| api::convert::same_shape(&meta.api_version, &meta.kind))
                    .ok_or("unknown kind")?;
                let object = info.decode(&unknown.raw).map_err(|error| error.to_string())?;
                Ok(envelope::encode_bytes(&meta.api_version, &meta.kind, object.encode_to_vec()))
            });
            (written.as_ref() != Ok(&bytes)).then(|| format!("{}: {}", row.place(), written.err().unwrap_or_default()))
        })
        .collect();
    report("stored protobuf unchanged", &failures, rows.len());
}

#[test]
fn json_is_written_from_stored_bytes_without_the_object() {
    let rows: Vec<Row> = rows().into_iter().filter(|row| row.text("codec") == "protobuf").collect();
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let unknown = envelope::decode(&row.bytes("stored_base64")).ok()?;
            let meta = unknown.type_meta;
            let info = kind_by_api_version(&meta.api_version, &meta.kind)
                .or_else(|| api::convert::same_shape(&meta.api_version, &meta.kind))?;
            let object = info.decode(&unknown.raw).ok()?;
            let mut written = Vec::new();
            let done = proto::json::write_bytes(&mut written, info.message, &unknown.raw, "", true);
            (!done || written != object.to_json()).then(|| row.place())
        })
        .collect();
    report("JSON from stored bytes", &failures, rows.len());
}

#[test]
fn stored_json_is_read_and_written_unchanged() {
    let rows: Vec<Row> = rows().into_iter().filter(|row| row.text("codec") == "json").collect();
    assert_eq!(rows.len(), 6, "the facts changed: every row must be looked at");
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let bytes = row.bytes("stored_base64");
            let version = row.value["served_json"]["apiVersion"].as_str().unwrap_or_default();
            let written = match api::convert::read_stored(&bytes, version) {
                Ok(object) => api::convert::write_stored_json(object.as_ref()),
                Err(error) => return Some(format!("{}: {error}", row.place())),
            };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (written != bytes).then(|| format!("{}:\n  {}  {}", row.place(), text(&written), text(&bytes)))
        })
        .collect();
    report("stored JSON unchanged", &failures, rows.len());
}

/// JSON without spaces, its strings escaped one way; all else as it stands.
fn compact(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(begin) = rest.find('"') {
        out.extend(rest[..begin].split_whitespace());
        let mut escaped = false;
        let end = rest[begin + 1..].find(|letter: char| {
            let ends = letter == '"' && !escaped;
            escaped = letter == '\\' && !escaped;
            ends
        });
        let end = begin + 1 + end.expect("a string has an end") + 1;
        let string: String = serde_json::from_str(&rest[begin..end]).expect("a string");
        out.push_str(&Value::from(string).to_string());
        rest = &rest[end..];
    }
    out.extend(rest.split_whitespace());
    out
}

#[test]
fn stored_objects_are_served_with_fields_and_numbers_as_written() {
    let rows = rows();
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let mut object = stored(row).ok()?;
            object.metadata_mut().resource_version = row.value["mod_revision"].to_string();
            let json = String::from_utf8(object.to_json()).expect("we write valid JSON");
            let (found, wanted) = (compact(&json), compact(row.served.get()));
            let at = found.bytes().zip(wanted.bytes()).position(|(left, right)| left != right);
            let at = at.unwrap_or(found.len().min(wanted.len()));
            let part = |text: &str| text.get(at.saturating_sub(60)..(at + 60).min(text.len())).unwrap_or("").to_owned();
            (found != wanted).then(|| format!("{}:\n  {}\n  {}", row.place(), part(&found), part(&wanted)))
        })
        .collect();
    report("text of the served JSON", &failures, rows.len());
}

#[test]
fn stored_objects_are_served_as_recorded() {
    let rows = rows();
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let object = match stored(row) {
                Ok(object) => object,
                Err(error) => return Some(format!("{}: {error}", row.place())),
            };
            let mut object = object;
            object.metadata_mut().resource_version = row.value["mod_revision"].to_string();
            let json: Value = serde_json::from_slice(&object.to_json()).expect("we write valid JSON");
            difference("", &json, &row.value["served_json"]).map(|found| format!("{}: {found}", row.place()))
        })
        .collect();
    report("served JSON", &failures, rows.len());
}

#[test]
fn served_json_gives_the_served_protobuf() {
    let rows: Vec<Row> = rows().into_iter().filter(|row| !row.text("served_protobuf_base64").is_empty()).collect();
    assert_eq!(rows.len(), 202, "the facts changed: every row must be looked at");
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let json = &row.value["served_json"];
            let kind = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
            let Some(info) = kind_by_api_version(&kind("apiVersion"), &kind("kind")) else {
                return Some(format!("{}: unknown kind", row.place()));
            };
            let object = match info.from_json(row.served.get().as_bytes()) {
                Ok(object) => object,
                Err(error) => return Some(format!("{}: {error}", row.place())),
            };
            let bytes = envelope::encode_dyn(object.as_ref());
            (bytes != row.bytes("served_protobuf_base64")).then(|| row.place())
        })
        .collect();
    report("served protobuf", &failures, rows.len());
}

#[test]
fn every_key_is_the_tables_key() {
    let rows = rows();
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let json = &row.value["served_json"];
            let field = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
            let meta = |name: &str| json["metadata"][name].as_str().unwrap_or_default().to_owned();
            let resource = resource::by_api_version(&field("apiVersion"), &field("kind"));
            let key = resource.and_then(|resource| resource.key(&meta("namespace"), &meta("name")));
            (key.as_deref() != Some(row.text("key"))).then(|| format!("{}: {key:?}", row.place()))
        })
        .collect();
    report("store keys", &failures, rows.len());
}
