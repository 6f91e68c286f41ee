//! Files of volumes that hide each other.

use proto::core::v1::{DownwardApiVolumeFile, KeyToPath, ProjectedVolumeSource, Volume};

use super::Warnings;
use crate::status::quoted;

/// A file in a volume.
struct File<'a> {
    path: &'a str,
    /// What it is made of: `ConfigMap "a"`.
    of: String,
    /// Which of the volume's sources.
    source: usize,
}

/// The files of a volume.
pub fn volume(warnings: &mut Warnings, volume: &Volume) {
    let source = &volume.volume_source;
    let mut files = Vec::new();
    let mut prefix = "";
    if let Some(map) = &source.config_map {
        keys(&mut files, 0, &format!("ConfigMap {}", quoted(&map.local_object_reference.name)), &map.items);
    } else if let Some(secret) = &source.secret {
        keys(&mut files, 0, &format!("Secret {}", quoted(&secret.secret_name)), &secret.items);
    } else if let Some(downward) = &source.downward_api {
        items(&mut files, 0, &downward.items);
    } else if let Some(projected) = &source.projected {
        prefix = "Projected ";
        sources(&mut files, projected);
    }
    for (index, file) in files.iter().enumerate() {
        let within = |other: &&File<'_>| overlap(file.path, other.path);
        for other in files.iter().take(index).filter(within) {
            let place = format!("volume {} ({prefix}{})", quoted(&volume.name), file.of);
            let (mine, its) = (quoted(file.path), quoted(other.path));
            if file.source == other.source {
                warnings.push(format!("{place}: overlapping paths: {mine} with {its}"));
            } else {
                warnings.push(format!("{place}: overlapping paths: {mine} with {its} of {}", other.of));
            }
        }
    }
}

/// The same path, or one within the other.
fn overlap(a: &str, b: &str) -> bool {
    let (a, b) = (a.trim_end_matches('/'), b.trim_end_matches('/'));
    let within = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    a == b || within(a, b) || within(b, a)
}

fn sources<'a>(files: &mut Vec<File<'a>>, projected: &'a ProjectedVolumeSource) {
    for (index, source) in projected.sources.iter().enumerate() {
        if let Some(secret) = &source.secret {
            let of = format!("Secret {}", quoted(&secret.local_object_reference.name));
            keys(files, index, &of, &secret.items);
        }
        if let Some(map) = &source.config_map {
            keys(files, index, &format!("ConfigMap {}", quoted(&map.local_object_reference.name)), &map.items);
        }
        if let Some(downward) = &source.downward_api {
            items(files, index, &downward.items);
        }
        if let Some(token) = &source.service_account_token {
            add(files, index, "ServiceAccountToken", &token.path);
        }
        if let Some(bundle) = &source.cluster_trust_bundle {
            add(files, index, "ClusterTrustBundle", &bundle.path);
        }
        if let Some(certificate) = &source.pod_certificate {
            for path in
                [&certificate.credential_bundle_path, &certificate.key_path, &certificate.certificate_chain_path]
            {
                add(files, index, "PodCertificate", path);
            }
        }
    }
}

fn keys<'a>(files: &mut Vec<File<'a>>, source: usize, of: &str, keys: &'a [KeyToPath]) {
    for key in keys {
        add(files, source, of, &key.path);
    }
}

fn items<'a>(files: &mut Vec<File<'a>>, source: usize, items: &'a [DownwardApiVolumeFile]) {
    for item in items {
        add(files, source, "DownwardAPI", &item.path);
    }
}

fn add<'a>(files: &mut Vec<File<'a>>, source: usize, of: &str, path: &'a str) {
    if !path.is_empty() {
        files.push(File { path, of: of.to_owned(), source });
    }
}

#[cfg(test)]
mod tests {
    use proto::core::v1::{ConfigMapVolumeSource, ServiceAccountTokenProjection, VolumeProjection};

    use super::*;

    fn told(volume: &Volume) -> Vec<String> {
        let mut warnings = Vec::new();
        self::volume(&mut warnings, volume);
        warnings
    }

    #[test]
    fn paths_overlap_by_whole_steps() {
        for (a, b, expected) in
            [("a", "a", true), ("a/b", "a", true), ("a", "a/b", true), ("ab", "a", false), ("a/b", "a/c", false)]
        {
            assert_eq!(overlap(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn overlapping_files_are_told() {
        let key = |path: &str| KeyToPath { key: "k".into(), path: path.into(), mode: None };
        let mut map =
            ConfigMapVolumeSource { items: vec![key("test"), key("test/app"), key("b")], ..Default::default() };
        map.local_object_reference.name = "one".into();
        let mut volume = Volume { name: "v".into(), ..Default::default() };
        volume.volume_source.config_map = Some(map);
        assert_eq!(told(&volume), ["volume \"v\" (ConfigMap \"one\"): overlapping paths: \"test/app\" with \"test\""]);
    }

    #[test]
    fn sources_of_one_volume_can_hide_each_other() {
        let token = || VolumeProjection {
            service_account_token: Some(ServiceAccountTokenProjection { path: "token".into(), ..Default::default() }),
            ..Default::default()
        };
        let mut volume = Volume { name: "v".into(), ..Default::default() };
        volume.volume_source.projected =
            Some(ProjectedVolumeSource { sources: vec![token(), token()], default_mode: None });
        assert_eq!(
            told(&volume),
            [
                "volume \"v\" (Projected ServiceAccountToken): overlapping paths: \"token\" with \"token\" of ServiceAccountToken"
            ]
        );
    }
}
