//! The cluster's certificates: two authorities, one certificate per identity, one signing key for tokens.
//!
//! The store has an authority of its own, so that no certificate of the cluster opens it.
//! What exists and fits together is kept. A certificate that is near its end, names somebody else, has another key or was
//! signed by another authority is made anew, so whatever a run that was cut short left behind is mended by the next.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const AUTHORITY_LIFETIME: Duration = Duration::days(3650);
const LIFETIME: Duration = Duration::days(365);
/// A certificate with less than this left is renewed by the next start.
const RENEW_BEFORE: Duration = Duration::days(30);
/// Clocks of other machines may be behind by this much.
const CLOCK_SKEW: Duration = Duration::hours(1);

/// A folder of certificates and keys.
#[derive(Debug, Clone)]
pub struct Pki {
    folder: PathBuf,
}

/// Whom a certificate names, and what it may be used for.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The stem of its files.
    pub file: String,
    /// The subject's common name: the user's name.
    pub common_name: String,
    /// The subject's organization: the user's group.
    pub organization: Option<String>,
    /// Names and addresses a server answers under; empty for a client alone.
    pub names: Vec<String>,
    /// Which authority signs.
    pub authority: Authority,
}

/// Who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// Everything but the store.
    Cluster,
    /// The store, its members and its one client.
    Store,
}

impl Authority {
    fn stem(self) -> &'static str {
        match self {
            Self::Cluster => "ca",
            Self::Store => "store-ca",
        }
    }

    fn common_name(self) -> &'static str {
        match self {
            Self::Cluster => "kubernetes-ca",
            Self::Store => "etcd-ca",
        }
    }
}

impl Pki {
    /// Works on `folder`, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The certificate file of a stem.
    pub fn certificate(&self, stem: &str) -> PathBuf {
        self.folder.join(format!("{stem}.crt"))
    }

    /// The key file of a stem.
    pub fn key(&self, stem: &str) -> PathBuf {
        self.folder.join(format!("{stem}.key"))
    }

    /// The certificate file of an authority.
    pub fn authority(&self, authority: Authority) -> PathBuf {
        self.certificate(authority.stem())
    }

    /// The private key that signs service account tokens (ECDSA P-256, PKCS #8).
    pub fn token_key(&self) -> PathBuf {
        self.folder.join("sa.key")
    }

    /// The public half of [`Self::token_key`].
    pub fn token_public_key(&self) -> PathBuf {
        self.folder.join("sa.pub")
    }

    /// Makes what is missing, near its end or named otherwise; gives the stems of what was made.
    pub fn ensure(&self, identities: &[Identity]) -> Result<Vec<String>> {
        fs::create_dir_all(&self.folder).with_context(|| format!("creating {}", self.folder.display()))?;
        fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o700))?;
        let mut made = Vec::new();
        for authority in [Authority::Cluster, Authority::Store] {
            let renewed = self.ensure_authority(authority)?;
            if renewed {
                made.push(authority.stem().to_owned());
            }
            let issuer = self.issuer(authority)?;
            for identity in identities.iter().filter(|identity| identity.authority == authority) {
                if renewed || !self.is_current(identity) {
                    self.issue(&issuer, identity)?;
                    made.push(identity.file.clone());
                }
            }
        }
        if self.ensure_token_key()? {
            made.push("sa".to_owned());
        }
        Ok(made)
    }

    /// Keeps a signing key that is whole; its public half is written from it if need be.
    fn ensure_token_key(&self) -> Result<bool> {
        let old = self.key_pair("sa");
        let fits = |key: &KeyPair| read(&self.token_public_key()).is_ok_and(|text| text == key.public_key_pem());
        if old.as_ref().is_some_and(fits) {
            return Ok(false);
        }
        let key = match old {
            Some(key) => key,
            None => KeyPair::generate()?,
        };
        write_private(&self.token_key(), &key.serialize_pem())?;
        write_whole(&self.token_public_key(), key.public_key_pem().as_bytes(), 0o644)?;
        Ok(true)
    }

    fn ensure_authority(&self, authority: Authority) -> Result<bool> {
        let stem = authority.stem();
        if self.key_fits(stem) && ends_after(&self.certificate(stem), LIFETIME) {
            return Ok(false);
        }
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, authority.common_name());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now - CLOCK_SKEW, now + AUTHORITY_LIFETIME);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        write_private(&self.key(stem), &key.serialize_pem())?;
        write_whole(&self.certificate(stem), certificate.pem().as_bytes(), 0o644)?;
        Ok(true)
    }

    fn issuer(&self, authority: Authority) -> Result<Issuer<'static, KeyPair>> {
        let stem = authority.stem();
        let key = KeyPair::from_pem(&read(&self.key(stem))?).with_context(|| format!("the key of {stem}"))?;
        Issuer::from_ca_cert_pem(&read(&self.certificate(stem))?, key)
            .with_context(|| format!("the certificate of {stem}"))
    }

    /// Puts a certificate in place that ended a day ago: for tests of what is said about it.
    pub fn expire(&self, identity: &Identity) -> Result<()> {
        let end = OffsetDateTime::now_utc() - Duration::days(1);
        self.issue_between(&self.issuer(identity.authority)?, identity, end - LIFETIME, end)
    }

    fn issue(&self, issuer: &Issuer<'static, KeyPair>, identity: &Identity) -> Result<()> {
        let now = OffsetDateTime::now_utc();
        self.issue_between(issuer, identity, now - CLOCK_SKEW, now + LIFETIME)
    }

    fn issue_between(
        &self,
        issuer: &Issuer<'static, KeyPair>,
        identity: &Identity,
        from: OffsetDateTime,
        to: OffsetDateTime,
    ) -> Result<()> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, identity.common_name.as_str());
        if let Some(organization) = &identity.organization {
            params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
        }
        for name in &identity.names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into().with_context(|| format!("the name {name:?}"))?),
            });
        }
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !identity.names.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        (params.not_before, params.not_after) = (from, to);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, issuer)?;
        write_private(&self.key(&identity.file), &key.serialize_pem())?;
        write_whole(&self.certificate(&identity.file), certificate.pem().as_bytes(), 0o644)
    }

    /// Whether the files of an identity belong together, last long enough, say who it is and are signed by its authority.
    fn is_current(&self, identity: &Identity) -> bool {
        let certificate = self.certificate(&identity.file);
        self.key_fits(&identity.file)
            && ends_after(&certificate, RENEW_BEFORE)
            && names_of(&certificate).is_some_and(|names| names == identity.names.iter().cloned().collect())
            && subject_of(&certificate)
                .is_some_and(|subject| subject == (identity.common_name.clone(), identity.organization.clone()))
            && is_signed_by(&certificate, &self.authority(identity.authority))
    }

    /// Whether the key of a stem is the one that its certificate names.
    fn key_fits(&self, stem: &str) -> bool {
        self.key_pair(stem).is_some_and(|key| {
            with_certificate(&self.certificate(stem), |certificate| {
                certificate.public_key().subject_public_key.data.as_ref() == key.public_key_raw()
            })
            .unwrap_or(false)
        })
    }

    fn key_pair(&self, stem: &str) -> Option<KeyPair> {
        KeyPair::from_pem(&read(&self.key(stem)).ok()?).ok()
    }
}

/// Whether a certificate file is readable and valid for at least `left`.
fn ends_after(file: &Path, left: Duration) -> bool {
    with_certificate(file, |certificate| {
        let end = certificate.validity().not_after.timestamp();
        end > (OffsetDateTime::now_utc() + left).unix_timestamp()
    })
    .unwrap_or(false)
}

/// The names and addresses of a certificate file.
fn names_of(file: &Path) -> Option<BTreeSet<String>> {
    with_certificate(file, |certificate| {
        let Ok(Some(extension)) = certificate.subject_alternative_name() else { return BTreeSet::new() };
        extension.value.general_names.iter().filter_map(name_text).collect()
    })
}

/// The common name and the organization of a certificate file.
fn subject_of(file: &Path) -> Option<(String, Option<String>)> {
    with_certificate(file, |certificate| {
        let subject = certificate.subject();
        let first = |mut names: Box<dyn Iterator<Item = &x509_parser::x509::AttributeTypeAndValue<'_>> + '_>| {
            names.next().and_then(|name| name.as_str().ok()).map(str::to_owned)
        };
        let common_name = first(Box::new(subject.iter_common_name())).unwrap_or_default();
        (common_name, first(Box::new(subject.iter_organization())))
    })
}

/// Whether the certificate of an authority signed a certificate file.
fn is_signed_by(file: &Path, authority: &Path) -> bool {
    with_certificate(authority, |authority| {
        with_certificate(file, |certificate| certificate.verify_signature(Some(authority.public_key())).is_ok())
    })
    .flatten()
    .unwrap_or(false)
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            _ => Some(IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        },
        _ => None,
    }
}

fn with_certificate<T>(file: &Path, read: impl FnOnce(&X509Certificate<'_>) -> T) -> Option<T> {
    let der = CertificateDer::from_pem_file(file).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    Some(read(&certificate))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    write_whole(path, text.as_bytes(), 0o600)
}

/// Writes a file so that a reader sees the old text or the new one, never half of it, also after a power cut.
pub(crate) fn write_whole(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let draft = PathBuf::from(name);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&draft)
        .with_context(|| format!("writing {}", draft.display()))?;
    std::io::Write::write_all(&mut file, content)?;
    // Else the name may reach the disk before the text does.
    file.sync_all().with_context(|| format!("syncing {}", draft.display()))?;
    fs::rename(&draft, path).with_context(|| format!("renaming {}", draft.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(names: &[&str]) -> Identity {
        Identity {
            file: "apiserver".to_owned(),
            common_name: "kube-apiserver".to_owned(),
            organization: None,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            authority: Authority::Cluster,
        }
    }

    #[test]
    fn what_is_current_is_kept_and_new_names_make_a_new_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new(folder.path());
        let first = server(&["127.0.0.1", "kubernetes.default.svc", "::1"]);
        assert_eq!(pki.ensure(std::slice::from_ref(&first)).unwrap(), ["ca", "apiserver", "store-ca", "sa"]);
        assert!(pki.ensure(&[first]).unwrap().is_empty());
        assert_eq!(pki.ensure(&[server(&["127.0.0.1", "10.96.0.1"])]).unwrap(), ["apiserver"]);
    }

    #[test]
    fn keys_are_readable_by_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new(folder.path().join("pki"));
        pki.ensure(&[server(&["127.0.0.1"])]).unwrap();
        for key in [pki.key("ca"), pki.key("apiserver"), pki.token_key()] {
            assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[track_caller]
    fn check_mended(damage: impl Fn(&Pki), made: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new(folder.path());
        let identity = server(&["127.0.0.1"]);
        pki.ensure(std::slice::from_ref(&identity)).unwrap();
        damage(&pki);
        assert_eq!(pki.ensure(std::slice::from_ref(&identity)).unwrap(), made);
        assert!(pki.ensure(&[identity]).unwrap().is_empty(), "it was not mended at once");
    }

    #[test]
    fn a_run_cut_short_between_key_and_certificate_is_mended() {
        let other = || KeyPair::generate().unwrap().serialize_pem();
        check_mended(|pki| fs::write(pki.key("apiserver"), other()).unwrap(), &["apiserver"]);
        check_mended(|pki| fs::write(pki.key("ca"), other()).unwrap(), &["ca", "apiserver"]);
        check_mended(|pki| fs::write(pki.key("ca"), "").unwrap(), &["ca", "apiserver"]);
        check_mended(|pki| fs::write(pki.token_key(), "").unwrap(), &["sa"]);
        check_mended(|pki| fs::write(pki.token_public_key(), "").unwrap(), &["sa"]);
    }

    #[test]
    fn a_certificate_of_an_older_authority_is_replaced() {
        check_mended(
            |pki| {
                let old = fs::read(pki.certificate("apiserver")).unwrap();
                let old_key = fs::read(pki.key("apiserver")).unwrap();
                fs::remove_file(pki.key("ca")).unwrap();
                // The run that renews the authority is cut short before the certificates.
                pki.ensure_authority(Authority::Cluster).unwrap();
                fs::write(pki.certificate("apiserver"), old).unwrap();
                fs::write(pki.key("apiserver"), old_key).unwrap();
            },
            &["apiserver"],
        );
    }

    #[test]
    fn a_certificate_of_somebody_else_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new(folder.path());
        let identity = server(&["127.0.0.1"]);
        pki.ensure(std::slice::from_ref(&identity)).unwrap();
        let renamed = Identity { organization: Some("system:masters".to_owned()), ..identity };
        assert_eq!(pki.ensure(&[renamed]).unwrap(), ["apiserver"]);
    }

    #[test]
    fn a_damaged_certificate_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new(folder.path());
        let identity = server(&["127.0.0.1"]);
        pki.ensure(std::slice::from_ref(&identity)).unwrap();
        fs::write(pki.certificate("apiserver"), "half a certific").unwrap();
        assert_eq!(pki.ensure(&[identity]).unwrap(), ["apiserver"]);
    }
}
