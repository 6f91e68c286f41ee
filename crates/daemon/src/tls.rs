//! Who this process is, and who calls it: PEM files as reloadable rustls configurations.
//!
//! [`ServerIdentity`] is for listeners, [`ClientIdentity`] for dialling others. Both read their files again when they
//! change on disk (`reload_if_changed`, called by whoever owns them); a bad new file is logged and the old identity
//! stays. [`Peer`] is the identity that a caller proved.

mod allowed;
mod client;
mod fronted;
mod pem;
mod refused;
mod server;
mod shown;
mod telling;

use std::path::PathBuf;
use std::sync::Arc;

pub use allowed::Allowed;
pub use client::{ClientIdentity, TlsConnector};
pub use fronted::FrontProxy;
pub use pem::Expiry;
pub use server::{ClientCerts, ServerIdentity};
pub use shown::ShownCertificate;
pub use telling::date;

use rustls::crypto::CryptoProvider;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The names in a verified client certificate. A request has it as an extension where its connection has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// CN: the user.
    pub common_name: String,
    /// Every O: the groups.
    pub organizations: Vec<String>,
}

impl Peer {
    /// Reads the subject of a DER certificate.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let common_name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let organizations =
            subject.iter_organization().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect();
        Some(Self { common_name, organizations })
    }
}

/// Why an identity cannot be used. Every text names the file and the mend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {what} {}: {source}", path.display())]
    Read {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file without the PEM block it should hold.
    #[error("{} holds no {what} in PEM form; it should have a -----BEGIN ...----- block", path.display())]
    Empty {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A damaged PEM or DER.
    #[error("{what} {} is damaged: {reason}", path.display())]
    Damaged {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// Outside its validity.
    #[error("certificate {} ({subject}) {verb} on {when}; issue a new one, or check this machine's clock", path.display())]
    Validity {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        subject: String,
        /// "expired" or "becomes valid".
        verb: &'static str,
        /// The day.
        when: String,
    },
    /// A certificate and a key that do not belong together.
    #[error("the key {} does not belong to the certificate {}; give the pair that was issued together", key.display(), cert.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// rustls refuses the combination.
    #[error("TLS identity {}: {reason}", path.display())]
    Config {
        /// The certificate's file.
        path: PathBuf,
        /// What rustls says.
        reason: String,
    },
    /// An address that cannot be dialled.
    #[error("address {address:?}: {reason}; expected https://HOST:PORT")]
    Address {
        /// As given.
        address: String,
        /// What is wrong.
        reason: String,
    },
}

/// From when and until when a DER certificate is valid, in seconds since 1970. `None`: it cannot be read.
pub fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// The one crypto provider: ring.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}

#[cfg(test)]
pub(crate) mod tests;
