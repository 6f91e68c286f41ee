//! Certificates and keys from PEM files, checked before use.

use std::path::Path;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Error, provider};

/// When a certificate ends, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The certificate's subject.
    pub subject: String,
    /// Unix time in seconds.
    pub not_after_s: i64,
}

/// A certificate chain and its key: read, matched, and valid now.
pub fn certified_key(cert: &Path, key: &Path) -> Result<(CertifiedKey, Expiry), Error> {
    let chain = certificates("certificate", cert)?;
    let expiry = check_validity(cert, &chain[0])?;
    let der = private_key(key)?;
    let certified = CertifiedKey::from_der(chain, der, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => Error::Pair { cert: cert.to_owned(), key: key.to_owned() },
        error => Error::Damaged { what: "private key", path: key.to_owned(), reason: error.to_string() },
    })?;
    Ok((certified, expiry))
}

/// The certificates of a CA file as trust roots.
pub fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in certificates("CA certificate", path)? {
        check_validity(path, &certificate)?;
        store.add(certificate).map_err(|error| Error::Damaged {
            what: "CA certificate",
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    }
    Ok(store)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = read(what, path)?;
    let found: Vec<_> = rustls_pemfile::certs(&mut bytes.as_slice())
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Damaged { what, path: path.to_owned(), reason: error.to_string() })?;
    if found.is_empty() {
        return Err(Error::Empty { what, path: path.to_owned() });
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let what = "private key";
    rustls_pemfile::private_key(&mut read(what, path)?.as_slice())
        .map_err(|error| Error::Damaged { what, path: path.to_owned(), reason: error.to_string() })?
        .ok_or_else(|| Error::Empty { what, path: path.to_owned() })
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read { what, path: path.to_owned(), source })
}

fn check_validity(path: &Path, der: &CertificateDer<'_>) -> Result<Expiry, Error> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| Error::Damaged {
        what: "certificate",
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let subject = certificate.subject().to_string();
    let validity = certificate.validity();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let outside = if validity.not_after.timestamp() < now {
        Some(("expired", validity.not_after))
    } else if validity.not_before.timestamp() > now {
        Some(("becomes valid", validity.not_before))
    } else {
        None
    };
    match outside {
        Some((verb, when)) => Err(Error::Validity { path: path.to_owned(), subject, verb, when: when.to_string() }),
        None => Ok(Expiry { subject, not_after_s: validity.not_after.timestamp() }),
    }
}

/// What tells that files changed: their times and lengths.
pub type Stamp = Vec<Option<(SystemTime, u64)>>;

/// The stamp of files as they are now.
pub fn stamp(files: &[&Path]) -> Stamp {
    files
        .iter()
        .map(|path| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.modified().ok()?, meta.len()))
        })
        .collect()
}
