//! kubeconfig files: one user, one cluster, one context.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::pki::{Authority, Pki, write_whole};

/// Writes a kubeconfig that names certificate files, so that a renewed certificate is used at once.
pub fn write_with_files(target: &Path, server: &str, pki: &Pki, user: &str) -> Result<()> {
    write(
        target,
        user,
        json!({"server": server, "certificate-authority": pki.authority(Authority::Cluster)}),
        json!({"client-certificate": pki.certificate(user), "client-key": pki.key(user)}),
    )
}

/// Writes a kubeconfig that holds its certificates, so that it may be copied elsewhere.
pub fn write_with_data(target: &Path, server: &str, pki: &Pki, user: &str) -> Result<()> {
    write(
        target,
        user,
        json!({"server": server, "certificate-authority-data": encoded(&pki.authority(Authority::Cluster))?}),
        json!({
            "client-certificate-data": encoded(&pki.certificate(user))?,
            "client-key-data": encoded(&pki.key(user))?,
        }),
    )
}

/// JSON is YAML, and every reader of kubeconfig files takes it.
fn write(target: &Path, user: &str, cluster: serde_json::Value, credentials: serde_json::Value) -> Result<()> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "keelson", "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": "keelson", "context": {"cluster": "keelson", "user": user}}],
        "current-context": "keelson",
        "preferences": {},
    });
    let folder = target.parent().context("a kubeconfig lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let mut text = serde_json::to_vec_pretty(&config)?;
    text.push(b'\n');
    // Left alone when nothing changed: daemons read their file again when it changes.
    if fs::read(target).is_ok_and(|old| old == text) {
        return Ok(());
    }
    write_whole(target, &text, 0o600)
}

fn encoded(file: &Path) -> Result<String> {
    Ok(STANDARD.encode(fs::read(file).with_context(|| format!("reading {}", file.display()))?))
}
