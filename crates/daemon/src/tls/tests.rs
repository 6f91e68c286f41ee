use std::path::Path;
use std::sync::Mutex;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

/// A CA that writes PEM files into a directory.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub dir: tempfile::TempDir,
}

impl Ca {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test-ca");
        let certificate = params.self_signed(&key).expect("a CA");
        std::fs::write(dir.path().join("ca.crt"), certificate.pem()).expect("written");
        Self { issuer: Issuer::new(params, key), dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Issues NAME.crt and NAME.key for `localhost` and 127.0.0.1; `years`: validity.
    pub fn issue(&self, name: &str, organization: &str, years: std::ops::Range<i32>) {
        let (certificate, key) = self.sign(name, organization, years);
        std::fs::write(self.path(&format!("{name}.crt")), certificate.pem()).expect("written");
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("written");
    }

    /// As [`Self::issue`], without files and checks.
    pub fn issued(
        &self,
        name: &str,
        organization: &str,
        years: std::ops::Range<i32>,
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let (certificate, key) = self.sign(name, organization, years);
        let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        (vec![certificate.der().clone()], private)
    }

    fn sign(&self, name: &str, organization: &str, years: std::ops::Range<i32>) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("valid names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        (params.signed_by(&key, &self.issuer).expect("a certificate"), key)
    }

    pub fn server(&self, name: &str, clients: ClientCerts) -> Result<Arc<ServerIdentity>, Error> {
        ServerIdentity::load(self.path(&format!("{name}.crt")), self.path(&format!("{name}.key")), clients)
    }
}

#[track_caller]
fn refused(result: Result<Arc<ServerIdentity>, Error>, parts: &[&str]) {
    let text = result.expect_err("must be refused").to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
}

#[test]
fn subject_is_the_peer() {
    let ca = Ca::new();
    ca.issue("system:node:a", "system:nodes", 2020..4000);
    let pem = std::fs::read(ca.path("system:node:a.crt")).expect("read");
    let der = rustls_pemfile::certs(&mut pem.as_slice()).next().expect("one").expect("valid");
    let peer = Peer::from_der(&der).expect("a peer");
    assert_eq!(peer.common_name, "system:node:a");
    assert_eq!(peer.organizations, ["system:nodes"]);
}

#[test]
fn errors_name_the_file_and_the_mend() {
    let ca = Ca::new();
    ca.issue("old", "o", 2000..2001);
    refused(ca.server("old", ClientCerts::Ignored), &["old.crt", "expired", "issue a new one"]);
    ca.issue("future", "o", 3000..4000);
    refused(ca.server("future", ClientCerts::Ignored), &["future.crt", "becomes valid", "clock"]);
    refused(ca.server("none", ClientCerts::Ignored), &["none.crt", "cannot read"]);
    ca.issue("a", "o", 2020..4000);
    ca.issue("b", "o", 2020..4000);
    std::fs::copy(ca.path("b.key"), ca.path("a.key")).expect("copied");
    refused(ca.server("a", ClientCerts::Ignored), &["a.key", "a.crt", "does not belong"]);
    std::fs::write(ca.path("b.key"), "no pem").expect("written");
    refused(ca.server("b", ClientCerts::Ignored), &["b.key", "-----BEGIN"]);
    ca.issue("c", "o", 2020..4000);
    refused(ca.server("c", ClientCerts::Optional(ca.path("c.key"))), &["c.key", "no CA certificate"]);
}

#[test]
fn changed_files_are_read_again_and_bad_ones_keep_the_old() {
    let ca = Ca::new();
    ca.issue("a", "o", 2020..4000);
    let identity = ca.server("a", ClientCerts::Optional(ca.path("ca.crt"))).expect("valid");
    assert!(!identity.reload_if_changed().expect("unchanged"));
    let before = identity.expiry();
    ca.issue("a", "o", 2020..3000);
    touch(&ca.path("a.crt"), 1);
    assert!(identity.reload_if_changed().expect("valid"));
    assert_ne!(identity.expiry(), before);
    std::fs::write(ca.path("a.crt"), "broken").expect("written");
    let kept = identity.config();
    assert!(identity.reload_if_changed().is_err());
    assert!(Arc::ptr_eq(&kept, &identity.config()));
}

/// Makes a change visible whatever the file system's clock is.
pub fn touch(path: &Path, seconds: u64) {
    let file = std::fs::File::options().append(true).open(path).expect("open");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(seconds);
    file.set_modified(later).expect("touched");
}

/// What is logged meanwhile, on this thread.
pub async fn captured<Fut: Future<Output = ()>>(run: impl FnOnce() -> Fut) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    run().await;
    let bytes = lines.0.lock().expect("no panic").clone();
    String::from_utf8_lossy(&bytes).into_owned()
}
