//! How others check the tokens of service accounts, and how the components are told to be.

use std::time::Duration;

use client::config::{Credentials, Data};
use http::{Method, StatusCode};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};

use crate::extension::flags;
use crate::harness::{Cluster, Engine, service_account};
use crate::rest_client::Caller;

const CONFIGURATION: &str = "/.well-known/openid-configuration";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_checked_with_the_keys_that_are_told() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver_with(&["--service-account-issuer=https://issuer.example"]).await;
    let admin = Caller::new(&cluster.pki, server.address, "admin");
    admin.create("/api/v1/namespaces/default/serviceaccounts", json!({ "metadata": { "name": "builder" } })).await;
    let request = json!({ "spec": { "audiences": ["others"], "expirationSeconds": 600 } });
    let made = admin.create("/api/v1/namespaces/default/serviceaccounts/builder/token", request).await;
    let token = made["status"]["token"].as_str().expect("a token");

    let configuration = admin.get(CONFIGURATION).await;
    assert_eq!(configuration.header("content-type"), "application/json");
    assert_eq!(configuration.header("cache-control"), "public, max-age=3600");
    let told = configuration.json();
    assert_eq!(told["issuer"], "https://issuer.example");
    assert_eq!(told["jwks_uri"], format!("https://{}/openid/v1/jwks", server.address));
    assert_eq!(told["id_token_signing_alg_values_supported"], json!(["ES256"]));

    let keys = admin.get("/openid/v1/jwks").await;
    assert_eq!(keys.header("content-type"), "application/jwk-set+json");
    let keys: JwkSet = serde_json::from_slice(&keys.body).expect("keys");
    let header = jsonwebtoken::decode_header(token).expect("a header");
    let key = keys.find(&header.kid.expect("the key's id")).expect("the key");
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&["others"]);
    validation.set_issuer(&["https://issuer.example"]);
    let key = DecodingKey::from_jwk(key).expect("a good key");
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).expect("a good token").claims;
    assert_eq!(claims["sub"], "system:serviceaccount:default:builder");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_may_read_the_keys_and_strangers_may_not() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver_with(&["--service-account-jwks-uri=https://keys.example/jwks"]).await;
    let stranger = Caller::new(&cluster.pki, server.address, "stranger");
    assert_eq!(stranger.get(CONFIGURATION).await.status, StatusCode::FORBIDDEN);
    let admin = Caller::new(&cluster.pki, server.address, "admin");
    assert_eq!(admin.get(CONFIGURATION).await.json()["jwks_uri"], "https://keys.example/jwks");
    let paths = admin.get("/").await.json();
    let paths = paths["paths"].as_array().expect("paths");
    assert!(paths.contains(&json!(CONFIGURATION)) && paths.contains(&json!("/openid/v1/jwks")));
    let client = cluster.client(&server, "admin");
    client.api().create(&service_account("default", "builder")).await.expect("created");
    let made = admin.create("/api/v1/namespaces/default/serviceaccounts/builder/token", json!({ "spec": {} })).await;
    let bearer = format!("Bearer {}", made["status"]["token"].as_str().expect("a token"));
    let nobody = Caller::new(&cluster.pki, server.address, "");
    let keys = nobody.send(Method::GET, "/openid/v1/jwks/", &[("authorization", &bearer)], "").await;
    assert_eq!(keys.status, StatusCode::OK, "{}", keys.text());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_no_url_is_not_told() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver_with(&["--service-account-issuer=kubernetes/serviceaccount"]).await;
    let admin = Caller::new(&cluster.pki, server.address, "admin");
    assert_eq!(admin.get(CONFIGURATION).await.status, StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_are_told_as_they_are() {
    let cluster = Cluster::start(Engine::Keelson);
    let more = flags(&cluster.pki);
    let server = cluster.apiserver_with(&more.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let admin = Caller::new(&cluster.pki, server.address, "admin");
    let asked = tokio::time::timeout(Duration::from_secs(20), admin.get("/api/v1/componentstatuses"));
    let all = asked.await.expect("an answer in time");
    assert_eq!(all.header("warning"), "299 - \"v1 ComponentStatus is deprecated in v1.19+\"");
    let all = all.json();
    assert_eq!(all["kind"], "ComponentStatusList");
    let names: Vec<&str> =
        all["items"].as_array().expect("items").iter().filter_map(|item| item["metadata"]["name"].as_str()).collect();
    assert_eq!(names, ["controller-manager", "etcd-0", "scheduler"]);
    let etcd = admin.get("/api/v1/componentstatuses/etcd-0").await.json();
    let healthy = json!([{ "type": "Healthy", "status": "True", "message": "ok" }]);
    assert_eq!((etcd["kind"].as_str(), &etcd["conditions"]), (Some("ComponentStatus"), &healthy));
    assert!(etcd["metadata"]["resourceVersion"].is_null(), "{etcd}");
    let table = [("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")];
    let rows =
        admin.send(Method::GET, "/api/v1/componentstatuses?fieldSelector=metadata.name%3Detcd-0", &table, "").await;
    let rows = rows.json();
    assert_eq!(rows["rows"][0]["cells"], json!(["etcd-0", "Healthy", "ok", ""]), "{rows}");
    assert_eq!(rows["rows"].as_array().map(Vec::len), Some(1));
    let unknown = admin.get("/api/v1/componentstatuses/nothing").await;
    assert_eq!(unknown.json()["message"], "Component not found: nothing");
    let client = cluster.client(&server, "admin");
    let over_grpc = client.api::<proto::core::v1::ComponentStatus>().get("", "etcd-0").await.expect("over gRPC, too");
    assert_eq!(over_grpc.conditions[0].status, "True");
    let stranger = cluster.client_with(
        &server,
        Credentials::Certificate {
            cert: Data::File(cluster.pki.certificate("stranger")),
            key: Data::File(cluster.pki.key("stranger")),
        },
    );
    let refused = stranger.api::<proto::core::v1::ComponentStatus>().get("", "etcd-0").await;
    assert!(refused.expect_err("no role").is_forbidden());
    server.stop().await;
}
