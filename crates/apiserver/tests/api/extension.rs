//! An extension server behind an APIService: it believes nobody but the apiserver, and says what it was asked.

use std::net::Ipv4Addr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use daemon::health::Health;
use daemon::metrics::Metrics;
use daemon::serve::{Body, Server, Upgrades};
use daemon::tls::{ClientCerts, Peer, ServerIdentity};
use futures::StreamExt;
use http::header::{CONNECTION, CONTENT_TYPE, LOCATION, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use testkit::pki::{Authority, Pki};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::harness::{Apiserver, Cluster, Engine, until};
use crate::rest_client::{Caller, on_a_machine};

const GROUP_VERSION: &str = "things.example/v1";

/// The flags of an apiserver that knows front proxies and is one.
pub fn flags(pki: &Pki) -> Vec<String> {
    vec![
        format!("--requestheader-client-ca-file={}", pki.authority(Authority::Store).display()),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-uid-headers=X-Remote-Uid".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        format!("--proxy-client-cert-file={}", pki.certificate("front-proxy").display()),
        format!("--proxy-client-key-file={}", pki.key("front-proxy").display()),
    ]
}

async fn apiserver(cluster: &Cluster) -> Apiserver {
    let flags = flags(&cluster.pki);
    cluster.apiserver_with(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// The extension server's port.
async fn extension(cluster: &Cluster, address: Ipv4Addr, stop: CancellationToken) -> u16 {
    let pki = &cluster.pki;
    let clients = ClientCerts::Required(pki.authority(Authority::Store));
    let identity = ServerIdentity::load(pki.certificate("extension"), pki.key("extension"), clients);
    let listener = TcpListener::bind((address, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let server = Server::new(Health::new(), Metrics::new()).tls(identity.expect("an identity")).fallback_fn(answer);
    tokio::spawn(server.serve(listener, stop));
    port
}

async fn answer(mut request: Request<Incoming>) -> Response<Body> {
    assert!(request.extensions().get::<Peer>().is_some_and(|peer| peer.common_name == "front-proxy-client"));
    let resources = json!([
        { "name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing", "verbs": ["get", "list"] },
        { "name": "things/status", "singularName": "", "namespaced": true, "kind": "Thing", "verbs": ["get"] },
    ]);
    let path = request.uri().path().to_owned();
    let document = match path.as_str() {
        "/apis/things.example/v1" => json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP_VERSION, "resources": resources,
        }),
        "/openapi/v3" => json!({ "paths": {
            "apis/things.example/v1": { "serverRelativeURL": "/openapi/v3/apis/things.example/v1?hash=1" },
            "api/v1": { "serverRelativeURL": "/openapi/v3/api/v1?hash=2" },
        } }),
        "/openapi/v3/apis/things.example/v1" => json!({ "openapi": "3.0.0", "paths": {} }),
        "/openapi/v2" => json!({
            "swagger": "2.0",
            "paths": { "/apis/things.example/v1/things": {}, "/api/v1/nodes": "stolen" },
            "definitions": { "example.Thing": { "type": "object" } },
        }),
        path if path.ends_with("/moved") => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert(LOCATION, HeaderValue::from_static("https://elsewhere.example/"));
            return response;
        }
        path if path.ends_with("/stream") => return lines(),
        _ if request.headers().contains_key(UPGRADE) => return echo(&mut request),
        _ => said(request).await,
    };
    reply(&document)
}

fn reply(document: &Value) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(document.to_string()))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What it was asked.
async fn said(request: Request<Incoming>) -> Value {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let mut headers: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    headers.sort();
    json!({
        "method": head.method.as_str(), "path": head.uri.to_string(), "headers": headers,
        "body": String::from_utf8_lossy(&body),
    })
}

/// A watch that never ends: its first event comes at once.
fn lines() -> Response<Body> {
    let first = futures::stream::iter([Ok::<_, tonic::Status>(Frame::data(Bytes::from("{\"type\":\"ADDED\"}\n")))]);
    let mut response = Response::new(Body::new(StreamBody::new(first.chain(futures::stream::pending()))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn echo(request: &mut Request<Incoming>) -> Response<Body> {
    let upgrades = request.extensions().get::<Upgrades>().cloned().expect("HTTP/1.1");
    let connection = hyper::upgrade::on(request);
    upgrades.spawn(async move {
        let mut stream = TokioIo::new(connection.await.expect("upgraded"));
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = stream.read(&mut bytes).await {
            stream.write_all(&bytes[..count]).await.expect("written");
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("echo"));
    response
}

fn api_service(pki: &Pki) -> Value {
    let ca = std::fs::read(pki.authority(Authority::Cluster)).expect("the CA");
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": { "name": "v1.things.example" },
        "spec": {
            "group": "things.example", "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 10,
            "caBundle": STANDARD.encode(ca), "service": { "namespace": "default", "name": "ext" },
        },
    })
}

const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

/// Waits until the APIService says so.
async fn wait_for(admin: &Caller, reason: &str) {
    let what = format!("the reason {reason}");
    until(&what, || async {
        let found = admin.get(&format!("{API_SERVICES}/v1.things.example")).await.json();
        let condition = &found["status"]["conditions"][0];
        assert!(condition["type"] == "Available" || condition.is_null(), "{found}");
        (condition["reason"] == reason).then_some(())
    })
    .await;
}

/// A Service before the extension server; the step in which each is made is seen in the APIService.
async fn place(admin: &Caller, address: Ipv4Addr, port: u16) {
    wait_for(admin, "ServiceNotFound").await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "ext" },
        "spec": { "ports": [{ "name": "https", "port": 443, "targetPort": port }] },
    });
    admin.create("/api/v1/namespaces/default/services", service).await;
    wait_for(admin, "EndpointsNotFound").await;
    let unavailable = admin.get("/apis/things.example/v1/things").await;
    assert_eq!(
        (unavailable.status, unavailable.text().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "service unavailable\n")
    );
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": "ext-1", "labels": { "kubernetes.io/service-name": "ext" } },
        "endpoints": [{ "addresses": [address.to_string()] }],
        "ports": [{ "name": "https", "port": port, "protocol": "TCP" }],
    });
    admin.create("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await;
    wait_for(admin, "Passed").await;
}

fn header<'a>(said: &'a Value, name: &str) -> Vec<&'a str> {
    let all = said["headers"].as_array().expect("headers");
    all.iter().filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().expect("text")).collect()
}

#[test]
fn an_extension_server_serves_its_group() {
    on_a_machine(|address| async move {
        let cluster = Cluster::start(Engine::Keelson);
        let server = apiserver(&cluster).await;
        let admin = Caller::new(&cluster.pki, server.address, "admin");
        let stop = CancellationToken::new();
        let port = extension(&cluster, address, stop.clone()).await;
        admin.create(API_SERVICES, api_service(&cluster.pki)).await;
        place(&admin, address, port).await;
        requests_are_passed_on(&admin).await;
        strangers_are_refused(&cluster, &server).await;
        streams_and_upgrades_run(&admin).await;
        it_is_told(&admin).await;

        stop.cancel();
        wait_for(&admin, "FailedDiscoveryCheck").await;
        let gone = admin.get("/apis/things.example/v1/things").await;
        assert_eq!(gone.status, StatusCode::SERVICE_UNAVAILABLE, "{}", gone.text());
        let stale = aggregated(&admin).await;
        assert_eq!(version_of(&stale)["freshness"], "Stale");
        assert_eq!(version_of(&stale)["resources"][0]["resource"], "things", "what it said last");

        let removed = admin.send(Method::DELETE, &format!("{API_SERVICES}/v1.things.example"), &[], "").await;
        assert_eq!(removed.status, StatusCode::OK);
        until("its group to be gone", || async {
            let answer = admin.get("/apis/things.example/v1/things").await;
            (answer.status == StatusCode::NOT_FOUND).then_some(())
        })
        .await;
        server.stop().await;
    });
}

async fn requests_are_passed_on(admin: &Caller) {
    let path = "/apis/things.example/v1/namespaces/default/things/a%2Fb?x=1&y=%20";
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
        let headers = [
            ("x-remote-user", "root"),
            ("x-remote-extra-more", "lies"),
            ("impersonate-user", "jane"),
            ("impersonate-group", "a"),
            ("impersonate-extra-acme.example%2fp", "v"),
            ("accept", "application/json"),
        ];
        let answer = admin.send(method.clone(), path, &headers, "a body").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "jane may nothing: {}", answer.text());
        let answer = admin.send(method.clone(), path, &[headers[0], headers[1], headers[5]], "a body").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let said = answer.json();
        assert_eq!((said["method"].as_str(), said["path"].as_str()), (Some(method.as_str()), Some(path)));
        assert_eq!(said["body"], "a body");
        assert_eq!(header(&said, "x-remote-user"), ["kubernetes-admin"]);
        assert_eq!(header(&said, "x-remote-group"), ["system:masters", "system:authenticated"]);
        assert_eq!(header(&said, "x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(header(&said, "host"), ["ext.default.svc:443"]);
        assert!(header(&said, "x-remote-extra-more").is_empty(), "{said}");
        assert!(!answer.header("audit-id").is_empty());
    }
    let moved = admin.get("/apis/things.example/v1/moved").await;
    assert_eq!(moved.status, StatusCode::BAD_GATEWAY, "{}", moved.text());
}

async fn strangers_are_refused(cluster: &Cluster, server: &Apiserver) {
    let stranger = Caller::new(&cluster.pki, server.address, "stranger");
    let refused = stranger.get("/apis/things.example/v1/namespaces/default/things/a").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let why =
        "User \"mallory\" cannot get resource \"things\" in API group \"things.example\" in the namespace \"default\"";
    assert!(refused.json()["message"].as_str().is_some_and(|text| text.contains(why)), "{}", refused.text());
    let discovery = stranger.get("/apis/things.example/v1").await;
    assert_eq!(discovery.status, StatusCode::OK, "everybody may discover");

    let nobody = Caller::new(&cluster.pki, server.address, "");
    assert_eq!(nobody.get("/apis/things.example/v1/things").await.status, StatusCode::UNAUTHORIZED);
    let lies = [("x-remote-user", "kubernetes-admin"), ("x-remote-group", "system:masters")];
    let refused = nobody.send(Method::GET, "/api/v1/nodes", &lies, "").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "only a front proxy may say who calls");
    let refused = stranger.send(Method::GET, "/api/v1/nodes", &lies, "").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let front = Caller::new(&cluster.pki, server.address, "front-proxy");
    assert_eq!(front.send(Method::GET, "/api/v1/nodes", &lies, "").await.status, StatusCode::OK);
    assert_eq!(front.get("/api/v1/nodes").await.status, StatusCode::UNAUTHORIZED, "it is nobody by itself");
    let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" }).to_string();
    let headers = [
        ("x-remote-user", "jane"),
        ("x-remote-uid", "u-1"),
        ("x-remote-group", "a"),
        ("x-remote-extra-acme.example%2fp", "v"),
        ("content-type", "application/json"),
    ];
    let who = front.send(Method::POST, "/apis/authentication.k8s.io/v1/selfsubjectreviews", &headers, &body).await;
    let review = who.json();
    let who = &review["status"]["userInfo"];
    assert_eq!((who["username"].as_str(), who["uid"].as_str()), (Some("jane"), Some("u-1")));
    assert_eq!(who["groups"], json!(["a", "system:authenticated"]));
    assert_eq!(who["extra"]["acme.example/p"], json!(["v"]));
}

async fn streams_and_upgrades_run(admin: &Caller) {
    let watch = Request::get("/apis/things.example/v1/stream?watch=1").header("host", "api.example");
    let answer = admin.begin(watch.body(Full::default()).expect("a request")).await;
    let mut body = answer.into_body();
    let first = tokio::time::timeout(Duration::from_secs(20), body.frame()).await.expect("the first event at once");
    let first = first.expect("an event").expect("no error").into_data().expect("data");
    assert_eq!(first, "{\"type\":\"ADDED\"}\n");
    drop(body);

    let upgrade = Request::get("/apis/things.example/v1/namespaces/default/things/a/connect")
        .header("host", "api.example")
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "echo");
    let mut answer = admin.begin(upgrade.body(Full::default()).expect("a request")).await;
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(answer.headers()[UPGRADE], "echo");
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut answer).await.expect("upgraded"));
    for word in ["hello", "again"] {
        stream.write_all(word.as_bytes()).await.expect("written");
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.expect("echoed");
        assert_eq!(back, word.as_bytes());
    }
}

async fn aggregated(admin: &Caller) -> Value {
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    admin.send(Method::GET, "/apis", &[("accept", accept)], "").await.json()
}

fn version_of(aggregated: &Value) -> &Value {
    let groups = aggregated["items"].as_array().expect("groups");
    let group = groups.iter().find(|group| group["metadata"]["name"] == "things.example").expect("the group");
    &group["versions"][0]
}

async fn it_is_told(admin: &Caller) {
    let groups = admin.get("/apis").await.json();
    let names: Vec<&str> =
        groups["groups"].as_array().expect("groups").iter().filter_map(|group| group["name"].as_str()).collect();
    assert_eq!(names.last(), Some(&"things.example"), "{names:?}");
    assert_eq!(names[0], "apiregistration.k8s.io");
    let group = admin.get("/apis/things.example").await.json();
    assert_eq!(group["preferredVersion"]["groupVersion"], GROUP_VERSION);
    let told = aggregated(admin).await;
    let version = version_of(&told);
    assert_eq!(version["freshness"], "Current");
    assert_eq!(version["resources"][0]["subresources"][0]["subresource"], "status");
    let list = admin.get("/apis/things.example/v1").await.json();
    assert_eq!(list["resources"][0]["kind"], "Thing");

    let index = admin.get("/openapi/v3").await.json();
    let address = index["paths"]["apis/things.example/v1"]["serverRelativeURL"].as_str().expect("an address");
    assert_eq!(address, "/openapi/v3/apis/things.example/v1?hash=1");
    assert_ne!(index["paths"]["api/v1"]["serverRelativeURL"], "/openapi/v3/api/v1?hash=2");
    assert_eq!(admin.get(address).await.json()["openapi"], "3.0.0");
    let whole = admin.get("/openapi/v2").await.json();
    assert!(whole["paths"]["/apis/things.example/v1/things"].is_object());
    assert!(whole["paths"]["/api/v1/nodes"].is_object() || whole["paths"]["/api/v1/nodes/"].is_object());
    assert!(whole["definitions"]["example.Thing"].is_object());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_group_versions_have_apiservices() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = apiserver(&cluster).await;
    let admin = Caller::new(&cluster.pki, server.address, "admin");
    let found = admin.get(API_SERVICES).await.json();
    let found = found["items"].as_array().expect("a list");
    let apps = found.iter().find(|service| service["metadata"]["name"] == "v1.apps").expect("apps");
    assert_eq!(apps["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"], "onstart");
    assert_eq!(apps["spec"]["groupPriorityMinimum"], 17_800);
    for service in found {
        let condition = &service["status"]["conditions"][0];
        assert_eq!(
            (condition["status"].as_str(), condition["reason"].as_str()),
            (Some("True"), Some("Local")),
            "{service}"
        );
    }
    let table =
        admin.send(Method::GET, API_SERVICES, &[("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")], "");
    assert_eq!(table.await.json()["rows"][0]["cells"][1], "Local");

    let map = admin.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication").await.json();
    let ca = std::fs::read_to_string(cluster.pki.authority(Authority::Cluster)).expect("the CA");
    assert_eq!(map["data"]["client-ca-file"], ca.as_str());
    let front = std::fs::read_to_string(cluster.pki.authority(Authority::Store)).expect("the CA");
    assert_eq!(map["data"]["requestheader-client-ca-file"], front.as_str());
    assert_eq!(map["data"]["requestheader-allowed-names"], "[\"front-proxy-client\"]");
    assert_eq!(map["data"]["requestheader-username-headers"], "[\"X-Remote-User\"]");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_group_versions_have_apiservices_while_they_are_defined() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver().await;
    let admin = Caller::new(&cluster.pki, server.address, "admin");
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let definition = json!({
        "metadata": { "name": "widgets.custom.example" },
        "spec": {
            "group": "custom.example", "scope": "Namespaced",
            "names": { "plural": "widgets", "kind": "Widget" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object" } },
            }],
        },
    });
    admin.create(definitions, definition).await;
    let path = format!("{API_SERVICES}/v1.custom.example");
    let found = until("its APIService", || async {
        let found = admin.get(&path).await;
        (found.status == StatusCode::OK).then(|| found.json())
    })
    .await;
    assert_eq!(found["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"], "true");
    assert_eq!(
        (&found["spec"]["groupPriorityMinimum"], &found["spec"]["versionPriority"]),
        (&json!(1000), &json!(100))
    );
    assert_eq!(found["status"]["conditions"][0]["reason"], "Local");
    let deleted = admin.send(Method::DELETE, &format!("{definitions}/widgets.custom.example"), &[], "").await;
    assert_eq!(deleted.status, StatusCode::OK, "{}", deleted.text());
    until("its end", || async { (admin.get(&path).await.status == StatusCode::NOT_FOUND).then_some(()) }).await;
    server.stop().await;
}
