//! The store's endpoints: one lazy channel each, the one that answered last is asked first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use daemon::tls::ClientIdentity;
use tonic::transport::{Channel, Endpoint};

use super::error::{self, StorageError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach the store: `--etcd-servers` and its certificate flags.
#[derive(Debug, Clone, Default)]
pub struct EndpointConfig {
    /// URLs, `http://` or `https://`.
    pub servers: Vec<String>,
    /// The CA and the client certificate; needed for `https://`.
    pub identity: Option<Arc<ClientIdentity>>,
}

/// Channels to every member, and which one to use.
#[derive(Debug)]
pub struct Endpoints {
    servers: Vec<String>,
    channels: Vec<Channel>,
    current: AtomicUsize,
}

impl Endpoints {
    /// Prepares the channels; connections are made on first use.
    pub fn new(config: &EndpointConfig) -> anyhow::Result<Self> {
        anyhow::ensure!(!config.servers.is_empty(), "no store endpoint is configured: set --etcd-servers");
        let channels = config.servers.iter().map(|server| channel(server, config)).collect::<Result<_, _>>()?;
        Ok(Self { servers: config.servers.clone(), channels, current: AtomicUsize::new(0) })
    }

    /// The channel to use now, and its number for [`Self::failed`].
    pub fn current(&self) -> (usize, Channel) {
        let at = self.current.load(Ordering::Relaxed) % self.channels.len();
        (at, self.channels[at].clone())
    }

    /// Moves on from an endpoint that did not answer.
    pub fn failed(&self, at: usize) {
        let next = (at + 1) % self.channels.len();
        let _ = self.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Every endpoint with its channel.
    pub fn all(&self) -> impl Iterator<Item = (&str, Channel)> {
        self.servers.iter().map(String::as_str).zip(self.channels.iter().cloned())
    }

    /// Runs a request that may be repeated: each endpoint is tried, the list twice over.
    pub async fn read<T, F, Fut>(&self, operation: &'static str, requested: i64, send: F) -> Result<T, StorageError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<T, tonic::Status>>,
    {
        self.run(operation, requested, 0, true, send).await
    }

    /// Runs a write: another endpoint is tried only where the first cannot have received it.
    pub async fn write<T, F, Fut>(&self, operation: &'static str, bytes: usize, send: F) -> Result<T, StorageError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<T, tonic::Status>>,
    {
        self.run(operation, 0, bytes, false, send).await
    }

    async fn run<T, F, Fut>(
        &self,
        operation: &'static str,
        requested: i64,
        bytes: usize,
        repeatable: bool,
        send: F,
    ) -> Result<T, StorageError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<T, tonic::Status>>,
    {
        let attempts = self.channels.len() * 2;
        for attempt in 1..=attempts {
            let (at, channel) = self.current();
            let status = match send(channel).await {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            if !error::try_another(&status) {
                return Err(error::refused(operation, requested, bytes, status));
            }
            self.failed(at);
            if !repeatable && !error::never_sent(&status) {
                return Err(StorageError::Unknown { operation, source: Box::new(status) });
            }
            if attempt == attempts {
                return Err(StorageError::Unreachable { endpoints: self.servers.join(","), source: Box::new(status) });
            }
            if attempt % self.channels.len() == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        unreachable!("the last attempt returns")
    }
}

fn channel(server: &str, config: &EndpointConfig) -> anyhow::Result<Channel> {
    if server.starts_with("https://") {
        let Some(identity) = &config.identity else {
            anyhow::bail!("{server} needs the CA of its certificate: set --etcd-cafile");
        };
        return Ok(identity.channel(server, None)?);
    }
    let url = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let endpoint = Endpoint::from_shared(url)
        .map_err(|error| anyhow::anyhow!("--etcd-servers: {server}: {error}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .tcp_nodelay(true);
    Ok(endpoint.connect_lazy())
}
