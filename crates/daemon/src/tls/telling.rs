//! Says whose certificate was refused, why, and the mend: rustls' own errors name neither.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{AlertDescription, CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

/// Callers with a bad certificate come back again and again: one line in so long a time tells enough.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Whether it is time to say something again.
#[derive(Debug)]
pub struct Seldom {
    interval: Duration,
    last: Mutex<Option<Instant>>,
}

impl Seldom {
    pub fn every(interval: Duration) -> Self {
        Self { interval, last: Mutex::default() }
    }

    pub fn now(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| last.elapsed() >= self.interval);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

/// A verifier of callers' certificates that logs what it refuses.
#[derive(Debug)]
pub struct Telling {
    verifier: Arc<dyn ClientCertVerifier>,
    ca: PathBuf,
    warned: Seldom,
}

impl Telling {
    /// `ca`: the file of the CA that the verifier knows.
    pub fn new(verifier: Arc<dyn ClientCertVerifier>, ca: PathBuf) -> Self {
        Self { verifier, ca, warned: Seldom::every(WARNING_INTERVAL) }
    }
}

impl ClientCertVerifier for Telling {
    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verdict = self.verifier.verify_client_cert(end_entity, intermediates, now);
        if let Err(error) = &verdict
            && self.warned.now()
        {
            let signer = format!("the CA in {}", self.ca.display());
            tracing::warn!("refused a caller: {}", explain("its certificate", &subject(end_entity), error, &signer));
        }
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.verifier.requires_raw_public_keys()
    }
}

fn subject(der: &CertificateDer<'_>) -> String {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => format!(" ({})", certificate.subject()),
        Err(_) => String::new(),
    }
}

/// A day in words.
pub fn date(unix_s: i64) -> String {
    ASN1Time::from_timestamp(unix_s).map_or_else(|_| format!("Unix time {unix_s}"), |time| time.to_string())
}

/// What is wrong with a certificate and what to do about it. `what`: whose it is; `signer`: who should have signed it.
pub fn explain(what: &str, subject: &str, error: &rustls::Error, signer: &str) -> String {
    let day = |time: &UnixTime| date(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    let clock = "or check the clocks of both machines";
    match error {
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            format!("{what}{subject} expired on {}; issue a new one, {clock}", day(not_after))
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => {
            format!("{what}{subject} becomes valid on {}; issue a new one, {clock}", day(not_before))
        }
        rustls::Error::InvalidCertificate(CertificateError::Expired) => {
            format!("{what}{subject} has expired; issue a new one, {clock}")
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            format!("{what}{subject} is not signed by {signer}; issue one from that CA, or give the CA that signed it")
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { expected, presented }) => format!(
            "{what}{subject} is for {}, not for {}; issue one with that name, or dial a name it has",
            presented.join(", "),
            expected.to_str()
        ),
        rustls::Error::InvalidCertificate(CertificateError::Other(reason)) => format!("{what}{subject}: {reason}"),
        rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => {
            format!("{what}{subject} has expired, says the other side; issue a new one, {clock}")
        }
        error => format!("{what}{subject}: {error}"),
    }
}
