//! A server whose certificate is itself in the bundle.
//!
//! Extension servers and webhooks often sign for themselves, with a certificate that is marked as an authority. Go's clients
//! take it where it is among their roots; webpki refuses any authority as a server.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// webpki's verifier, which also takes one of the roots themselves.
#[derive(Debug)]
pub struct OwnRoot {
    verifier: Arc<WebPkiServerVerifier>,
    roots: Vec<CertificateDer<'static>>,
}

impl OwnRoot {
    pub fn new(verifier: Arc<WebPkiServerVerifier>, roots: Vec<CertificateDer<'static>>) -> Self {
        Self { verifier, roots }
    }
}

impl ServerCertVerifier for OwnRoot {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refused = match self.verifier.verify_server_cert(shown, others, name, ocsp, now) {
            Err(Error::InvalidCertificate(refused @ CertificateError::Other(_))) => refused,
            outcome => return outcome,
        };
        // Every other refusal has a name of its own; the purpose of an authority has none.
        if !self.roots.iter().any(|root| root.as_ref() == shown.as_ref()) {
            return Err(Error::InvalidCertificate(refused));
        }
        check_time(shown)?;
        verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

fn check_time(certificate: &CertificateDer<'_>) -> Result<(), Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match daemon::tls::validity(certificate) {
        None => Err(CertificateError::BadEncoding.into()),
        Some((begin, _)) if i64::try_from(now).is_ok_and(|now| now < begin) => {
            Err(CertificateError::NotValidYet.into())
        }
        Some((_, end)) if i64::try_from(now).is_ok_and(|now| now > end) => Err(CertificateError::Expired.into()),
        Some(_) => Ok(()),
    }
}
