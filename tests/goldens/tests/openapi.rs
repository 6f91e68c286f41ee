//! OpenAPI documents agree with the recorded facts: fields, resources, and with themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use apiserver::discovery::Catalog;
use apiserver::openapi::{Answer, OpenApi, Request};
use apiserver::registry::Registry;
use serde_json::Value;
use test_goldens::{json, read};

static CATALOG: LazyLock<Arc<Catalog>> = LazyLock::new(|| Arc::new(Catalog::of(&Registry::new())));
static OPEN_API: LazyLock<OpenApi> = LazyLock::new(|| OpenApi::new(Arc::clone(&CATALOG)));

fn document(path: &str) -> Value {
    match OPEN_API.answer(Request { path, ..Request::default() }) {
        Ok(Answer::Document(document)) => serde_json::from_slice(&document.body).expect("we write valid JSON"),
        other => panic!("{path}: {other:?}"),
    }
}

/// Every document: 2.0, and each of 3.0 by its address.
static DOCUMENTS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let index = document("/openapi/v3");
    let names = index["paths"].as_object().expect("a map").keys().map(|name| format!("/openapi/v3/{name}"));
    names.chain(["/openapi/v2".to_owned()]).map(|path| (path.clone(), document(&path))).collect()
});

fn map(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[test]
fn the_index_lists_the_recorded_documents() {
    let index = document("/openapi/v3");
    let names: Vec<&String> = map(&index["paths"]).map(|(name, _)| name).collect();
    assert_eq!(serde_json::to_value(names).expect("texts"), json("discovery/openapi-v3-paths.json"));
}

/// Calls `found` with every reference. A property may itself be called `$ref`: then its value is no text.
fn references(value: &Value, found: &mut dyn FnMut(&str)) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found(reference);
            }
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_definition_is_needed() {
    let mut count = 0;
    for (path, document) in &*DOCUMENTS {
        let mut used = BTreeSet::new();
        references(document, &mut |reference| {
            count += 1;
            let place = reference.strip_prefix('#').expect("a reference within the document");
            assert!(document.pointer(place).is_some(), "{path}: {reference} leads nowhere");
            used.insert(reference.to_owned());
        });
        let folders = ["/definitions", "/components/schemas", "/parameters"];
        for folder in folders {
            for (name, _) in document.pointer(folder).into_iter().flat_map(map) {
                assert!(used.contains(&format!("#{folder}/{name}")), "{path}: nothing refers to {folder}/{name}");
            }
        }
    }
    assert!(count > 10_000, "only {count} references");
}

/// A row of fields.tsv.
struct Fact<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Fact<'a> {
    fn get(&self, column: &str) -> &'a str {
        self.0.get(column).copied().unwrap_or_default()
    }

    /// The definition of the message that the field is in.
    fn definition(&self) -> String {
        definition(&format!("{}.{}", self.get("proto_package"), self.get("message")))
    }
}

fn definition(message: &str) -> String {
    let rest = message.strip_prefix("k8s.io.").unwrap_or(message);
    format!("io.k8s.{}", rest.replace('_', "-"))
}

/// What the document says of a field, and what the facts say: value of the property, by column.
fn compare(fact: &Fact<'_>, schema: &Value, wrong: &mut Vec<String>) {
    let name = fact.get("field_name");
    let here = format!("{}.{name}", fact.definition());
    let Some(property) = schema["properties"].get(name) else {
        wrong.push(format!("{here} is missing"));
        return;
    };
    let required = schema["required"].as_array().is_some_and(|list| list.iter().any(|found| found == name));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let joined = |value: &Value, by: &str| {
        let items: Vec<String> = value.as_array().into_iter().flatten().map(text).collect();
        items.join(by)
    };
    // What one value looks like is told where the value is.
    let one = ["items", "additionalProperties"].iter().find_map(|name| property.get(name)).unwrap_or(property);
    let default = property.get("default").map(Value::to_string).unwrap_or_default();
    let mut values: Vec<&str> = fact.get("enum").split('|').collect();
    values.sort_unstable();
    let structure = [fact.get("map_type"), fact.get("struct_type")].concat();
    for (column, found, expected) in [
        ("required", if required { "yes" } else { "no" }.to_owned(), fact.get("required").to_owned()),
        ("default", default, fact.get("default").to_owned()),
        ("list_type", text(&property["x-kubernetes-list-type"]), fact.get("list_type").to_owned()),
        ("list_map_keys", joined(&property["x-kubernetes-list-map-keys"], ","), fact.get("list_map_keys").to_owned()),
        ("patch_strategy", text(&property["x-kubernetes-patch-strategy"]), fact.get("patch_strategy").to_owned()),
        ("patch_merge_key", text(&property["x-kubernetes-patch-merge-key"]), fact.get("patch_merge_key").to_owned()),
        ("map_type", text(&property["x-kubernetes-map-type"]), structure),
        ("enum", joined(&one["enum"], "|"), values.join("|")),
        ("type", kind_of(property, one), expected_kind(fact)),
    ] {
        if found != expected {
            wrong.push(format!("{here}: {column} is {found:?}, upstream {expected:?}"));
        }
    }
    // A format that a value has by its type is not always told in the facts.
    let format = text(&one["format"]);
    if format != fact.get("format") && !(fact.get("format").is_empty() && fact.get("proto_type").contains("bytes")) {
        wrong.push(format!("{here}: format is {format:?}, upstream {:?}", fact.get("format")));
    }
}

fn reference_of(value: &Value) -> Option<String> {
    let direct = value.get("$ref").or_else(|| value.get("allOf")?.get(0)?.get("$ref"));
    direct.and_then(Value::as_str).map(|text| text.rsplit('/').next().unwrap_or_default().to_owned())
}

/// The shape of a property in words: `list of string`, `map of io.k8s...`.
fn kind_of(property: &Value, one: &Value) -> String {
    let single = reference_of(one).unwrap_or_else(|| match one["items"]["type"].as_str() {
        Some(item) => format!("array of {item}"),
        None => one["type"].as_str().unwrap_or_default().to_owned(),
    });
    if property.get("additionalProperties").is_some() {
        return format!("map of {single}");
    }
    if property.get("items").is_some() && one["type"] != "array" { format!("list of {single}") } else { single }
}

fn expected_kind(fact: &Fact<'_>) -> String {
    let proto = fact.get("proto_type");
    let value = proto.strip_prefix("map<string,").map_or(proto, |rest| rest.trim_end_matches('>'));
    // Messages that are arrays of texts in JSON stand where they are used.
    let texts = ["ExtraValue", "meta.v1.Verbs"].iter().any(|name| value.ends_with(name));
    let single = match value {
        "bool" => "boolean".to_owned(),
        "int32" | "int64" => "integer".to_owned(),
        "double" => "number".to_owned(),
        "string" | "bytes" => "string".to_owned(),
        _ if texts && fact.get("label") != "map" => return "list of string".to_owned(),
        _ if texts => "array of string".to_owned(),
        message => definition(message),
    };
    match fact.get("label") {
        "repeated" => format!("list of {single}"),
        "map" => format!("map of {single}"),
        _ => single,
    }
}

#[test]
fn every_field_of_every_definition_is_as_recorded() {
    let text = read("fields.tsv");
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let facts: Vec<Fact<'_>> = lines.map(|line| Fact(head.iter().copied().zip(line.split('\t')).collect())).collect();
    let mut by_message: BTreeMap<String, Vec<&Fact<'_>>> = BTreeMap::new();
    facts.iter().for_each(|fact| by_message.entry(fact.definition()).or_default().push(fact));
    let (mut wrong, mut rows, mut seen) = (Vec::new(), 0, BTreeSet::new());
    for document in DOCUMENTS.values() {
        for (name, schema) in map(&document["components"]["schemas"]) {
            if seen.insert(name.clone()) && schema.get("properties").is_some() {
                rows += message(by_message.get(name).map_or(&[], Vec::as_slice), &by_message, schema, &mut wrong);
            }
        }
    }
    println!("openapi: {} of {rows} fields, {} definitions", rows - wrong.len().min(rows), seen.len());
    assert!(wrong.is_empty(), "{} of {rows} fields differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows > 2_000 && seen.len() > 500, "{rows} fields of {} definitions", seen.len());
}

/// Compares the fields of a message, those of inlined messages too; counts them.
fn message<'a>(
    facts: &[&Fact<'a>],
    all: &BTreeMap<String, Vec<&Fact<'a>>>,
    schema: &Value,
    wrong: &mut Vec<String>,
) -> usize {
    let mut rows = 0;
    for fact in facts.iter().filter(|fact| !fact.get("status").contains("not-served")) {
        if fact.get("json_inline") == "yes" {
            let inner = all.get(&definition(fact.get("proto_type"))).map_or(&[][..], Vec::as_slice);
            rows += message(inner, all, schema, wrong);
        } else {
            rows += 1;
            compare(fact, schema, wrong);
        }
    }
    rows
}

#[test]
fn properties_that_are_no_recorded_field_are_kind_and_api_version() {
    let text = read("fields.tsv");
    let names: BTreeSet<&str> = text.lines().skip(1).filter_map(|line| line.split('\t').nth(2)).collect();
    for document in DOCUMENTS.values() {
        for (name, schema) in map(&document["components"]["schemas"]) {
            // What the version tells is recorded elsewhere.
            let ours = map(&schema["properties"]).map(|(property, _)| property.as_str());
            let unknown: Vec<&str> = ours.filter(|property| !names.contains(property)).collect();
            let known = ["apiVersion", "kind"];
            let version = name == "io.k8s.apimachinery.pkg.version.Info";
            assert!(version || unknown.iter().all(|property| known.contains(property)), "{name}: {unknown:?}");
        }
    }
}

/// The operations that each verb of a resource makes: method and action.
fn operation_of(verb: &str) -> (&'static str, &'static str) {
    match verb {
        "get" => ("get", "get"),
        "list" => ("get", "list"),
        "watch" => ("get", "watchlist"),
        "create" => ("post", "post"),
        "update" => ("put", "put"),
        "patch" => ("patch", "patch"),
        "delete" => ("delete", "delete"),
        "deletecollection" => ("delete", "deletecollection"),
        other => panic!("{other} is no verb"),
    }
}

#[test]
fn every_verb_of_every_resource_has_its_operation() {
    let mut operations = 0;
    for list in CATALOG.lists() {
        let folder = if list.group_version.contains('/') { "apis" } else { "api" };
        let path = format!("/openapi/v3/{folder}/{}", list.group_version);
        let document = &DOCUMENTS[&path];
        for row in &list.resources {
            let connects = row.kind.ends_with("Options");
            for verb in &row.verbs.items {
                let (method, action) = operation_of(verb);
                let action = if connects { "connect" } else { action };
                let found = map(&document["paths"]).any(|(path, item)| {
                    let plain =
                        path.replace("/{name}", "").replace("/namespaces/{namespace}", "").replace("/watch/", "/");
                    plain.ends_with(&format!("/{}", row.name))
                        && item[method]["x-kubernetes-action"] == action
                        && item[method]["x-kubernetes-group-version-kind"]["kind"] == row.kind.as_str()
                });
                assert!(found, "{}: {} {verb}", list.group_version, row.name);
                operations += 1;
            }
        }
    }
    assert!(operations > 500, "{operations}");
}

/// kubectl looks for these before it asks a server to validate fields, or to merge by keys.
#[test]
fn every_patch_takes_field_validation_and_strategic_merges() {
    let mut patches = 0;
    for (path, document) in DOCUMENTS.iter().filter(|(path, _)| path.starts_with("/openapi/v3")) {
        for (place, item) in map(&document["paths"]).filter(|(_, item)| item["patch"]["x-kubernetes-action"] == "patch")
        {
            let parameters = item["patch"]["parameters"].as_array().expect("parameters");
            for name in ["dryRun", "fieldManager", "fieldValidation", "force"] {
                assert!(parameters.iter().any(|parameter| parameter["name"] == name), "{path} {place}: {name}");
            }
            let content = &item["patch"]["requestBody"]["content"];
            assert!(content.get("application/strategic-merge-patch+json").is_some(), "{path} {place}");
            patches += 1;
        }
    }
    assert!(patches > 90, "{patches}");
}
