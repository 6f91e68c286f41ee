//! A certificate that is shown to others, whoever signed theirs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

use super::{Error, pem};

/// A client's certificate and key, reloadable; for a [`rustls::ClientConfig`] whose roots come from elsewhere.
#[derive(Debug)]
pub struct ShownCertificate {
    cert: PathBuf,
    key: PathBuf,
    pair: ArcSwap<CertifiedKey>,
    stamp: Mutex<pem::Stamp>,
}

impl ShownCertificate {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged, a certificate that is not valid now, a key of another certificate.
    pub fn load(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Arc<Self>, Error> {
        let (cert, key) = (cert.into(), key.into());
        let stamp = stamp(&cert, &key);
        let (pair, _) = pem::certified_key(&cert, &key)?;
        Ok(Arc::new(Self { cert, key, pair: ArcSwap::from_pointee(pair), stamp: Mutex::new(stamp) }))
    }

    /// Reads the files again where one changed. True: a new certificate is in use. An error leaves the old one in use.
    pub fn reload_if_changed(&self) -> Result<bool, Error> {
        let now = stamp(&self.cert, &self.key);
        let mut last = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == now {
            return Ok(false);
        }
        let (pair, _) = pem::certified_key(&self.cert, &self.key)?;
        self.pair.store(Arc::new(pair));
        *last = now;
        Ok(true)
    }
}

impl ResolvesClientCert for ShownCertificate {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.pair.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn stamp(cert: &Path, key: &Path) -> pem::Stamp {
    pem::stamp(&[cert, key])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_pair_is_shown_once_it_is_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (cert, key) = (folder.path().join("c.crt"), folder.path().join("c.key"));
        let write = |name: &str| {
            let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
            std::fs::write(&cert, made.cert.pem()).expect("written");
            std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
        };
        write("one.example");
        let shown = ShownCertificate::load(&cert, &key).expect("a good pair");
        assert!(shown.has_certs() && !shown.reload_if_changed().expect("nothing changed"));
        let before = shown.resolve(&[], &[]).expect("one");
        write("another-one.example");
        assert!(shown.reload_if_changed().expect("a good pair"));
        assert_ne!(before.cert, shown.resolve(&[], &[]).expect("one").cert);
        std::fs::write(&key, "nothing").expect("written");
        assert!(shown.reload_if_changed().is_err(), "what is damaged is told");
    }
}
