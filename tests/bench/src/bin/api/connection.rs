//! One connection that stays open: HTTP/1.1 over TLS with a client certificate.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::wire::{self, Parser};

/// Bytes read at once: a record of TLS and its head.
const READ_BYTES: usize = 64 << 10;

/// Where to connect, and as whom.
#[derive(Debug, Clone)]
pub struct Target {
    port: u16,
    config: Arc<ClientConfig>,
    /// The same, for HTTP/2.
    config2: Arc<ClientConfig>,
}

impl Target {
    /// Port of loopback, authority of the server, certificate and key of ours.
    pub fn new(port: u16, ca: &Path, certificate: &Path, key: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(ca)? {
            roots.add(root?)?;
        }
        let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
        let mut config2 = config.clone();
        config2.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { port, config: Arc::new(config), config2: Arc::new(config2) })
    }

    /// Connects, for HTTP/2 or HTTP/1.1.
    pub async fn connect(&self, http2: bool) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").context("a name")?;
        let config = if http2 { &self.config2 } else { &self.config };
        Ok(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?)
    }
}

/// An answer that was read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// When the first byte of the body was there.
    pub first: Instant,
    /// Bytes of the body.
    pub len: u64,
}

/// A connection, with the last answer's body.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    inbox: Vec<u8>,
    /// What was read of it and not taken.
    filled: usize,
    /// The body of the last answer; a part of it where the call did not keep it.
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects and shakes hands.
    pub async fn open(target: &Target) -> Result<Self> {
        let stream = target.connect(false).await?;
        Ok(Self { stream, inbox: vec![0; READ_BYTES], filled: 0, body: Vec::new() })
    }

    /// Sends a request and reads the whole answer into `body`.
    pub async fn call(&mut self, request: &[u8]) -> Result<Answer> {
        self.body.clear();
        let mut body = std::mem::take(&mut self.body);
        let answer = self.drain(request, |bytes| body.extend_from_slice(bytes)).await;
        self.body = body;
        answer
    }

    /// Creates an object that may be there already.
    pub async fn create(&mut self, path: &str, body: &[u8]) -> Result<()> {
        let mut request = Vec::new();
        wire::request(&mut request, "POST", path, "application/json", "application/json", body);
        let status = self.call(&request).await?.status;
        ensure!(matches!(status, 201 | 409), "{path}: {status}: {}", self.told());
        Ok(())
    }

    /// The last body as text, for errors.
    pub fn told(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(400)]).into_owned()
    }

    /// Sends a request and hands the body over as it comes.
    pub async fn drain(&mut self, request: &[u8], mut take: impl FnMut(&[u8])) -> Result<Answer> {
        self.send(request).await?;
        let (mut parser, mut first, mut len) = (Parser::default(), None, 0);
        while !parser.is_done() {
            self.step(&mut parser, |bytes| {
                first.get_or_insert_with(Instant::now);
                len += bytes.len() as u64;
                take(bytes);
            })
            .await?;
        }
        Ok(Answer { status: parser.status, first: first.unwrap_or_else(Instant::now), len })
    }

    /// Sends bytes.
    pub async fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        Ok(self.stream.flush().await?)
    }

    /// Reads once, and hands over what came of the body.
    pub async fn step(&mut self, parser: &mut Parser, take: impl FnMut(&[u8])) -> Result<()> {
        if self.filled == self.inbox.len() {
            bail!("a line of HTTP is longer than {READ_BYTES} bytes");
        }
        let read = self.stream.read(&mut self.inbox[self.filled..]).await?;
        ensure!(read > 0, "the server closed the connection");
        self.filled += read;
        let used = parser.feed(&self.inbox[..self.filled], take)?;
        self.inbox.copy_within(used..self.filled, 0);
        self.filled -= used;
        Ok(())
    }
}
