//! What clients send beside messages: continue tokens, service account tokens and custom objects, damaged.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proto::apiextensions::v1::CustomResourceDefinition;
use testkit::fuzz::damaged;

use crate::audit::{Audit, Origin};
use crate::authenticate::User;
use crate::authenticate::token::{Grant, Tokens};
use crate::authorize::Attributes;
use crate::custom;
use crate::registry::{Resource, rules};
use crate::storage::Record;
use crate::verbs::decode::{Body, object_of};
use crate::verbs::options::FieldValidation;
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

/// A version with everything that reads JSON: defaults, lists with keys, counts, objects within.
fn custom_resource() -> Resource {
    let schema = serde_json::json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "n": {"type": "integer", "default": 1}, "e": {"type": "string", "enum": ["A"], "pattern": "^[A-Z]$"},
            "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}},
            "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "inner": {"type": "object", "x-kubernetes-embedded-resource": true}}},
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}}}});
    let definition = serde_json::json!({"spec": {"group": "fuzz.example.com", "scope": "Namespaced",
        "names": {"plural": "odds", "kind": "Odd"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
            "subresources": {"scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.replicas"}},
            "selectableFields": [{"jsonPath": ".spec.e"}]}]}});
    let definition: CustomResourceDefinition = proto::json::from_value(definition).expect("a definition");
    let version = &definition.spec.versions[0];
    let made = custom::Version::of(&definition, version, &custom::schemas(&definition));
    Resource::of_custom(api::definition::row::of(&definition, version), Arc::new(made), Arc::default())
}

/// What is sent and what is stored of a custom resource is read or refused, and what was read says the same again.
#[test]
fn custom_objects() {
    let resource = custom_resource();
    let version = resource.custom.as_ref().expect("a custom resource");
    let good = br#"{"apiVersion":"fuzz.example.com/v1","kind":"Odd","metadata":{"name":"a","labels":{"a":"b"}},"spec":{"n":3,"e":"A","l":[{"k":"x"},{"k":"x"}],"any":{"deep":[1e9,null,-0.5,"\u00e9"]},"inner":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}},"status":{"replicas":1}}"#;
    let odd =
        br#"{"apiVersion":"fuzz.example.com/v2","kind":"Odd","spec":{"n":18446744073709551615,"n":2},"status":7}"#;
    damaged(3_000, &[good, odd], |bytes| {
        let record = Record {
            key: Bytes::from_static(b"/registry/fuzz.example.com/odds/d/a"),
            value: Bytes::copy_from_slice(bytes),
            rev: 1,
        };
        if let Ok(entry) = resource.entry(&record) {
            let object = resource.decode(&entry.bytes).expect("our own bytes");
            assert_eq!(object.encode_to_vec(), entry.bytes);
            let sealed = Record { value: resource.seal(&entry.bytes), ..record };
            assert_eq!(resource.open(&sealed).expect("sealed above"), entry.bytes);
            _ = version.scale_of(object.as_ref());
        }
        let (mut warnings, ignore) = (Vec::new(), FieldValidation::Ignore);
        if let Ok(mut object) = object_of(&resource, Body::Json(bytes), ignore, &mut warnings) {
            rules::default(&resource, object.as_mut());
            _ = rules::check_create(&resource, object.as_ref());
            _ = rules::check_update(&resource, object.as_ref(), object.as_ref());
        }
    });
}
