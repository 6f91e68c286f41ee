use super::*;
use crate::registry::Registry;

fn open_api() -> OpenApi {
    OpenApi::new(Arc::new(Catalog::of(&Registry::new())))
}

#[track_caller]
fn document(open_api: &OpenApi, path: &str) -> Document {
    match open_api.answer(Request { path, ..Request::default() }).expect("memory takes everything") {
        Answer::Document(document) => document,
        other => panic!("{path}: {other:?}"),
    }
}

#[track_caller]
fn json_of(open_api: &OpenApi, path: &str) -> Value {
    serde_json::from_slice(&document(open_api, path).body).expect("valid JSON")
}

#[test]
fn the_index_leads_to_documents_that_never_change() {
    let open_api = open_api();
    let index = json_of(&open_api, "/openapi/v3");
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().expect("an address").to_owned();
    let (path, hash) = url.split_once("?hash=").expect("a digest");
    let request = Request { path, hash: Some(hash), gzip: true, ..Request::default() };
    let Ok(Answer::Document(document)) = open_api.answer(request) else { panic!("{url}") };
    assert_eq!((document.cache_control, document.content_encoding), (Document::IMMUTABLE, Some("gzip")));
    assert!(document.is_known(&format!("\"{hash}\"")));
    let old = Request { hash: Some("0"), ..request };
    assert_eq!(open_api.answer(old).expect("memory takes everything"), Answer::Moved(url));
}

#[test]
fn what_is_not_there_or_not_taken_is_said() {
    let open_api = open_api();
    for path in ["/openapi", "/openapi/v1", "/openapi/v3/apis/nonsense", "/openapi/v3/api/v1/pods", "/openapi/v33"] {
        let answer = open_api.answer(Request { path, ..Request::default() }).expect("memory takes everything");
        assert_eq!(answer, Answer::Unknown, "{path}");
    }
    let request = Request { path: "/openapi/v3/api/v1", accept: "text/html", ..Request::default() };
    assert_eq!(open_api.answer(request).expect("memory takes everything"), Answer::NotAcceptable);
}

#[test]
fn a_new_catalog_changes_the_documents() {
    let open_api = open_api();
    let before = document(&open_api, "/openapi/v3");
    let mut catalog = Catalog::default();
    catalog.add("v1", Catalog::of(&Registry::new()).list("v1").expect("served").resources.clone());
    open_api.replace(Arc::new(catalog));
    assert_eq!(open_api.generation(), 2);
    assert_ne!(before.etag, document(&open_api, "/openapi/v3").etag);
    let request = Request { path: "/openapi/v3/apis/apps/v1", ..Request::default() };
    assert_eq!(open_api.answer(request).expect("memory takes everything"), Answer::Unknown);
}

#[test]
fn operations_have_upstreams_names() {
    let open_api = open_api();
    let v2 = json_of(&open_api, "/openapi/v2");
    for (path, method, id, action) in [
        ("/api/v1/namespaces/{namespace}/pods", "get", "listCoreV1NamespacedPod", "list"),
        ("/api/v1/namespaces/{namespace}/pods", "delete", "deleteCoreV1CollectionNamespacedPod", "deletecollection"),
        ("/api/v1/namespaces/{namespace}/pods/{name}", "patch", "patchCoreV1NamespacedPod", "patch"),
        ("/api/v1/namespaces/{namespace}/pods/{name}/log", "get", "readCoreV1NamespacedPodLog", "get"),
        ("/api/v1/namespaces/{namespace}/pods/{name}/exec", "post", "connectCoreV1PostNamespacedPodExec", "connect"),
        ("/api/v1/namespaces/{namespace}/pods/{name}/eviction", "post", "createCoreV1NamespacedPodEviction", "post"),
        ("/api/v1/nodes/{name}/proxy/{path}", "head", "connectCoreV1HeadNodeProxyWithPath", "connect"),
        ("/api/v1/pods", "get", "listCoreV1PodForAllNamespaces", "list"),
        ("/api/v1/watch/pods", "get", "watchCoreV1PodListForAllNamespaces", "watchlist"),
        ("/api/v1/watch/nodes/{name}", "get", "watchCoreV1Node", "watch"),
        ("/api/v1/namespaces/{name}/finalize", "put", "replaceCoreV1NamespaceFinalize", "put"),
        (
            "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale",
            "get",
            "readAppsV1NamespacedDeploymentScale",
            "get",
        ),
        ("/apis/authentication.k8s.io/v1/tokenreviews", "post", "createAuthenticationV1TokenReview", "post"),
    ] {
        let operation = &v2["paths"][path][method];
        assert_eq!(operation["operationId"], id, "{path} {method}");
        assert_eq!(operation["x-kubernetes-action"], action, "{path} {method}");
    }
    let scale = &v2["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["patch"];
    assert_eq!(scale["x-kubernetes-group-version-kind"], schema::kind_value("autoscaling", "v1", "Scale"));
}

#[test]
fn no_two_operations_have_one_name() {
    let v2 = json_of(&open_api(), "/openapi/v2");
    let operations = v2["paths"].as_object().expect("a map").values().flat_map(|item| item.as_object().expect("a map"));
    let ids: Vec<&str> = operations.filter_map(|(_, operation)| operation.get("operationId")?.as_str()).collect();
    let different: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
    assert!(ids.len() > 600, "{}", ids.len());
    assert_eq!(different.len(), ids.len());
}

#[test]
fn protobuf_is_gnostics_document() {
    let open_api = open_api();
    let accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let request = Request { path: "/openapi/v2", accept, ..Request::default() };
    let Ok(Answer::Document(document)) = open_api.answer(request) else { panic!("no protobuf") };
    assert_eq!(document.content_type, Form::Protobuf.content_type());
    assert_eq!(document.body[..5], *b"\x0a\x032.0");
    // Paths, definitions and parameters: as many as in JSON, under the same names.
    let json = json_of(&open_api, "/openapi/v2");
    let fields = fields(&document.body);
    for (number, entry, name) in [(8, 2, "paths"), (9, 1, "definitions"), (10, 1, "parameters")] {
        let part = fields.iter().find(|(found, _)| *found == number).expect(name).1;
        let entries = self::fields(part);
        assert!(entries.iter().all(|(number, _)| *number == entry), "{name}");
        let names = entries.iter().map(|(_, entry)| std::str::from_utf8(self::fields(entry)[0].1).expect("a name"));
        assert!(names.eq(json[name].as_object().expect("a map").keys()), "{name}");
    }
}

/// The fields of a protobuf message, all of them with a length.
fn fields(mut bytes: &[u8]) -> Vec<(u32, &[u8])> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (number, wire) = prost::encoding::decode_key(&mut bytes).expect("a field");
        assert_eq!(wire, prost::encoding::WireType::LengthDelimited);
        let len = usize::try_from(prost::encoding::decode_varint(&mut bytes).expect("a length")).expect("a length");
        let (value, rest) = bytes.split_at(len);
        fields.push((number, value));
        bytes = rest;
    }
    fields
}

/// A catalog with a custom kind whose schema says `n` of its spec.
fn with_custom(n: &Value) -> Catalog {
    use prost::Message as _;
    let text = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gizmos.stable.example.com"},
        "spec": {"group": "stable.example.com", "scope": "Namespaced", "names": {"plural": "gizmos", "kind": "Gizmo"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "description": "A gizmo.", "properties": {"spec": {"type": "object", "properties": {"n": n}}},
            }}}]},
    });
    let definition: proto::apiextensions::v1::CustomResourceDefinition =
        proto::json::from_value(text).expect("a definition");
    let mut catalog = Catalog::of(&Registry::new());
    let verbs = ["create", "get", "list", "patch", "update", "watch"].map(str::to_owned).into();
    let row = proto::meta::v1::ApiResource {
        name: "gizmos".to_owned(),
        kind: "Gizmo".to_owned(),
        namespaced: true,
        verbs: proto::meta::v1::Verbs { items: verbs },
        ..Default::default()
    };
    catalog.add("stable.example.com/v1", [row]);
    catalog.add_custom(crate::discovery::CustomKind {
        group_version: "stable.example.com/v1".to_owned(),
        kind: "Gizmo".to_owned(),
        definition: definition.encode_to_vec().into(),
    });
    catalog
}

#[test]
fn a_custom_kind_is_told_as_its_definition_says() {
    let n = json!({"type": "integer", "default": 3, "description": "A number."});
    let open_api = OpenApi::new(Arc::new(with_custom(&n)));
    let v3 = json_of(&open_api, "/openapi/v3/apis/stable.example.com/v1");
    let schemas = &v3["components"]["schemas"];
    let gizmo = &schemas["com.example.stable.v1.Gizmo"];
    assert_eq!(gizmo["properties"]["spec"]["properties"]["n"], n);
    assert_eq!(gizmo["description"], "A gizmo.");
    assert_eq!(
        gizmo["x-kubernetes-group-version-kind"],
        json!([{"group": "stable.example.com", "version": "v1", "kind": "Gizmo"}])
    );
    let metadata = &gizmo["properties"]["metadata"]["allOf"][0]["$ref"];
    assert_eq!(*metadata, "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    assert!(schemas.get("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").is_some());
    let items = &schemas["com.example.stable.v1.GizmoList"]["properties"]["items"]["items"]["$ref"];
    assert_eq!(*items, "#/components/schemas/com.example.stable.v1.Gizmo");
    let path = &v3["paths"]["/apis/stable.example.com/v1/namespaces/{namespace}/gizmos/{name}"];
    assert_eq!(path["get"]["x-kubernetes-group-version-kind"]["kind"], "Gizmo");
    let v2 = json_of(&open_api, "/openapi/v2");
    let told = &v2["definitions"]["com.example.stable.v1.Gizmo"]["properties"]["spec"]["properties"]["n"];
    assert_eq!(*told, json!({"type": "integer", "description": "A number."}));
}

#[test]
fn a_changed_schema_changes_its_document_alone() {
    let open_api = OpenApi::new(Arc::new(with_custom(&json!({"type": "integer"}))));
    let of = |name: &str| document(&open_api, name).etag;
    let (custom, core) = ("/openapi/v3/apis/stable.example.com/v1", "/openapi/v3/api/v1");
    let before = (of(custom), of(core));
    open_api.replace(Arc::new(with_custom(&json!({"type": "string"}))));
    let kept = open_api.documents.load().v3["api/v1"].get().is_some();
    let made = open_api.documents.load().v3["apis/stable.example.com/v1"].get().is_some();
    assert_eq!((kept, made), (true, false));
    assert_ne!(of(custom), before.0);
    assert_eq!(of(core), before.1);
}
