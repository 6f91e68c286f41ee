//! Validation of CertificateSigningRequests.

use base64::Engine as _;
use proto::certificates::v1::CertificateSigningRequest;

use super::check::{Errors, one_of};
use super::{FieldError, Path};
use crate::name;

const SPEC: Path<'static> = Path::root("spec");
const EXPIRATION_SECONDS_MIN: i32 = 600;
const SIGNER_BYTES_MAX: usize = 571;
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

pub fn create(errors: &mut Errors, request: &CertificateSigningRequest) {
    let spec = &request.spec;
    if let Some(why) = wrong_pem(&spec.request, "CERTIFICATE REQUEST") {
        let shown = base64::engine::general_purpose::STANDARD.encode(&spec.request);
        errors.push(FieldError::invalid(SPEC.child("request"), shown.as_str(), why));
    }
    let path = SPEC.child("usages");
    if spec.usages.is_empty() {
        errors.push(FieldError::required(path, "usages is required"));
    }
    for (index, usage) in spec.usages.iter().enumerate() {
        one_of(errors, path.index(index), usage, USAGES);
    }
    for (index, usage) in spec.usages.iter().enumerate() {
        if spec.usages[..index].contains(usage) {
            errors.push(FieldError::duplicate(path.index(index), usage));
        }
    }
    let path = SPEC.child("signerName");
    if spec.signer_name == "kubernetes.io/legacy-unknown" {
        let why = "the legacy signerName is not allowed via this API version";
        errors.push(FieldError::invalid(path, &spec.signer_name, why));
    } else {
        signer_name(errors, path, &spec.signer_name);
    }
    if let Some(seconds) = spec.expiration_seconds.filter(|seconds| *seconds < EXPIRATION_SECONDS_MIN) {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(SPEC.child("expirationSeconds"), seconds, why));
    }
}

/// What is wrong with one PEM block of that type that holds DER; `None`: nothing.
fn wrong_pem(bytes: &[u8], kind: &str) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let not = format!("PEM block type must be {kind}");
    let Some((_, rest)) = text.split_once(&format!("-----BEGIN {kind}-----")) else { return Some(not) };
    let Some((body, _)) = rest.split_once(&format!("-----END {kind}-----")) else { return Some(not) };
    let packed: String = body.split_whitespace().collect();
    let Ok(der) = base64::engine::general_purpose::STANDARD.decode(packed) else { return Some(not) };
    (!is_der_sequence(&der)).then(|| "asn1: structure error: malformed certificate request".to_owned())
}

/// One sequence that is as long as it says.
fn is_der_sequence(der: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = der else { return false };
    match *length {
        short if short < 0x80 => rest.len() == usize::from(short),
        long => {
            let count = usize::from(long & 0x7f);
            let (Some(bytes), true) = (rest.get(..count), (1..=4).contains(&count)) else { return false };
            let length = bytes.iter().fold(0usize, |length, byte| (length << 8) | usize::from(*byte));
            rest.len() - count == length
        }
    }
}

/// `example.com/name`, with a domain of at least two parts.
fn signer_name(errors: &mut Errors, path: Path<'_>, text: &str) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let parts: Vec<&str> = text.split('/').collect();
    let [domain, name] = parts.as_slice() else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(FieldError::invalid(path, text, why));
        return;
    };
    let wrong = name::dns_subdomain(domain);
    if wrong.is_empty() && domain.split('.').count() < 2 {
        let why = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, *domain, why));
    }
    errors.extend(wrong.into_iter().map(|why| FieldError::invalid(path, *domain, why)));
    for why in name::dns_subdomain(name) {
        errors.push(FieldError::invalid(path, *name, why));
    }
    if text.len() > SIGNER_BYTES_MAX {
        errors.push(FieldError::too_long(path, SIGNER_BYTES_MAX));
    }
}

/// A decision, once made, stays; so does the certificate.
pub fn update_status(errors: &mut Errors, new: &CertificateSigningRequest, old: &CertificateSigningRequest) {
    let path = Path::root("status");
    if !old.status.certificate.is_empty() && new.status.certificate != old.status.certificate {
        let why = "updates may not set certificate content once it is set";
        errors.push(FieldError::forbidden(path.child("certificate"), why));
    }
    let conditions = path.child("conditions");
    for (index, condition) in new.status.conditions.iter().enumerate() {
        let path = conditions.index(index);
        let kind = &condition.r#type;
        if kind.is_empty() {
            errors.push(FieldError::required(path.child("type"), ""));
        }
        let statuses: &[&str] = match kind.as_str() {
            "Approved" | "Denied" | "Failed" => &["True"],
            _ => &["False", "True", "Unknown"],
        };
        one_of(errors, path.child("status"), &condition.status, statuses);
        if new.status.conditions[..index].iter().any(|other| other.r#type == *kind) {
            errors.push(FieldError::duplicate(path.child("type"), kind));
        }
    }
    let has = |request: &CertificateSigningRequest, kind: &str| {
        request.status.conditions.iter().any(|condition| condition.r#type == kind)
    };
    if has(new, "Approved") && has(new, "Denied") {
        let why = "Approved and Denied conditions are mutually exclusive";
        errors.push(FieldError::invalid(conditions, "Denied", why));
    }
    for kind in ["Approved", "Denied", "Failed"] {
        if has(old, kind) && !has(new, kind) {
            let why = format!("updates may not remove a condition of type {kind:?}");
            errors.push(FieldError::forbidden(conditions, why));
        }
    }
}
