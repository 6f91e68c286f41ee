//! etcd, run beside the store so that answers can be compared.
//!
//! [`run`] asks random requests ([`generate`]) of several servers and compares what they say ([`answer`]) and what their
//! watchers get ([`watched`]); where an older etcd differs from the one that ours follows, [`excuse`] says so.

pub mod answer;
pub mod case;
pub mod excuse;
pub mod generate;
mod inbox;
pub mod random;
pub mod run;
pub mod server;
pub mod tally;
pub mod trio;
pub mod watched;
pub mod world;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb::kv_client::KvClient;

use crate::{connect, free_port, get};

/// A running etcd; it is killed when dropped.
pub struct Etcd {
    child: Child,
    pub client: u16,
}

impl Etcd {
    /// Returns when it answers.
    pub async fn start(folder: &Path, args: &[&str]) -> Result<Self> {
        let client = free_port()?;
        let peer = format!("http://127.0.0.1:{}", free_port()?);
        let url = format!("http://127.0.0.1:{client}");
        let child = Command::new("etcd")
            .arg("--data-dir")
            .arg(folder)
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("etcd does not start; install it: apt-get install etcd-server")?;
        let etcd = Self { child, client };
        let start = Instant::now();
        loop {
            if let Ok(channel) = connect(client).await
                && KvClient::new(channel).range(get("ready")).await.is_ok()
            {
                return Ok(etcd);
            }
            ensure!(start.elapsed() < Duration::from_secs(30), "etcd does not serve");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.client)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// What etcdctl says and how it ends: its output, and the text of its error without what names endpoint and time.
pub fn said(endpoint: &str, args: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", endpoint, "--dial-timeout", "5s", "--command-timeout", "10s"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("etcdctl does not start; install it: apt-get install etcd-client")?;
    std::io::Write::write_all(&mut child.stdin.take().context("a pipe")?, input.as_bytes())?;
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let error: Vec<&str> = errors.lines().filter(|line| line.starts_with("Error:")).collect();
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(format!("{text}{}({:?})", error.join("\n"), output.status.code()))
}
