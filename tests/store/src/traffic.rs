//! Clients that write and try again, as etcd's own client does: one endpoint after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use proto::etcdserverpb::kv_client::KvClient;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use crate::{number, put};

/// One attempt; then the next endpoint is tried.
const ATTEMPT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);
/// A request that is not done by then has failed.
const PATIENCE: Duration = Duration::from_secs(15);

/// Clients, each counting up in a key of its own.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Result<Tally>>,
}

/// What one client saw.
#[derive(Debug, Default)]
pub struct Tally {
    pub client: usize,
    pub done: u64,
    /// The longest that a request took, all attempts together.
    pub slowest: Duration,
    /// When it was done.
    pub slowest_at: Option<Instant>,
}

fn key(client: usize) -> String {
    format!("traffic/{client}")
}

pub fn channel(port: u16) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?;
    Ok(endpoint.connect_timeout(Duration::from_millis(500)).timeout(ATTEMPT).connect_lazy())
}

impl Traffic {
    /// `ports`: the members' client ports; every client begins with another one.
    pub fn start(ports: &[u16], clients: usize) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            let channels = ports.iter().map(|port| channel(*port)).collect::<Result<Vec<_>>>()?;
            tasks.spawn(count(client, channels, stop.clone()));
        }
        Ok(Self { stop, clients: tasks })
    }

    /// Ends it; every request was answered, and every acknowledged one is there.
    pub async fn finish(mut self, port: u16) -> Result<Vec<Tally>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut tallies = Vec::new();
        let mut kv = KvClient::new(channel(port)?);
        while let Some(tally) = self.clients.join_next().await {
            let tally = tally??;
            let found = number(&mut kv, &key(tally.client)).await?;
            ensure!(found == tally.done, "client {}: found {found}, acknowledged {}", tally.client, tally.done);
            tallies.push(tally);
        }
        Ok(tallies)
    }
}

async fn count(client: usize, channels: Vec<Channel>, stop: Arc<AtomicBool>) -> Result<Tally> {
    let mut tally = Tally { client, ..Default::default() };
    let mut at = client % channels.len();
    while !stop.load(Ordering::Relaxed) {
        let next = (tally.done + 1).to_string();
        let start = Instant::now();
        loop {
            let error = match KvClient::new(channels[at].clone()).put(put(&key(client), &next)).await {
                Ok(_) => break,
                Err(status) => status,
            };
            if start.elapsed() > PATIENCE {
                bail!("client {client}: a write failed for {PATIENCE:?}, at last: {error}");
            }
            at = (at + 1) % channels.len();
            tokio::time::sleep(PAUSE).await;
        }
        tally.done += 1;
        if start.elapsed() > tally.slowest {
            tally.slowest = start.elapsed();
            tally.slowest_at = Some(Instant::now());
        }
    }
    Ok(tally)
}

/// All requests, and the slowest of them.
pub fn total(tallies: &[Tally]) -> (u64, Duration) {
    (tallies.iter().map(|of| of.done).sum(), tallies.iter().map(|of| of.slowest).max().unwrap_or_default())
}
