//! The smallest HTTP client that fetches a page: one connection per request, with a deadline, optionally by TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::namespace;

/// Longest wait for a connection, and for each read.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

/// Fetches a page over plain TCP from inside a network namespace.
pub fn get(network: Option<&str>, server: SocketAddr, path: &str) -> Result<Answer> {
    namespace::inside(network, || {
        let stream = connect(server)?;
        exchange(stream, &server.to_string(), path)
    })
    .with_context(|| format!("http://{server}{path}"))
}

/// Fetches a page over TLS, trusting one authority, showing no certificate.
pub fn get_tls(network: Option<&str>, server: SocketAddr, path: &str, authority: &Path) -> Result<Answer> {
    let config = tls_config(authority)?;
    namespace::inside(network, || {
        let name = ServerName::from(server.ip());
        let session = ClientConnection::new(Arc::clone(&config), name)?;
        exchange(StreamOwned::new(session, connect(server)?), &server.to_string(), path)
    })
    .with_context(|| format!("https://{server}{path}"))
}

fn tls_config(authority: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let certificate =
        CertificateDer::from_pem_file(authority).with_context(|| format!("reading {}", authority.display()))?;
    roots.add(certificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn connect(server: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

fn exchange(mut stream: impl Read + Write, host: &str, path: &str) -> Result<Answer> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: */*\r\n\r\n")?;
    stream.flush()?;
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        // Servers that close without TLS's farewell have said all they had to say: the length is checked below.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
        other => drop(other?),
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { bail!("the answer ended early: {text:?}") };
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("the answer has no status")?;
    let header = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let body = if header("transfer-encoding") == Some("chunked") { unchunk(body)? } else { body.to_owned() };
    if let Some(length) = header("content-length").and_then(|length| length.parse::<usize>().ok())
        && body.len() < length
    {
        bail!("the answer ended after {} of {length} bytes", body.len());
    }
    Ok(Answer { status, body })
}

fn unchunk(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").context("a chunk has no size")?;
        let size = usize::from_str_radix(size.trim(), 16).context("a chunk's size")?;
        if size == 0 {
            return Ok(body);
        }
        body.push_str(after.get(..size).context("a chunk ended early")?);
        rest = after.get(size + 2..).context("a chunk ended early")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_ends_early_is_no_answer() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Le").is_err());
    }

    #[test]
    fn chunks_are_joined() {
        let answer =
            parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").unwrap();
        assert_eq!(answer, Answer { status: 200, body: "abcde".to_owned() });
    }
}
