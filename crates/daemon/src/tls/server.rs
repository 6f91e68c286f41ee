//! The identity of a listener.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::SingleCertAndKey;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::allowed::{Allowed, Listed};
use super::fronted::Fronted;
use super::telling::{Seldom, Telling};
use super::{Error, Expiry, FrontProxy, Peer, pem, provider};

/// How often an end of the certificate that is near is warned of.
const EXPIRY_WARNING_INTERVAL: Duration = Duration::from_secs(3600);

/// Whether callers show certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCerts {
    /// Not asked for.
    Ignored,
    /// Asked for; one that is shown must come from this CA.
    Optional(PathBuf),
    /// No connection without one from this CA.
    Required(PathBuf),
    /// Asked for; one that is shown must come from the CA of the clients, or from that of the front proxies.
    Fronted {
        /// The clients' CA, where they show certificates.
        clients: Option<PathBuf>,
        /// The CA of those who may speak for others.
        front: PathBuf,
    },
}

impl ClientCerts {
    fn files(&self) -> Vec<&Path> {
        match self {
            Self::Ignored => Vec::new(),
            Self::Optional(ca) | Self::Required(ca) => vec![ca],
            Self::Fronted { clients, front } => clients.iter().chain([front]).map(PathBuf::as_path).collect(),
        }
    }
}

/// A listener's certificate and the CA of its clients, reloadable.
#[derive(Debug)]
pub struct ServerIdentity {
    cert: PathBuf,
    key: PathBuf,
    clients: ClientCerts,
    allowed: Allowed,
    loaded: ArcSwap<Loaded>,
    stamp: Mutex<pem::Stamp>,
    warned: Seldom,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    expiry: Expiry,
    /// Tells clients and front proxies apart, where there are both.
    fronted: Option<Arc<Fronted>>,
}

impl ServerIdentity {
    /// Reads and checks the files.
    pub fn load(cert: impl Into<PathBuf>, key: impl Into<PathBuf>, clients: ClientCerts) -> Result<Arc<Self>, Error> {
        Self::load_allowing(cert, key, clients, Allowed::default())
    }

    /// The same, for callers whose certificates have one of the names in `allowed`.
    pub fn load_allowing(
        cert: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        clients: ClientCerts,
        allowed: Allowed,
    ) -> Result<Arc<Self>, Error> {
        let (cert, key) = (cert.into(), key.into());
        let stamp = stamp(&cert, &key, &clients);
        let loaded = build(&cert, &key, &clients, &allowed)?;
        let (loaded, stamp) = (ArcSwap::from_pointee(loaded), Mutex::new(stamp));
        let warned = Seldom::every(EXPIRY_WARNING_INTERVAL);
        Ok(Arc::new(Self { cert, key, clients, allowed, loaded, stamp, warned }))
    }

    /// The file of the certificate.
    pub fn certificate(&self) -> &Path {
        &self.cert
    }

    /// Whether it is time again to warn of the certificate's end.
    pub(crate) fn may_warn(&self) -> bool {
        self.warned.now()
    }

    /// The configuration for the next connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.loaded.load().config.clone()
    }

    /// When the certificate in use ends.
    pub fn expiry(&self) -> Expiry {
        self.loaded.load().expiry.clone()
    }

    /// Whether callers are asked who they are.
    pub fn knows_clients(&self) -> bool {
        self.clients != ClientCerts::Ignored
    }

    /// Whom the certificates of a caller name, which the handshake has found good.
    pub fn who(&self, chain: &[CertificateDer<'_>]) -> (Option<Peer>, Option<FrontProxy>) {
        match &self.loaded.load().fronted {
            Some(fronted) => fronted.who(chain, UnixTime::now()),
            None => (chain.first().and_then(|certificate| Peer::from_der(certificate)), None),
        }
    }

    /// Reads the files again where one changed. True: a new identity is in use. An error leaves the old one in use.
    pub fn reload_if_changed(&self) -> Result<bool, Error> {
        let now = stamp(&self.cert, &self.key, &self.clients);
        let mut last = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == now {
            return Ok(false);
        }
        let loaded = build(&self.cert, &self.key, &self.clients, &self.allowed)?;
        self.loaded.store(Arc::new(loaded));
        *last = now;
        Ok(true)
    }
}

fn stamp(cert: &Path, key: &Path, clients: &ClientCerts) -> pem::Stamp {
    let mut files = vec![cert, key];
    files.extend(clients.files());
    pem::stamp(&files)
}

fn build(cert: &Path, key: &Path, clients: &ClientCerts, allowed: &Allowed) -> Result<Loaded, Error> {
    let refused = |reason: String| Error::Config { path: cert.to_owned(), reason };
    let (certified, expiry) = pem::certified_key(cert, key)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(error.to_string()))?;
    let of_ca = |ca: &PathBuf| -> Result<_, Error> {
        Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(pem::roots(ca)?), provider()))
    };
    let optional = |ca: &PathBuf| -> Result<Arc<dyn ClientCertVerifier>, Error> {
        of_ca(ca)?.allow_unauthenticated().build().map_err(|error| refused(error.to_string()))
    };
    let mut fronted = None;
    let verifier: Option<(&PathBuf, Arc<dyn ClientCertVerifier>)> = match clients {
        ClientCerts::Ignored => None,
        ClientCerts::Optional(ca) => Some((ca, optional(ca)?)),
        ClientCerts::Required(ca) => Some((ca, of_ca(ca)?.build().map_err(|error| refused(error.to_string()))?)),
        ClientCerts::Fronted { clients, front } => {
            let both = Fronted::new(clients.as_ref().map(&optional).transpose()?, optional(front)?);
            let both = fronted.insert(Arc::new(both));
            Some((clients.as_ref().unwrap_or(front), Arc::clone(both) as _))
        }
    };
    let builder = match verifier {
        None => builder.with_no_client_auth(),
        Some((ca, verifier)) => {
            let listed = Arc::new(Listed::new(verifier, allowed.clone()));
            builder.with_client_cert_verifier(Arc::new(Telling::new(listed, ca.clone())))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Loaded { config: Arc::new(config), expiry, fronted })
}
