//! An HTTP GET of a probe or hook. Certificates are not checked, as upstream has it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proto::core::v1::HttpGetAction;
use tokio::net::TcpStream;

const BODY_BYTES_MAX: usize = 10 * 1024;
const REDIRECTS_MAX: usize = 10;

/// The status code and the beginning of the body, or why there is none.
pub async fn get(action: &HttpGetAction, ip: IpAddr, port: u16, timeout: Duration) -> Result<(u16, String), String> {
    let host = if action.host.is_empty() { ip.to_string() } else { action.host.clone() };
    match tokio::time::timeout(timeout, follow(action, &host, port)).await {
        Ok(answer) => answer,
        Err(_) => {
            let scheme = action.scheme.to_lowercase();
            let (scheme, path) =
                (if scheme.is_empty() { "http" } else { &scheme }, action.path.trim_start_matches('/'));
            Err(format!(
                "Get \"{scheme}://{host}:{port}/{path}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            ))
        }
    }
}

async fn follow(action: &HttpGetAction, host: &str, port: u16) -> Result<(u16, String), String> {
    let mut path = if action.path.starts_with('/') { action.path.clone() } else { format!("/{}", action.path) };
    for _ in 0..REDIRECTS_MAX {
        let (code, location, body) = once(action, host, port, &path).await?;
        match location {
            // Only within the same server; elsewhere counts as an answer.
            Some(location) if (300..400).contains(&code) && location.starts_with('/') => path = location,
            _ => return Ok((code, body)),
        }
    }
    Err("stopped after 10 redirects".into())
}

async fn once(
    action: &HttpGetAction,
    host: &str,
    port: u16,
    path: &str,
) -> Result<(u16, Option<String>, String), String> {
    let scheme = if action.scheme.eq_ignore_ascii_case("https") { "https" } else { "http" };
    let failed = |error: &dyn std::error::Error| {
        format!("Get \"{scheme}://{host}:{port}{path}\": {}", crate::images::chain(error))
    };
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await.map_err(|error| {
        format!("Get \"{scheme}://{host}:{port}{path}\": dial tcp {host}:{port}: connect: {}", plain(&error))
    })?;
    let mut builder = hyper::Request::get(path).header("Connection", "close");
    let own = |name: &str| action.http_headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
    if !own("host") {
        builder = builder.header("Host", format!("{host}:{port}"));
    }
    if !own("user-agent") {
        builder = builder.header("User-Agent", "kube-probe/1.36");
    }
    if !own("accept") {
        builder = builder.header("Accept", "*/*");
    }
    for header in &action.http_headers {
        builder = builder.header(&header.name, &header.value);
    }
    let request = builder.body(Empty::<bytes::Bytes>::new()).map_err(|error| failed(&error))?;
    let answer = if scheme == "https" {
        let name = rustls_pki_types::ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
        let connector = tokio_rustls::TlsConnector::from(any_certificate());
        let stream = connector.connect(name, stream).await.map_err(|error| failed(&error))?;
        send(stream, request).await
    } else {
        send(stream, request).await
    };
    let answer = answer.map_err(|error| failed(&error))?;
    let location = answer.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let code = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
    Ok((code, location, body))
}

async fn send<S>(
    stream: S,
    request: hyper::Request<Empty<bytes::Bytes>>,
) -> Result<hyper::Response<hyper::body::Incoming>, hyper::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    sender.send_request(request).await
}

/// "connection refused" without the number that Rust adds.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

fn any_certificate() -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions");
    Arc::new(
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))).with_no_client_auth(),
    )
}

/// Accepts every server certificate: a probe asks whether the container answers, not who it is.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &[rustls_pki_types::CertificateDer<'_>],
        _: &rustls_pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
