//! Requests through pods, Services and nodes, to servers that this test plays on a machine of its own.

use std::net::Ipv4Addr;

use bytes::Bytes;
use daemon::health::Health;
use daemon::metrics::Metrics;
use daemon::serve::{Body, Server, Upgrades};
use daemon::tls::{ClientCerts, Peer, ServerIdentity};
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONNECTION, CONTENT_TYPE, LOCATION, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::harness::{Apiserver, Cluster, Engine};
use crate::rest_client::{Caller, on_a_machine};

const PODS: &str = "/api/v1/namespaces/default/pods";

async fn answer(mut request: Request<Incoming>) -> Response<Body> {
    let text = |text: &str| Response::new(Body::new(Full::new(Bytes::from(text.to_owned()))));
    match request.uri().path() {
        "/page" => {
            let mut page = text("<a href=\"/next\">next</a>");
            page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
            page.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            page
        }
        "/moved" => {
            let mut moved = text("");
            *moved.status_mut() = StatusCode::FOUND;
            moved.headers_mut().insert(LOCATION, HeaderValue::from_static("/there?x=1"));
            moved
        }
        "/upgrade" => {
            let upgrades = request.extensions().get::<Upgrades>().cloned().expect("HTTP/1.1");
            let connection = hyper::upgrade::on(&mut request);
            upgrades.spawn(async move {
                let mut stream = TokioIo::new(connection.await.expect("upgraded"));
                stream.write_all(b"hello").await.expect("written");
            });
            let mut switch = text("");
            *switch.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            switch.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            switch.headers_mut().insert(UPGRADE, HeaderValue::from_static("hello"));
            switch
        }
        _ => {
            let peer = request.extensions().get::<Peer>().map(|peer| peer.common_name.clone());
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let said = json!({
                "method": head.method.as_str(), "path": head.uri.to_string(), "peer": peer,
                "body": String::from_utf8_lossy(&body), "authorization": header("authorization"),
                "host": header("host"), "uri": header("x-forwarded-uri"), "mine": header("x-mine"),
            });
            text(&said.to_string())
        }
    }
}

/// A port, plain or encrypted.
async fn listen(cluster: &Cluster, address: Ipv4Addr, encrypted: bool, stop: &CancellationToken) -> u16 {
    let listener = TcpListener::bind((address, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let mut server = Server::new(Health::new(), Metrics::new()).fallback_fn(answer);
    if encrypted {
        let pki = &cluster.pki;
        let clients = ClientCerts::Optional(pki.authority(testkit::pki::Authority::Cluster));
        let identity = ServerIdentity::load(pki.certificate("machine"), pki.key("machine"), clients);
        server = server.tls(identity.expect("an identity"));
    }
    tokio::spawn(server.serve(listener, stop.clone()));
    port
}

/// Merges a status into an object.
async fn set_status(admin: &Caller, path: &str, status: Value) {
    let patched = admin.put(Method::PATCH, &format!("{path}/status"), &json!({ "status": status })).await;
    assert_eq!(patched.status, StatusCode::OK, "{}", patched.text());
}

/// A pod at that address whose first port is `port`.
async fn run(admin: &Caller, name: &str, address: &str, port: u16) {
    let pod = json!({
        "metadata": { "name": name },
        "spec": { "containers": [{ "name": "c", "image": "i", "ports": [{ "containerPort": port }] }] },
    });
    admin.create(PODS, pod).await;
    set_status(admin, &format!("{PODS}/{name}"), json!({ "podIP": address, "podIPs": [{ "ip": address }] })).await;
}

async fn start(cluster: &Cluster) -> (Apiserver, Caller) {
    let server = cluster.apiserver().await;
    let admin = Caller::new(&cluster.pki, server.address, "admin");
    admin.create("/api/v1/namespaces/default/serviceaccounts", json!({ "metadata": { "name": "default" } })).await;
    (server, admin)
}

#[test]
fn requests_go_through_pods() {
    on_a_machine(|address| async move {
        let (cluster, stop) = (Cluster::start(Engine::Keelson), CancellationToken::new());
        let (server, admin) = start(&cluster).await;
        let port = listen(&cluster, address, false, &stop).await;
        run(&admin, "web", &address.to_string(), port).await;
        for (name, path) in
            [("web", "/a%2Fb/?x=1&y=%20"), (format!("web:{port}").as_str(), "/"), (&format!("http:web:{port}"), "/z")]
        {
            for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
                let headers = [("x-mine", "1"), ("authorization", "Basic secret")];
                let whole = format!("{PODS}/{name}/proxy{path}");
                let said = admin.send(method.clone(), &whole, &headers, "body").await.json();
                assert_eq!((said["method"].as_str(), said["path"].as_str()), (Some(method.as_str()), Some(path)));
                assert_eq!((said["body"].as_str(), said["mine"].as_str()), (Some("body"), Some("1")));
                assert_eq!((said["authorization"].as_str(), said["host"].as_str()), (Some(""), Some("api.example")));
                assert_eq!(said["uri"], whole.split('?').next().expect("a path"));
            }
        }
        pages_fit_their_place(&admin).await;

        let upgrade = Request::get(format!("{PODS}/web/proxy/upgrade")).header("host", "api.example");
        let upgrade = upgrade.header(CONNECTION, "Upgrade").header(UPGRADE, "hello");
        let mut answer = admin.begin(upgrade.body(Full::default()).expect("a request")).await;
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        let mut hello = String::new();
        let mut stream = TokioIo::new(hyper::upgrade::on(&mut answer).await.expect("upgraded"));
        stream.read_to_string(&mut hello).await.expect("read");
        assert_eq!(hello, "hello");

        refusals(&cluster, &server, &admin).await;
        stop.cancel();
        server.stop().await;
    });
}

async fn pages_fit_their_place(admin: &Caller) {
    let page = admin.get(&format!("{PODS}/web/proxy/page")).await;
    assert_eq!(page.text(), format!("<a href=\"{PODS}/web/proxy/next\">next</a>"));
    assert_eq!(page.header("access-control-allow-origin"), "", "a pod does not open the API to other sites");
    let moved = admin.get(&format!("{PODS}/web/proxy/moved")).await;
    assert_eq!(
        (moved.status, moved.header("location")),
        (StatusCode::FOUND, format!("{PODS}/web/proxy/there?x=1").as_str())
    );
    let slash = admin.get(&format!("{PODS}/web/proxy?x=1")).await;
    assert_eq!(
        (slash.status, slash.header("location")),
        (StatusCode::MOVED_PERMANENTLY, format!("{PODS}/web/proxy/?x=1").as_str())
    );
    let by_query = admin.get(&format!("{PODS}/web/proxy?path=/here")).await.json();
    assert_eq!(by_query["path"], "/here?path=/here");
}

async fn refusals(cluster: &Cluster, server: &Apiserver, admin: &Caller) {
    run(admin, "loop", "10.0.0.1", 80).await;
    for address in ["127.0.0.1", "169.254.169.254"] {
        set_status(admin, &format!("{PODS}/loop"), json!({ "podIP": address, "podIPs": [{ "ip": address }] })).await;
        let refused = admin.get(&format!("{PODS}/loop/proxy/")).await;
        assert_eq!(
            (refused.status, refused.json()["message"].as_str()),
            (StatusCode::BAD_REQUEST, Some("address not allowed"))
        );
    }
    let closed = admin.get(&format!("{PODS}/web:1/proxy/")).await;
    assert_eq!(closed.status, StatusCode::SERVICE_UNAVAILABLE);
    let message = closed.json()["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.starts_with("error trying to reach service: dial tcp 10."), "{message}");
    assert!(message.ends_with(":1: connect: connection refused"), "{message}");
    let invalid = admin.get(&format!("{PODS}/ftp:web:1/proxy/")).await;
    assert_eq!(invalid.json()["message"], "invalid pod request \"ftp:web:1\"");
    assert_eq!(admin.get(&format!("{PODS}/nobody/proxy/")).await.status, StatusCode::NOT_FOUND);
    let stranger = Caller::new(&cluster.pki, server.address, "stranger");
    let refused = stranger.send(Method::POST, &format!("{PODS}/web/proxy/"), &[], "").await;
    let why = "User \"mallory\" cannot create resource \"pods/proxy\" in API group \"\" in the namespace \"default\"";
    assert!(refused.json()["message"].as_str().is_some_and(|text| text.contains(why)), "{}", refused.text());
}

#[test]
fn requests_go_through_services_and_nodes() {
    on_a_machine(|address| async move {
        let (cluster, stop) = (Cluster::start(Engine::Keelson), CancellationToken::new());
        cluster.issue_for(address);
        let (server, admin) = start(&cluster).await;
        let (plain, encrypted) =
            (listen(&cluster, address, false, &stop).await, listen(&cluster, address, true, &stop).await);
        run(&admin, "web", &address.to_string(), plain).await;
        through_services(&admin, address, plain, encrypted).await;
        through_nodes(&admin, address, plain, encrypted).await;
        stop.cancel();
        server.stop().await;
    });
}

async fn through_services(admin: &Caller, address: Ipv4Addr, plain: u16, encrypted: u16) {
    let services = "/api/v1/namespaces/default/services";
    let service = json!({
        "metadata": { "name": "s" },
        "spec": { "ports": [{ "name": "http", "port": 80 }, { "name": "https", "port": 443 }] },
    });
    admin.create(services, service).await;
    let none = admin.get(&format!("{services}/s:80/proxy/")).await;
    assert_eq!(
        (none.status, none.json()["message"].as_str()),
        (StatusCode::NOT_FOUND, Some("services \"s\" not found"))
    );
    let reference = json!({ "kind": "Pod", "namespace": "default", "name": "web" });
    let endpoints = json!({
        "metadata": { "name": "s" },
        "subsets": [{
            "addresses": [{ "ip": "10.1.2.3" }, { "ip": address.to_string(), "targetRef": reference }],
            "ports": [{ "name": "http", "port": plain }, { "name": "https", "port": encrypted }],
        }],
    });
    admin.create("/api/v1/namespaces/default/endpoints", endpoints).await;
    for name in ["s:80", "s:http", "http:s:http", "https:s:443", "https:s:https"] {
        let said = admin.get(&format!("{services}/{name}/proxy/x?y=1")).await;
        assert_eq!(said.json()["path"], "/x?y=1", "{name}");
    }
    for (name, message) in [
        ("s:81", "no service port 81 found for service \"s\""),
        ("s", "no endpoints available for service \"s\""),
        ("s:other", "no endpoints available for service \"s\""),
    ] {
        let refused = admin.get(&format!("{services}/{name}/proxy/")).await;
        assert_eq!(
            (refused.status, refused.json()["message"].as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, Some(message))
        );
    }
}

async fn through_nodes(admin: &Caller, address: Ipv4Addr, plain: u16, encrypted: u16) {
    admin.create("/api/v1/nodes", json!({ "metadata": { "name": "n1" } })).await;
    let status = json!({
        "addresses": [{ "type": "InternalIP", "address": address.to_string() }],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": encrypted } },
    });
    set_status(admin, "/api/v1/nodes/n1", status).await;
    let kubelet = admin.get("/api/v1/nodes/n1/proxy/pods?x=1").await.json();
    assert_eq!((kubelet["path"].as_str(), kubelet["peer"].as_str()), (Some("/pods?x=1"), Some("kubernetes-admin")));
    let same = admin.get(&format!("/api/v1/nodes/https:n1:{encrypted}/proxy/pods")).await.json();
    assert_eq!(same["peer"], "kubernetes-admin", "the kubelet's port is the kubelet");
    let other = admin.get(&format!("/api/v1/nodes/n1:{plain}/proxy/x")).await.json();
    assert_eq!((other["path"].as_str(), &other["peer"]), (Some("/x"), &Value::Null));
    assert_eq!(admin.get("/api/v1/nodes/n9/proxy/").await.status, StatusCode::NOT_FOUND);
}
