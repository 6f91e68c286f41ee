//! Which callers are let in, of those with a certificate of the right CA.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::Peer;

/// Names that callers' certificates must have. An empty list lets everybody in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// The certificate's CN is one of these.
    pub common_names: Vec<String>,
    /// The certificate is valid for one of these hosts.
    pub host_names: Vec<String>,
}

/// Why a caller with a good certificate is refused.
#[derive(Debug, thiserror::Error)]
enum Unlisted {
    #[error("its CN is {found:?}, allowed are only: {allowed}")]
    CommonName { found: String, allowed: String },
    #[error("it is valid for none of the allowed host names: {allowed}")]
    HostName { allowed: String },
}

impl Allowed {
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Unlisted> {
        if !self.common_names.is_empty() {
            let found = Peer::from_der(certificate).map(|peer| peer.common_name).unwrap_or_default();
            if !self.common_names.contains(&found) {
                return Err(Unlisted::CommonName { found, allowed: self.common_names.join(", ") });
            }
        }
        if !self.host_names.is_empty() && !self.host_names.iter().any(|name| is_valid_for(certificate, name)) {
            return Err(Unlisted::HostName { allowed: self.host_names.join(", ") });
        }
        Ok(())
    }
}

fn is_valid_for(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return false };
    ServerName::try_from(name).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
}

/// A verifier of callers' certificates that knows a list.
#[derive(Debug)]
pub struct Listed {
    verifier: Arc<dyn ClientCertVerifier>,
    allowed: Allowed,
}

impl Listed {
    pub fn new(verifier: Arc<dyn ClientCertVerifier>, allowed: Allowed) -> Self {
        Self { verifier, allowed }
    }
}

impl ClientCertVerifier for Listed {
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
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now)?;
        match self.allowed.check(end_entity) {
            Ok(()) => Ok(verified),
            Err(unlisted) => Err(CertificateError::Other(OtherError(Arc::new(unlisted))).into()),
        }
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
