//! Members of the store as processes of their own, on loopback and in folders of their own.
//!
//! The binary is the `keelson-store` of the folder `KEELSON_PROGRAMS`, or else the one beside the test executable
//! (`cargo build -p store` makes it). [`net`] gives each member a network namespace, [`world`] puts the parts together
//! for tests in which members are hurt under a load ([`clients`]) whose history ([`recorder`]) is judged ([`verdict`]).

pub mod beside;
pub mod clients;
pub mod disk;
pub mod dump;
pub mod etcdctl;
pub mod folders;
pub mod net;
pub mod real;
pub mod recorder;
pub mod traffic;
pub mod verdict;
pub mod world;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use tonic::transport::{Channel, Endpoint};

/// How long a member may take until it serves.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// The store's binary.
pub fn binary() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("KEELSON_PROGRAMS") {
        return Ok(PathBuf::from(folder).join("keelson-store"));
    }
    let test = std::env::current_exe()?;
    for folder in test.ancestors().skip(1).take(3) {
        let found = folder.join("keelson-store");
        if found.is_file() {
            return Ok(found);
        }
    }
    bail!("there is no keelson-store near {}: run `cargo build -p store` first", test.display())
}

/// keelctl, beside the store's binary; it must succeed.
pub fn keelctl(args: &[&str]) -> Result<String> {
    let output = keelctl_run(args)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("keelctl {args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

/// keelctl, however it ends.
pub fn keelctl_run(args: &[&str]) -> Result<Output> {
    let mut keelctl = keelctl_command(args)?;
    let output = keelctl.stdin(Stdio::null()).output();
    output.with_context(|| format!("{keelctl:?} does not start: run `cargo build -p keelctl` first"))
}

pub fn keelctl_command(args: &[&str]) -> Result<Command> {
    let mut keelctl = Command::new(binary()?.with_file_name("keelctl"));
    keelctl.args(args);
    Ok(keelctl)
}

/// Debian's etcdctl, or what to install.
pub fn etcdctl(endpoint: &str, args: &[&str]) -> Result<String> {
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", endpoint, "--dial-timeout", "5s", "--command-timeout", "10s"])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .context("etcdctl does not start; install it: apt-get install etcd-client")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("etcdctl {args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

/// A port that nobody uses now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// How a member is started; starting it again finds the same data.
#[derive(Clone)]
pub struct Spec {
    pub name: String,
    /// Where it listens, on both ports.
    pub host: String,
    /// The named network namespace that it lives in; the test's own when there is none.
    pub network: Option<String>,
    pub client: u16,
    pub peer: u16,
    pub folder: PathBuf,
    pub cluster: String,
    /// --initial-cluster-state.
    pub state: &'static str,
    /// The peer URL's port as the others are told; another one than `peer` where something stands between.
    pub advertised_peer: u16,
    /// http or https, on both ports.
    pub scheme: &'static str,
    /// Further flags.
    pub args: Vec<String>,
    /// The data folder, where it is not `data` in `folder`.
    pub data: Option<PathBuf>,
    /// The program, where it is not [`binary`].
    pub program: Option<PathBuf>,
}

impl Spec {
    /// A member that is in no cluster yet.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let peer = free_port()?;
        Ok(Self {
            folder: folder.join(name),
            name: name.to_owned(),
            host: "127.0.0.1".to_owned(),
            network: None,
            client: free_port()?,
            peer,
            cluster: String::new(),
            state: "new",
            advertised_peer: peer,
            scheme: "http",
            args: Vec::new(),
            data: None,
            program: None,
        })
    }

    /// Where the other members reach it.
    pub fn peer_url(&self) -> String {
        self.url(self.advertised_peer)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| self.folder.join("data"))
    }

    /// Where clients reach it.
    pub fn client_url(&self) -> String {
        self.url(self.client)
    }

    fn url(&self, port: u16) -> String {
        format!("{}://{}:{port}", self.scheme, self.host)
    }

    /// The program, in the member's namespace.
    fn command(&self) -> Result<Command> {
        let program = self.program.clone().map_or_else(binary, Ok)?;
        let Some(network) = &self.network else { return Ok(Command::new(program)) };
        // It becomes the program: the process is the member's own.
        let mut enter = Command::new("nsenter");
        enter.arg(format!("--net={}", testkit::namespace::path(network).display())).arg("--").arg(program);
        Ok(enter)
    }
}

/// Specs of a cluster of `count` members below `folder`.
pub fn specs(folder: &Path, count: usize) -> Result<Vec<Spec>> {
    let mut specs = Vec::new();
    for at in 0..count {
        let name = format!("m{at}");
        specs.push(Spec::new(folder, &name)?);
    }
    let cluster = cluster(&specs);
    specs.iter_mut().for_each(|spec| spec.cluster = cluster.clone());
    Ok(specs)
}

/// --initial-cluster of these members.
pub fn cluster(specs: &[Spec]) -> String {
    let members: Vec<String> = specs.iter().map(|spec| format!("{}={}", spec.name, spec.peer_url())).collect();
    members.join(",")
}

/// A running member; it is killed when dropped.
pub struct Member {
    pub spec: Spec,
    child: Child,
}

impl Member {
    pub fn start(spec: &Spec) -> Result<Self> {
        std::fs::create_dir_all(&spec.folder)?;
        let log = std::fs::File::options().create(true).append(true).open(spec.folder.join("log"))?;
        let url = |port: u16| spec.url(port);
        let child = spec
            .command()?
            .args(["--name", &spec.name])
            .arg("--data-dir")
            .arg(spec.data_dir())
            .args(["--listen-client-urls", &url(spec.client), "--advertise-client-urls", &url(spec.client)])
            .args(["--listen-peer-urls", &url(spec.peer), "--initial-advertise-peer-urls", &spec.peer_url()])
            .args(["--initial-cluster-state", spec.state])
            .args(if spec.cluster.is_empty() { Vec::new() } else { vec!["--initial-cluster", &spec.cluster] })
            .args(&spec.args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting keelson-store")?;
        Ok(Self { spec: spec.clone(), child })
    }

    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.spec.host, self.spec.client)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the member has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.spec.folder.join("log")).unwrap_or_default()
    }

    /// SIGKILL, and the end of the process.
    pub fn kill(mut self) -> Result<Spec> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.spec.clone())
    }

    /// Returns when the member answers linearizable reads.
    pub async fn ready(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let get = etcd::RangeRequest { key: bytes::Bytes::from_static(b"ready"), ..Default::default() };
            let error = match connect_to(&self.spec.client_url()).await {
                Ok(channel) => match KvClient::new(channel).range(get).await {
                    Ok(_) => return Ok(()),
                    Err(status) => status.to_string(),
                },
                Err(error) => error.to_string(),
            };
            if start.elapsed() > READY_TIMEOUT {
                bail!("{} does not serve: {error}\n{}", self.spec.name, self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns when the process ends by itself.
    pub fn wait(mut self) -> Result<std::process::ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// The process ended by itself, before long.
    pub async fn ended(mut self) -> Result<std::process::ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > READY_TIMEOUT {
                bail!("{} does not end\n{}", self.spec.name, self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// SIGTERM, and how long the process took to end.
    pub fn stop(mut self) -> Result<Duration> {
        let start = Instant::now();
        let sent = Command::new("kill").arg(self.pid().to_string()).status()?;
        if !sent.success() {
            bail!("no SIGTERM for {}", self.pid());
        }
        let ended = self.child.wait()?;
        if !ended.success() {
            bail!("{} ended with {ended}\n{}", self.spec.name, self.log());
        }
        Ok(start.elapsed())
    }

    /// SIGSTOP or SIGCONT, for one.
    pub fn signal(&self, name: &str) -> Result<()> {
        match Command::new("kill").args(["-s", name]).arg(self.pid().to_string()).status()?.success() {
            true => Ok(()),
            false => bail!("no SIG{name} for {}", self.pid()),
        }
    }

    pub async fn id(&self) -> Result<u64> {
        Ok(self.status().await?.header.context("a header")?.member_id)
    }

    pub async fn status(&self) -> Result<etcd::StatusResponse> {
        let mut client = MaintenanceClient::new(connect_to(&self.spec.client_url()).await?);
        Ok(client.status(etcd::StatusRequest {}).await?.into_inner())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Killed already, perhaps.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// Which of the members leads, once all of them say the same.
pub async fn leader(members: &[Member]) -> Result<usize> {
    let start = Instant::now();
    loop {
        let mut seen = Vec::new();
        for member in members {
            seen.push(member.status().await.map(|status| status.leader).unwrap_or(0));
        }
        if seen[0] != 0 && seen.iter().all(|leader| *leader == seen[0]) {
            for (at, member) in members.iter().enumerate() {
                if member.id().await? == seen[0] {
                    return Ok(at);
                }
            }
        }
        if start.elapsed() > READY_TIMEOUT {
            bail!("no leader that all know: {seen:x?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The only member of a cluster, and the cluster's id, once the member has told its client URLs.
pub async fn introduced(port: u16) -> Result<(u64, etcd::Member)> {
    let mut cluster = ClusterClient::new(connect(port).await?);
    let start = Instant::now();
    loop {
        let listed = cluster.member_list(etcd::MemberListRequest { linearizable: false }).await?.into_inner();
        if let [member] = &listed.members[..]
            && !member.client_urls.is_empty()
        {
            return Ok((listed.header.context("a header")?.cluster_id, member.clone()));
        }
        if start.elapsed() > READY_TIMEOUT {
            bail!("no member that has told its client URLs: {listed:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn connect(port: u16) -> Result<Channel> {
    connect_to(&format!("http://127.0.0.1:{port}")).await
}

pub async fn connect_to(url: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned())?;
    Ok(endpoint.connect_timeout(Duration::from_secs(2)).timeout(Duration::from_secs(10)).connect().await?)
}

pub fn put(key: &str, value: &str) -> etcd::PutRequest {
    etcd::PutRequest {
        key: bytes::Bytes::copy_from_slice(key.as_bytes()),
        value: bytes::Bytes::copy_from_slice(value.as_bytes()),
        ..Default::default()
    }
}

/// Two puts in one transaction.
pub fn put_both(a: &str, b: &str, value: &str) -> etcd::TxnRequest {
    let op = |key| etcd::RequestOp { request: Some(etcd::request_op::Request::RequestPut(put(key, value))) };
    etcd::TxnRequest { success: vec![op(a), op(b)], ..Default::default() }
}

pub fn get(key: &str) -> etcd::RangeRequest {
    etcd::RangeRequest { key: bytes::Bytes::copy_from_slice(key.as_bytes()), ..Default::default() }
}

/// The value of a key as a number; 0 when it is not there.
pub async fn number(client: &mut KvClient<Channel>, key: &str) -> Result<u64> {
    let rsp = client.range(get(key)).await?.into_inner();
    match rsp.kvs.first() {
        Some(kv) => Ok(std::str::from_utf8(&kv.value)?.parse()?),
        None => Ok(0),
    }
}
