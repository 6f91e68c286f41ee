//! Public keys that tokens are checked with, as others learn of them: JSON Web Keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// What DER says before an RSA key (`rsaEncryption`, no parameters) and before a point on P-256.
const RSA_ALGORITHM: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const P256_ALGORITHM: [u8; 21] = [
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];

/// A key as DER writes it with its algorithm: SubjectPublicKeyInfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared(Vec<u8>);

impl Shared {
    /// Of a PEM block's content: a key with its algorithm.
    pub fn of_info(der: &[u8]) -> Self {
        Self(der.to_vec())
    }

    /// Of an RSA key without (PKCS #1).
    pub fn of_rsa(der: &[u8]) -> Self {
        Self(info(&RSA_ALGORITHM, der))
    }

    /// Of a point on P-256, uncompressed.
    pub fn of_p256(point: &[u8]) -> Self {
        Self(info(&P256_ALGORITHM, point))
    }

    /// What tokens name the key by, as upstream makes it: the digest of its DER form.
    pub fn id(&self) -> String {
        URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, &self.0))
    }

    /// The algorithm of its signatures.
    pub fn algorithm(&self) -> Option<&'static str> {
        match SubjectPublicKeyInfo::from_der(&self.0).ok()?.1.parsed().ok()? {
            PublicKey::RSA(_) => Some("RS256"),
            PublicKey::EC(_) => Some("ES256"),
            _ => None,
        }
    }

    /// As a JSON Web Key. `None`: it is of a kind that signs no tokens here.
    pub fn jwk(&self) -> Option<Value> {
        let (_, info) = SubjectPublicKeyInfo::from_der(&self.0).ok()?;
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match info.parsed().ok()? {
            PublicKey::RSA(key) => {
                let number = |bytes: &[u8]| text(&bytes[bytes.iter().take_while(|byte| **byte == 0).count()..]);
                Some(json!({
                    "use": "sig", "kty": "RSA", "kid": self.id(), "alg": "RS256",
                    "n": number(key.modulus), "e": number(key.exponent),
                }))
            }
            PublicKey::EC(point) => {
                // 4 stands for a point with both coordinates.
                let (x, y) = point.data().strip_prefix(&[4]).filter(|both| both.len() == 64)?.split_at(32);
                Some(json!({
                    "use": "sig", "kty": "EC", "kid": self.id(), "crv": "P-256", "alg": "ES256",
                    "x": text(x), "y": text(y),
                }))
            }
            _ => None,
        }
    }
}

fn info(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    let mut bits = vec![0];
    bits.extend_from_slice(key);
    let mut content = algorithm.to_vec();
    content.extend(tagged(BIT_STRING, &bits));
    tagged(SEQUENCE, &content)
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let length = content.len().to_be_bytes();
            let digits = &length[length.iter().take_while(|byte| **byte == 0).count()..];
            out.push(0x80 | digits.len() as u8);
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use rcgen::PublicKeyData;

    use super::*;

    #[test]
    fn a_point_is_told_by_its_coordinates() {
        let key = rcgen::KeyPair::generate().expect("a P-256 key");
        let point = key.public_key_raw();
        let shared = Shared::of_p256(point);
        assert_eq!(shared.0, key.subject_public_key_info(), "the form is that of others");
        let jwk = shared.jwk().expect("a key");
        assert_eq!((jwk["kty"].as_str(), jwk["alg"].as_str()), (Some("EC"), Some("ES256")));
        let x = URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap()).expect("base64");
        assert_eq!(x, point[1..33]);
        assert_eq!(jwk["kid"], shared.id());
    }

    #[test]
    fn damaged_keys_are_none() {
        let key = rcgen::KeyPair::generate().expect("a P-256 key");
        testkit::fuzz::damaged(2_000, &[&key.subject_public_key_info()], |bytes| {
            let shared = Shared::of_info(bytes);
            let _ = (shared.jwk(), shared.algorithm());
        });
        assert_eq!(Shared::of_info(b"nothing").jwk(), None);
    }
}
