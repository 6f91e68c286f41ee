//! A plain HTTP client of the REST door, with the certificate of anybody; and a machine of its own for what must not be on
//! loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use daemon::tls::ClientIdentity;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use testkit::namespace::{self, Machine};
use testkit::pki::{Authority, Pki};
use tokio::net::TcpStream;

/// An answer as a whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

/// Whose certificate is shown to which server.
pub struct Caller {
    server: SocketAddr,
    config: Arc<rustls::ClientConfig>,
}

impl Caller {
    pub fn new(pki: &Pki, server: SocketAddr, who: &str) -> Self {
        let pair = (!who.is_empty()).then(|| (pki.certificate(who), pki.key(who)));
        let identity = ClientIdentity::load(pki.authority(Authority::Cluster), pair).expect("good files");
        let mut config = (*identity.config()).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { server, config: Arc::new(config) }
    }

    /// Sends a request; the answer's body is still to come.
    pub async fn begin(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.connect().await.send_request(request).await.expect("an answer")
    }

    /// A connection for several requests.
    pub async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.server).await.expect("connected");
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect("localhost".try_into().expect("a name"), stream).await.expect("tls");
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection.with_upgrades());
        sender
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "api.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).expect("a request");
        let (head, body) = self.begin(request).await.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    /// Sends an object.
    pub async fn put(&self, method: Method, path: &str, object: &Value) -> Answer {
        let content_type = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        self.send(method, path, &[("content-type", content_type)], &object.to_string()).await
    }

    pub async fn create(&self, path: &str, object: Value) -> Value {
        let made = self.put(Method::POST, path, &object).await;
        assert_eq!(made.status, StatusCode::CREATED, "{path}: {}", made.text());
        made.json()
    }
}

/// Runs a test on a machine of its own, which has this address beside its loopback: proxies and endpoints refuse loopback.
pub fn on_a_machine<F: Future<Output = ()>>(test: impl FnOnce(Ipv4Addr) -> F + Send) {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("api-{}-{number}", std::process::id());
    let machine = Machine::create(&name, Ipv4Addr::new(10, 88, number, 1)).expect("a network namespace: needs root");
    let address = machine.address();
    namespace::inside(Some(machine.name()), move || {
        // Threads that the runtime starts here are on the machine as well.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(test(address));
        Ok(())
    })
    .expect("the test passes");
}
