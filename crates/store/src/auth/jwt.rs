//! Tokens that say themselves who holds them: JSON web tokens, signed by a key that all members have.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::signature::{self, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

/// etcd's.
const TTL: Duration = Duration::from_secs(300);

/// What `--auth-token=jwt,...` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub algorithm: Algorithm,
    pub public_key: Option<PathBuf>,
    pub private_key: Option<PathBuf>,
    pub ttl: Duration,
}

/// Why tokens cannot be signed or checked as the flag says.
#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    #[error("--auth-token: {0:?} is not simple, nor jwt,sign-method=METHOD,pub-key=FILE,priv-key=FILE,ttl=DURATION")]
    Form(String),
    #[error(
        "--auth-token: sign-method {0:?} is none of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, HS256, HS384, HS512"
    )]
    Method(String),
    #[error("--auth-token: ttl {0:?} is no duration, such as 10m")]
    Ttl(String),
    #[error("--auth-token: sign-method {method} needs {needed}")]
    NoKey { method: String, needed: &'static str },
    #[error("--auth-token: the key {path} cannot be read")]
    Read {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("--auth-token: {path} holds no key for {method}: {reason}")]
    Key { path: String, method: String, reason: String },
}

impl Options {
    /// The words after `jwt`.
    pub fn parse(words: &str) -> Result<Self, JwtError> {
        let (mut algorithm, mut public_key, mut private_key, mut ttl) = (None, None, None, TTL);
        for word in words.split(',').filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').ok_or_else(|| JwtError::Form(word.to_owned()))?;
            match name {
                "sign-method" => {
                    algorithm = Some(value.parse().map_err(|_| JwtError::Method(value.to_owned()))?);
                }
                "pub-key" => public_key = Some(PathBuf::from(value)),
                "priv-key" => private_key = Some(PathBuf::from(value)),
                "ttl" => ttl = crate::config::duration(value).map_err(|_| JwtError::Ttl(value.to_owned()))?,
                _ => return Err(JwtError::Form(word.to_owned())),
            }
        }
        let algorithm = algorithm.ok_or_else(|| JwtError::Method(String::new()))?;
        Ok(Self { algorithm, public_key, private_key, ttl })
    }

    fn method(&self) -> String {
        format!("{:?}", self.algorithm)
    }
}

/// What a token says; the names are etcd's.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    username: String,
    revision: u64,
    exp: u64,
}

/// Signs and checks tokens.
pub struct Jwt {
    algorithm: Algorithm,
    ttl: Duration,
    /// None: tokens are only checked here.
    sign: Option<EncodingKey>,
    check: DecodingKey,
}

impl Jwt {
    pub fn load(options: &Options) -> Result<Self, JwtError> {
        let private = options.private_key.as_deref().map(read).transpose()?;
        let (sign, check) = match Family::of(options.algorithm) {
            Family::Secret => {
                let needed = "priv-key, a file with the secret";
                let secret = private.ok_or(JwtError::NoKey { method: options.method(), needed })?;
                (Some(EncodingKey::from_secret(&secret)), DecodingKey::from_secret(&secret))
            }
            family => pair(options, family, private)?,
        };
        Ok(Self { algorithm: options.algorithm, ttl: options.ttl, sign, check })
    }

    /// A token for a user at a revision of users and roles; none where there is no key to sign.
    pub fn sign(&self, user: &str, revision: u64) -> Option<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = Claims { username: user.to_owned(), revision, exp: (now + self.ttl).as_secs() };
        jsonwebtoken::encode(&Header::new(self.algorithm), &claims, self.sign.as_ref()?).ok()
    }

    /// Who holds the token, and at which revision it was signed.
    pub fn check(&self, token: &str) -> Option<(String, u64)> {
        let mut validation = Validation::new(self.algorithm);
        validation.leeway = 0;
        validation.validate_aud = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.check, &validation).ok()?.claims;
        Some((claims.username, claims.revision))
    }
}

#[derive(Clone, Copy)]
enum Family {
    Secret,
    Rsa,
    Ec,
    Ed,
}

impl Family {
    fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Self::Secret,
            Algorithm::ES256 | Algorithm::ES384 => Self::Ec,
            Algorithm::EdDSA => Self::Ed,
            _ => Self::Rsa,
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, JwtError> {
    std::fs::read(path).map_err(|source| JwtError::Read { path: path.display().to_string(), source })
}

fn pair(
    options: &Options,
    family: Family,
    private: Option<Vec<u8>>,
) -> Result<(Option<EncodingKey>, DecodingKey), JwtError> {
    let bad = |path: &Option<PathBuf>, reason: String| JwtError::Key {
        path: path.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        method: options.method(),
        reason,
    };
    let sign = match &private {
        None => None,
        Some(pem) => {
            let key = match family {
                Family::Rsa => EncodingKey::from_rsa_pem(pem),
                Family::Ec => EncodingKey::from_ec_pem(pem),
                _ => EncodingKey::from_ed_pem(pem),
            };
            Some(key.map_err(|error| bad(&options.private_key, format!("{error}; it must be PKCS#8 in PEM form")))?)
        }
    };
    let check = match (&options.public_key, &private) {
        (Some(path), _) => {
            let pem = read(path)?;
            let key = match family {
                Family::Rsa => DecodingKey::from_rsa_pem(&pem),
                Family::Ec => DecodingKey::from_ec_pem(&pem),
                _ => DecodingKey::from_ed_pem(&pem),
            };
            key.map_err(|error| bad(&options.public_key, error.to_string()))?
        }
        (None, Some(pem)) => {
            public_of(options.algorithm, family, pem).map_err(|reason| bad(&options.private_key, reason))?
        }
        (None, None) => {
            return Err(JwtError::NoKey { method: options.method(), needed: "pub-key, or priv-key, or both" });
        }
    };
    Ok((sign, check))
}

/// The public half of a private key.
fn public_of(algorithm: Algorithm, family: Family, pem: &[u8]) -> Result<DecodingKey, String> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| error.to_string())?;
    let der = key.secret_der();
    let rejected = |error: ring::error::KeyRejected| error.to_string();
    match family {
        Family::Rsa => {
            let pair = match &key {
                PrivateKeyDer::Pkcs1(_) => signature::RsaKeyPair::from_der(der),
                _ => signature::RsaKeyPair::from_pkcs8(der),
            };
            Ok(DecodingKey::from_rsa_der(pair.map_err(rejected)?.public_key().as_ref()))
        }
        Family::Ec => {
            let curve = match algorithm {
                Algorithm::ES256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                _ => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            };
            let pair = signature::EcdsaKeyPair::from_pkcs8(curve, der, &ring::rand::SystemRandom::new());
            Ok(DecodingKey::from_ec_der(pair.map_err(rejected)?.public_key().as_ref()))
        }
        _ => {
            let pair = signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(rejected)?;
            Ok(DecodingKey::from_ed_der(pair.public_key().as_ref()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(folder: &Path, ttl: &str) -> Jwt {
        let file = folder.join("secret");
        std::fs::write(&file, "0123456789abcdef0123456789abcdef").expect("a file");
        let words = format!("sign-method=HS256,priv-key={},ttl={ttl}", file.display());
        Jwt::load(&Options::parse(&words).expect("options")).expect("a key")
    }

    #[tokio::test]
    async fn a_token_tells_its_user_and_revision_until_it_runs_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let jwt = secret(folder.path(), "10m");
        let token = jwt.sign("ann", 7).expect("a token");
        assert_eq!(jwt.check(&token), Some(("ann".to_owned(), 7)));
        let mut forged = token.clone();
        forged.replace_range(token.len() - 4.., "AAAA");
        assert_eq!(jwt.check(&forged), None);
        assert_eq!(jwt.check("no.such.token"), None);
        let short = secret(folder.path(), "1ms");
        let token = short.sign("ann", 7).expect("a token");
        // The token's clock is the world's, in whole seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(short.check(&token), None);
    }

    #[test]
    fn a_private_key_alone_checks_what_it_signed() {
        let folder = tempfile::tempdir().expect("a folder");
        let random = ring::rand::SystemRandom::new();
        let es256 = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let ec = signature::EcdsaKeyPair::generate_pkcs8(es256, &random).expect("a key");
        let ed = signature::Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        for (method, der) in [("ES256", ec.as_ref()), ("EdDSA", ed.as_ref())] {
            use base64::Engine;
            let text = base64::engine::general_purpose::STANDARD.encode(der);
            let file = folder.path().join(method);
            std::fs::write(&file, format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"))
                .expect("room");
            let words = format!("sign-method={method},priv-key={}", file.display());
            let jwt = Jwt::load(&Options::parse(&words).expect("options")).expect("a key");
            let token = jwt.sign("ann", 3).expect("a token");
            assert_eq!(jwt.check(&token), Some(("ann".to_owned(), 3)), "{method}");
        }
    }

    #[test]
    fn what_the_flag_lacks_is_named() {
        let error = |words: &str| match Options::parse(words).and_then(|options| Jwt::load(&options).map(|_| ())) {
            Err(error) => error.to_string(),
            Ok(()) => panic!("{words} is enough"),
        };
        assert!(error("").contains("sign-method"));
        assert!(error("sign-method=ES512,priv-key=/none").contains("ES512"));
        assert!(error("sign-method=RS256").contains("pub-key, or priv-key"));
        assert!(error("sign-method=RS256,pub-key=/none").contains("/none"));
        assert!(error("sign-method=RS256,color=red").contains("color=red"));
        assert!(error("sign-method=RS256,ttl=soon").contains("soon"));
    }
}
