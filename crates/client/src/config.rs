//! Where the API server is, and who the caller is.

mod kubeconfig;

use std::path::{Path, PathBuf};

pub use kubeconfig::Kubeconfig;

/// Where a pod finds its token and CA.
const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Bytes from a kubeconfig itself, or from a file that may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Decoded from `*-data`.
    Inline(Vec<u8>),
    /// Read at every connection.
    File(PathBuf),
}

impl Data {
    /// The bytes as they are now.
    pub fn read(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Inline(bytes) => Ok(bytes.clone()),
            Self::File(path) => std::fs::read(path).map_err(|source| Error::Read { path: path.clone(), source }),
        }
    }

    /// What to call it in an error.
    pub fn name(&self) -> String {
        match self {
            Self::Inline(_) => "data in the kubeconfig".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// How the caller proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all.
    Anonymous,
    /// By a client certificate.
    Certificate {
        /// Its chain, PEM.
        cert: Data,
        /// Its key, PEM.
        key: Data,
    },
    /// By a bearer token.
    Token(Data),
}

/// A resolved connection: servers, trust and credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `https://host:port`, tried in turn.
    pub servers: Vec<String>,
    /// CA of the servers, PEM. Needed for https unless `insecure`.
    pub ca: Option<Data>,
    /// The name in the server's certificate, where it is not the host.
    pub server_name: Option<String>,
    /// Trust any server.
    pub insecure: bool,
    /// Who the caller is.
    pub credentials: Credentials,
    /// The context's namespace; `default` where it names none.
    pub namespace: String,
    /// Sent with every request.
    pub user_agent: String,
}

/// Why a kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No file at all.
    #[error("no kubeconfig: none of {searched} exists; name one with --kubeconfig or KUBECONFIG")]
    Missing {
        /// Where was looked.
        searched: String,
    },
    /// Not YAML, or not a kubeconfig.
    #[error("kubeconfig {}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Something is named but not defined.
    #[error("kubeconfig: {what} {name:?} is not defined; defined are: {defined}")]
    Undefined {
        /// context, cluster or user.
        what: &'static str,
        /// Its name.
        name: String,
        /// Those that are.
        defined: String,
    },
    /// Something that is not supported, or makes no sense.
    #[error("kubeconfig: {0}")]
    Unusable(String),
    /// TLS material that cannot be used.
    #[error("{name}: {reason}")]
    Tls {
        /// The file, or "data in the kubeconfig".
        name: String,
        /// What is wrong.
        reason: String,
    },
}

impl Config {
    /// The current context of one kubeconfig file.
    pub fn from_kubeconfig(path: impl AsRef<Path>) -> Result<Self, Error> {
        Kubeconfig::read(&[path.as_ref().to_owned()])?.config(None)
    }

    /// As kubectl finds it: `path`, else KUBECONFIG (a list, merged), else ~/.kube/config, else inside a pod.
    pub fn infer(path: Option<&Path>, context: Option<&str>) -> Result<Self, Error> {
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
        let paths = search(path, std::env::var_os("KUBECONFIG").as_deref(), home);
        if path.is_some() || paths.iter().any(|path| path.exists()) {
            return Kubeconfig::read(&paths)?.config(context);
        }
        match Self::in_cluster() {
            Some(config) => Ok(config),
            None => {
                let searched = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
                Err(Error::Missing { searched })
            }
        }
    }

    /// A pod's own identity, where this process runs in one.
    pub fn in_cluster() -> Option<Self> {
        let host = std::env::var("KUBERNETES_SERVICE_HOST").ok()?;
        let port = std::env::var("KUBERNETES_SERVICE_PORT").unwrap_or_else(|_| "443".to_owned());
        let dir = Path::new(SERVICE_ACCOUNT_DIR);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let namespace = std::fs::read_to_string(dir.join("namespace")).unwrap_or_else(|_| "default".to_owned());
        Some(Self {
            servers: vec![format!("https://{host}:{port}")],
            ca: Some(Data::File(dir.join("ca.crt"))),
            server_name: None,
            insecure: false,
            credentials: Credentials::Token(Data::File(dir.join("token"))),
            namespace,
            user_agent: default_user_agent(),
        })
    }

    /// A server without TLS: tests, and sockets on loopback.
    pub fn plain(server: impl Into<String>) -> Self {
        Self {
            servers: vec![server.into()],
            ca: None,
            server_name: None,
            insecure: false,
            credentials: Credentials::Anonymous,
            namespace: "default".to_owned(),
            user_agent: default_user_agent(),
        }
    }

    /// Names the caller in the server's logs and field managers.
    pub fn user_agent(mut self, name: &str) -> Self {
        self.user_agent = format!("{name}/{}", env!("CARGO_PKG_VERSION"));
        self
    }
}

fn search(path: Option<&Path>, variable: Option<&std::ffi::OsStr>, home: Option<PathBuf>) -> Vec<PathBuf> {
    if let Some(path) = path {
        return vec![path.to_owned()];
    }
    let listed: Vec<PathBuf> =
        variable.map(std::env::split_paths).into_iter().flatten().filter(|path| !path.as_os_str().is_empty()).collect();
    if listed.is_empty() { home.into_iter().collect() } else { listed }
}

/// The program's own name.
fn default_user_agent() -> String {
    let program = std::env::args().next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    format!("{}/{}", if name.is_empty() { "keelson" } else { name }, env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests;
