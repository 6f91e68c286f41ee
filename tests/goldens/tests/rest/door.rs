//! HTTP/1.1 over TLS, a connection for each request, as one of the recorded users.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use test_goldens::request::body;
use testkit::pki::{Authority, Identity, Pki};
use tokio::net::TcpStream;

use crate::harness::{Apiserver, Cluster};

/// Nothing recorded takes as long.
const LIMIT: Duration = Duration::from_secs(30);

/// A way in for every recorded user.
pub struct Door {
    address: SocketAddr,
    users: HashMap<&'static str, Arc<ClientConfig>>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub code: i64,
    pub headers: http::HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// A header's values.
    pub fn header(&self, name: &str) -> Vec<String> {
        self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    }
}

impl Door {
    pub fn new(cluster: &Cluster, server: &Apiserver) -> Self {
        let person = |file: &str, common_name: &str, organization: &str| Identity {
            file: file.into(),
            common_name: common_name.into(),
            organization: Some(organization.into()),
            names: vec![],
            authority: Authority::Cluster,
        };
        let people = [person("alice", "alice", "devs"), person("node-1", "system:node:node-1", "system:nodes")];
        cluster.pki.ensure(&people).expect("certificates");
        let users = [("", Some("admin")), ("alice", Some("alice")), ("node", Some("node-1")), ("none", None)];
        let users = users.map(|(user, file)| (user, Arc::new(tls(&cluster.pki, file))));
        Self { address: server.address, users: users.into() }
    }

    /// Sends a recorded request.
    pub async fn send(&self, request: &Value) -> Answer {
        let method = request["method"].as_str().expect("a method");
        let path = request["path"].as_str().expect("a path");
        let user = request["user"].as_str().unwrap_or_default();
        let text = if request["body"].is_null() { String::new() } else { body(request) };
        let mut headers = vec![("User-Agent", "api-facts/1.0".to_owned())];
        if !text.is_empty() {
            headers.push(("Content-Type", "application/json".to_owned()));
        }
        let given = request["headers"].as_object();
        for (name, value) in given.into_iter().flatten() {
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            headers.extend(value.as_str().map(|value| (name.as_str(), value.to_owned())));
        }
        let answer = self.exchange(method, path, user, &headers, text);
        tokio::time::timeout(LIMIT, answer).await.unwrap_or_else(|_| panic!("{method} {path}: no answer in {LIMIT:?}"))
    }

    /// Reads an object as the administrator.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(&serde_json::json!({"method": "GET", "path": path})).await
    }

    async fn exchange(&self, method: &str, path: &str, user: &str, headers: &[(&str, String)], text: String) -> Answer {
        let config = self.users.get(user).unwrap_or_else(|| panic!("no user {user}"));
        let stream = TcpStream::connect(self.address).await.expect("the apiserver listens");
        let name = ServerName::from(self.address.ip());
        let tls = tokio_rustls::TlsConnector::from(Arc::clone(config)).connect(name, stream).await.expect("TLS");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.expect("HTTP");
        let connection = tokio::spawn(connection);
        let mut request = http::Request::builder().method(method).uri(path).header("Host", self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(Bytes::from(text))).expect("a good request");
        let response = sender.send_request(request).await.expect("an answer");
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        drop(sender);
        connection.abort();
        Answer { code: i64::from(head.status.as_u16()), headers: head.headers, bytes }
    }

    /// Waits until the definition's first served version answers, as the facts ask for.
    pub async fn established(&self, definition: &Value) {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        let begin = std::time::Instant::now();
        loop {
            let found = self.get(&path).await.json();
            let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
            if conditions.iter().any(|it| it["type"] == "Established" && it["status"] == "True") {
                return;
            }
            assert!(begin.elapsed() < LIMIT, "{name} is not established: {found}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Makes a namespace with the ServiceAccount that pods need; what is there already is fine.
    pub async fn namespace(&self, name: &str) {
        let space = serde_json::json!({"method": "POST", "path": "/api/v1/namespaces",
            "body": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}});
        let account = serde_json::json!({"method": "POST", "path": format!("/api/v1/namespaces/{name}/serviceaccounts"),
            "body": {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}});
        for request in [space, account] {
            let answer = self.send(&request).await;
            assert!(matches!(answer.code, 201 | 409), "{name}: {}", answer.text());
        }
    }
}

fn tls(pki: &Pki, file: Option<&str>) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(pki.authority(Authority::Cluster)).expect("the authority");
    roots.add(authority).expect("a good authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    match file {
        None => config.with_no_client_auth(),
        Some(file) => {
            let chain = CertificateDer::pem_file_iter(pki.certificate(file)).expect("a certificate");
            let chain = chain.collect::<Result<Vec<_>, _>>().expect("a good certificate");
            let key = PrivateKeyDer::from_pem_file(pki.key(file)).expect("a key");
            config.with_client_auth_cert(chain, key).expect("a key that fits")
        }
    }
}
