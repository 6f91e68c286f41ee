//! kubeconfig files: found, merged and resolved by kubectl's rules.
//!
//! `--kubeconfig`, else every file that KUBECONFIG lists (the first to name a thing wins), else `~/.kube/config`. Paths
//! within a file are relative to it. What a file holds beyond what is read here survives a rewrite by `config`.

pub(crate) mod exec;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::config::{Credentials, Data};
use serde::{Deserialize, Deserializer, Serialize};

use crate::cli::Global;

/// Where systems keep the certificates of public authorities, in one file.
const SYSTEM_ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Keys that are not read here.
type Rest = BTreeMap<String, serde_yaml::Value>;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Kubeconfig {
    #[serde(rename = "apiVersion", default = "v1")]
    pub api_version: String,
    #[serde(default = "config")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub current_context: String,
    #[serde(deserialize_with = "or_null")]
    pub clusters: Vec<NamedCluster>,
    #[serde(deserialize_with = "or_null")]
    pub contexts: Vec<NamedContext>,
    #[serde(deserialize_with = "or_null")]
    pub users: Vec<NamedUser>,
    #[serde(flatten)]
    rest: Rest,
}

/// A list; null is an empty one.
fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
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
    #[serde(skip_serializing_if = "String::is_empty")]
    pub proxy_url: String,
    #[serde(flatten)]
    rest: Rest,
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
    #[serde(flatten)]
    rest: Rest,
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
    pub exec: Option<exec::Plugin>,
    #[serde(flatten)]
    rest: Rest,
}

/// What a connection needs.
#[derive(Clone)]
pub struct Resolved {
    pub server: String,
    /// None: any server is believed (insecure-skip-tls-verify), or the server speaks no TLS.
    pub ca: Option<Data>,
    pub insecure: bool,
    /// None, or a client certificate.
    pub credentials: Credentials,
    /// Sent beside a certificate where both are given, as kubectl does.
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
        if let Some(plugin) = &mut user.user.exec {
            plugin.within(&base);
        }
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
    let server = global.server.clone().unwrap_or_else(|| cluster.server.clone());
    if server.is_empty() {
        if let Some(pod) = client::Config::in_cluster() {
            return within_pod(global, pod);
        }
        let files = paths(global).iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":");
        bail!(
            "no server is configured (looked in {files}); set KUBECONFIG or --kubeconfig, for example to .keelson/admin.kubeconfig that `cargo xtask up` writes"
        );
    }
    if !cluster.proxy_url.is_empty() {
        bail!(
            "cluster \"{cluster_name}\" is reached through proxy-url, which keelctl does not support; connect directly"
        );
    }
    user.supported(user_name)?;
    let insecure = cluster.insecure_skip_tls_verify || global.insecure_skip_tls_verify;
    // The flag counts more than the file's authority.
    let ca = match (&global.certificate_authority, global.insecure_skip_tls_verify) {
        (Some(_), true) => bail!("specifying a root certificates file with the insecure flag is not allowed"),
        (Some(file), false) => data("certificate-authority", file, "")?,
        (None, true) => None,
        (None, false) => {
            data("certificate-authority", &cluster.certificate_authority, &cluster.certificate_authority_data)?
        }
    };
    if ca.is_some() && cluster.insecure_skip_tls_verify {
        bail!("cluster \"{cluster_name}\" has a certificate authority and insecure-skip-tls-verify; keep one of them");
    }
    let ca = if ca.is_none() && !insecure && !server.starts_with("http://") {
        Some(system_roots().with_context(|| format!("the cluster of {server} has no certificate-authority"))?)
    } else {
        ca
    };
    let (credentials, token) = credentials(global, &user, user_name, &server)?;
    let server_name = global.tls_server_name.clone().unwrap_or_else(|| cluster.tls_server_name.clone());
    Ok(Resolved { server, ca, insecure, credentials, token, server_name, namespace: namespace(global, &context) })
}

/// Who the caller is: by flags, by the file, or by the program that it names.
fn credentials(
    global: &Global,
    user: &User,
    user_name: &str,
    server: &str,
) -> anyhow::Result<(Credentials, Option<String>)> {
    let part = |what: &str, flag: &Option<String>, file: &str, inline: &str| match flag {
        Some(flag) => data(what, flag, ""),
        None => data(what, file, inline),
    };
    let cert = part(
        "client-certificate",
        &global.client_certificate,
        &user.client_certificate,
        &user.client_certificate_data,
    )?;
    let key = part("client-key", &global.client_key, &user.client_key, &user.client_key_data)?;
    let certificate = match (cert, key) {
        (Some(cert), Some(key)) => Credentials::Certificate { cert, key },
        (None, None) => Credentials::Anonymous,
        _ => bail!("user \"{user_name}\" has only one of client certificate and client key; both are needed"),
    };
    let token = match (&global.token, user.token_file.as_str(), user.token.as_str()) {
        (Some(token), _, _) => Some(token.clone()),
        (None, "", "") => None,
        (None, "", token) => Some(token.to_owned()),
        (None, file, _) => Some(
            std::fs::read_to_string(file).with_context(|| format!("reading the token file {file}"))?.trim().to_owned(),
        ),
    };
    match &user.exec {
        Some(plugin) if token.is_none() && certificate == Credentials::Anonymous => {
            plugin.run(server).with_context(|| format!("getting credentials of user \"{user_name}\""))
        }
        _ => Ok((certificate, token)),
    }
}

/// A pod's own identity, where no kubeconfig names a server.
fn within_pod(global: &Global, pod: client::Config) -> anyhow::Result<Resolved> {
    let token = match &pod.credentials {
        Credentials::Token(token) => Some(String::from_utf8_lossy(&token.read()?).trim().to_owned()),
        _ => None,
    };
    let context = Context_ { namespace: pod.namespace, ..Context_::default() };
    Ok(Resolved {
        server: pod.servers.into_iter().next().unwrap_or_default(),
        ca: pod.ca,
        insecure: false,
        credentials: Credentials::Anonymous,
        token: global.token.clone().or(token),
        server_name: global.tls_server_name.clone().unwrap_or_default(),
        namespace: namespace(global, &context),
    })
}

impl User {
    /// Ways to say who one is that are not served: told, not passed over.
    fn supported(&self, name: &str) -> anyhow::Result<()> {
        const OTHER: [(&str, &str); 4] = [
            ("username", "a user name and password"),
            ("password", "a user name and password"),
            ("auth-provider", "an auth-provider"),
            ("as", "impersonation (as)"),
        ];
        for (key, what) in OTHER {
            if self.rest.contains_key(key) {
                bail!("user \"{name}\" has {what}, which keelctl does not support; use a certificate, a token or exec");
            }
        }
        Ok(())
    }
}

/// The system's bundle of public authorities; SSL_CERT_FILE names another one.
fn system_roots() -> anyhow::Result<Data> {
    let named = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()).map(PathBuf::from);
    let known = SYSTEM_ROOTS.iter().map(PathBuf::from);
    let found = named.or_else(|| known.into_iter().find(|path| path.is_file()));
    found.map(Data::File).context(
        "and the system has no public authorities either (package ca-certificates); add certificate-authority-data to the kubeconfig, or give --certificate-authority",
    )
}

/// The namespace by flag, else the context's, else `default`.
pub fn namespace(global: &Global, context: &Context_) -> String {
    let named = global.namespace.as_deref().unwrap_or(&context.namespace);
    if named.is_empty() { "default".to_owned() } else { named.to_owned() }
}

/// Data within the file counts more than a path. A file must be there now, and is read again at each connection.
fn data(what: &str, path: &str, inline: &str) -> anyhow::Result<Option<Data>> {
    if !inline.is_empty() {
        let clean: String = inline.split_whitespace().collect();
        let bytes = STANDARD.decode(clean).with_context(|| format!("{what}-data in the kubeconfig is not base64"))?;
        return Ok(Some(Data::Inline(bytes)));
    }
    if path.is_empty() {
        return Ok(None);
    }
    let file = Data::File(PathBuf::from(path));
    std::fs::read(path).with_context(|| format!("reading the {what} {path}"))?;
    Ok(Some(file))
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
        assert_eq!(found.ca.map(|ca| ca.read().unwrap()), Some(b"CA".to_vec()));
        global.namespace = Some("x".into());
        global.server = Some("https://flag".into());
        let found = resolve(&global).unwrap();
        assert_eq!((found.server.as_str(), found.namespace.as_str()), ("https://flag", "x"));
        global.context = Some("aa".into());
        assert!(resolve(&global).err().unwrap().to_string().contains("did you mean \"a\"?"));
    }

    fn resolved(cluster: &str, user: &str, global: &Global) -> anyhow::Result<Resolved> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        let text = format!(
            "current-context: a\ncontexts:\n- {{name: a, context: {{cluster: c, user: u}}}}\nclusters:\n- {{name: c, cluster: {cluster}}}\nusers:\n- {{name: u, user: {user}}}\npreferences: null\n"
        );
        std::fs::write(&path, text).unwrap();
        resolve(&Global { kubeconfig: Some(path.display().to_string()), ..global.clone() })
    }

    #[track_caller]
    fn refused(cluster: &str, user: &str, part: &str) {
        let error = resolved(cluster, user, &Global::default()).err().unwrap();
        let error = format!("{error:#}");
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let cluster = "{server: 'http://x'}";
        refused("{server: 'http://x', proxy-url: 'http://p'}", "{}", "proxy-url");
        refused(cluster, "{username: me, password: x}", "a user name and password");
        refused(cluster, "{auth-provider: {name: gcp}}", "an auth-provider");
        refused(cluster, "{as: other}", "impersonation");
        refused(cluster, "{client-certificate-data: TQ==}", "only one of client certificate and client key");
        refused(
            "{server: 'https://x', insecure-skip-tls-verify: true, certificate-authority-data: TQ==}",
            "{}",
            "keep one of them",
        );
    }

    #[test]
    fn without_an_authority_the_systems_are_trusted_unless_all_are() {
        let found =
            resolved("{server: 'https://x', insecure-skip-tls-verify: true}", "{}", &Global::default()).unwrap();
        assert!(found.insecure && found.ca.is_none());
        let flag = Global { insecure_skip_tls_verify: true, ..Global::default() };
        let found = resolved("{server: 'https://x', certificate-authority-data: TQ==}", "{}", &flag).unwrap();
        assert!(found.insecure && found.ca.is_none());
        match resolved("{server: 'https://x'}", "{}", &Global::default()) {
            Ok(found) => assert!(matches!(found.ca, Some(Data::File(_))) && !found.insecure),
            Err(error) => assert!(format!("{error:#}").contains("ca-certificates"), "{error:#}"),
        }
    }

    #[test]
    fn a_program_gives_a_token() {
        let exec = |script: &str, more: &str| {
            let script = serde_json::json!(script);
            format!(
                "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, {script}], interactiveMode: Never{more}}}}}"
            )
        };
        let answer = r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "'"$T"'"}}"#;
        let cluster = "{server: 'http://x'}";
        let user = exec(&format!("echo '{answer}'"), ", env: [{name: T, value: t9}]");
        let found = resolved(cluster, &user, &Global::default()).unwrap();
        assert_eq!(found.token.as_deref(), Some("t9"));
        let flag = Global { token: Some("mine".into()), ..Global::default() };
        assert_eq!(resolved(cluster, &exec("exit 1", ""), &flag).unwrap().token.as_deref(), Some("mine"));
        refused(cluster, &exec("exit 3", ""), "exit status: 3");
        refused(cluster, &exec("echo nothing", ""), "ExecCredential");
        refused(cluster, &exec("echo '{\"apiVersion\": \"v2\", \"status\": {\"token\": \"x\"}}'", ""), "v2");
        refused(
            cluster,
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-program-x, installHint: get it}}",
            "get it",
        );
    }

    #[test]
    fn a_rewritten_file_keeps_what_was_not_read() {
        let text = "preferences: {colors: true}\nclusters:\n- name: c\n  cluster: {server: 'https://x', disable-compression: true}\ncontexts: null\nusers:\n- name: u\n  user: {username: me, exec: {apiVersion: v, command: x, extra: 1}}\n";
        let read: Kubeconfig = serde_yaml::from_str(text).unwrap();
        let written = serde_yaml::to_string(&read).unwrap();
        for part in ["colors: true", "disable-compression: true", "username: me", "extra: 1"] {
            assert!(written.contains(part), "{part} in {written}");
        }
    }
}
