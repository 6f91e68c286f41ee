//! An apiserver on a store of its own, as two processes: ours and a peer's alike, since both take the same flags.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use test_bench::process::{self, free_ports};
use testkit::pki::{Authority, Identity, Pki};

use crate::bodies;
use crate::connection::{Connection, Target};

/// How long a process may take until it serves.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// Between two looks whether it does.
const READY_STEP: Duration = Duration::from_millis(5);
/// As many bytes of data as the largest part of the bench writes, and more.
const QUOTA: &str = "8589934592";
/// Stems of the certificates.
const SERVER: &str = "apiserver";
const CLIENT: &str = "bench";

/// An apiserver and its store that can be started.
#[derive(Debug, Clone)]
pub struct Product {
    pub name: &'static str,
    apiserver: PathBuf,
    store: PathBuf,
}

impl Product {
    /// Both programs in one folder; an error names the one that is not there.
    pub fn find(name: &'static str, folder: &Path, apiserver: &str, store: &str) -> Result<Self> {
        let program = |file: &str| {
            let path = folder.join(file);
            ensure!(
                path.is_file(),
                "{} is not there: give the folder that holds {apiserver} and {store}",
                path.display()
            );
            Ok(path)
        };
        Ok(Self { name, apiserver: program(apiserver)?, store: program(store)? })
    }
}

struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(name: &'static str, program: &Path, args: &[String], folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        Ok(Self { name, child, log })
    }

    /// An error where it has ended already: nobody waits for it then.
    fn still_runs(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the {} ended at its start: {status}\n{}", self.name, process::tail(&self.log));
        }
        Ok(())
    }

    fn end(&mut self) {
        // It may have ended before.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// Both running; they end, and their folder goes, when it is dropped.
pub struct Cluster {
    apiserver: Process,
    store: Process,
    store_port: u16,
    program: PathBuf,
    args: Vec<String>,
    folder: PathBuf,
    /// Where the apiserver answers, and as whom we call.
    pub target: Target,
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

impl Cluster {
    /// Starts both on an empty folder below `dir`, and returns when they serve and the namespaces of the loads are there.
    pub async fn start(product: &Product, dir: &Path) -> Result<Self> {
        let folder = dir.join(product.name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let ports = free_ports(3)?;
        let [port, store_port, peer_port] = ports[..] else { bail!("three ports") };
        let pki = certificates(&folder)?;
        let args = apiserver_args(product, &pki, port, store_port);
        let store = Process::start("store", &product.store, &store_args(&folder, store_port, peer_port), &folder)?;
        let apiserver = Process::start("apiserver", &product.apiserver, &args, &folder)?;
        let target = Target::new(port, &pki.authority(Authority::Cluster), &pki.certificate(CLIENT), &pki.key(CLIENT))?;
        let program = product.apiserver.clone();
        let mut cluster = Self { apiserver, store, store_port, program, args, folder, target };
        cluster.ready().await?;
        cluster.lay_namespaces().await?;
        Ok(cluster)
    }

    /// Returns when the apiserver says that it is ready.
    async fn ready(&mut self) -> Result<()> {
        let start = Instant::now();
        let mut request = Vec::new();
        crate::wire::request(&mut request, "GET", "/readyz", "", "*/*", b"");
        loop {
            self.store.still_runs()?;
            self.apiserver.still_runs()?;
            let answer = match Connection::open(&self.target).await {
                Ok(mut connection) => connection.call(&request).await.map(|answer| answer.status),
                Err(error) => Err(error),
            };
            match answer {
                Ok(200) => return Ok(()),
                _ if start.elapsed() > READY_TIMEOUT => {
                    bail!("the apiserver is not ready after {READY_TIMEOUT:?}: {answer:?}\n{}", self.log_tails());
                }
                _ => tokio::time::sleep(READY_STEP).await,
            }
        }
    }

    async fn lay_namespaces(&self) -> Result<()> {
        let mut connection = Connection::open(&self.target).await?;
        for namespace in bodies::NAMESPACES {
            let body = format!(r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{namespace}"}}}}"#);
            connection.create("/api/v1/namespaces", body.as_bytes()).await?;
            // Admission of pods looks for it; no controller makes it here.
            let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
            let body = br#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}"#;
            connection.create(&path, body).await?;
        }
        Ok(())
    }

    /// Ends the apiserver and starts it again; says how long the start took until it was ready.
    pub async fn restart(&mut self) -> Result<Duration> {
        self.apiserver.end();
        let start = Instant::now();
        self.apiserver = Process::start("apiserver", &self.program, &self.args, &self.folder)?;
        self.ready().await?;
        Ok(start.elapsed())
    }

    /// The store's port; it speaks without TLS.
    pub fn store_port(&self) -> u16 {
        self.store_port
    }

    /// The apiserver's process.
    pub fn pid(&self) -> u32 {
        self.apiserver.child.id()
    }

    /// CPU time so far of apiserver, store and generator, in microseconds.
    pub fn cpu(&self) -> Result<Cpu> {
        Ok(Cpu {
            apiserver: process::cpu_us(self.pid())?,
            store: process::cpu_us(self.store.child.id())?,
            generator: process::cpu_us(std::process::id())?,
        })
    }

    /// The last lines of both logs.
    pub fn log_tails(&self) -> String {
        [&self.store, &self.apiserver].map(|process| process::tail(&process.log)).concat()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.apiserver.end();
        self.store.end();
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{} stays: {error}", self.folder.display());
        }
    }
}

/// CPU time of the three processes, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Cpu {
    pub apiserver: u64,
    pub store: u64,
    pub generator: u64,
}

impl Cpu {
    /// What was used since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            apiserver: self.apiserver - before.apiserver,
            store: self.store - before.store,
            generator: self.generator - before.generator,
        }
    }
}

fn certificates(folder: &Path) -> Result<Pki> {
    let pki = Pki::new(folder.join("pki"));
    let identity = |file: &str, name: &str, organization: Option<&str>, names: &[&str]| Identity {
        file: file.to_owned(),
        common_name: name.to_owned(),
        organization: organization.map(str::to_owned),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        authority: Authority::Cluster,
    };
    pki.ensure(&[
        identity(SERVER, "kube-apiserver", None, &["localhost", "127.0.0.1"]),
        identity(CLIENT, "bench", Some("system:masters"), &[]),
    ])?;
    Ok(pki)
}

fn store_args(folder: &Path, port: u16, peer_port: u16) -> Vec<String> {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    vec![
        flag("name", "m0"),
        flag("data-dir", folder.join("data").display()),
        flag("listen-client-urls", &client),
        flag("advertise-client-urls", &client),
        flag("listen-peer-urls", &peer),
        flag("initial-advertise-peer-urls", &peer),
        flag("initial-cluster", format!("m0={peer}")),
        flag("initial-cluster-state", "new"),
        flag("quota-backend-bytes", QUOTA),
    ]
}

fn apiserver_args(product: &Product, pki: &Pki, port: u16, store_port: u16) -> Vec<String> {
    let mut args = vec![
        flag("etcd-servers", format!("http://127.0.0.1:{store_port}")),
        flag("bind-address", "127.0.0.1"),
        flag("secure-port", port),
        flag("client-ca-file", pki.authority(Authority::Cluster).display()),
        flag("tls-cert-file", pki.certificate(SERVER).display()),
        flag("tls-private-key-file", pki.key(SERVER).display()),
        flag("service-account-key-file", pki.token_public_key().display()),
        flag("service-account-signing-key-file", pki.token_key().display()),
        flag("service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
        flag("service-cluster-ip-range", "10.96.0.0/16"),
        flag("authorization-mode", "Node,RBAC"),
    ];
    if product.name == "peer" {
        // It refuses endpoints on loopback, and nobody needs them here.
        args.push(flag("endpoint-reconciler-type", "none"));
    }
    args
}

/// Connections that stay, as many as there are clients.
pub async fn connections(target: &Target, count: usize) -> Result<Vec<Connection>> {
    let target = Arc::new(target.clone());
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(Connection::open(&target).await?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn script(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_folder_without_a_program_is_refused_by_the_programs_name() {
        let folder = tempfile::tempdir().unwrap();
        script(&folder.path().join("etcd"), "");
        let refused = Product::find("peer", folder.path(), "kube-apiserver", "etcd").unwrap_err().to_string();
        assert!(refused.contains("kube-apiserver is not there"), "{refused}");
    }

    #[tokio::test]
    async fn a_peer_that_ends_at_its_start_is_told_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        script(&folder.path().join("etcd"), "#!/bin/sh\nexec sleep 600\n");
        script(&folder.path().join("kube-apiserver"), "#!/bin/sh\necho \"unknown flag: $1\"\nexit 3\n");
        let product = Product::find("peer", folder.path(), "kube-apiserver", "etcd").unwrap();
        let Err(refused) = Cluster::start(&product, folder.path()).await else { panic!("it cannot have started") };
        let refused = format!("{refused:#}");
        assert!(refused.contains("the apiserver ended at its start"), "{refused}");
        assert!(refused.contains("unknown flag: --etcd-servers"), "{refused}");
    }
}
