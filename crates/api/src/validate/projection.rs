//! Validation of projected volumes: several sources in one folder.

use std::collections::BTreeSet;

use proto::core::v1::{KeyToPath, ProjectedVolumeSource, VolumeProjection};
use proto::reflect::{Ref, Reflect};

use super::check::{Errors, local_free_path, mode, required};
use super::volume::{files, items};
use super::{FieldError, Path};

/// Shortest life of a token, in seconds.
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;

pub fn projected(errors: &mut Errors, path: Path<'_>, projected: &ProjectedVolumeSource) {
    mode(errors, path.child("defaultMode"), projected.default_mode);
    let sources = path.child("sources");
    let mut taken = BTreeSet::new();
    for (index, source) in projected.sources.iter().enumerate() {
        let at = sources.index(index);
        self::source(errors, path, at, source);
        for (file, shown) in paths(source) {
            if !file.is_empty() && !taken.insert(file) {
                errors.push(FieldError::invalid(path, shown, "conflicting duplicate paths"));
            }
        }
        let fields = source.message().fields.len();
        if (0..fields).filter(|index| !matches!(source.get(*index), Ref::Unset)).count() > 1 {
            errors.push(FieldError::forbidden(at, "may not specify more than 1 volume type per source"));
        }
    }
}

/// The files that a source makes, and what an error shows of each. A token's is not compared, as upstream.
fn paths(source: &VolumeProjection) -> Vec<(&str, &str)> {
    fn of_items<'s>(items: &'s [KeyToPath], name: &'s str) -> impl Iterator<Item = (&'s str, &'s str)> {
        items.iter().map(move |item| (item.path.as_str(), name))
    }
    let mut found = Vec::new();
    if let Some(secret) = &source.secret {
        found.extend(of_items(&secret.items, &secret.local_object_reference.name));
    }
    if let Some(map) = &source.config_map {
        found.extend(of_items(&map.items, &map.local_object_reference.name));
    }
    if let Some(api) = &source.downward_api {
        found.extend(api.items.iter().map(|file| (file.path.as_str(), file.path.as_str())));
    }
    found
}

fn source(errors: &mut Errors, volume: Path<'_>, path: Path<'_>, source: &VolumeProjection) {
    if let Some(secret) = &source.secret {
        let path = path.child("secret");
        required(errors, path.child("name"), &secret.local_object_reference.name);
        items(errors, path.child("items"), &secret.items);
    }
    if let Some(map) = &source.config_map {
        let path = path.child("configMap");
        required(errors, path.child("name"), &map.local_object_reference.name);
        items(errors, path.child("items"), &map.items);
    }
    if let Some(api) = &source.downward_api {
        files(errors, path.child("downwardAPI"), &api.items);
    }
    if let Some(token) = &source.service_account_token {
        let path = path.child("serviceAccountToken");
        let seconds = token.expiration_seconds.unwrap_or(3600);
        if seconds < TOKEN_SECONDS_MIN {
            let why = "may not specify a duration less than 10 minutes";
            errors.push(FieldError::invalid(path.child("expirationSeconds"), seconds, why));
        }
        if seconds > TOKEN_SECONDS_MAX {
            let why = "may not specify a duration larger than 2^32 seconds";
            errors.push(FieldError::invalid(path.child("expirationSeconds"), seconds, why));
        }
        // Upstream names the path as one of the volume's.
        if token.path.is_empty() {
            errors.push(FieldError::required(volume.child("path"), ""));
        } else {
            local_free_path(errors, volume.child("path"), &token.path);
        }
    }
}
