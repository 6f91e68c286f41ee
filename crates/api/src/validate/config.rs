//! Validation of ConfigMaps and Secrets.

use std::collections::BTreeMap;

use proto::core::v1::{ConfigMap, Secret};

use super::check::{Errors, shape};
use super::{FieldError, Path};
use crate::name;

/// All values together.
const BYTES_MAX: usize = 1024 * 1024;
/// The object itself, as upstream names it in errors.
const WHOLE: Path<'static> = Path::root("[]");
const DATA: Path<'static> = Path::root("data");
const IMMUTABLE: Path<'static> = Path::root("immutable");
const FIXED: &str = "field is immutable when `immutable` is set";

pub fn config_map(errors: &mut Errors, map: &ConfigMap) {
    for key in map.data.keys() {
        shape(errors, DATA.key(key), key, name::config_key);
        if map.binary_data.contains_key(key) {
            errors.push(FieldError::invalid(DATA.key(key), key, "duplicate of key present in binaryData"));
        }
    }
    for key in map.binary_data.keys() {
        shape(errors, Path::root("binaryData").key(key), key, name::config_key);
    }
    let size =
        map.data.values().map(String::len).sum::<usize>() + map.binary_data.values().map(Vec::len).sum::<usize>();
    if size > BYTES_MAX {
        errors.push(FieldError::too_long(WHOLE, BYTES_MAX));
    }
}

pub fn config_map_update(errors: &mut Errors, new: &ConfigMap, old: &ConfigMap) {
    if old.immutable == Some(true) {
        frozen(errors, new.immutable);
        if new.data != old.data {
            errors.push(FieldError::forbidden(DATA, FIXED));
        }
        if new.binary_data != old.binary_data {
            errors.push(FieldError::forbidden(Path::root("binaryData"), FIXED));
        }
    }
    config_map(errors, new);
}

/// What was frozen stays frozen.
fn frozen(errors: &mut Errors, immutable: Option<bool>) {
    if immutable != Some(true) {
        errors.push(FieldError::forbidden(IMMUTABLE, FIXED));
    }
}

pub fn secret(errors: &mut Errors, secret: &Secret) {
    for key in secret.data.keys() {
        shape(errors, DATA.key(key), key, name::config_key);
    }
    if secret.data.values().map(Vec::len).sum::<usize>() > BYTES_MAX {
        errors.push(FieldError::too_long(DATA, BYTES_MAX));
    }
    let mut must_have = |keys: &[&str]| {
        for key in keys.iter().filter(|key| !secret.data.contains_key(**key)) {
            errors.push(FieldError::required(DATA.key(key), ""));
        }
    };
    match secret.r#type.as_str() {
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            if secret.metadata.annotations.get(key).is_none_or(String::is_empty) {
                let annotations = Path::root("metadata");
                errors.push(FieldError::required(annotations.child("annotations").key(key), ""));
            }
        }
        "kubernetes.io/dockercfg" => docker(errors, &secret.data, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => docker(errors, &secret.data, ".dockerconfigjson"),
        // One of the two is enough.
        "kubernetes.io/basic-auth"
            if !secret.data.contains_key("username") && !secret.data.contains_key("password") =>
        {
            must_have(&["username", "password"]);
        }
        "kubernetes.io/ssh-auth" if secret.data.get("ssh-privatekey").is_none_or(Vec::is_empty) => {
            errors.push(FieldError::required(DATA.key("ssh-privatekey"), ""));
        }
        "kubernetes.io/tls" => must_have(&["tls.crt", "tls.key"]),
        _ => {}
    }
}

fn docker(errors: &mut Errors, data: &BTreeMap<String, Vec<u8>>, key: &str) {
    match data.get(key) {
        None => errors.push(FieldError::required(DATA.key(key), "")),
        Some(bytes) => {
            if let Err(error) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes) {
                errors.push(FieldError::invalid(DATA.key(key), "<secret contents redacted>", error.to_string()));
            }
        }
    }
}

pub fn secret_update(errors: &mut Errors, new: &Secret, old: &Secret) {
    if new.r#type != old.r#type {
        errors.push(FieldError::invalid(Path::root("type"), &new.r#type, "field is immutable"));
    }
    if old.immutable == Some(true) {
        frozen(errors, new.immutable);
        if new.data != old.data {
            errors.push(FieldError::forbidden(DATA, FIXED));
        }
    }
    secret(errors, new);
}
