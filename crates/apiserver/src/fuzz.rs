//! What clients send beside messages: continue tokens and service account tokens, damaged.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use testkit::fuzz::damaged;

use crate::audit::{Audit, Origin};
use crate::authenticate::User;
use crate::authenticate::token::{Grant, Tokens};
use crate::authorize::Attributes;
use crate::verbs::page_token::{NEWEST, PageToken};

const ISSUER: &str = "https://issuer";
/// A time at which the tokens are valid.
const NOW: i64 = 1_000;

fn page(text: &str) {
    match PageToken::decode(text) {
        Ok(token) => {
            assert!(!token.start.starts_with('/') && !token.start.split('/').any(|part| part == ".."), "{token:?}");
            assert_eq!(PageToken::decode(&token.encode()).ok(), Some(token));
        }
        Err(failure) => assert_eq!(failure.code(), 400),
    }
}

#[test]
fn continue_tokens() {
    let good = [PageToken::after("default/a", 42), PageToken::after("a", NEWEST)].map(|token| token.encode());
    let json = br#"{"v":"meta.k8s.io/v1","rv":42,"start":"default/a\u0000"}"#;
    let examples: [&[u8]; 3] = [good[0].as_bytes(), good[1].as_bytes(), json];
    damaged(3_000, &examples, |bytes| {
        page(&String::from_utf8_lossy(bytes));
        // As a forger would: what is inside is damaged.
        page(&URL_SAFE_NO_PAD.encode(bytes));
    });
}

#[test]
fn objects_in_audit_events() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let policy = folder.path().join("policy.yaml");
    let text =
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitManagedFields: true\nrules: [{level: RequestResponse}]\n";
    std::fs::write(&policy, text).expect("written");
    let log = crate::audit::log::Settings { path: folder.path().join("log"), size_mib: 0, backups: 0, age_days: 0 };
    let audit = Audit::load(&crate::audit::Settings { policy, log }).expect("a policy and a log");
    let examples: [&[u8]; 2] = [
        br#"{"metadata":{"name":"a","managedFields":[{}]},"items":[{"metadata":{"managedFields":[]}},1]}"#,
        br#"{"kind":"Status","metadata":{},"code":404,"items":{"metadata":[]}}"#,
    ];
    damaged(3_000, &examples, |bytes| {
        let origin = Origin::of("id", "/api", &http::HeaderMap::new(), None);
        let told = audit.draft(origin, &User::default(), &Attributes::default());
        let mut told = told.expect("the policy tells of everything");
        told.request(bytes);
        told.answer(bytes);
        told.received();
    });
}

struct Issuer {
    tokens: Tokens,
    key: EncodingKey,
    _folder: tempfile::TempDir,
}

fn issuer() -> Issuer {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("sa.key");
    let pem = rcgen::KeyPair::generate().expect("a P-256 key").serialize_pem();
    std::fs::write(&path, &pem).expect("written");
    let none: [&std::path::Path; 0] = [];
    let tokens = Tokens::load(ISSUER, &[], Some(&path), &none).expect("a good key");
    Issuer { tokens, key: EncodingKey::from_ec_pem(pem.as_bytes()).expect("the same key"), _folder: folder }
}

#[test]
fn service_account_tokens() {
    let issuer = issuer();
    let audiences = issuer.tokens.audiences().to_vec();
    let grant = Grant {
        namespace: "default".into(),
        name: "builder".into(),
        uid: "u1".into(),
        audiences: audiences.clone(),
        seconds: 600,
        bound: None,
    };
    let good = issuer.tokens.issue(&grant, NOW).expect("issued");
    damaged(400, &[good.as_bytes(), b"a.b.c"], |bytes| {
        match issuer.tokens.verify(&String::from_utf8_lossy(bytes), &audiences, NOW) {
            // What was signed is what was granted, however its text was bent.
            Ok(claims) => assert_eq!(claims.kubernetes.serviceaccount.name, "builder"),
            Err(failure) => assert_eq!(failure.code(), 401),
        }
    });
}

/// Another issuer that holds a key of ours may write any claims.
#[test]
fn claims_of_signed_tokens() {
    let issuer = issuer();
    let audiences = issuer.tokens.audiences().to_vec();
    let good = br#"{"aud":["https://issuer"],"exp":1600,"iat":1000,"iss":"https://issuer","jti":"j","kubernetes.io":{"namespace":"default","node":{"name":"n"},"pod":{"name":"p","uid":"u2"},"secret":{"name":"s"},"serviceaccount":{"name":"builder","uid":"u1"}},"nbf":1000,"sub":"system:serviceaccount:default:builder"}"#;
    let late = br#"{"aud":["https://issuer"],"exp":9223372036854775807,"iat":0,"iss":"https://issuer","kubernetes.io":{"namespace":"","serviceaccount":{"name":""}},"nbf":-9223372036854775808,"sub":""}"#;
    damaged(400, &[good, late], |bytes| {
        let Ok(claims) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
        let header = Header::new(Algorithm::ES256);
        let Ok(token) = jsonwebtoken::encode(&header, &claims, &issuer.key) else { return };
        if let Err(failure) = issuer.tokens.verify(&token, &audiences, NOW) {
            assert_eq!(failure.code(), 401);
        }
    });
}
