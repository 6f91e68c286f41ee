//! The kubeconfig file format.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Config, Credentials, Data, Error, default_user_agent};

/// One kubeconfig, or several merged: what the first file says counts.
#[derive(Clone, Debug, Default)]
pub struct Kubeconfig {
    /// The context that is used unless another is named.
    pub current_context: String,
    contexts: Vec<Context>,
    clusters: Vec<(PathBuf, NamedCluster)>,
    users: Vec<(PathBuf, NamedUser)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    #[serde(rename = "current-context")]
    current_context: Option<String>,
    contexts: Option<Vec<Context>>,
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Context {
    name: String,
    #[serde(default)]
    context: ContextBody,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContextBody {
    cluster: String,
    user: String,
    namespace: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct NamedCluster {
    name: String,
    #[serde(default)]
    cluster: Cluster,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    tls_server_name: Option<String>,
    insecure_skip_tls_verify: bool,
    proxy_url: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: User,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    username: Option<String>,
    exec: Option<serde_yaml::Value>,
    auth_provider: Option<serde_yaml::Value>,
    #[serde(rename = "as")]
    impersonate: Option<String>,
}

impl Kubeconfig {
    /// Reads and merges files. Of several, those that do not exist are skipped; a single one must exist.
    pub fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut merged = Self::default();
        for path in paths {
            let text = match std::fs::read_to_string(path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && paths.len() > 1 => continue,
                Err(source) => return Err(Error::Read { path: path.clone(), source }),
            };
            merged.add(path, &text)?;
        }
        Ok(merged)
    }

    fn add(&mut self, path: &Path, text: &str) -> Result<(), Error> {
        let file: Option<File> = serde_yaml::from_str(text)
            .map_err(|error| Error::Malformed { path: path.to_owned(), reason: error.to_string() })?;
        let file = file.unwrap_or_default();
        if self.current_context.is_empty() {
            self.current_context = file.current_context.unwrap_or_default();
        }
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        for context in file.contexts.unwrap_or_default() {
            if !self.contexts.iter().any(|known| known.name == context.name) {
                self.contexts.push(context);
            }
        }
        for cluster in file.clusters.unwrap_or_default() {
            if !self.clusters.iter().any(|(_, known)| known.name == cluster.name) {
                self.clusters.push((dir.clone(), cluster));
            }
        }
        for user in file.users.unwrap_or_default() {
            if !self.users.iter().any(|(_, known)| known.name == user.name) {
                self.users.push((dir.clone(), user));
            }
        }
        Ok(())
    }

    /// Names of all contexts.
    pub fn contexts(&self) -> impl Iterator<Item = &str> {
        self.contexts.iter().map(|context| context.name.as_str())
    }

    /// Resolves a context; none: the current one.
    pub fn config(&self, context: Option<&str>) -> Result<Config, Error> {
        let name = context.unwrap_or(&self.current_context);
        if name.is_empty() {
            return Err(Error::Unusable(format!(
                "no current-context is set; choose one with --context: {}",
                self.contexts().collect::<Vec<_>>().join(", ")
            )));
        }
        let context = self
            .contexts
            .iter()
            .find(|context| context.name == name)
            .ok_or_else(|| undefined("context", name, self.contexts()))?;
        let body = &context.context;
        let (cluster_dir, cluster) =
            self.clusters.iter().find(|(_, cluster)| cluster.name == body.cluster).ok_or_else(|| {
                undefined("cluster", &body.cluster, self.clusters.iter().map(|(_, known)| known.name.as_str()))
            })?;
        let credentials = if body.user.is_empty() {
            Credentials::Anonymous
        } else {
            let (dir, user) = self.users.iter().find(|(_, user)| user.name == body.user).ok_or_else(|| {
                undefined("user", &body.user, self.users.iter().map(|(_, known)| known.name.as_str()))
            })?;
            user.user.credentials(&user.name, dir)?
        };
        cluster.cluster.config(&cluster.name, cluster_dir, credentials, body.namespace.clone())
    }
}

impl Cluster {
    fn config(
        &self,
        name: &str,
        dir: &Path,
        credentials: Credentials,
        namespace: Option<String>,
    ) -> Result<Config, Error> {
        let unusable = |text: String| Error::Unusable(format!("cluster {name:?}: {text}"));
        if self.server.is_empty() {
            return Err(unusable("has no server".to_owned()));
        }
        if self.proxy_url.is_some() {
            return Err(unusable("proxy-url is not supported; connect directly".to_owned()));
        }
        let ca = data(&self.certificate_authority_data, &self.certificate_authority, dir)
            .map_err(|reason| unusable(format!("certificate-authority-data: {reason}")))?;
        if ca.is_some() && self.insecure_skip_tls_verify {
            return Err(unusable("has a certificate authority and insecure-skip-tls-verify; keep one".to_owned()));
        }
        if self.server.starts_with("https:") && ca.is_none() && !self.insecure_skip_tls_verify {
            return Err(unusable(
                "needs certificate-authority or certificate-authority-data (public CAs are not consulted)".to_owned(),
            ));
        }
        Ok(Config {
            servers: self.server.split(',').map(|server| server.trim().to_owned()).collect(),
            ca,
            server_name: self.tls_server_name.clone().filter(|name| !name.is_empty()),
            insecure: self.insecure_skip_tls_verify,
            credentials,
            namespace: namespace.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned()),
            user_agent: default_user_agent(),
        })
    }
}

impl User {
    fn credentials(&self, name: &str, dir: &Path) -> Result<Credentials, Error> {
        let unusable = |text: String| Error::Unusable(format!("user {name:?}: {text}"));
        if self.exec.is_some() {
            return Err(unusable("exec plugins are not supported; use a client certificate or a token".to_owned()));
        }
        if self.auth_provider.is_some() {
            return Err(unusable("auth-provider is not supported; use a client certificate or a token".to_owned()));
        }
        if self.username.is_some() {
            return Err(unusable(
                "username and password are not supported; use a client certificate or a token".to_owned(),
            ));
        }
        if self.impersonate.is_some() {
            return Err(unusable("impersonation (as) is not supported yet".to_owned()));
        }
        let part =
            |what: &str, inline, path| data(inline, path, dir).map_err(|reason| unusable(format!("{what}: {reason}")));
        let cert = part("client-certificate-data", &self.client_certificate_data, &self.client_certificate)?;
        let key = part("client-key-data", &self.client_key_data, &self.client_key)?;
        match (cert, key) {
            (Some(cert), Some(key)) => return Ok(Credentials::Certificate { cert, key }),
            (Some(_), None) => return Err(unusable("has a client certificate but no client key".to_owned())),
            (None, Some(_)) => return Err(unusable("has a client key but no client certificate".to_owned())),
            (None, None) => {}
        }
        if let Some(path) = &self.token_file {
            return Ok(Credentials::Token(Data::File(dir.join(path))));
        }
        match &self.token {
            Some(token) => Ok(Credentials::Token(Data::Inline(token.clone().into_bytes()))),
            None => Ok(Credentials::Anonymous),
        }
    }
}

/// Inline data wins over a path, as in kubectl; a path is relative to its kubeconfig.
fn data(inline: &Option<String>, path: &Option<PathBuf>, dir: &Path) -> Result<Option<Data>, String> {
    if let Some(text) = inline.as_ref().filter(|text| !text.is_empty()) {
        let compact: String = text.split_whitespace().collect();
        let bytes = STANDARD.decode(compact).map_err(|error| format!("is no base64: {error}"))?;
        return Ok(Some(Data::Inline(bytes)));
    }
    Ok(path.as_ref().filter(|path| !path.as_os_str().is_empty()).map(|path| Data::File(dir.join(path))))
}

fn undefined<'a>(what: &'static str, name: &str, defined: impl Iterator<Item = &'a str>) -> Error {
    Error::Undefined { what, name: name.to_owned(), defined: defined.collect::<Vec<_>>().join(", ") }
}
