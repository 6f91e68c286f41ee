//! Every recorded table row: our cells for the object are the recorded ones, ages and generated values apart.

use std::path::PathBuf;

use api::structural::columns::Columns;
use jiff::Timestamp;
use serde_json::{Value, json};

fn facts() -> PathBuf {
    std::env::var_os("KUBERNETES_API_FACTS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/kubernetes-api"), PathBuf::from)
}

/// Group and plural of a kind, from the recorded resource list.
fn resource(api_version: &str, kind: &str) -> (String, String) {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let rows = std::fs::read_to_string(facts().join("resources.tsv")).expect("the facts lie beside the checkout");
    let row = rows
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .find(|row| row[0] == group && row[1] == version && row[2] == kind && row[4].is_empty());
    (group.to_owned(), row.map(|row| row[3].to_owned()).unwrap_or_default())
}

#[test]
fn cells_are_as_recorded() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(facts().join("tables")).unwrap() {
        let case: Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        let (Some(object), Some(want)) = (case.get("object"), case.get("cells").and_then(Value::as_array)) else {
            continue;
        };
        seen += 1;
        if let Some(definition) = case.get("crd") {
            let columns = &definition["spec"]["versions"][0]["additionalPrinterColumns"];
            let columns = columns.as_array().cloned().unwrap_or_default().into_iter();
            let columns: Vec<_> = columns.map(|column| proto::json::from_value(column).unwrap()).collect();
            let columns = Columns::new(&columns);
            let heads = columns.heads().into_iter().map(
                |head| json!({"name": head.name, "type": head.kind, "format": head.format, "priority": head.priority}),
            );
            assert_eq!(Value::Array(heads.collect()), case["column_defs"], "{}", case["name"]);
            let got = columns.cells(object, Timestamp::now());
            if got.len() != want.len() || !got.iter().zip(want).all(|(got, want)| same(got, want)) {
                wrong.push(format!("{}:\n   got {}\n  want {}", case["name"], json!(got), json!(want)));
            }
            continue;
        }
        let (group, plural) = resource(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        let columns = api::print::columns(&group, &plural).unwrap_or(api::print::PLAIN);
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        assert_eq!(json!(names), case["columns"], "{}", case["name"]);
        let got = api::print::cells(&group, &plural, object, Timestamp::now());
        if got.len() != want.len() || !got.iter().zip(want).all(|(got, want)| same(got, want)) {
            wrong.push(format!("{}:\n   got {}\n  want {}", case["name"], json!(got), json!(want)));
        }
    }
    assert!(seen > 100, "only {seen} recorded rows found below {}", facts().display());
    assert!(wrong.is_empty(), "{} of {seen} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// The columns of a resource in a line each.
fn lines(columns: &[api::print::Column]) -> Vec<String> {
    columns
        .iter()
        .map(|column| format!("{}\t{}\t{}\t{}", column.name, column.kind, column.format, column.priority))
        .collect()
}

#[test]
fn columns_are_upstreams() {
    let text = std::fs::read_to_string(facts().join("printer-columns.tsv")).expect("the facts lie beside the checkout");
    let mut wanted = std::collections::BTreeMap::<(&str, &str), Vec<String>>::new();
    for row in text.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>()) {
        let [group, _, plural, index, name, kind, format, priority] = row[..] else { panic!("a row of 8: {row:?}") };
        let columns = wanted.entry((group, plural)).or_default();
        // Versions of a group have the same columns, or this would see them twice.
        if index.parse() == Ok(columns.len()) {
            columns.push(format!("{name}\t{kind}\t{format}\t{priority}"));
        }
    }
    let mut wrong = Vec::new();
    let mut seen = 0;
    for resource in api::resource::all() {
        let Some(want) = wanted.get(&(resource.group, resource.plural)) else { continue };
        seen += 1;
        let got = lines(api::print::columns(resource.group, resource.plural).unwrap_or(api::print::PLAIN));
        if got != *want {
            wrong.push(format!("{}: {got:#?}, upstream has {want:#?}", resource.plural));
        }
    }
    assert!(seen > 50, "only {seen} resources have recorded columns");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Equal but for the spans of time that the recording left out, and for one that it left in.
fn same(got: &Value, want: &Value) -> bool {
    if got == want {
        return true;
    }
    let (Some(got), Some(want)) = (got.as_str(), want.as_str()) else { return false };
    if let Some((before, after)) = want.split_once("<age>") {
        return got.starts_with(before) && got.ends_with(after);
    }
    let years = |text: &str| text.contains('y') && text.ends_with('d');
    years(got) && years(want)
}

#[test]
fn ages_are_as_recorded() {
    for line in std::fs::read_to_string(facts().join("age-format.tsv")).unwrap().lines().skip(1) {
        let (seconds, text) = line.split_once('\t').unwrap();
        assert_eq!(api::print::span(seconds.parse().unwrap()), text, "{seconds} seconds");
    }
}
