//! A webhook server over TLS: what it answers, a test says.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use daemon::health::Health;
use daemon::metrics::Metrics;
use daemon::serve::{Body, Server};
use daemon::tls::{ClientCerts, ServerIdentity};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::{Value, json};
use testkit::pki::Authority;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::harness::Cluster;

/// What it says to a request at a path: an HTTP status and the review's `response`, without the uid.
type Say = dyn Fn(&str, &Value) -> (StatusCode, Value) + Send + Sync;

/// Dropping it ends it.
pub struct Hooks {
    pub address: SocketAddr,
    /// The CA of its certificate, PEM.
    pub ca: Vec<u8>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    stop: CancellationToken,
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Hooks {
    pub async fn start(
        cluster: &Cluster,
        say: impl Fn(&str, &Value) -> (StatusCode, Value) + Send + Sync + 'static,
    ) -> Self {
        let (cert, key) = (cluster.pki.certificate("webhook"), cluster.pki.key("webhook"));
        let identity = ServerIdentity::load(cert, key, ClientCerts::Ignored).expect("an identity");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, asked) = (CancellationToken::new(), Arc::<Mutex<Vec<(String, Value)>>>::default());
        let (say, heard): (Arc<Say>, _) = (Arc::new(say), Arc::clone(&asked));
        let answer = move |request| answer(Arc::clone(&say), Arc::clone(&heard), request);
        let server = Server::new(Health::new(), Metrics::new()).tls(identity).fallback_fn(answer);
        tokio::spawn(server.serve(listener, stop.clone()));
        let ca = std::fs::read(cluster.pki.authority(Authority::Cluster)).expect("a CA");
        Self { address, ca, asked, stop }
    }

    /// The requests so far at a path, in order, each without its review.
    pub fn asked(&self, path: &str) -> Vec<Value> {
        self.asked.lock().iter().filter(|(at, _)| at == path).map(|(_, request)| request.clone()).collect()
    }

    /// A `clientConfig` for a path.
    pub fn at(&self, path: &str) -> Value {
        let ca = base64::engine::general_purpose::STANDARD.encode(&self.ca);
        json!({"url": format!("https://{}{path}", self.address), "caBundle": ca})
    }
}

async fn answer(say: Arc<Say>, heard: Arc<Mutex<Vec<(String, Value)>>>, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let mut review: Value = serde_json::from_slice(&body).expect("JSON");
    let question = review["request"].take();
    heard.lock().push((path.clone(), question.clone()));
    let (status, mut response) = say(&path, &question);
    response["uid"] = question["uid"].clone();
    let answer = json!({"kind": review["kind"], "apiVersion": review["apiVersion"], "response": response});
    let mut response = Response::new(Body::new(Full::new(answer.to_string().into_bytes().into())));
    *response.status_mut() = status;
    response
}

/// Agrees.
pub fn yes() -> (StatusCode, Value) {
    (StatusCode::OK, json!({"allowed": true}))
}

/// Agrees, and changes the object.
pub fn patch(operations: &Value) -> (StatusCode, Value) {
    let patch = base64::engine::general_purpose::STANDARD.encode(operations.to_string());
    (StatusCode::OK, json!({"allowed": true, "patch": patch, "patchType": "JSONPatch"}))
}
