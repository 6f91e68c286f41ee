//! kubeconfig files: found, merged and resolved by kubectl's rules.
//!
//! `--kubeconfig`, else every file that KUBECONFIG lists (the first to name a thing wins), else `~/.kube/config`. Paths
//! within a file are relative to it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::cli::Global;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Kubeconfig {
    #[serde(rename = "apiVersion", default = "v1")]
    pub api_version: String,
    #[serde(default = "config")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub current_context: String,
    pub clusters: Vec<NamedCluster>,
    pub contexts: Vec<NamedContext>,
    pub users: Vec<NamedUser>,
}

fn v1() -> String {
    "v1".to_owned()
}

fn config() -> String {
    "Config".to_owned()
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NamedCluster {
    pub name: String,
    #[serde(default)]
    pub cluster: Cluster,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Cluster {
    pub server: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub certificate_authority: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub certificate_authority_data: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub insecure_skip_tls_verify: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tls_server_name: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NamedContext {
    pub name: String,
    #[serde(default)]
    pub context: Context_,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Context_ {
    pub cluster: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    pub user: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NamedUser {
    pub name: String,
    #[serde(default)]
    pub user: User,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct User {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_certificate: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_certificate_data: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_key_data: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub token: String,
    #[serde(rename = "tokenFile", skip_serializing_if = "String::is_empty")]
    pub token_file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<serde_yaml::Value>,
}

/// What a connection needs, all of it read.
#[derive(Clone, Default)]
pub struct Resolved {
    pub server: String,
    pub ca: Option<Vec<u8>>,
    pub certificate: Option<(Vec<u8>, Vec<u8>)>,
    pub token: Option<String>,
    pub server_name: String,
    pub namespace: String,
}

/// The files that count, in order.
pub fn paths(global: &Global) -> Vec<PathBuf> {
    if let Some(path) = &global.kubeconfig {
        return vec![PathBuf::from(path)];
    }
    if let Some(list) = std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
        return std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect();
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    vec![home.join(".kube/config")]
}

/// One file; relative paths within it made absolute.
pub fn read(path: &Path) -> anyhow::Result<Kubeconfig> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("reading the kubeconfig {shown}"))?;
    let mut found: Kubeconfig =
        serde_yaml::from_str(&text).with_context(|| format!("error loading config file \"{shown}\""))?;
    let base = std::path::absolute(path)?.parent().map(Path::to_owned).unwrap_or_default();
    let absolute = |file: &mut String| {
        if !file.is_empty() {
            *file = base.join(&file).display().to_string();
        }
    };
    found.clusters.iter_mut().for_each(|cluster| absolute(&mut cluster.cluster.certificate_authority));
    for user in &mut found.users {
        absolute(&mut user.user.client_certificate);
        absolute(&mut user.user.client_key);
        absolute(&mut user.user.token_file);
    }
    Ok(found)
}

/// All files as one; absent ones are skipped unless named by the flag.
pub fn load(global: &Global) -> anyhow::Result<Kubeconfig> {
    let mut merged = Kubeconfig { api_version: v1(), kind: config(), ..Kubeconfig::default() };
    for path in paths(global) {
        if !path.exists() {
            if global.kubeconfig.is_some() {
                bail!("the kubeconfig {} does not exist", path.display());
            }
            continue;
        }
        merge(&mut merged, read(&path)?);
    }
    Ok(merged)
}

fn merge(into: &mut Kubeconfig, from: Kubeconfig) {
    if into.current_context.is_empty() {
        into.current_context = from.current_context;
    }
    for cluster in from.clusters {
        if !into.clusters.iter().any(|known| known.name == cluster.name) {
            into.clusters.push(cluster);
        }
    }
    for context in from.contexts {
        if !into.contexts.iter().any(|known| known.name == context.name) {
            into.contexts.push(context);
        }
    }
    for user in from.users {
        if !into.users.iter().any(|known| known.name == user.name) {
            into.users.push(user);
        }
    }
}

/// The context that counts: by flag, else the current one.
pub fn context<'a>(config: &'a Kubeconfig, global: &Global) -> anyhow::Result<Option<&'a Context_>> {
    let name = global.context.as_deref().unwrap_or(&config.current_context);
    if name.is_empty() {
        return Ok(None);
    }
    let found = config.contexts.iter().find(|context| context.name == name);
    let Some(found) = found else {
        let near = crate::suggest::nearest(name, config.contexts.iter().map(|context| context.name.as_str()));
        let near = near.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
        bail!("context \"{name}\" does not exist{near}");
    };
    Ok(Some(&found.context))
}

/// Everything a connection needs, by flags first, then the context.
pub fn resolve(global: &Global) -> anyhow::Result<Resolved> {
    let config = load(global)?;
    let context = context(&config, global)?.cloned().unwrap_or_default();
    let cluster_name = global.cluster.as_deref().unwrap_or(&context.cluster);
    let cluster =
        config.clusters.iter().find(|cluster| cluster.name == cluster_name).map(|found| found.cluster.clone());
    if cluster.is_none() && !cluster_name.is_empty() && global.server.is_none() {
        bail!("cluster \"{cluster_name}\" does not exist in the kubeconfig");
    }
    let cluster = cluster.unwrap_or_default();
    let user_name = global.user.as_deref().unwrap_or(&context.user);
    let user = config.users.iter().find(|user| user.name == user_name).map(|found| found.user.clone());
    if user.is_none() && !user_name.is_empty() {
        bail!("auth info \"{user_name}\" does not exist in the kubeconfig");
    }
    let user = user.unwrap_or_default();
    let server = global.server.clone().unwrap_or(cluster.server);
    if server.is_empty() {
        let files = paths(global).iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":");
        bail!(
            "no server is configured (looked in {files}); set KUBECONFIG or --kubeconfig, for example to .keelson/admin.kubeconfig that `cargo xtask up` writes"
        );
    }
    if user.exec.is_some() {
        bail!(
            "user \"{user_name}\" gets its credentials from a program (exec), which keelctl does not run yet; use a certificate or a token"
        );
    }
    if cluster.insecure_skip_tls_verify || global.insecure_skip_tls_verify {
        bail!(
            "keelctl always verifies the server; give its CA by certificate-authority-data or --certificate-authority instead of insecure-skip-tls-verify"
        );
    }
    let flag = |flag: &Option<String>, file: &str| flag.clone().unwrap_or_else(|| file.to_owned());
    let ca = bytes(
        "certificate-authority",
        &flag(&global.certificate_authority, &cluster.certificate_authority),
        &cluster.certificate_authority_data,
    )?;
    let certificate = bytes(
        "client-certificate",
        &flag(&global.client_certificate, &user.client_certificate),
        &user.client_certificate_data,
    )?;
    let key = bytes("client-key", &flag(&global.client_key, &user.client_key), &user.client_key_data)?;
    let certificate = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => bail!("user \"{user_name}\" has only one of client certificate and client key; both are needed"),
    };
    let token = match (&global.token, user.token.as_str(), user.token_file.as_str()) {
        (Some(token), _, _) => Some(token.clone()),
        (None, "", "") => None,
        (None, "", file) => Some(
            std::fs::read_to_string(file).with_context(|| format!("reading the token file {file}"))?.trim().to_owned(),
        ),
        (None, token, _) => Some(token.to_owned()),
    };
    let server_name = flag(&global.tls_server_name, &cluster.tls_server_name);
    Ok(Resolved { server, ca, certificate, token, server_name, namespace: namespace(global, &context) })
}

/// The namespace by flag, else the context's, else `default`.
pub fn namespace(global: &Global, context: &Context_) -> String {
    let named = global.namespace.as_deref().unwrap_or(&context.namespace);
    if named.is_empty() { "default".to_owned() } else { named.to_owned() }
}

fn bytes(what: &str, path: &str, data: &str) -> anyhow::Result<Option<Vec<u8>>> {
    if !data.is_empty() {
        let clean: String = data.split_whitespace().collect();
        return Ok(Some(
            STANDARD.decode(clean).with_context(|| format!("{what}-data in the kubeconfig is not base64"))?,
        ));
    }
    if path.is_empty() {
        return Ok(None);
    }
    Ok(Some(std::fs::read(path).with_context(|| format!("reading the {what} {path}"))?))
}

/// Writes a file in one step, readable by its owner alone.
pub fn write(path: &Path, config: &Kubeconfig) -> anyhow::Result<()> {
    use std::io::Write;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file =
        tempfile::NamedTempFile::new_in(folder).with_context(|| format!("writing beside {}", path.display()))?;
    file.write_all(serde_yaml::to_string(config)?.as_bytes())?;
    file.persist(path).with_context(|| format!("writing {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts:\n- {name: a, context: {cluster: c, user: u, namespace: ns}}\nclusters:\n- {name: c, cluster: {server: 'https://one:6443', certificate-authority: ca.crt}}\nusers:\n- {name: u, user: {token: t1}}\n";
    const TWO: &str = "current-context: b\ncontexts:\n- {name: b, context: {cluster: c2, user: u}}\nclusters:\n- {name: c, cluster: {server: 'https://two:6443'}}\n- {name: c2, cluster: {server: 'https://three:6443'}}\n";

    #[test]
    fn the_first_file_to_name_a_thing_wins() {
        let mut merged = serde_yaml::from_str(ONE).unwrap();
        merge(&mut merged, serde_yaml::from_str(TWO).unwrap());
        assert_eq!(
            (merged.current_context.as_str(), merged.clusters[0].cluster.server.as_str()),
            ("a", "https://one:6443")
        );
        assert_eq!(merged.contexts.len() + merged.clusters.len(), 4);
    }

    #[test]
    fn flags_come_before_the_context() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, ONE).unwrap();
        std::fs::write(dir.path().join("ca.crt"), "CA").unwrap();
        let mut global = Global { kubeconfig: Some(path.display().to_string()), ..Global::default() };
        let found = resolve(&global).unwrap();
        assert_eq!(
            (found.server.as_str(), found.namespace.as_str(), found.token.as_deref()),
            ("https://one:6443", "ns", Some("t1"))
        );
        assert_eq!(found.ca.as_deref(), Some("CA".as_bytes()));
        global.namespace = Some("x".into());
        global.server = Some("https://flag".into());
        let found = resolve(&global).unwrap();
        assert_eq!((found.server.as_str(), found.namespace.as_str()), ("https://flag", "x"));
        global.context = Some("aa".into());
        assert!(resolve(&global).err().unwrap().to_string().contains("did you mean \"a\"?"));
    }
}
