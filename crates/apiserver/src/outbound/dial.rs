//! Connecting: to an address of the place, with TLS where the URL says so.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use daemon::tls::ShownCertificate;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::resolve::{Candidate, Services};
use super::{Place, guard};

/// For one address to take the connection; then the next is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the TLS handshake, as upstream's transports.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to one place, each time to where it is then.
#[derive(Debug, Clone)]
pub struct Connector {
    place: Place,
    services: Services,
    tls: Arc<ClientConfig>,
    shown: Option<Arc<ShownCertificate>>,
}

impl Connector {
    /// To that place; `shown` is looked at anew before each connection.
    pub fn new(place: Place, services: Services, tls: Arc<ClientConfig>, shown: Option<Arc<ShownCertificate>>) -> Self {
        Self { place, services, tls, shown }
    }

    async fn connect(self, url: Uri) -> io::Result<TokioIo<Link>> {
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let is_encrypted = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
        let stream = match &self.place {
            Place::Service { namespace, name, port } => {
                let found = self.services.candidates(namespace, name, *port, rand::random_range(0..1 << 16));
                first(&found.map_err(|missing| io::Error::new(io::ErrorKind::NotFound, missing))?, false).await?
            }
            Place::Origin(_) => first(&[Candidate { host: host.clone(), port }], false).await?,
            Place::Guarded(_) => first(&[Candidate { host: host.clone(), port }], true).await?,
        };
        stream.set_nodelay(true)?;
        if !is_encrypted {
            return Ok(TokioIo::new(Link(Box::new(stream))));
        }
        if let Some(shown) = &self.shown
            && let Err(error) = shown.reload_if_changed()
        {
            tracing::warn!("keeping the proxy's certificate that was loaded before: {error}");
        }
        // A Service's certificate is for the name without the port, as upstream asks for it.
        let name = ServerName::try_from(host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connecting = tokio_rustls::TlsConnector::from(self.tls).connect(name, stream);
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await.map_err(|_| {
            io::Error::new(io::ErrorKind::TimedOut, format!("no TLS within {} s", HANDSHAKE_TIMEOUT.as_secs()))
        })??;
        Ok(TokioIo::new(Link(Box::new(stream))))
    }
}

/// The first candidate that takes the connection.
async fn first(candidates: &[Candidate], guarded: bool) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for Candidate { host, port } in candidates {
        let found: Vec<SocketAddr> = match tokio::net::lookup_host((host.as_str(), *port)).await {
            Ok(found) => found.collect(),
            Err(error) => {
                last = io::Error::new(error.kind(), format!("lookup {host}: {error}"));
                continue;
            }
        };
        // What is checked is what is dialled: a name that changes its address meanwhile changes nothing.
        if guarded && !found.iter().all(|address| guard::allows(address.ip())) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, guard::NOT_ALLOWED));
        }
        for address in found {
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = io::Error::new(error.kind(), format!("dial tcp {address}: {}", words(&error))),
                Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("dial tcp {address}: i/o timeout")),
            }
        }
    }
    Err(last)
}

/// What the network said, in the words that Go's clients know.
fn words(error: &io::Error) -> String {
    let words = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused",
        io::ErrorKind::ConnectionReset => "connect: connection reset by peer",
        io::ErrorKind::HostUnreachable => "connect: no route to host",
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable",
        io::ErrorKind::TimedOut => "connect: connection timed out",
        _ => return error.to_string(),
    };
    words.to_owned()
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Link>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let connector = self.clone();
        async move { connector.connect(url).await.map_err(Into::into) }.boxed()
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection, encrypted or not.
pub struct Link(Box<dyn Stream>);

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Link {
    fn poll_read(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(ctx, into)
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(ctx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(ctx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(ctx)
    }
}
