//! An etcd as its own process; an apiserver, schedulers and controller-managers in this one, each over TLS with its own
//! identity. There is no kubelet: pods that have no node are gone as soon as they are deleted.
//! [`process`] is an apiserver as a process, on any stores.

#![allow(clippy::unwrap_used)] // test support

pub mod process;

use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use client::config::{Credentials, Data};
use client::{Client, Config};
use daemon::shutdown::Shutdown;
use testkit::kubeconfig;
use testkit::pki::{Authority, Identity, Pki};
use tokio::task::JoinHandle;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Dropping it ends the store.
pub struct Cluster {
    store: Child,
    pub pki: Pki,
    address: SocketAddr,
    _apiserver: JoinHandle<()>,
    folder: tempfile::TempDir,
}

/// A daemon in this process.
pub struct Running {
    shutdown: Shutdown,
    task: JoinHandle<Result<(), String>>,
}

impl Cluster {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new(folder.path().join("pki"));
        pki.ensure(&identities()).unwrap();
        let (client, peer) = (free_port(), free_port());
        let [url, peer_url] = [client, peer].map(|port| format!("http://127.0.0.1:{port}"));
        let store = Command::new("etcd")
            .args(["--name", "m0", "--data-dir"])
            .arg(folder.path().join("store"))
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("m0={peer_url}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("etcd: {error}; install Debian's etcd-server"));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let flags = apiserver_flags(&pki, &url, address.port());
        let config =
            apiserver::config::Config::try_parse_from(std::iter::once("keelson-apiserver".to_owned()).chain(flags));
        let (config, shutdown) = (config.unwrap(), Shutdown::default());
        eventually("the store listens", async || {
            tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, client)).await.ok().map(drop)
        })
        .await;
        let apiserver = tokio::spawn(async move {
            apiserver::run::run_on(config, listener, shutdown).await.unwrap();
        });
        let cluster = Self { store, pki, address, _apiserver: apiserver, folder };
        let services = cluster.client("admin").api::<proto::core::v1::Service>();
        eventually("the apiserver is ready", async || services.get("default", "kubernetes").await.ok().map(drop)).await;
        cluster
    }

    /// A client with the certificate of that name.
    pub fn client(&self, who: &str) -> Client {
        Client::new(self.config(Some(who), self.address)).unwrap()
    }

    /// How to reach an address; nobody: without a certificate.
    pub fn config(&self, who: Option<&str>, address: SocketAddr) -> Config {
        client_config(&self.pki, who, address)
    }

    fn kubeconfig(&self, who: &str) -> String {
        let path = self.folder.path().join(format!("{who}.kubeconfig"));
        kubeconfig::write_with_files(&path, &format!("https://{}", self.address), &self.pki, who).unwrap();
        format!("--kubeconfig={}", path.display())
    }

    /// Starts a controller-manager that does not stand for election, unless flags say so.
    pub fn controller_manager(&self, flags: &[&str]) -> Running {
        let ca = self.pki.authority(Authority::Cluster);
        let mut args = vec![
            "x".to_owned(),
            self.kubeconfig("controller-manager"),
            "--secure-port=0".to_owned(),
            format!("--root-ca-file={}", ca.display()),
        ];
        if !flags.iter().any(|flag| flag.starts_with("--leader-elect")) {
            args.push("--leader-elect=false".to_owned());
        }
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let flags = controller_manager::flags::Flags::try_parse_from(args).unwrap();
        let shutdown = Shutdown::default();
        let given = shutdown.clone();
        let run = async move { controller_manager::run::run(flags, given).await.map_err(|error| error.to_string()) };
        Running { shutdown, task: tokio::spawn(run) }
    }

    /// Starts a scheduler; Explain is served on the port, unless that is 0.
    pub fn scheduler(&self, port: u16, flags: &[&str]) -> Running {
        let file = |path: PathBuf| path.display().to_string();
        let mut args = vec![
            "x".to_owned(),
            self.kubeconfig("scheduler"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--tls-cert-file={}", file(self.pki.certificate("server"))),
            format!("--tls-private-key-file={}", file(self.pki.key("server"))),
            format!("--client-ca-file={}", file(self.pki.authority(Authority::Cluster))),
        ];
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let config = scheduler::config::Config::try_parse_from(args).unwrap();
        let shutdown = Shutdown::default();
        let given = shutdown.clone();
        let run = async move { scheduler::run::run(config, given).await.map_err(|error| error.to_string()) };
        Running { shutdown, task: tokio::spawn(run) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ended = self.store.kill();
        let _reaped = self.store.wait();
    }
}

impl Running {
    /// Ends it in order.
    pub async fn stop(self) {
        self.shutdown.drain.cancel();
        tokio::time::timeout(LIMIT, self.task).await.expect("it ends").unwrap().expect("in order");
    }

    /// Ends it at once, without a word to anybody.
    pub async fn die(self) {
        self.task.abort();
        let _aborted = self.task.await;
    }
}

/// What an apiserver is started with, on these stores.
fn apiserver_flags(pki: &Pki, stores: &str, port: u16) -> Vec<String> {
    let file = |path: PathBuf| path.display().to_string();
    let ca = file(pki.authority(Authority::Cluster));
    vec![
        format!("--etcd-servers={stores}"),
        format!("--secure-port={port}"),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--tls-cert-file={}", file(pki.certificate("server"))),
        format!("--tls-private-key-file={}", file(pki.key("server"))),
        format!("--client-ca-file={ca}"),
        format!("--service-account-signing-key-file={}", file(pki.token_key())),
        format!("--kubelet-certificate-authority={ca}"),
        format!("--kubelet-client-certificate={}", file(pki.certificate("admin"))),
        format!("--kubelet-client-key={}", file(pki.key("admin"))),
    ]
}

fn client_config(pki: &Pki, who: Option<&str>, address: SocketAddr) -> Config {
    let certificate =
        |who: &str| Credentials::Certificate { cert: Data::File(pki.certificate(who)), key: Data::File(pki.key(who)) };
    Config {
        servers: vec![format!("https://{address}")],
        ca: Some(Data::File(pki.authority(Authority::Cluster))),
        server_name: None,
        insecure: false,
        credentials: who.map_or(Credentials::Anonymous, certificate),
        namespace: "default".into(),
        user_agent: "test".into(),
    }
}

fn identities() -> Vec<Identity> {
    let identity = |file: &str, common_name: &str, organization: Option<&str>| Identity {
        file: file.into(),
        common_name: common_name.into(),
        organization: organization.map(Into::into),
        names: vec![],
        authority: Authority::Cluster,
    };
    let names = vec!["127.0.0.1".into(), "localhost".into()];
    vec![
        Identity { names, ..identity("server", "kube-apiserver", None) },
        identity("admin", "kubernetes-admin", Some("system:masters")),
        identity("scheduler", "system:kube-scheduler", None),
        identity("controller-manager", "system:kube-controller-manager", None),
        identity("stranger", "mallory", Some("guests")),
    ]
}

/// A port that nobody has.
pub fn free_port() -> u16 {
    StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Waits until `look` finds what it looks for.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_or(what, async || look().await.ok_or("nothing of it")).await
}

/// Waits until `look` finds what it looks for. Its error is what it sees instead: the failure tells what was seen last.
pub async fn eventually_or<T, E: Debug>(what: &str, look: impl AsyncFnMut() -> Result<T, E>) -> T {
    eventually_within(LIMIT, what, look).await
}

/// As [`eventually_or`], for what takes its time.
pub async fn eventually_within<T, E: Debug>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let begin = Instant::now();
    loop {
        let seen = match look().await {
            Ok(found) => return found,
            Err(seen) => seen,
        };
        assert!(begin.elapsed() < limit, "it does not come to be that {what}; seen last: {seen:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
