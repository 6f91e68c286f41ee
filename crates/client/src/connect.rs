//! Dials one of the servers, with or without TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::transport::Uri;

use crate::config::{Config, Credentials, Error};
use crate::refused::{Refusal, Shown, Watched};
use crate::tls;

/// For one server: TCP and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Anything that bytes go through.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A tower service that gives connections to whichever server answers, the last good one first.
#[derive(Clone, Debug)]
pub struct Connector {
    config: Arc<Config>,
    targets: Arc<Vec<Target>>,
    preferred: Arc<AtomicUsize>,
    refusal: Refusal,
}

#[derive(Debug)]
struct Target {
    host: String,
    port: u16,
    /// The name to expect in the certificate; none: no TLS.
    name: Option<ServerName<'static>>,
}

impl Connector {
    /// Checks the addresses and the TLS material.
    pub fn new(config: Arc<Config>) -> Result<Self, Error> {
        let targets = config.servers.iter().map(|server| target(server, &config)).collect::<Result<Vec<_>, _>>()?;
        if targets.is_empty() {
            return Err(Error::Unusable("no server".to_owned()));
        }
        if targets.iter().any(|target| target.name.is_some()) {
            tls::client_config(&config)?;
        }
        Ok(Self { config, targets: Arc::new(targets), preferred: Arc::default(), refusal: Refusal::default() })
    }

    /// What a server said of our certificate, if it refused it.
    pub(crate) fn refusal(&self) -> Refusal {
        self.refusal.clone()
    }

    async fn connect(self) -> Result<TokioIo<Box<dyn Io>>, std::io::Error> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut last = std::io::Error::other("no server");
        for turn in 0..self.targets.len() {
            let index = (first + turn) % self.targets.len();
            let target = &self.targets[index];
            let dialled = tokio::time::timeout(CONNECT_TIMEOUT, dial(target, &self.config, &self.refusal)).await;
            last = match dialled {
                Ok(Ok(io)) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(TokioIo::new(io));
                }
                Ok(Err(error)) => error,
                Err(_) => std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    format!("{}:{} does not answer", target.host, target.port),
                ),
            };
        }
        // The next attempt begins with another one.
        self.preferred.store((first + 1) % self.targets.len(), Ordering::Relaxed);
        Err(last)
    }
}

fn target(server: &str, config: &Config) -> Result<Target, Error> {
    let bad = |reason: String| Error::Unusable(format!("server {server:?}: {reason}"));
    let uri: Uri = server.parse().map_err(|error| bad(format!("{error}")))?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(bad("must begin with https://".to_owned())),
    };
    let host = uri.host().ok_or_else(|| bad("has no host".to_owned()))?.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let name = if tls {
        let name = config.server_name.clone().unwrap_or_else(|| host.clone());
        Some(ServerName::try_from(name).map_err(|error| bad(error.to_string()))?)
    } else {
        None
    };
    Ok(Target { host, port, name })
}

async fn dial(target: &Target, config: &Config, refusal: &Refusal) -> Result<Box<dyn Io>, std::io::Error> {
    let address = format!("{}:{}", target.host, target.port);
    let named = |error: std::io::Error| std::io::Error::new(error.kind(), format!("{address}: {error}"));
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(named)?;
    stream.set_nodelay(true)?;
    let Some(name) = target.name.clone() else { return Ok(Box::new(stream)) };
    let tls = tls::client_config(config).map_err(std::io::Error::other)?;
    let told = |error: std::io::Error| match tls::explain(&error, &address, config) {
        Some(text) => std::io::Error::new(error.kind(), text),
        None => named(error),
    };
    let stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, stream).await.map_err(told)?;
    let shown = match &config.credentials {
        Credentials::Certificate { cert, .. } => {
            Some(Shown { server: address.clone(), certificate: cert.name(), refusal: refusal.clone() })
        }
        Credentials::Anonymous | Credentials::Token(_) => None,
    };
    Ok(Box::new(Watched::new(stream, shown)))
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        self.clone().connect().boxed()
    }
}
