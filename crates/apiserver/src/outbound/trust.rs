//! Whose certificates are believed.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use daemon::tls::{ClientIdentity, ShownCertificate, provider};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::own_root::OwnRoot;

/// Whose certificate of a server is believed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Trust {
    /// What these certificates signed: PEM, the field `caBundle`.
    Bundle(Bytes),
    /// What the machine's own roots signed, as every client would.
    Machine,
    /// Anything: `insecureSkipTLSVerify`, and pods, which nobody gave certificates to.
    Anything,
    /// What `--kubelet-certificate-authority` signed; the kubelets' client certificate is shown.
    Kubelets,
}

impl Trust {
    /// What an object's `caBundle` and `insecureSkipTLSVerify` say.
    pub fn of(ca_bundle: &[u8], insecure: bool) -> Self {
        match (insecure, ca_bundle) {
            (true, _) => Self::Anything,
            (false, []) => Self::Machine,
            (false, bundle) => Self::Bundle(Bytes::copy_from_slice(bundle)),
        }
    }
}

/// How to speak TLS with whom is so believed. An error says what is wrong with the bundle or the flags.
pub fn config(
    trust: &Trust,
    shown: Option<&Arc<ShownCertificate>>,
    kubelets: Option<&ClientIdentity>,
) -> Result<Arc<ClientConfig>, String> {
    let mut config = match trust {
        Trust::Kubelets => {
            let identity = kubelets.ok_or(
                "kubelets cannot be reached: set --kubelet-certificate-authority and --kubelet-client-certificate",
            )?;
            ClientConfig::clone(&identity.config())
        }
        _ => {
            let builder = ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?
                .dangerous()
                .with_custom_certificate_verifier(verifier(trust)?);
            match shown {
                Some(shown) => builder.with_client_cert_resolver(Arc::clone(shown) as _),
                None => builder.with_no_client_auth(),
            }
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn verifier(trust: &Trust) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let roots = match trust {
        Trust::Bundle(pem) => bundle(pem)?,
        Trust::Machine | Trust::Kubelets => machine()?,
        Trust::Anything => return Ok(Arc::new(Anything)),
    };
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(roots.iter().cloned());
    if usable == 0 {
        return Err("no certificate of the CA bundle can be used as a root".to_owned());
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider()).build();
    let verifier = verifier.map_err(|error| format!("the CA bundle: {error}"))?;
    Ok(Arc::new(OwnRoot::new(verifier, roots)))
}

fn bundle(mut pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_pemfile::certs(&mut pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| format!("the CA bundle is damaged: {error}"))?;
    match found.is_empty() {
        true => Err("the CA bundle holds no certificate in PEM form".to_owned()),
        false => Ok(found),
    }
}

/// The machine's roots, read once.
fn machine() -> Result<Vec<CertificateDer<'static>>, String> {
    static ROOTS: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err("this machine has no root certificates (install ca-certificates), and the object has no caBundle \
                     of its own"
            .to_owned()),
        false => Ok(roots.clone()),
    }
}

/// Believes everybody; what is signed with the certificate's key must still fit.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
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
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_says_what_is_wrong_with_it() {
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).expect("a certificate");
        assert!(config(&Trust::Bundle(made.cert.pem().into()), None, None).is_ok());
        let empty = config(&Trust::Bundle("nothing".into()), None, None).expect_err("no PEM");
        assert!(empty.contains("holds no certificate"), "{empty}");
        let kubelets = config(&Trust::Kubelets, None, None).expect_err("no flags");
        assert!(kubelets.contains("--kubelet-certificate-authority"), "{kubelets}");
    }

    #[test]
    fn objects_say_whom_to_believe() {
        assert_eq!(Trust::of(b"", false), Trust::Machine);
        assert_eq!(Trust::of(b"x", true), Trust::Anything);
        assert_eq!(Trust::of(b"x", false), Trust::Bundle("x".into()));
    }
}
