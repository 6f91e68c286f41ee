use proto::meta::v1::ApiResource;
use serde_json::Value;

use super::*;

fn discovery() -> Discovery {
    Discovery::new(&Registry::new(), "10.0.0.1:6443".to_owned())
}

#[track_caller]
fn json(discovery: &Discovery, path: &str, form: Form) -> Value {
    let document = discovery.document(path, form).expect(path);
    serde_json::from_slice(&document.body).expect("valid JSON")
}

#[test]
fn the_core_group_tells_no_api_version() {
    let discovery = discovery();
    let answer = json(&discovery, "/api", Form::Json);
    assert_eq!(answer["apiVersion"], Value::Null);
    assert_eq!(answer["serverAddressByClientCIDRs"][0]["serverAddress"], "10.0.0.1:6443");
    let protobuf = discovery.document("/api/v1/", Form::Protobuf).expect("served").body;
    let unknown = proto::envelope::decode(&protobuf).expect("an envelope");
    let meta = unknown.type_meta;
    assert_eq!((meta.api_version.as_str(), meta.kind.as_str()), ("", "APIResourceList"));
    assert_eq!(json(&discovery, "/apis/apps/v1", Form::Json)["apiVersion"], "v1");
}

#[test]
fn paths_that_are_no_documents_have_none() {
    let discovery = discovery();
    for path in ["", "/", "/api/v2", "/api/apps/v1", "/apis/v1", "/apis/apps/v2", "/apis/nonsense", "/apix"] {
        assert!(discovery.document(path, Form::Json).is_none(), "{path}");
    }
    assert!(discovery.document("/apis/apps", Form::AggregatedJson).is_none());
}

#[test]
fn a_new_catalog_changes_every_document() {
    let discovery = discovery();
    let before = discovery.document("/apis", Form::AggregatedJson).expect("served");
    let mut catalog = (*discovery.catalog()).clone();
    let row = ApiResource { name: "boats".into(), kind: "Boat".into(), namespaced: true, ..Default::default() };
    catalog.add("example.com/v1beta1", [row.clone()]);
    catalog.add("example.com/v1", [row]);
    discovery.replace(Arc::new(catalog));
    assert_eq!(discovery.generation(), 2);
    let after = discovery.document("/apis", Form::AggregatedJson).expect("served");
    assert_ne!(before.etag, after.etag);
    let group = json(&discovery, "/apis/example.com", Form::Json);
    assert_eq!(group["preferredVersion"]["version"], "v1");
    assert_eq!(group["versions"][1]["version"], "v1beta1");
    let root: Value = serde_json::from_slice(&discovery.root(["/metrics"]).body).expect("valid JSON");
    let paths = root["paths"].as_array().expect("a list");
    for path in ["/apis/example.com/v1", "/metrics", "/openapi/v3"] {
        assert!(paths.iter().any(|found| found == path), "{path}");
    }
}

#[test]
fn released_versions_come_before_betas_and_newer_before_older() {
    let mut versions = ["v1alpha1", "moon", "v1", "v10", "v2beta1", "v2", "v01", "v1beta2", "bar"];
    versions.sort_by(|a, b| version_order(a, b));
    assert_eq!(versions, ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "bar", "moon", "v01"]);
}
