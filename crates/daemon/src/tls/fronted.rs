//! Callers of two authorities: clients, and front proxies that speak for others.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::Peer;

/// The names in the certificate of a front proxy. A request has it as an extension where its connection has one; what the
/// proxy may say of its callers is the server's to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontProxy(pub Peer);

/// Takes certificates of either authority, and knows afterwards which it was.
#[derive(Debug)]
pub struct Fronted {
    clients: Option<Arc<dyn ClientCertVerifier>>,
    front: Arc<dyn ClientCertVerifier>,
    hints: Vec<DistinguishedName>,
}

impl Fronted {
    /// `clients`: none where clients show no certificates.
    pub fn new(clients: Option<Arc<dyn ClientCertVerifier>>, front: Arc<dyn ClientCertVerifier>) -> Self {
        let own = clients.iter().flat_map(|clients| clients.root_hint_subjects());
        let hints = own.chain(front.root_hint_subjects()).cloned().collect();
        Self { clients, front, hints }
    }

    /// Whom a chain names, as a client and as a front proxy. An authority that signs for both makes it both, as upstream.
    pub fn who(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> (Option<Peer>, Option<FrontProxy>) {
        let Some((shown, others)) = chain.split_first() else { return (None, None) };
        let signed = |by: &Arc<dyn ClientCertVerifier>| by.verify_client_cert(shown, others, now).is_ok();
        let named = || Peer::from_der(shown);
        let client = self.clients.as_ref().filter(|clients| signed(clients)).and_then(|_| named());
        (client, signed(&self.front).then(named).flatten().map(FrontProxy))
    }
}

impl ClientCertVerifier for Fronted {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let front = self.front.verify_client_cert(shown, others, now);
        match &self.clients {
            // Most callers are clients; what they are told of a bad certificate speaks of their authority.
            Some(clients) => clients.verify_client_cert(shown, others, now).or_else(|told| front.map_err(|_| told)),
            None => front,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.front.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.front.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.front.supported_verify_schemes()
    }
}
