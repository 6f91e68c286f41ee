//! The caller's side of TLS, made anew for each connection, so that renewed files count.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use proto::meta::v1::Time;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::{Config, Credentials, Data, Error};

/// Reads the config's files and makes rustls' configuration.
pub fn client_config(config: &Config) -> Result<ClientConfig, Error> {
    let bad = |name: String, reason: String| Error::Tls { name, reason };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("TLS".to_owned(), error.to_string()))?;
    let builder = match &config.ca {
        Some(ca) => builder.with_root_certificates(roots(ca)?),
        None => {
            if !config.insecure {
                return Err(Error::Unusable("https needs the server's certificate authority".to_owned()));
            }
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer))
        }
    };
    let mut tls = match &config.credentials {
        Credentials::Certificate { cert, key } => {
            let chain = certificates(cert)?;
            refuse_expired(cert, &chain)?;
            let private = PrivateKeyDer::from_pem_slice(&key.read()?)
                .map_err(|error| bad(key.name(), format!("no private key in PEM form: {error}")))?;
            builder.with_client_auth_cert(chain, private).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    bad(key.name(), format!("the key does not belong to the certificate ({})", cert.name()))
                }
                error => bad(cert.name(), error.to_string()),
            })?
        }
        Credentials::Anonymous | Credentials::Token(_) => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![b"h2".to_vec()];
    Ok(tls)
}

/// Why the certificate that a server shows is not believed, and what to do; nothing for other failures.
pub fn explain(error: &std::io::Error, server: &str, config: &Config) -> Option<String> {
    let rustls::Error::InvalidCertificate(wrong) = error.get_ref()?.downcast_ref::<rustls::Error>()? else {
        return None;
    };
    let day = |time: &UnixTime| Time::from_unix(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)).to_string();
    let clock = "or check the clocks of both machines";
    let text = match wrong {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("expired on {}; issue a new one to that server, {clock}", day(not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("becomes valid on {}; issue a new one to that server, {clock}", day(not_before))
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let ca = config.ca.as_ref().map(Data::name).unwrap_or_default();
            format!("is not signed by the certificate authority of the kubeconfig ({ca}); give the one that signed it")
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let (asked, has) = (expected.to_str(), presented.join(", "));
            format!("is for {has}, not for {asked}; set tls-server-name in the kubeconfig, or issue one with that name")
        }
        wrong => format!("is not believed: {wrong}"),
    };
    Some(format!("the certificate of {server} {text}"))
}

/// A server refuses such a certificate after the handshake, often by no more than a closed connection.
fn refuse_expired(cert: &Data, chain: &[CertificateDer<'static>]) -> Result<(), Error> {
    let Some((_, own)) = chain.first().and_then(|own| X509Certificate::from_der(own).ok()) else { return Ok(()) };
    let validity = own.validity();
    let unix = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
    let end = validity.not_after.timestamp();
    if end >= unix {
        return Ok(());
    }
    let day = Time::from_unix(end);
    let reason =
        format!("the certificate ({}) expired on {day}; issue a new one, or check this machine's clock", own.subject());
    Err(Error::Tls { name: cert.name(), reason })
}

fn roots(ca: &Data) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots
            .add(certificate)
            .map_err(|error| Error::Tls { name: ca.name(), reason: format!("not a CA certificate: {error}") })?;
    }
    Ok(roots)
}

fn certificates(data: &Data) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = data.read()?;
    let found = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::Tls { name: data.name(), reason: format!("damaged certificate: {error}") })?;
    if found.is_empty() {
        return Err(Error::Tls { name: data.name(), reason: "no certificate in PEM form".to_owned() });
    }
    Ok(found)
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}

/// Believes every server: `insecure-skip-tls-verify`. Signatures are still checked.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
