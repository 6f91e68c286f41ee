//! Service account tokens: signed JWTs, limited to audiences and a time, bound to an object on request.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RsaKeyPair};
use serde::{Deserialize, Serialize};

use super::keys::Shared;
use crate::status::{Failure, Result};

/// How far clocks may differ.
const LEEWAY_S: u64 = 10;

/// Issues and verifies tokens.
pub struct Tokens {
    issuer: String,
    audiences: Vec<String>,
    /// With the id of its key.
    signer: Option<(Algorithm, EncodingKey, String)>,
    verifiers: Vec<Verifier>,
    jwks_uri: Option<String>,
}

/// A key that tokens are checked against.
struct Verifier {
    algorithm: Algorithm,
    key: DecodingKey,
    shared: Shared,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Tokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// What a token is to say.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The account's namespace.
    pub namespace: String,
    /// The account.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// For whom the token is.
    pub audiences: Vec<String>,
    /// How long it is valid.
    pub seconds: i64,
    /// What it ends with.
    pub bound: Option<Bound>,
}

/// An object that a token ends with.
#[derive(Debug, Clone)]
pub struct Bound {
    /// Pod, Secret or Node.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The node of a pod.
    pub node: String,
}

/// A token's content.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// For whom it is.
    pub aud: Vec<String>,
    exp: i64,
    iat: i64,
    iss: String,
    /// The token's own id.
    #[serde(default)]
    pub jti: String,
    /// Whose it is.
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Identity,
    nbf: i64,
    sub: String,
}

/// The private claims.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identity {
    /// The account's namespace.
    pub namespace: String,
    /// The node of the pod, or the node it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    /// The pod it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    /// The secret it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    /// The account.
    pub serviceaccount: Reference,
}

/// An object by name and uid.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reference {
    /// Its name.
    pub name: String,
    /// Its uid.
    #[serde(default)]
    pub uid: String,
}

impl Tokens {
    /// `issuer` and `audiences` as the flags say; keys in PEM form. The signing key's own tokens are always accepted.
    pub fn load(
        issuer: &str,
        audiences: &[String],
        signing_key: Option<&Path>,
        keys: &[impl AsRef<Path>],
    ) -> anyhow::Result<Self> {
        let mut verifiers = Vec::new();
        let signer = match signing_key {
            Some(path) => {
                let pem = read(path)?;
                let (signer, verifier) = pair(&pem).ok_or_else(|| {
                    anyhow::anyhow!("{} holds no RSA or P-256 private key in PEM form", path.display())
                })?;
                let (algorithm, id) = (verifier.algorithm, verifier.shared.id());
                verifiers.push(verifier);
                Some((algorithm, signer, id))
            }
            None => None,
        };
        for path in keys {
            let path = path.as_ref();
            let found = public_keys(&read(path)?);
            anyhow::ensure!(!found.is_empty(), "{} holds no RSA or P-256 key in PEM form", path.display());
            verifiers.extend(found);
        }
        let audiences = if audiences.is_empty() { vec![issuer.to_owned()] } else { audiences.to_vec() };
        Ok(Self { issuer: issuer.to_owned(), audiences, signer, verifiers, jwks_uri: None })
    }

    /// Tells others another address of the keys: `--service-account-jwks-uri`.
    pub fn with_jwks_uri(self, uri: Option<String>) -> Self {
        Self { jwks_uri: uri, ..self }
    }

    /// Who issued the tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where the keys are told to be, where it is not here.
    pub fn jwks_uri(&self) -> Option<&str> {
        self.jwks_uri.as_deref()
    }

    /// The keys as JSON Web Keys, each once.
    pub fn jwks(&self) -> Vec<serde_json::Value> {
        let mut keys: Vec<serde_json::Value> = Vec::new();
        for key in self.verifiers.iter().filter_map(|verifier| verifier.shared.jwk()) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// The names of the algorithms that sign, sorted.
    pub fn algorithms(&self) -> BTreeSet<&'static str> {
        self.verifiers.iter().filter_map(|verifier| verifier.shared.algorithm()).collect()
    }

    /// The audiences of this server.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Issues a token at `now` (seconds since 1970).
    pub fn issue(&self, grant: &Grant, now: i64) -> Result<String> {
        let Some((algorithm, key, id)) = &self.signer else {
            return Err(Failure::unavailable("tokens cannot be issued: --service-account-signing-key-file is not set"));
        };
        let reference = |bound: &Bound| Reference { name: bound.name.clone(), uid: bound.uid.clone() };
        let bound_to = |kind: &str| grant.bound.as_ref().filter(|bound| bound.kind == kind).map(reference);
        let node_of_pod = grant.bound.as_ref().filter(|bound| !bound.node.is_empty());
        let claims = Claims {
            aud: grant.audiences.clone(),
            exp: now + grant.seconds,
            iat: now,
            iss: self.issuer.clone(),
            jti: uuid::Uuid::new_v4().to_string(),
            kubernetes: Identity {
                namespace: grant.namespace.clone(),
                node: bound_to("Node")
                    .or_else(|| node_of_pod.map(|bound| Reference { name: bound.node.clone(), uid: String::new() })),
                pod: bound_to("Pod"),
                secret: bound_to("Secret"),
                serviceaccount: Reference { name: grant.name.clone(), uid: grant.uid.clone() },
            },
            nbf: now,
            sub: format!("system:serviceaccount:{}:{}", grant.namespace, grant.name),
        };
        // Others find the key by its id (`openid/v1/jwks`).
        let header = Header { kid: Some(id.clone()), typ: None, ..Header::new(*algorithm) };
        jsonwebtoken::encode(&header, &claims, key).map_err(Failure::internal)
    }

    /// Checks signature, issuer, time and audience; the account may be gone nevertheless.
    pub fn verify(&self, token: &str, audiences: &[String], now: i64) -> Result<Claims> {
        for Verifier { algorithm, key, .. } in &self.verifiers {
            let mut validation = Validation::new(*algorithm);
            validation.leeway = LEEWAY_S;
            validation.validate_exp = false;
            validation.set_issuer(&[&self.issuer]);
            validation.set_audience(audiences);
            let Ok(data) = jsonwebtoken::decode::<Claims>(token, key, &validation) else { continue };
            let claims = data.claims;
            let leeway = LEEWAY_S as i64;
            if claims.exp.saturating_add(leeway) < now || claims.nbf.saturating_sub(leeway) > now {
                return Err(Failure::unauthorized());
            }
            return Ok(claims);
        }
        Err(Failure::unauthorized())
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| anyhow::anyhow!("cannot read {}: {error}", path.display()))
}

/// A private key as signer and verifier.
fn pair(pem: &[u8]) -> Option<(EncodingKey, Verifier)> {
    if let Ok(signer) = EncodingKey::from_ec_pem(pem) {
        let point = ec_public(pem)?;
        let key = DecodingKey::from_ec_der(&point);
        return Some((signer, Verifier { algorithm: Algorithm::ES256, key, shared: Shared::of_p256(&point) }));
    }
    let signer = EncodingKey::from_rsa_pem(pem).ok()?;
    let public = rsa_public(pem)?;
    let key = DecodingKey::from_rsa_der(&public);
    Some((signer, Verifier { algorithm: Algorithm::RS256, key, shared: Shared::of_rsa(&public) }))
}

fn ec_public(pem: &[u8]) -> Option<Vec<u8>> {
    let der = rustls_pemfile::pkcs8_private_keys(&mut &*pem).next()?.ok()?;
    let random = ring::rand::SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &random).ok()?;
    Some(pair.public_key().as_ref().to_vec())
}

fn rsa_public(pem: &[u8]) -> Option<Vec<u8>> {
    let pair = match rustls_pemfile::private_key(&mut &*pem).ok()?? {
        rustls_pki_types::PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()?,
        rustls_pki_types::PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok()?,
        _ => return None,
    };
    Some(pair.public_key().as_ref().to_vec())
}

/// The key of a PEM file: public, or the public half of a private one.
fn public_keys(pem: &[u8]) -> Vec<Verifier> {
    let with = |algorithm, key| Some(Verifier { algorithm, key, shared: shared(pem)? });
    let found = if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        with(Algorithm::ES256, key)
    } else if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        with(Algorithm::RS256, key)
    } else {
        pair(pem).map(|(_, verifier)| verifier)
    };
    found.into_iter().collect()
}

/// The public key of a PEM file that holds one.
fn shared(pem: &[u8]) -> Option<Shared> {
    let text = std::str::from_utf8(pem).ok()?;
    let block = |name: &str| {
        let (_, rest) = text.split_once(&format!("-----BEGIN {name}-----"))?;
        let (content, _) = rest.split_once("-----END ")?;
        STANDARD.decode(content.split_whitespace().collect::<String>()).ok()
    };
    match block("PUBLIC KEY") {
        Some(info) => Some(Shared::of_info(&info)),
        None => block("RSA PUBLIC KEY").map(|key| Shared::of_rsa(&key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(audiences: &[String]) -> (tempfile::TempDir, Tokens) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("sa.key");
        let key = rcgen::KeyPair::generate().expect("a P-256 key");
        std::fs::write(&path, key.serialize_pem()).expect("written");
        let none: [&Path; 0] = [];
        let tokens = Tokens::load("https://issuer", audiences, Some(&path), &none).expect("a good key");
        (folder, tokens)
    }

    fn grant(audiences: &[String]) -> Grant {
        Grant {
            namespace: "default".into(),
            name: "builder".into(),
            uid: "u1".into(),
            audiences: audiences.to_vec(),
            seconds: 600,
            bound: Some(Bound { kind: "Pod".into(), name: "p".into(), uid: "u2".into(), node: "n1".into() }),
        }
    }

    #[test]
    fn a_token_is_what_was_granted_until_it_expires() {
        let (_folder, tokens) = tokens(&[]);
        let audiences = tokens.audiences().to_vec();
        let token = tokens.issue(&grant(&audiences), 1000).expect("issued");
        let claims = tokens.verify(&token, &audiences, 1100).expect("valid");
        assert_eq!(claims.kubernetes.serviceaccount.name, "builder");
        assert_eq!(claims.kubernetes.pod.map(|pod| pod.uid), Some("u2".to_owned()));
        assert_eq!(claims.kubernetes.node.map(|node| node.name), Some("n1".to_owned()));
        assert_eq!(tokens.verify(&token, &audiences, 1700).expect_err("expired").code(), 401);
        assert_eq!(tokens.verify(&token, &["other".to_owned()], 1100).expect_err("not for it").code(), 401);
    }

    #[test]
    fn a_forged_token_is_nobody() {
        let (_folder, ours) = tokens(&[]);
        let (_other, theirs) = tokens(&[]);
        let audiences = ours.audiences().to_vec();
        let token = theirs.issue(&grant(&audiences), 1000).expect("issued");
        assert_eq!(ours.verify(&token, &audiences, 1000).expect_err("another key").code(), 401);
        assert_eq!(ours.verify("banana", &audiences, 1000).expect_err("no token").code(), 401);
    }
}
