//! Members as processes of their own, ours and a peer's alike: both take etcd's flags.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use test_bench::process::{self, cpu_us, free_ports, pss};
use tonic::transport::{Channel, Endpoint};

/// How long a member may take until it serves.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// As many bytes of data as the largest part of the bench writes, and more.
const QUOTA: &str = "8589934592";
/// Messages of the answers that the bench itself reads.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// A store that can be started.
#[derive(Clone)]
pub struct Product {
    pub name: &'static str,
    pub program: PathBuf,
}

struct Member {
    child: Child,
    port: u16,
    args: Vec<String>,
    log: PathBuf,
}

/// A running cluster; it ends, and its folder goes, when it is dropped.
pub struct Cluster {
    pub product: Product,
    folder: PathBuf,
    members: Vec<Member>,
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

impl Cluster {
    /// Starts members on an empty folder below `dir`, and returns when each of them serves.
    pub async fn start(product: &Product, dir: &Path, count: usize) -> Result<Self> {
        let folder = dir.join(product.name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let ports = free_ports(count * 2)?;
        let (clients, peers) = ports.split_at(count);
        let all: Vec<String> = peers.iter().enumerate().map(|(at, port)| format!("m{at}={}", url(*port))).collect();
        let mut cluster = Self { product: product.clone(), folder: folder.clone(), members: Vec::new() };
        for at in 0..count {
            let (client, peer) = (url(clients[at]), url(peers[at]));
            let data = folder.join(format!("m{at}"));
            let flags = [
                ("--name", format!("m{at}")),
                ("--data-dir", data.display().to_string()),
                ("--listen-client-urls", client.clone()),
                ("--advertise-client-urls", client),
                ("--listen-peer-urls", peer.clone()),
                ("--initial-advertise-peer-urls", peer),
                ("--initial-cluster", all.join(",")),
                ("--initial-cluster-state", "new".to_owned()),
                ("--quota-backend-bytes", QUOTA.to_owned()),
            ];
            let args = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
            let log = folder.join(format!("m{at}.log"));
            let child = spawn(product, &args, &log)?;
            cluster.members.push(Member { child, port: clients[at], args, log });
        }
        cluster.ready().await?;
        Ok(cluster)
    }

    pub fn ports(&self) -> Vec<u16> {
        self.members.iter().map(|member| member.port).collect()
    }

    /// Returns when every member answers a linearizable read.
    pub async fn ready(&self) -> Result<()> {
        for member in &self.members {
            let start = Instant::now();
            while let Err(error) = probe(member.port).await {
                if start.elapsed() > READY_TIMEOUT {
                    let log = fs::read_to_string(&member.log).unwrap_or_default();
                    bail!("{} does not serve: {error:#}\n{log}", self.product.name);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(())
    }

    /// The last lines of what each member has logged.
    pub fn log_tails(&self) -> String {
        self.members.iter().map(|member| process::tail(&member.log)).collect()
    }

    /// CPU time that the members have used, in microseconds.
    pub fn cpu_us(&self) -> Result<u64> {
        self.members.iter().map(|member| cpu_us(member.child.id())).sum()
    }

    /// Memory that is the members' share, in bytes.
    pub fn pss(&self) -> Result<u64> {
        self.members.iter().map(|member| pss(member.child.id())).sum()
    }

    /// SIGKILL; the member stays away.
    pub fn kill(&mut self, at: usize) -> Result<()> {
        self.members[at].child.kill()?;
        self.members[at].child.wait()?;
        Ok(())
    }

    /// Ends a member as its service manager does, and starts it again; says how long the start took until it served.
    pub async fn restart(&mut self, at: usize) -> Result<Duration> {
        let member = &mut self.members[at];
        Command::new("kill").arg(member.child.id().to_string()).status()?;
        member.child.wait()?;
        let start = Instant::now();
        member.child = spawn(&self.product, &member.args, &member.log)?;
        self.ready().await?;
        Ok(start.elapsed())
    }

    /// The place of the member that leads.
    pub async fn leader(&self) -> Result<usize> {
        for (at, member) in self.members.iter().enumerate() {
            let mut client = MaintenanceClient::new(connect(member.port).await?);
            let status = client.status(etcd::StatusRequest {}).await?.into_inner();
            if status.header.is_some_and(|header| header.member_id == status.leader) {
                return Ok(at);
            }
        }
        bail!("nobody leads")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            // It may have been killed before.
            let _ended = member.child.kill();
            let _waited = member.child.wait();
        }
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{} stays: {error}", self.folder.display());
        }
    }
}

fn spawn(product: &Product, args: &Vec<String>, log: &Path) -> Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    Command::new(&product.program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("starting {}", product.program.display()))
}

async fn probe(port: u16) -> Result<()> {
    let get = etcd::RangeRequest { key: bytes::Bytes::from_static(b"ready"), ..Default::default() };
    kv(port).await?.range(get).await?;
    Ok(())
}

pub async fn connect(port: u16) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(url(port))?.connect_timeout(Duration::from_secs(2));
    Ok(endpoint.timeout(Duration::from_secs(60)).connect().await?)
}

pub async fn kv(port: u16) -> Result<KvClient<Channel>> {
    Ok(KvClient::new(connect(port).await?).max_decoding_message_size(MESSAGE_BYTES_MAX))
}
