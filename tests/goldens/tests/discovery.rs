//! Discovery as a real API server answered it: groups, versions, resources, verbs, in order.

use apiserver::discovery::{Discovery, Form};
use apiserver::registry::Registry;
use serde_json::Value;
use test_goldens::{cases, difference, json, read};

fn discovery() -> Discovery {
    Discovery::new(&Registry::new(), "<host:port>".to_owned())
}

fn answer(path: &str, form: Form) -> Option<Value> {
    let document = discovery().document(path, form)?;
    assert_eq!(document.content_type, form.content_type());
    Some(serde_json::from_slice(&document.body).expect("we write valid JSON"))
}

/// Every recorded document: its file, its path, its form.
fn documents() -> Vec<(String, String, Form)> {
    let row = |file: &str, path: String, form| (format!("discovery/{file}.json"), path, form);
    let mut rows = vec![
        row("api", "/api".into(), Form::Json),
        row("apis", "/apis".into(), Form::Json),
        row("api-v1", "/api/v1".into(), Form::Json),
        row("aggregated-api-v2", "/api".into(), Form::AggregatedJson),
        row("aggregated-apis-v2", "/apis".into(), Form::AggregatedJson),
    ];
    let more = |folder: &str| cases(&format!("discovery/{folder}"), ".json");
    rows.extend(more("groups").iter().map(|name| row(&format!("groups/{name}"), format!("/apis/{name}"), Form::Json)));
    rows.extend(more("groupversions").iter().map(|name| {
        let path = format!("/apis/{}", name.replace('_', "/"));
        row(&format!("groupversions/{name}"), path, Form::Json)
    }));
    rows
}

#[test]
fn every_document_equals_the_recorded_one() {
    let documents = documents();
    let mut wrong = Vec::new();
    for (file, path, form) in &documents {
        match answer(path, *form) {
            None => wrong.push(format!("{file}: {path} is not served")),
            Some(found) => {
                wrong.extend(difference("", &found, &json(file)).map(|difference| format!("{file}: {difference}")));
            }
        }
    }
    println!("discovery: {} of {}", documents.len() - wrong.len(), documents.len());
    assert_eq!(documents.len(), 46, "the facts changed: every document must be looked at");
    assert!(wrong.is_empty(), "{} documents differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn protobuf_holds_what_json_holds() {
    use prost::Message as _;
    for (_, path, form) in documents() {
        let other = if form == Form::Json { Form::Protobuf } else { Form::AggregatedProtobuf };
        let bytes = discovery().document(&path, other).expect("served in both forms").body;
        let unknown = proto::envelope::decode(&bytes).expect("an envelope");
        let value = answer(&path, form).expect("served");
        assert_eq!(value["kind"], unknown.type_meta.kind.as_str(), "{path}");
        assert_eq!(value["apiVersion"].as_str().unwrap_or_default(), unknown.type_meta.api_version, "{path}");
        let counts = match unknown.type_meta.kind.as_str() {
            "APIResourceList" => {
                let list = proto::meta::v1::ApiResourceList::decode(&*unknown.raw).expect("its message");
                (list.resources.len(), "resources")
            }
            "APIGroupDiscoveryList" => {
                let list = proto::apidiscovery::v2::ApiGroupDiscoveryList::decode(&*unknown.raw).expect("its message");
                (list.items.len(), "items")
            }
            _ => continue,
        };
        assert_eq!(value[counts.1].as_array().map(Vec::len), Some(counts.0), "{path}");
    }
}

/// A row of resources.tsv as discovery tells it.
#[test]
fn every_recorded_resource_is_served() {
    let text = read("resources.tsv");
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let discovery = discovery();
    let catalog = discovery.catalog();
    let mut rows = 0;
    for line in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        let cell = |name: &str| head.iter().position(|found| *found == name).map_or("", |index| cells[index]);
        let list = |name: &str| -> Vec<&str> { cell(name).split(',').filter(|text| !text.is_empty()).collect() };
        let group_version = format!("{}/{}", cell("group"), cell("version"));
        let name = format!("{}/{}", cell("plural"), cell("subresource"));
        let served = catalog.list(group_version.trim_start_matches('/'));
        let served = served.and_then(|list| list.resources.iter().find(|row| row.name == name.trim_end_matches('/')));
        let row = served.unwrap_or_else(|| panic!("{group_version} {name} is not served"));
        assert_eq!(row.kind, cell("kind"), "{line}");
        assert_eq!(row.singular_name, cell("singular"), "{line}");
        assert_eq!(row.namespaced.to_string(), cell("namespaced"), "{line}");
        assert_eq!((row.group.as_str(), row.version.as_str()), (cell("kind_group"), cell("kind_version")), "{line}");
        assert_eq!(row.storage_version_hash, cell("storage_version_hash"), "{line}");
        assert_eq!(row.verbs.items, list("verbs"), "{line}");
        assert_eq!(row.short_names, list("short_names"), "{line}");
        assert_eq!(row.categories, list("categories"), "{line}");
        rows += 1;
    }
    let served: usize = catalog.lists().iter().map(|list| list.resources.len()).sum();
    assert_eq!((rows, served), (113, 113), "recorded and served");
}

#[test]
fn groups_are_told_in_upstreams_order() {
    let text = read("groups.tsv");
    let recorded: Vec<(String, String)> = text
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .map(|cells| (cells[1].to_owned(), cells[2].to_owned()))
        .collect();
    let discovery = discovery();
    let catalog = discovery.catalog();
    let version = |group_version: &str| group_version.rsplit('/').next().unwrap_or_default().to_owned();
    let served = catalog.groups().map(|(group, lists)| {
        let versions: Vec<String> = lists.iter().map(|list| version(&list.group_version)).collect();
        (group.to_owned(), versions.join(","))
    });
    assert_eq!(served.collect::<Vec<_>>(), recorded);
}

#[test]
fn the_root_tells_every_recorded_path_of_the_api() {
    let recorded = json("discovery/root-paths.json");
    let root: Value = serde_json::from_slice(&discovery().root([]).body).expect("we write valid JSON");
    let served = root["paths"].as_array().expect("a list");
    let api = |path: &&Value| {
        let path = path.as_str().unwrap_or_default();
        path.starts_with("/api") || path.starts_with("/openapi")
    };
    let recorded: Vec<&Value> = recorded["paths"].as_array().expect("a list").iter().filter(api).collect();
    assert_eq!(served.iter().collect::<Vec<_>>(), recorded);
}

#[test]
fn headers_and_refusals_are_the_recorded_ones() {
    let recorded = json("discovery/response-headers.json");
    let mut rows = 0;
    for row in recorded.as_array().expect("a list") {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let path = match (text("path"), text("file")) {
            ("", file) if file.starts_with('/') => file.to_owned(),
            ("", file) => documents().into_iter().find(|(known, ..)| known.ends_with(file)).expect("a document").1,
            (path, _) => path.to_owned(),
        };
        // YAML is written by the door from the JSON.
        if text("request_accept") == "application/yaml" {
            continue;
        }
        rows += 1;
        let form = Form::negotiate(text("request_accept"), &path);
        if row["code"] == 406 {
            assert_eq!(form, None, "{row}");
            continue;
        }
        let document = form.and_then(|form| discovery().document(&path, form)).expect("served");
        assert_eq!(document.content_type, text("Content-Type"), "{row}");
        if row.get("Cache-Control").is_some() {
            assert_eq!(document.cache_control, text("Cache-Control"), "{row}");
            assert_eq!(document.vary.unwrap_or_default(), text("Vary"), "{row}");
            assert_eq!(document.etag.is_some(), row["ETag"].is_string(), "{row}");
        }
        if let Some(begin) = row["first_bytes_hex"].as_str() {
            let found: String = document.body[..4].iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, begin, "{row}");
        }
    }
    assert_eq!(rows, 33, "the facts changed: every row must be looked at");
}

#[test]
fn the_version_has_every_recorded_field() {
    let recorded = json("discovery/version-fields.json");
    let served = daemon::version::info();
    for field in recorded["fields"].as_array().expect("a list") {
        assert!(served.get(field.as_str().unwrap_or_default()).is_some(), "{field}");
    }
    let same = ["major", "minor", "emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor"];
    for name in same {
        assert_eq!(served[name], recorded[name], "{name}");
    }
}
