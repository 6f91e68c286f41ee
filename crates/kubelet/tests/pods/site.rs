//! A server of the tests' own on the node's address: what hooks and probes ask for, with headers, and what they are told.

use std::sync::{Arc, Mutex};

use daemon::health::Health;
use daemon::metrics::Metrics;
use daemon::serve::{Body, Server};
use daemon::tls::{ClientCerts, ServerIdentity};
use http::{HeaderMap, Request, Response};
use testkit::pki::{Authority, Identity, Pki};
use tokio_util::sync::CancellationToken;

use crate::lab::{Lab, NODE_IP};

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub headers: HeaderMap,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Answers `/NUMBER` with that status and everything else with 200. Ends when dropped.
pub struct Site {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: CancellationToken,
}

impl Site {
    pub async fn start() -> Self {
        Self::serve(None).await
    }

    /// With a certificate of an authority that nobody knows, for another name.
    pub async fn start_tls(lab: &Lab) -> Self {
        let pki = Pki::new(lab.root().join("pki"));
        let identity = Identity {
            file: "site".into(),
            common_name: "site".into(),
            organization: None,
            names: vec!["elsewhere.example".into()],
            authority: Authority::Cluster,
        };
        pki.ensure(&[identity]).unwrap();
        let files = (pki.certificate("site"), pki.key("site"));
        Self::serve(Some(ServerIdentity::load(files.0, files.1, ClientCerts::Ignored).unwrap())).await
    }

    async fn serve(identity: Option<Arc<ServerIdentity>>) -> Self {
        let listener = tokio::net::TcpListener::bind((NODE_IP, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (seen, stop) = (asked.clone(), CancellationToken::new());
        let server = Server::new(Health::new(), Metrics::new()).fallback_fn(move |request: Request<_>| {
            let path = request.uri().path().to_owned();
            let status = path.trim_start_matches('/').parse::<u16>().unwrap_or(200);
            seen.lock().unwrap().push(Asked { path, headers: request.headers().clone() });
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = status.try_into().unwrap();
            async move { answer }
        });
        let server = match identity {
            Some(identity) => server.tls(identity),
            None => server,
        };
        tokio::spawn(server.serve(listener, stop.clone()));
        Self { port, asked, stop }
    }

    /// The first request for a path.
    pub fn asked(&self, path: &str) -> Option<Asked> {
        self.asked.lock().unwrap().iter().find(|asked| asked.path == path).cloned()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
