//! The identity of a caller, and dialling with it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::sign::SingleCertAndKey;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::refused::{Shown, Watched};
use super::telling::explain;
use super::{Error, pem, provider};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A caller's certificate and the CA of its servers, reloadable.
#[derive(Debug)]
pub struct ClientIdentity {
    ca: PathBuf,
    pair: Option<(PathBuf, PathBuf)>,
    config: ArcSwap<ClientConfig>,
    stamp: Mutex<pem::Stamp>,
}

impl ClientIdentity {
    /// Reads and checks the files. `pair`: certificate and key; none to stay anonymous.
    pub fn load(ca: impl Into<PathBuf>, pair: Option<(PathBuf, PathBuf)>) -> Result<Arc<Self>, Error> {
        let ca = ca.into();
        let stamp = stamp(&ca, pair.as_ref());
        let config = build(&ca, pair.as_ref())?;
        Ok(Arc::new(Self { ca, pair, config: ArcSwap::from_pointee(config), stamp: Mutex::new(stamp) }))
    }

    /// The configuration for the next connection (ALPN h2).
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.load_full()
    }

    /// Reads the files again where one changed. True: a new identity is in use. An error leaves the old one in use.
    pub fn reload_if_changed(&self) -> Result<bool, Error> {
        let now = stamp(&self.ca, self.pair.as_ref());
        let mut last = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == now {
            return Ok(false);
        }
        let config = build(&self.ca, self.pair.as_ref())?;
        self.config.store(Arc::new(config));
        *last = now;
        Ok(true)
    }

    /// A refused handshake in words that name the server, the file and the mend.
    fn explained(&self, uri: &Uri, error: std::io::Error) -> std::io::Error {
        let server = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let text = match refused {
            Some(refused @ rustls::Error::InvalidCertificate(_)) => {
                let signer = format!("the CA in {}", self.ca.display());
                explain(&format!("the certificate of {server}"), "", refused, &signer)
            }
            Some(refused @ rustls::Error::AlertReceived(_)) => {
                let own = self.pair.as_ref().map(|(cert, _)| cert.display().to_string()).unwrap_or_default();
                format!("{server} refuses: {}", explain(&format!("our certificate {own}"), "", refused, "its CA"))
            }
            _ => return error,
        };
        std::io::Error::new(error.kind(), text)
    }

    /// A gRPC channel to `https://host:port` that connects when first used and again whenever it must, each time with
    /// the files as they are then. `server_name`: the name in the server's certificate, where it is not the host.
    pub fn channel(self: &Arc<Self>, address: &str, server_name: Option<&str>) -> Result<Channel, Error> {
        let bad = |reason: String| Error::Address { address: address.to_owned(), reason };
        let uri: Uri = address.parse().map_err(|error: http::uri::InvalidUri| bad(error.to_string()))?;
        let host = uri.host().ok_or_else(|| bad("no host".to_owned()))?;
        let name = server_name.unwrap_or(host).trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|error| bad(error.to_string()))?;
        // tonic refuses https where the connector, not tonic, does TLS: it is told http, and the true origin.
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let plain: Uri = format!("http://{authority}").parse().map_err(|_| bad("no authority".to_owned()))?;
        let endpoint = Endpoint::from(plain)
            .origin(uri)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        Ok(endpoint.connect_with_connector_lazy(TlsConnector { identity: self.clone(), name }))
    }
}

/// Dials one server with TLS; a tower service for tonic's and hyper's clients.
#[derive(Clone, Debug)]
pub struct TlsConnector {
    identity: Arc<ClientIdentity>,
    name: ServerName<'static>,
}

impl tower_service::Service<Uri> for TlsConnector {
    type Response = TokioIo<Watched<TlsStream<TcpStream>>>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { identity, name } = self.clone();
        async move {
            if let Err(error) = identity.reload_if_changed() {
                tracing::warn!("keeping the identity that was loaded before: {error}");
            }
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
            stream.set_nodelay(true)?;
            let connecting = tokio_rustls::TlsConnector::from(identity.config()).connect(name, stream);
            let stream = connecting.await.map_err(|error| identity.explained(&uri, error))?;
            let shown = |(cert, _): &(PathBuf, PathBuf)| Shown {
                server: uri.authority().map(ToString::to_string).unwrap_or_default(),
                certificate: cert.display().to_string(),
            };
            Ok(TokioIo::new(Watched::new(stream, identity.pair.as_ref().map(shown))))
        }
        .boxed()
    }
}

fn stamp(ca: &Path, pair: Option<&(PathBuf, PathBuf)>) -> pem::Stamp {
    let mut files = vec![ca];
    if let Some((cert, key)) = pair {
        files.extend([cert.as_path(), key.as_path()]);
    }
    pem::stamp(&files)
}

fn build(ca: &Path, pair: Option<&(PathBuf, PathBuf)>) -> Result<ClientConfig, Error> {
    let roots = pem::roots(ca)?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Config { path: ca.to_owned(), reason: error.to_string() })?
        .with_root_certificates(roots);
    let mut config = match pair {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let (certified, _) = pem::certified_key(cert, key)?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
